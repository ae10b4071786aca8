"""The journal of a simulated run, taken apart by the processes that wrote it, and made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from tapekeeper.core.journal import Entry
from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun, absence_told, ended_by
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import Gap
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import JournalReader, Problem
from tapekeeper.verify.oracle import Reached, what_reached


@dataclass(slots=True)
class Run:
    """What one process wrote, and what comes of it.

    Attributes:
        number: of its first segment.
        reached: read from its frames in the plainest way.
        outputs: what a replay publishes; of bars every revision.
        forming: bars that were not closed at the end.
        cut: contracts of which a later run told that nobody was there behind the end of this one.
    """

    number: int
    reached: Reached = field(default_factory=Reached)
    outputs: Outputs = field(default_factory=Outputs)
    forming: list[Bar] = field(default_factory=list)
    cut: set[str] = field(default_factory=set)

    @property
    def bars(self) -> list[Bar]:
        """The last word on every bar, closed or not."""
        recent = RecentBars()
        recent.add(self.outputs.closed)
        return [*recent.all(), *self.forming]

    @property
    def repaired(self) -> frozenset[int]:
        """The gaps for which the gateway's own bars stand, or some of them."""
        return frozenset(gap.gap_id for gap in self.outputs.gaps if gap.restored)


def runs_of(files: Files) -> tuple[dict[int, Run], list[Problem]]:
    """Every run of a journal by its number, and what could not be read.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    reader = JournalReader(files)
    entries: dict[int, list[Entry]] = {}
    for entry in reader:
        entries.setdefault(reader.run, []).append(entry)
    runs: dict[int, Run] = {}
    absences: dict[int, Gap] = {}  # as later runs told of them
    for number in reversed(entries):
        runs[number] = _run(number, entries[number], absences.values())
        told = [gap for gap in map(absence_told, entries[number]) if gap is not None]
        absences = {gap.gap_id: gap for gap in told} | absences
    return dict(reversed(runs.items())), reader.problems


def _run(number: int, entries: list[Entry], absences: Iterable[Gap]) -> Run:
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    run = Run(number, what_reached(entries))
    steps = (one for entry in entries for one in rerun.take(entry))
    for one in chain(steps, _last_step(pipeline, run, absences)):
        run.outputs.closed += one.closed
        run.outputs.trades += one.trades
        run.outputs.quotes += one.quotes
        run.outputs.rejected += one.rejected
        run.outputs.gaps += one.gaps
    run.forming = list(pipeline.forming_all())
    return run


def _last_step(pipeline: Pipeline, run: Run, absences: Iterable[Gap]) -> Iterator[Outputs]:
    yield pipeline.release()
    for one in ended_by(pipeline, absences):
        run.cut.update(gap.contract_id for gap in one.gaps)
        yield one
