"""The journal of a simulated run, taken apart by the processes that wrote it, and made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from tapekeeper.core.journal import Entry
from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun, absence_told, continuation_told, ended_by
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import Gap
from tapekeeper.model.tick import Rejected, TradeBatch
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import JournalReader, Problem
from tapekeeper.verify.oracle import Reached, what_reached


@dataclass(slots=True)
class Run:
    """What one process wrote, and what comes of it.

    A process goes on with what the one before left, if it can. What is told of bars is told of all
    runs that went on from each other so far: no process may make a bar otherwise than if it had
    been there all the time.

    Attributes:
        number: of its first segment.
        reached: read from its frames in the plainest way.
        outputs: what a replay publishes; of bars every revision.
        known: what reached the processes up to it that went on from each other.
        trades: what these accepted.
        rejected: what these set aside.
        bars: the last word on every bar of these, closed or not.
        repaired: their gaps for which the gateway's own bars stand, or some of them.
        cut: contracts of which a later run told that nobody was there behind the end of this one.
        is_continued: whether it goes on with what the one before left.
    """

    number: int
    reached: Reached = field(default_factory=Reached)
    outputs: Outputs = field(default_factory=Outputs)
    known: Reached = field(default_factory=Reached)
    trades: list[TradeBatch] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    repaired: frozenset[int] = frozenset()
    cut: set[str] = field(default_factory=set)
    is_continued: bool = False


def runs_of(files: Files) -> tuple[dict[int, Run], list[Problem]]:
    """Every run of a journal by its number, and what could not be read.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    reader = JournalReader(files)
    entries: dict[int, list[Entry]] = {}
    for entry in reader:
        entries.setdefault(reader.run, []).append(entry)
    chains: list[list[int]] = []
    for number, its_entries in entries.items():
        if chains and continuation_told(its_entries[0]) is not None:
            chains[-1].append(number)
        else:
            chains.append([number])
    runs: dict[int, Run] = {}
    for linked in chains:
        # As later runs told of them.
        absences: dict[int, Gap] = {}
        for number in sorted(each for each in entries if each > linked[-1]):
            told = [gap for gap in map(absence_told, entries[number]) if gap is not None]
            absences |= {gap.gap_id: gap for gap in told}
        for run in _runs([(number, entries[number]) for number in linked], absences.values()):
            runs[run.number] = run
    return runs, reader.problems


def _runs(written: list[tuple[int, list[Entry]]], absences: Iterable[Gap]) -> Iterator[Run]:
    """Runs that went on from each other, in order."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    recent, known, repaired = RecentBars(), Reached(), set[int]()
    trades, rejected = list[TradeBatch](), list[Rejected]()
    for place, (number, entries) in enumerate(written):
        run = Run(number, what_reached(entries), is_continued=place > 0)
        # The first entry of a run that goes on ends the run before.
        of_run = entries[1:] if place else entries
        steps = (one for entry in of_run for one in rerun.take(entry))
        if place + 1 < len(written):
            last = rerun.take(written[place + 1][1][0])
        else:
            last = _last_step(pipeline, run, absences)
        for one in chain(steps, last):
            run.outputs.closed += one.closed
            run.outputs.trades += one.trades
            run.outputs.quotes += one.quotes
            run.outputs.rejected += one.rejected
            run.outputs.gaps += one.gaps
        known.add(run.reached)
        recent.add(run.outputs.closed)
        trades += run.outputs.trades
        rejected += run.outputs.rejected
        repaired |= {gap.gap_id for gap in run.outputs.gaps if gap.restored}
        run.known, run.repaired = known.copy(), frozenset(repaired)
        run.trades, run.rejected = list(trades), list(rejected)
        run.bars = [*recent.all(), *pipeline.forming_all()]
        yield run


def _last_step(pipeline: Pipeline, run: Run, absences: Iterable[Gap]) -> Iterator[Outputs]:
    yield pipeline.release()
    for one in ended_by(pipeline, absences):
        run.cut.update(gap.contract_id for gap in one.gaps)
        yield one
