"""The files of the gap ledger, beside the journal: what is told of gaps, line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from tapekeeper.core.ledger import GAPS_MAX, Ledger, gaps_in, line_of
from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.model.gap import Gap
from tapekeeper.ports import Files, SegmentFile

_FILE = re.compile(r"gaps-(\d{6})\.jsonl", re.ASCII)


class GapFiles:
    """What one process writes of the ledger; its file is made when there is something to write.

    Args:
        files: the folder of the journal, which is locked by this process.
        may_shed: whether the ledger's file waits where the disk takes nothing.
    """

    def __init__(self, files: Files, *, may_shed: bool) -> None:
        self._files = files
        self._may_shed = may_shed
        self._file: SegmentFile | None = None  # until there is something to write
        self._unwritten: dict[int, Gap] | None = None  # bound: as the ledger

    def write(self, gap: Gap) -> None:
        """Write the last word on a gap.

        Raises:
            JournalError: it cannot be written, and must not wait.
            UnreadableSourceError: the folder cannot be read, and it must not wait.
        """
        if self._unwritten is not None:
            _remember(self._unwritten, gap)
            return
        try:
            if self._file is None:
                self._file = self._files.create(_next_name(self._files.names()))
            self._file.append(line_of(gap))
        except (JournalError, UnreadableSourceError):
            if not self._may_shed:
                raise
            # The journal's disk takes nothing, and the journal is about to say so.
            self._unwritten = {gap.gap_id: gap}

    def write_behind(self) -> None:
        """Write what could not be written meanwhile, into a file of its own."""
        if self._unwritten is None:
            return
        # Half a line may be at the end of the other one.
        if self._file is not None:
            with suppress(JournalError):
                self._file.close()
        self._file, unwritten, self._unwritten = None, self._unwritten, None
        for gap in unwritten.values():
            self.write(gap)

    def close(self) -> None:
        """Close the file; nothing is told afterwards. Safe to call twice."""
        if self._file is not None:
            self._file.close()


def _remember(unwritten: dict[int, Gap], gap: Gap) -> None:
    """Keep the last word on a gap; of too many the oldest is given up."""
    unwritten.pop(gap.gap_id, None)
    unwritten[gap.gap_id] = gap
    if len(unwritten) > GAPS_MAX:
        del unwritten[next(iter(unwritten))]


def read_ledger(files: Files, keep: int = GAPS_MAX) -> tuple[Ledger, list[str]]:
    """The ledger of a journal's folder, and what of it could not be read, one sentence each.

    Args:
        files: of the folder.
        keep: the newest gaps that are wanted.

    Raises:
        UnreadableSourceError: a file cannot be read at all.
    """
    ledger = Ledger(gaps_max=keep)
    problems: list[str] = []
    for name in files.names():
        if _FILE.fullmatch(name):
            for item in gaps_in(files.read(name)):
                if isinstance(item, Gap):
                    ledger.put(item)
                else:
                    problems.append(f"{name}: {item}")
    return ledger, problems


def _next_name(names: Iterable[str]) -> str:
    numbers = (int(match[1]) for match in map(_FILE.fullmatch, names) if match)
    return f"gaps-{max(numbers, default=0) + 1:06d}.jsonl"
