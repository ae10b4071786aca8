"""Prints that the market made and that never came, and whether something accounts for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tapekeeper.core.runlog import MARKET_HUB
from tapekeeper.model.gap import Gap
from tapekeeper.sim.fault_host import Stuck
from tapekeeper.sim.fault_menu import Burst, Delay, Trickle
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.verify.evidence import NS_PER_S, End, Evidence, Life
from tapekeeper.verify.oracle import Key
from tapekeeper.verify.runs import Run

SLACK_S = 1.5
"""Between the making of a print and its arrival on an undisturbed connection."""

DEAF_S = 31.0
"""A half-open connection is given up after 30 s: what a process that was killed had not noticed by
then it could tell nobody."""

SUBSCRIBE_TRADES = "SubscribeContractTrades"
"""The call whose coverage decides over prints."""

Lost = Counter[tuple[int, Key]]
"""How often a print was lost, by the moment at which it was made (ns UTC) and what it was."""


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


def lost_prints(evidence: Evidence, runs: Iterable[Run]) -> tuple[int, Lost]:
    """Prints made while a process was subscribed: how many, and which of them never came.

    A print in a record that was quarantined did come, and was told of there.
    """
    came: Counter[Key] = Counter()
    for run in runs:
        came.update(run.reached.trades)
        came.update(run.reached.spoilt)
    windows = [window for life in evidence.lives for window in _windows(evidence, life)]
    wanted = set(evidence.contracts.values())
    made = 0
    lost: Lost = Counter()
    for one in evidence.made:
        for key in one.prints:
            if key[0] not in wanted:
                continue
            if came[key] > 0:
                came[key] -= 1
                made += 1
            elif any(since_ns <= one.at_ns <= until_ns for since_ns, until_ns in windows):
                lost[one.at_ns, key] += 1
                made += 1
    return made, lost


def missing_prints(evidence: Evidence, run: Run) -> list[tuple[str, int, int]]:
    """Prints that a process had not: contract, event time, when each was made (ns).

    Of the contracts that are followed from the start, and whenever the prints were made, before the
    process was started as well: a bar that lacks one is not complete, whoever is to blame. Where a
    later process told that nobody was there behind this one, so are those that were made then.
    """
    windows = [
        window
        for life in evidence.lives
        if life.run == run.number
        for window in _windows(evidence, life)
    ]
    until_ns = max((end_ns for _, end_ns in windows), default=0)
    came = run.known.trades + run.known.spoilt
    missing: list[tuple[str, int, int]] = []
    wanted = set(evidence.contracts.values())
    for one in evidence.made:
        for key in one.prints:
            if came[key] > 0:
                came[key] -= 1
            elif key[0] in wanted and (one.at_ns <= until_ns or key[0] in run.cut):
                missing.append((key[0], key[1], one.at_ns))
    return missing


def _windows(evidence: Evidence, life: Life) -> Iterator[tuple[int, int]]:
    """When a process was to hear everything, ns UTC."""
    if life.subscribed_ns is not None:
        yield life.subscribed_ns, life.ended_ns - slow_ns(evidence, life)


def slow_ns(evidence: Evidence, life: Life) -> int:
    """How long before the end of a process a print may be made, and still be under way then."""
    slow_s = SLACK_S + _slowest_s(evidence) + _stuck_s(evidence) + evidence.held_s
    if life.end is End.KILLED:
        slow_s = max(slow_s, DEAF_S)
    return round(slow_s * NS_PER_S)


def _slowest_s(evidence: Evidence) -> float:
    """How long the schedule may hold a record back before it leaves."""
    slow = [0.0]
    for fault in evidence.scenario.schedule:
        if isinstance(fault, Burst | Trickle):
            slow.append(fault.for_s)
        elif isinstance(fault, Delay):
            slow.append(fault.for_s + fault.delay_ms / 1e3)
    return max(slow)


def _stuck_s(evidence: Evidence) -> float:
    """How long it may hold everything on the way."""
    return sum(fault.for_s for fault in evidence.scenario.schedule if isinstance(fault, Stuck))


def spans_of(evidence: Evidence) -> tuple[Span, ...]:
    """Every interval that was told of, or that a frozen subscription explains."""
    reported = (span for life in evidence.lives for span in _reported(evidence, life))
    return (*reported, *frozen_spans(evidence))


def _reported(evidence: Evidence, life: Life) -> Iterator[Span]:
    """Intervals that the tape itself told of, in its log and at the end: nothing covered them."""
    slack_ns = round((SLACK_S + _slowest_s(evidence)) * NS_PER_S)
    for pool in () if life.status is None else life.status.pools:
        if pool.name != MARKET_HUB:
            continue
        if pool.uncovered_count > len(pool.uncovered):
            yield Span(None, life.started_ns, life.ended_ns, "more intervals than are remembered")
        for gap in pool.uncovered:
            since_ns = life.started_ns
            from_ns = evidence.true_ns(gap.from_ns, latest=False, since_ns=since_ns) - slack_ns
            to_ns = life.ended_ns
            if gap.to_ns is not None:
                to_ns = evidence.true_ns(gap.to_ns, latest=True, since_ns=since_ns) + slack_ns
            for call in gap.calls:
                if call.target == SUBSCRIBE_TRADES:
                    yield Span(str(call.arguments[0]), from_ns, to_ns, gap.why)


def accounts(gap: Gap, contract_id: str, ts_ns: int) -> bool:
    """Whether a gap accounts for a print."""
    return (
        gap.contract_id == contract_id
        and not gap.timeframes
        and (gap.from_ns is None or gap.from_ns <= ts_ns)
        and (gap.to_ns is None or ts_ns < gap.to_ns)
    )


def mute_spans(evidence: Evidence) -> Iterator[Span]:
    """What processes found out when their journals accepted no more: their bars cannot say it.

    Of what they reported only that which lasted to the end: what had ended was written before.
    """
    for life in evidence.lives:
        if life.end is End.FAILED and life.refused:
            for span in _reported(evidence, life):
                if span.to_ns >= life.ended_ns:
                    yield span


def frozen_spans(evidence: Evidence) -> Iterator[Span]:
    """Frozen streams, while they were frozen: freshness judges by data, and so needs its time."""
    slack_ns = round(SLACK_S * NS_PER_S)
    for one in evidence.freezings:
        if one.stream is Stream.TRADES:
            to_ns = evidence.last.ended_ns if one.to_ns is None else one.to_ns + slack_ns
            yield Span(one.key, one.from_ns - slack_ns, to_ns, "a frozen subscription")


def unexplained(
    evidence: Evidence, lost: Lost, spans: Iterable[Span], gaps: Iterable[Gap]
) -> Iterator[str]:
    """One sentence on what was lost in silence, if anything was.

    Args:
        evidence: of the run.
        lost: prints.
        spans: intervals of the host's clock that were told of.
        gaps: those of the ledger that nothing else tells of.
    """
    reported = list(spans)
    given_up = list(gaps)
    silent = [
        (at_ns, key)
        for at_ns, key in lost
        if not any(s.holds(at_ns, key[0]) for s in reported)
        and not any(accounts(gap, key[0], key[1]) for gap in given_up)
    ]
    if silent:
        at_ns, key = silent[0]
        at_s = (at_ns - evidence.start_ns) / NS_PER_S
        yield (
            f"{len(silent)} prints were lost in intervals that nothing reports, "
            f"the first {at_s:.3f} s after the start: {key}"
        )
