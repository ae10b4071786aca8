"""Many small files of one day as one: which, and what is in it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import polars as pl

from tapekeeper.app.archive.disk import ArchiveDisk, sha256
from tapekeeper.app.archive.harvest import stored_trades
from tapekeeper.app.archive.layout import TRADES
from tapekeeper.app.archive.manifest import Part
from tapekeeper.errors import JournalError

PARTS_MAX = 8
"""Files of a day that goes on, of one kind; one more pass makes one of them. A day that is over is
merged at once."""
MERGED_ROWS_MAX = 2_000_000
"""Rows that are merged at most; some 100 MB of memory."""
BATCH = 64
"""Files that are made before the manifest names them."""


def mergeable(parts: tuple[Part, ...]) -> list[list[Part]]:
    """The files that are to be merged, in order of arrival, each group into one.

    Merging them all leaves nothing to merge.
    """
    partitions: dict[tuple[str, str, str, str], list[Part]] = {}
    last: dict[tuple[str, str, str], str] = {}
    for part in parts:
        series = (part.kind, part.contract_id, part.timeframe)
        partitions.setdefault((*series, part.trade_date), []).append(part)
        last[series] = max(last.get(series, ""), part.trade_date)
    return [
        group
        for (*series, date), found in partitions.items()
        if date < last[series[0], series[1], series[2]] or len(found) >= PARTS_MAX
        for group in _groups(found)
        if len(group) > 1
    ]


def _groups(parts: list[Part]) -> Iterator[list[Part]]:
    """Neighbours that are together within the bound."""
    group: list[Part] = []
    for part in parts:
        if sum(each.rows for each in group) + part.rows > MERGED_ROWS_MAX:
            yield group
            group = []
        group.append(part)
    yield group


def merged_rows(disk: ArchiveDisk, group: list[Part]) -> pl.DataFrame:
    """What is in the files of a group, as one file has it; of a run's bar its last revision.

    Raises:
        JournalError: a file is not what the manifest says.
    """
    frames = [_read(disk, part) for part in group]
    if group[0].kind == TRADES:
        rows = stored_trades(pl.concat(_numbered(frame) for frame in frames))
        if rows.height != sum(part.rows for part in group) or int(rows["size"].sum()) != sum(
            part.volume for part in group
        ):
            raise JournalError(f"{group[0].path} and the files to be merged with it lost prints")
        return rows
    key = ["ts_open", "ordinal", "run"]
    ordered = pl.concat(frames).sort([*key, "revision"], maintain_order=True)
    return ordered.unique(key, keep="last", maintain_order=True)


def merged_name(group: list[Part]) -> str:
    """The file of a group: from the first segment of its first pass to the last of its last."""
    folder, _, name = group[0].path.rpartition("/")
    first = name.removeprefix("part-").split("-")[0].split(".")[0]
    return f"{folder}/part-{first}-{group[-1].through_segment:06}.parquet"


def replaced(parts: tuple[Part, ...], groups: list[list[Part]], made: list[Part]) -> list[Part]:
    """The files of an archive with each group's file in the place of its first."""
    instead = {group[0].path: part for group, part in zip(groups, made, strict=True)}
    gone = {part.path for group in groups for part in group}
    return [
        instead.get(part.path, part)
        for part in parts
        if part.path in instead or part.path not in gone
    ]


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        ts_recv=pl.col("ts_event") + pl.col("delay_ns"), seq=pl.col("seq_step").cum_sum()
    )


def _read(disk: ArchiveDisk, part: Part) -> pl.DataFrame:
    data = disk.read(part.path)
    if data is None or sha256(data) != part.sha256:
        raise JournalError(f"{disk.path(part.path)} is not what the archive's manifest says")
    return pl.read_parquet(io.BytesIO(data), hive_partitioning=False)
