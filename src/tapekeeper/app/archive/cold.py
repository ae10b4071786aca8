"""The archive's files as frames, and those of them that are kept in memory, by use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from threading import Lock

import polars as pl

from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.manifest import Part

_CELL_BYTES = 8
"""Of a number in memory; texts of bars take some more, which `shrink_to` sees to."""


class ColdFiles:
    """Reads the files of an archive, and keeps what was read last.

    A file is never changed under its name, so what was read of it is true for as long as it is
    asked for. What is kept are whole files in the columns that somebody wanted; a file of which
    only a time is wanted is read by its row groups, and not kept.

    It may be asked from several threads.

    Args:
        disk: of the archive.
    """

    def __init__(self, disk: ArchiveDisk) -> None:
        self._disk = disk
        self._turn = Lock()
        self._kept: OrderedDict[str, pl.DataFrame] = OrderedDict()  # bound: `shrink_to`
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Memory of all that is kept."""
        return self._bytes

    def scan(self, parts: Iterable[Part], columns: Sequence[str]) -> list[pl.LazyFrame]:
        """Columns of files, each file's by itself, read when they are collected."""
        found = ((self._found(part, columns), part) for part in parts)
        return [(self._of(part) if kept is None else kept).select(columns) for kept, part in found]

    def load(self, parts: Iterable[Part], columns: Sequence[str], bytes_max: int) -> None:
        """Read files whole and keep them, as far as there is room.

        Raises:
            FileNotFoundError: one is there no more.
        """
        missing = [part for part in parts if self._found(part, columns) is None]
        if sum(part.rows for part in missing) * _CELL_BYTES * len(columns) > bytes_max:
            return
        frames = pl.collect_all([self._of(part).select(columns) for part in missing])
        for part, frame in zip(missing, frames, strict=True):
            with self._turn:
                self._drop(part.path)
                self._kept[part.path] = frame
                self._bytes += _bytes_of(frame)

    def shrink_to(self, bytes_max: int) -> int:
        """Let go what was used longest ago, until no more than this is kept; how much went."""
        with self._turn:
            before = self._bytes
            while self._bytes > max(0, bytes_max):
                self._drop(next(iter(self._kept)))
            return before - self._bytes

    def keep_only(self, parts: Iterable[Part]) -> None:
        """Let go what is of no file of the archive any more."""
        names = {part.path for part in parts}
        with self._turn:
            for name in [name for name in self._kept if name not in names]:
                self._drop(name)

    def _of(self, part: Part) -> pl.LazyFrame:
        return pl.scan_parquet(self._disk.path(part.path), hive_partitioning=False, glob=False)

    def _found(self, part: Part, columns: Sequence[str]) -> pl.LazyFrame | None:
        with self._turn:
            frame = self._kept.get(part.path)
            if frame is None or not set(columns) <= set(frame.columns):
                return None
            self._kept.move_to_end(part.path)
            return frame.lazy()

    def _drop(self, name: str) -> None:
        frame = self._kept.pop(name, None)
        if frame is not None:
            self._bytes -= _bytes_of(frame)


def _bytes_of(frame: pl.DataFrame) -> int:
    return int(frame.estimated_size())
