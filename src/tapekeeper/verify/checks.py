"""What must be true of every run, whatever the schedule of faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.core.runlog import MARKET_HUB, Rerun
from tapekeeper.model.bar import Bar
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.sim.fault_menu import Burst, Delay, Freeze, Partial, Replay, Trickle
from tapekeeper.verify.oracle import (
    Key,
    Reached,
    accepted,
    naive_bars,
    numbers_of,
    what_reached,
)
from tapekeeper.verify.scenario import RECOVERY_S, TIMEFRAMES
from tapekeeper.verify.simulation import NS_PER_S, STOP_S, Evidence

SHOWN_MAX = 3
"""Examples in one finding."""

SLACK_S = 1.5
"""Between the making of a print and its arrival on an undisturbed connection."""

SUBSCRIBE_TRADES = "SubscribeContractTrades"
"""The call whose coverage decides over prints."""


@dataclass(frozen=True, slots=True)
class Span:
    """An interval, ns UTC, in which prints of a contract may be missing; None means of any."""

    contract_id: str | None
    from_ns: int
    to_ns: int
    why: str

    def holds(self, at_ns: int, contract_id: str) -> bool:
        """Whether it accounts for a print that was made at a moment."""
        return self.from_ns <= at_ns <= self.to_ns and self.contract_id in {None, contract_id}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run proved, and what it did not.

    Attributes:
        problems: one sentence each; empty is good.
        made, lost: prints of the followed contracts that the market made while they were
            subscribed, and those of them that never came to the process.
        spans: the reported intervals.
    """

    problems: tuple[str, ...]
    made: int = 0
    lost: int = 0
    spans: tuple[Span, ...] = ()


def judge(evidence: Evidence) -> Findings:
    """Check everything; a run that failed outright is judged by its failure alone."""
    if evidence.failure:
        return Findings((evidence.failure,))
    problems = [*_ended_well(evidence)]
    again = _rerun(evidence)
    problems += _bars(evidence, again)
    problems += _counts(evidence)
    reached = what_reached(JournalReader(evidence.files))
    spans = (*_reported(evidence), *_excused(evidence))
    made, lost = _lost(evidence, reached)
    problems += _unexplained(evidence, lost, spans)
    problems += _invented(evidence, accepted(again.trades))
    return Findings(
        tuple(problems),
        made=made,
        lost=sum(lost.values()),
        spans=spans,
    )


# --- the course of the run ----------------------------------------------------------------------


def _ended_well(evidence: Evidence) -> Iterator[str]:
    if evidence.subscribed_ns is None:
        yield "the contracts were never subscribed"
    if evidence.recovered_s is None:
        yield f"not recovered {RECOVERY_S:g} s after the last fault: {evidence.waiting}"
    if evidence.stop_s > STOP_S:
        yield f"stopping took {evidence.stop_s:.1f} s, more than {STOP_S:g} s"
    if evidence.leftovers:
        yield f"tasks were left over: {', '.join(evidence.leftovers[:SHOWN_MAX])}"
    if evidence.open_ends:
        yield f"{evidence.open_ends} ends of connections were left open"
    if evidence.files.is_locked:
        yield "the journal was left locked"


# --- bars and counts ------------------------------------------------------------------------------


