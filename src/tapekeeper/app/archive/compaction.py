"""Compaction: from a journal's settled segments to verified Parquet files, and their confirmation.

One pass makes new files, reads them back, and only then replaces the manifest, which is the one
moment at which they belong to the archive. Whatever a kill leaves is either not in the manifest,
and removed by the next pass, or whole. The journal is told last.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import polars as pl

from tapekeeper.adapters.files import LOCK_NAME, FolderFiles
from tapekeeper.app.archive import carry
from tapekeeper.app.archive.disk import ArchiveDisk, sha256
from tapekeeper.app.archive.harvest import Harvest, stored_bars, stored_trades
from tapekeeper.app.archive.layout import (
    BARS,
    COMPRESSION_LEVEL,
    FORMAT,
    MANIFEST,
    ROWS_PER_GROUP,
    TRADES,
    bars_folder,
    by_trade_date,
    carry_name,
    part_name,
    trades_folder,
)
from tapekeeper.app.archive.manifest import CarryFile, Manifest, Part, decode_manifest
from tapekeeper.app.archive.merging import BATCH, mergeable, merged_name, merged_rows, replaced
from tapekeeper.app.archive.rerunning import Continued, Stretch, segments_of, settled_through
from tapekeeper.core.journal import retention, segment_name
from tapekeeper.core.journal.retention import CONFIRMATIONS
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.errors import JournalError, UnreadableSourceError, UsageError
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import Problem

ROWS_PER_PASS = 1_000_000
"""Prints after which a pass ends with the segment; some 100 MB of memory."""

Progress = Callable[[int, int], None]
"""Called with (segments done, segments to do)."""
DiskOf = Callable[[Path], ArchiveDisk]


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archiving came to.

    Attributes:
        through_segment: all segments up to this one are in the archive.
        confirmed: all up to this one may be removed.
        trades, bars, files: that were added.
        size_bytes: of the files that were added.
        merged: files that became parts of others, those of this archiving included.
        problems: what cannot be read of the journal, one sentence each, those of earlier passes
            included.
        notes: what is normal after a crash, likewise.
    """

    through_segment: int = 0
    confirmed: int = 0
    trades: int = 0
    bars: int = 0
    files: int = 0
    size_bytes: int = 0
    merged: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def default_archive(journal: Path) -> Path:
    """Where a journal's archive is if nobody says otherwise."""
    return journal / "archive"


def archive_journal(
    journal: Path,
    archive: Path | None = None,
    *,
    accept_damage: bool = False,
    rows_per_pass: int = ROWS_PER_PASS,
    compression_level: int = COMPRESSION_LEVEL,
    progress: Progress = lambda _done, _total: None,
    disk_of: DiskOf = ArchiveDisk,
) -> Archived:
    """Bring everything that is settled in a journal into its archive, and confirm it.

    Safe to be called again after any end, and without effect when there is nothing new.

    Args:
        journal: folder of the journal; it may be written meanwhile.
        archive: folder of the archive; None is `default_archive`.
        accept_damage: whether damaged segments are confirmed, too, with what can be read of them.
        rows_per_pass: prints after which a pass is ended.
        compression_level: of zstd, 1 to 22.
        progress: called after every segment.
        disk_of: the disk under the archive.

    Raises:
        UnreadableSourceError: there is no journal, or the archive is damaged.
        UsageError: the archive is another journal's, or another process writes it.
        JournalError: the disk refused, or what was read back is not what was written.
    """
    folder = archive or default_archive(journal)
    files = FolderFiles(journal)
    numbers = segments_of(files)
    if not numbers:
        raise UnreadableSourceError(f"there is no journal in {journal}")
    try:
        lock = FolderFiles(folder).lock()
    except JournalError as error:
        if isinstance(error.__cause__, BlockingIOError):
            raise UsageError(f"another process is writing the archive in {folder}") from error
        raise
    try:
        archiving = _Archiving(
            journal, disk_of(folder), compression_level, accept_damage=accept_damage
        )
        return archiving.run(rows_per_pass, progress)
    finally:
        lock.release()


def read_manifest(disk: ArchiveDisk) -> Manifest:
    """The manifest of an archive; an empty one where there is no archive.

    Raises:
        UnreadableSourceError: it is damaged.
    """
    data = disk.read(MANIFEST)
    return Manifest() if data is None else decode_manifest(data, str(disk.path(MANIFEST)))


