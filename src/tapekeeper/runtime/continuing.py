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

from tapekeeper.core.journal import Entry, Position, segment_name
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun, continuation_told
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers

REPLAY_BYTES_MAX = 16_000_000
"""Of segments that are run again at a start."""


@dataclass(slots=True)
class State:
    """What a run begins with.

    Attributes:
        pipeline: the stages.
        recent: the bars that were closed, as far as they are kept.
        since: number of the first segment that it comes of; 0 where it is empty.
        through: where the entries end that it comes of.
        entries: how many of them were run again.
        why: why it is empty although there is a journal, one clause for a person.
    """

    pipeline: Pipeline
    recent: RecentBars
    since: int = 0
    through: Position = field(default_factory=lambda: Position(0, 0))
    entries: int = 0
    why: str = ""

    @property
    def is_continued(self) -> bool:
        """Whether it is that of the run before."""
        return self.since > 0


def state_at_end(files: Files, *, grace_ns: int, keep: int | None) -> State:
    """The state at the end of a journal; an empty one where it cannot be had.

    Args:
        files: the folder of the journal.
        grace_ns: as for `Pipeline`.
        keep: as for `RecentBars`.

    Raises:
        UnreadableSourceError: the folder cannot be read.
    """
    fresh = State(Pipeline(grace_ns=grace_ns), RecentBars(keep))
    numbers = segment_numbers(files)
    if not numbers:
        return fresh
    since, fresh.why = _beginning(files, numbers)
    if not since or fresh.why:
        return fresh
    size = sum(files.size(segment_name(each)) for each in numbers if each >= since)
    if size > REPLAY_BYTES_MAX:
        fresh.why = f"{size:,} bytes would have to be run again"
        return fresh
    state = State(Pipeline(grace_ns=grace_ns), RecentBars(keep), since)
    fresh.why = _run_again(state, JournalReader(files, {each for each in numbers if each >= since}))
    return fresh if fresh.why else state


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