def _rerun(evidence: Evidence) -> Outputs:
    """Everything that comes of the journal, forming bars included."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    whole = Outputs()
    reader = JournalReader(evidence.files)
    steps = (one for entry in reader for one in rerun.take(entry))
    for one in chain(steps, _last_step(pipeline)):
        whole.closed += one.closed
        whole.trades += one.trades
        whole.rejected += one.rejected
    whole.closed += pipeline.forming_all()
    return whole


def _last_step(pipeline: Pipeline) -> Iterator[Outputs]:
    yield pipeline.release()


def _bars(evidence: Evidence, again: Outputs) -> Iterator[str]:
    result = evidence.result
    if result is None:
        yield "there is no result"
        return
    live = [bar for bars in result.bars.values() for bar in bars]
    if sorted(map(_order, live)) != sorted(map(_order, again.closed)):
        yield "a replay of the journal makes other bars than the run did"
    naive = naive_bars(again.trades, TIMEFRAMES)
    engine = dict(map(numbers_of, live))
    if len(engine) != len(live):
        yield "an interval has two bars"
    wrong = [key for key in {**naive, **engine} if naive.get(key) != engine.get(key)]
    if wrong:
        yield f"{len(wrong)} bars differ from the oracle's, the first is {wrong[0]}"


def _order(bar: Bar) -> tuple[str, str, int, str]:
    return bar.contract_id, bar.timeframe, bar.ts_open, repr(bar)


def _counts(evidence: Evidence) -> Iterator[str]:
    status = evidence.status
    if status is None:
        yield "there is no status"
        return
    if not status.holds:
        yield "an identity does not hold: ticks or volume are missing from the counts"
    most = evidence.scenario.redundancy + 1
    for pool in status.pools:
        if pool.lines_most > most:
            yield f"the pool {pool.name} had {pool.lines_most} lines, more than {most}"


# --- what came and what did not ---------------------------------------------------------------


def _lost(evidence: Evidence, reached: Reached) -> tuple[int, Counter[tuple[int, Key]]]:
    """Prints made while subscribed, and those of them that never came with when they were made."""
    since_ns = evidence.subscribed_ns or 0
    # What was made last may be under way when the tape stops.
    until_ns = evidence.stopping_ns - round((SLACK_S + _slowest_s(evidence)) * NS_PER_S)
    left = Counter(reached.trades)
    wanted = set(evidence.contracts.values())
    made = 0
    lost: Counter[tuple[int, Key]] = Counter()
    for one in evidence.made:
        for key in one.prints:
            if key[0] not in wanted:
                continue
            if left[key] > 0:
                left[key] -= 1
                made += 1
            elif since_ns <= one.at_ns <= until_ns:
                lost[one.at_ns, key] += 1
                made += 1
    return made, lost


def _slowest_s(evidence: Evidence) -> float:
    """How long the schedule may hold a record back before it leaves."""
    slow = [0.0]
    for fault in evidence.scenario.schedule:
        if isinstance(fault, Burst | Trickle):
            slow.append(fault.for_s)
        elif isinstance(fault, Delay):
            slow.append(fault.for_s + fault.delay_ms / 1e3)
    return max(slow)


def _reported(evidence: Evidence) -> Iterator[Span]:
    """Intervals that the tape itself told of, in its log and at the end: nothing covered them."""
    slack_ns = round((SLACK_S + _slowest_s(evidence)) * NS_PER_S)
    for pool in () if evidence.status is None else evidence.status.pools:
        if pool.name != MARKET_HUB:
            continue
        if pool.uncovered_count > len(pool.uncovered):
            yield Span(None, 0, evidence.stopping_ns, "more intervals than are remembered")
        for gap in pool.uncovered:
            to_ns = evidence.stopping_ns if gap.to_ns is None else gap.to_ns + slack_ns
            for call in gap.calls:
                if call.target == SUBSCRIBE_TRADES:
                    yield Span(str(call.arguments[0]), gap.from_ns - slack_ns, to_ns, gap.why)


def _excused(evidence: Evidence) -> Iterator[Span]:
    """Faults that lose prints and that the tape tells of in another way, or not yet.

    Half a record spoils the one behind it, which is quarantined whole. A frozen subscription is
    found by freshness, which judges by data and so needs its threshold of time.
    """
    for one in evidence.happened:
        at_ns = evidence.start_ns + round(one.at_s * NS_PER_S)
        if isinstance(one.fault, Partial) and not one.ended:
            # The drop behind it may be drawn for another connection than the half record was.
            yield Span(None, at_ns - NS_PER_S, at_ns + 60 * NS_PER_S, "half a record")
        elif isinstance(one.fault, Freeze):
            yield Span(None, at_ns - NS_PER_S, evidence.stopping_ns, "a frozen subscription")


def _unexplained(
    evidence: Evidence, lost: Counter[tuple[int, Key]], spans: Iterable[Span]
) -> Iterator[str]:
    reported = list(spans)
    silent = [
        (at_ns, key) for at_ns, key in lost if not any(s.holds(at_ns, key[0]) for s in reported)
    ]
    if silent:
        at_ns, key = silent[0]
        at_s = (at_ns - evidence.start_ns) / NS_PER_S
        yield (
            f"{len(silent)} prints were lost in intervals that nothing reports, "
            f"the first {at_s:.3f} s after the start: {key}"
        )


def _invented(evidence: Evidence, taken: Counter[Key]) -> Iterator[str]:
    """Prints in bars that the market did not make, or not as often."""
    if any(isinstance(fault, Replay) for fault in evidence.scenario.schedule):
        # The gateway itself repeats what it sent, on one connection: as real prints do.
        return
    made: Counter[Key] = Counter()
    for one in evidence.made:
        made.update(one.prints)
    extra = taken - made
    if extra:
        yield f"{sum(extra.values())} prints are on the tape that nobody made: {next(iter(extra))}"