def confirmed_through(journal: Path) -> int:
    """Up to which segment a journal may be removed, by its last whole confirmation.

    Raises:
        UnreadableSourceError: the system does not give the file out.
    """
    return retention.confirmed_through(ArchiveDisk(journal).read(CONFIRMATIONS) or b"")


def state_of(disk: ArchiveDisk, files: Files, manifest: Manifest) -> tuple[Continued, str]:
    """The state behind an archive's last segment, from which its journal goes on.

    Returns:
        It, and a sentence where it could not be had, so that bars begin anew; else "".
    """
    kept = manifest.carry
    if kept is None:
        return Continued(), ""
    if kept.made_by == carry.fingerprint():
        data = disk.read(kept.path)
        if data is not None and sha256(data) == kept.sha256:
            return carry.load(data, str(disk.path(kept.path))), ""
    # Of another version of this program: made anew from the segments that it came of.
    state = Continued()
    numbers = [number for number in segments_of(files) if number <= manifest.through_segment]
    if numbers:
        stretch = Stretch(files, numbers[0] - 1, numbers[-1])
        later = stretch.told_later()
        for read in stretch:
            state.enter(read, later, _nowhere)
            state.take(read.entry, _nowhere)
    if state.run and not state.broken:
        return state, ""
    return state, (
        "the state of the last pass is of another version and segments that it came of are gone: "
        f"bars that were cut by that in front of segment {manifest.through_segment + 1} say that "
        "they are a part"
    )


