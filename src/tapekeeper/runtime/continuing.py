"""The state in which the run before ended, made again from its journal.

A start goes on where the last run ended: bars that were forming go on, revisions and the numbers of
ticks continue. The state is what the entries make of all runs that went on from each other, since
the first of them began with nothing; so whoever replays the journal comes to the same, and no
output depends on where processes began and ended.

What cannot be made exactly is not made at all: where a part of these entries is gone or damaged, or
where there are more of them than a start can wait for, the run begins with nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tapekeeper.core.journal import Entry, EntryKind, Position, segment_name
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun, continuation_told, number_told
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.ports import Files, Log
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.gap_keeper import GapKeeper
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers
from tapekeeper.runtime.run_end import RunEnd

REPLAY_BYTES_MAX = 4_000_000
"""Of segments that are run again at a start, unless told otherwise: some 400,000 frames."""

NUMBERED_MAX = 4
"""Segments in which the number of a tick is looked for; each has one in front."""

UNPACKED_MAX = 1_024
"""Bytes that one byte of a segment can have held."""


@dataclass(slots=True)
class State:
    """What a run begins with.

    Attributes:
        pipeline: the stages.
        recent: the bars that were closed, as far as they are kept.
        since: number of the first segment that it comes of; 0 where it is empty.
        through: where the entries end that it comes of.
        entries: how many of them were run again.
        next_seq: arrival number of the next tick, where nothing else is known.
        why: why it is empty although there is a journal, one clause for a person.
    """

    pipeline: Pipeline
    recent: RecentBars
    since: int = 0
    through: Position = field(default_factory=lambda: Position(0, 0))
    entries: int = 0
    next_seq: int = 0
    why: str = ""

    @property
    def is_continued(self) -> bool:
        """Whether it is that of the run before."""
        return self.since > 0


def state_at_end(
    files: Files, *, grace_ns: int, keep: int | None, bytes_max: int = REPLAY_BYTES_MAX
) -> State:
    """The state at the end of a journal; an empty one where it cannot be had.

    Args:
        files: the folder of the journal.
        grace_ns: as for `Pipeline`.
        keep: as for `RecentBars`.
        bytes_max: of segments that are run again.

    Raises:
        UnreadableSourceError: the folder cannot be read.
    """

    def empty(since: int = 0) -> State:
        return State(Pipeline(grace_ns=grace_ns), RecentBars(keep), since)

    fresh = empty()
    numbers = segment_numbers(files)
    if not numbers:
        return fresh
    since, fresh.why = _beginning(files, numbers)
    if not fresh.why:
        state = empty(since)
        fresh.why = _run_since(files, numbers, state, bytes_max)
        if not fresh.why:
            return state
    fresh.next_seq = _number_behind(files, numbers)
    return fresh


def _run_since(files: Files, numbers: list[int], state: State, bytes_max: int) -> str:
    """Bring a state to the end of a journal; why that was not possible, "" if it was."""
    wanted = {each for each in numbers if each >= state.since}
    size = sum(files.size(segment_name(each)) for each in wanted)
    if size > bytes_max:
        return f"{size:,} bytes would have to be run again"
    return _run_again(state, JournalReader(files, wanted))


def _beginning(files: Files, numbers: list[int]) -> tuple[int, str]:
    """The first segment of the runs that went on from each other up to the last, or why not."""
    left = list(numbers)
    while left:
        run, first = _first_entry(files, left[-1])
        if not run:
            left.pop()  # it was being begun, or is damaged, which will show
            continue
        if run != left[-1]:
            if run not in numbers:
                return 0, f"segment {run} is not there any more"
            _, first = _first_entry(files, run)
        if first is None:
            left = [each for each in left if each < run]  # it has come to nothing
            continue
        told = continuation_told(first)
        since = run if told is None else told.since
        return since, "" if since in numbers else f"segment {since} is not there any more"
    return 0, "no segment can be read"


def _first_entry(files: Files, number: int) -> tuple[int, Entry | None]:
    """The run that a segment is of, 0 if it does not say, and its first entry."""
    reader = JournalReader(files, {number})
    first = next(iter(reader), None)
    return reader.run, first


def _number_behind(files: Files, numbers: list[int]) -> int:
    """A number that no tick has had yet: each has taken a byte of a frame at least."""
    behind = 0
    for number in reversed(numbers[-NUMBERED_MAX:]):
        reader, told, since = JournalReader(files, {number}), 0, 0
        for entry in reader:
            next_seq = number_told(entry)
            if next_seq is not None:
                told, since = next_seq, 0
            elif entry.kind is EntryKind.FRAME:
                since += len(entry.payload)
        lost = sum(reader.progress.bytes_total - one.lost_from_byte for one in reader.problems)
        behind += since + lost * UNPACKED_MAX
        if told:
            return behind + told
    return behind


def _run_again(state: State, reader: JournalReader) -> str:
    """Carry the entries through the stages; why that was not possible, "" if it was."""
    rerun, run = Rerun(state.pipeline), 0
    try:
        for entry in reader:
            if reader.run != run and run and continuation_told(entry) is None:
                return f"the run of segment {reader.run} began with nothing"
            run = reader.run
            for outputs in rerun.take(entry):
                state.recent.add(outputs.closed)
            state.entries += 1
            state.through = reader.position
        for outputs in rerun.end_run():
            state.recent.add(outputs.closed)
    except UnreadableSourceError as error:
        return str(error)
    damage = [str(each) for each in reader.problems if not each.expected]
    return damage[0] if damage else ""


def begin_with(state: State, end: RunEnd, *, feed: Feed, gaps: GapKeeper, log: Log) -> None:
    """Let a run begin, before anything is connected: what it goes on with, and what that lacks.

    Args:
        state: whose pipeline and bars `feed` has.
        end: of the run before.
        feed: begins.
        gaps: has the ledger, of which the gap since that end becomes a part.
        log: told whether the state is that of the run before.

    Raises:
        JournalError: the ledger cannot be written.
    """
    gaps.recover(end)
    if state.is_continued:
        feed.go_on(state.since, state.through, gaps.absences(end.traded_ns))
    else:
        feed.number_from(state.next_seq)
    log(
        "state",
        level="warning" if state.why else "info",
        continued=state.is_continued,
        entries=state.entries,
        reason=state.why,
    )