class _Archiving:
    """One process's work on an archive."""

    def __init__(
        self, journal: Path, disk: ArchiveDisk, level: int, *, accept_damage: bool
    ) -> None:
        self._journal = journal
        self._files = FolderFiles(journal)
        self._disk = disk
        self._level = level
        self._accept_damage = accept_damage
        self._manifest = read_manifest(disk)
        self._notes: list[str] = []
        self._done = Archived()

    def run(self, rows_per_pass: int, progress: Progress) -> Archived:
        self._require_same_journal()
        self._clean()
        begun = self._manifest.through_segment
        through = settled_through(self._files)
        while self._manifest.through_segment < through:
            self._pass(through, rows_per_pass, lambda at: progress(at - begun, through - begun))
        self._merge()
        self._confirm()
        return replace(
            self._done,
            through_segment=self._manifest.through_segment,
            confirmed=confirmed_through(self._journal),
            problems=self._manifest.problems,
            notes=tuple(self._notes),
        )

    # -- before ------------------------------------------------------------------------------

    def _require_same_journal(self) -> None:
        """Refuse an archive that is not of this journal, and one that has lost its manifest."""
        through = self._manifest.through_segment
        confirmed = confirmed_through(self._journal)
        if confirmed > through:
            raise UnreadableSourceError(
                f"the archive in {self._disk.root} goes up to segment {through}, and the journal "
                f"says {confirmed}: its manifest is gone or of long ago"
            )
        numbers = segments_of(self._files)
        name = segment_name(through)
        is_there = through in numbers
        other = through and numbers[-1] < through
        if other or (is_there and self._files.size(name) != self._manifest.segment_bytes):
            raise UsageError(
                f"the archive in {self._disk.root} is of another journal than {self._journal}"
            )

    def _clean(self) -> None:
        """Remove what a killed pass has left."""
        ours = {MANIFEST, LOCK_NAME, *(part.path for part in self._manifest.parts)}
        if self._manifest.carry is not None:
            ours.add(self._manifest.carry.path)
        for name in self._disk.names():
            if name not in ours:
                self._let_go(name)

    def _let_go(self, name: str) -> None:
        """Remove a file that is the archive's no more, unless somebody has it open on Windows."""
        with suppress(JournalError):  # the next archiving removes it
            self._disk.remove(name)

    # -- a pass ------------------------------------------------------------------------------

    def _pass(self, through: int, rows_max: int, progress: Callable[[int], None]) -> None:
        after = self._manifest.through_segment
        state, note = state_of(self._disk, self._files, self._manifest)
        if note:
            self._notes.append(note)
        harvest = Harvest()
        stretch = Stretch(self._files, after, through)
        later = stretch.told_later()
        self._note_late_pardons(later.pardons, state.run)
        at = after
        tally = _Tally(state.pipeline)
        with closing(iter(stretch)) as entries:
            for read in entries:
                if read.segment != at:
                    if harvest.rows >= rows_max:
                        through = at
                        break
                    at = read.segment
                    progress(at - 1)
                state.enter(read, later, harvest.take, tally.add)
                state.take(read.entry, harvest.take)
        tally.add(state.pipeline)
        tally.check(harvest)
        damage = [problem for problem in stretch.problems if problem.segment <= through]
        self._publish(harvest, state, through, damage)
        progress(through)

    def _note_late_pardons(self, pardons: Iterable[int], run: int) -> None:
        for number in pardons:
            if number <= run:
                self._notes.append(
                    f"prints of the run of segment {number} were let in after it was archived: "
                    "they are in the journal alone"
                )

    def _publish(
        self, harvest: Harvest, state: Continued, through: int, damage: list[Problem]
    ) -> None:
        parts = list(self._parts(harvest, state, through))
        carried = carry.dump(state)
        name = carry_name(through)
        self._disk.stage(name, carried)
        self._disk.publish(name)
        old = self._manifest
        bad = [problem for problem in damage if not problem.expected]
        self._notes += [str(problem) for problem in damage if problem.expected]
        volumes = dict(old.volumes)
        for part in parts:
            if part.kind == TRADES:
                volumes[part.contract_id] = volumes.get(part.contract_id, 0) + part.volume
        known = {each.contract_id: each for each in old.instruments}
        known |= {each.contract_id: each for each in state.pipeline.instruments()}
        confirmable = old.confirmable
        if old.confirmable == old.through_segment and not bad:
            confirmable = through
        manifest = Manifest(
            format=FORMAT,
            through_segment=through,
            segment_bytes=self._size(through),
            confirmable=confirmable,
            carry=CarryFile(name, sha256(carried), carry.fingerprint()),
            instruments=tuple(known.values()),
            volumes=volumes,
            problems=(*old.problems, *map(str, bad)),
            parts=(*old.parts, *parts),
        )
        self._replace_manifest(manifest)
        self._count(parts)
        self._confirm()
        if old.carry is not None:
            self._disk.remove(old.carry.path)

    def _replace_manifest(self, manifest: Manifest) -> None:
        """From here on the archive is another one, in one step."""
        self._disk.sync_names()
        self._disk.stage(MANIFEST, manifest.encode())
        self._disk.publish(MANIFEST)
        self._disk.sync_names()
        self._manifest = manifest

    def _merge(self) -> None:
        """Make one file of a day's many; readers have the ones or the other, by the manifest."""
        waiting = mergeable(self._manifest.parts)
        for first in range(0, len(waiting), BATCH):
            groups = waiting[first : first + BATCH]
            made = [self._merged(group) for group in groups]
            parts = replaced(self._manifest.parts, groups, made)
            self._replace_manifest(msgspec.structs.replace(self._manifest, parts=tuple(parts)))
            for part in (part for group in groups for part in group):
                self._let_go(part.path)
                self._done = replace(self._done, merged=self._done.merged + 1)

    def _merged(self, group: list[Part]) -> Part:
        rows = merged_rows(self._disk, group)
        stamps = "ts_event" if group[0].kind == TRADES else "ts_open"
        count, volume, low, high, *_ = _bounds(rows, stamps)
        part = msgspec.structs.replace(
            group[-1], path=merged_name(group), rows=count, volume=volume, min_ns=low, max_ns=high
        )
        return self._write(part, rows)

    def _size(self, number: int) -> int:
        try:
            return self._files.size(segment_name(number))
        except UnreadableSourceError:
            return 0  # there was none of this number

    def _count(self, parts: list[Part]) -> None:
        done = self._done
        self._done = replace(
            done,
            trades=done.trades + sum(part.rows for part in parts if part.kind == TRADES),
            bars=done.bars + sum(part.rows for part in parts if part.kind == BARS),
            files=done.files + len(parts),
            size_bytes=done.size_bytes + sum(part.size_bytes for part in parts),
        )

    def _confirm(self) -> None:
        """Tell the journal which of its segments it may let go."""
        manifest = self._manifest
        through = manifest.through_segment if self._accept_damage else manifest.confirmable
        # The next segment is numbered by the last one that is there, so that one has to stay.
        through = min(through, segments_of(self._files)[-1] - 1)
        if through <= confirmed_through(self._journal):
            return
        for part in manifest.parts:
            path = self._disk.path(part.path)
            if not path.is_file() or path.stat().st_size != part.size_bytes:
                raise JournalError(f"{path} is not what the archive's manifest says")
        line = {"through_segment": through, "parts": len(manifest.parts), "format": FORMAT}
        self._disk.append_line(self._journal / CONFIRMATIONS, msgspec.json.encode(line))

    # -- files -------------------------------------------------------------------------------

    def _parts(self, harvest: Harvest, state: Continued, through: int) -> Iterator[Part]:
        file = part_name(self._manifest.through_segment + 1)
        for contract_id, columns in harvest.trades.items():
            calendar = state.calendars[contract_id]
            for date, rows in by_trade_date(columns.frame(), "ts_event", calendar):
                name = f"{trades_folder(contract_id, date)}/{file}"
                part = Part(name, TRADES, contract_id, date, through, *_bounds(rows, "ts_event"))
                yield self._write(part, stored_trades(rows))
        for (contract_id, timeframe), bars in harvest.bars().items():
            calendar = state.calendars[contract_id]
            for date, rows in by_trade_date(stored_bars(bars), "ts_open", calendar):
                name = f"{bars_folder(contract_id, timeframe, date)}/{file}"
                part = Part(name, BARS, contract_id, date, through, *_bounds(rows, "ts_open"))
                yield self._write(msgspec.structs.replace(part, timeframe=timeframe), rows)

    def _write(self, part: Part, frame: pl.DataFrame) -> Part:
        buffer = io.BytesIO()
        frame.write_parquet(
            buffer,
            compression="zstd",
            compression_level=self._level,
            row_group_size=ROWS_PER_GROUP,
            metadata={"tapekeeper": f"{part.kind} {FORMAT}"},
        )
        data = buffer.getvalue()
        staged = self._disk.stage(part.path, data)
        if staged.read_bytes() != data or not pl.read_parquet(
            staged, hive_partitioning=False
        ).equals(frame):
            raise JournalError(f"{staged} does not read back as what was written into it")
        self._disk.publish(part.path)
        return msgspec.structs.replace(part, size_bytes=len(data), sha256=sha256(data))


def _bounds(rows: pl.DataFrame, stamps: str) -> tuple[int, int, int, int, int, str]:
    """Rows, volume, smallest and largest stamp of a part, and what its file will tell."""
    volume = int(rows["size" if stamps == "ts_event" else "volume"].sum())
    low, high = rows.select(low=pl.col(stamps).min(), high=pl.col(stamps).max()).row(0)
    return rows.height, volume, low, high, 0, ""


def _nowhere(_first: int, _run: int, _outputs: object) -> None:
    """What is in the archive already."""


def _accepted(pipeline: Pipeline) -> dict[str, int]:
    """What a run's pipeline counts: volume by contract, and all prints under ""."""
    return {**pipeline.accepted_volumes(), "": pipeline.trade_counts().accepted}


class _Tally:
    """Whether what was gathered is what the pipelines say that they have let in.

    Args:
        begun: the one of the run that a pass goes on with, before it does.
    """

    def __init__(self, begun: Pipeline) -> None:
        self._wanted = {key: -value for key, value in _accepted(begun).items()}

    def add(self, pipeline: Pipeline) -> None:
        """Count a run's pipeline at its end, or at that of the pass."""
        for key, value in _accepted(pipeline).items():
            self._wanted[key] = self._wanted.get(key, 0) + value

    def check(self, harvest: Harvest) -> None:
        """Compare.

        Raises:
            JournalError: they differ, which is a fault of this program.
        """
        found = {contract_id: columns.volume for contract_id, columns in harvest.trades.items()}
        found[""] = harvest.rows
        wanted = {key: value for key, value in self._wanted.items() if value}
        if {key: value for key, value in found.items() if value} != wanted:
            raise JournalError(
                f"the archive would not be whole: {found} was gathered of {wanted}; nothing of "
                "this pass was kept"
            )
