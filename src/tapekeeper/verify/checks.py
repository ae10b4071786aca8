"""What must be true of every run, whatever the schedule of faults."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import GapCause
from tapekeeper.model.tick import Reason, TradeBatch
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.journal_reader import Problem
from tapekeeper.sim.fault_menu import Replay
from tapekeeper.verify.absences import unnamed
from tapekeeper.verify.evidence import NS_PER_S, End, Evidence, Life
from tapekeeper.verify.losses import (
    Span,
    frozen_spans,
    lost_prints,
    missing_prints,
    mute_spans,
    spans_of,
    unexplained,
)
from tapekeeper.verify.oracle import Key, Numbers, accepted, key_of, naive_bars, numbers_of
from tapekeeper.verify.runs import Run, runs_of
from tapekeeper.verify.scenario import (
    ADDED_TIMEFRAMES,
    MEASURES,
    RECOVERY_S,
    RETURN_S,
    TIMEFRAMES,
)

_OF_TIME = frozenset(map(str, TIMEFRAMES))

SHOWN_MAX = 3
"""Examples in one finding."""

STOP_S = 60.0
"""Virtual seconds that stopping may take, of itself or because it was asked to."""

LEAST_TOKEN_S = 1.0
"""Between two renewals, whatever clocks and gateways say."""


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
    try:
        runs, unread = runs_of(evidence.files)
    except UnreadableSourceError as error:
        return Findings((str(error),))
    problems = [*_ended_well(evidence), *_journal(evidence, unread)]
    for life in evidence.lives:
        run = runs.get(life.run, Run(life.run))
        problems += (f"process {life.number}: {one}" for one in _life(evidence, life, run))
    wanted = set(evidence.contracts.values())
    made: Counter[Key] = Counter(key for one in evidence.made for key in one.prints)
    followed = Counter({key: count for key, count in made.items() if key[0] in wanted})
    stopped = {life.run: life for life in evidence.lives if life.end is End.STOPPED}
    for run in runs.values():
        owner = stopped.get(run.number)
        its_bars = run.bars if owner is None else _live(owner)
        problems += unlike_the_oracle(run, [bar for bar in its_bars if bar.timeframe in _OF_TIME])
        problems += _measured(run, [bar for bar in its_bars if bar.timeframe not in _OF_TIME])
        problems += _added(run, its_bars)
        problems += _taken(run, followed)
    problems += _invented(evidence, runs.values(), made)
    spans = spans_of(evidence)
    count, lost = lost_prints(evidence, runs.values())
    ledger, _ = read_ledger(evidence.files)
    given_up = ledger.find(causes=[GapCause.OVERFLOW])
    problems += unexplained(evidence, lost, spans, given_up)
    for run in runs.values():
        problems += _untrue(evidence, run)
    problems += unnamed(evidence, runs)
    problems += _backfilled(evidence, [bar for run in runs.values() for bar in run.bars])
    return Findings(tuple(problems), made=count, lost=sum(lost.values()), spans=spans)


# --- the course of the run ----------------------------------------------------------------------


def _ended_well(evidence: Evidence) -> Iterator[str]:
    if not any(life.subscribed_ns is not None for life in evidence.lives):
        yield "the contracts were never subscribed"
    if evidence.recovered_s is None:
        yield f"not recovered {RECOVERY_S:g} s after the last fault: {evidence.waiting}"
    elif evidence.returned_s is None:
        yield f"not all as it was {RETURN_S:g} s after the last fault: {evidence.waiting}"
    elif not evidence.lives or evidence.last.end is not End.STOPPED:
        yield "it did not stop in order"
    if evidence.leftovers:
        yield f"tasks were left over: {', '.join(evidence.leftovers[:SHOWN_MAX])}"
    if evidence.open_ends:
        yield f"{evidence.open_ends} ends of connections were left open"
    if evidence.files.is_locked:
        yield "the journal was left locked"


def _journal(evidence: Evidence, problems: Iterable[Problem]) -> Iterator[str]:
    for problem in problems:
        if not problem.expected or all(life.end is End.STOPPED for life in evidence.lives):
            yield f"the journal is damaged: {problem}"


# --- one process ----------------------------------------------------------------------------------


def _life(evidence: Evidence, life: Life, run: Run) -> Iterator[str]:
    if life.end is End.RUNNING:
        yield "it never ended"
    if life.stop_s > STOP_S and life.end is not End.KILLED:
        yield f"stopping took {life.stop_s:.1f} s, more than {STOP_S:g} s"
    if life.end is End.FAILED:
        yield from _failed(evidence, life)
    elif life.end is End.STOPPED and life.refused:
        yield f"the disk refused it {life.refused} times, and it went on"
    yield from _left(life, run)
    if life.status is not None:
        yield from _counts(evidence, life)
    elif life.end is End.STOPPED:
        yield "there is no status"
    if life.end is End.STOPPED and sorted(map(_order, _live(life))) != sorted(
        map(_order, run.bars)
    ):
        yield "a replay of the journal makes other bars than the run did"


def _live(life: Life) -> list[Bar]:
    """The bars that a process had in the end."""
    return (
        [] if life.result is None else [bar for some in life.result.bars.values() for bar in some]
    )


def _failed(evidence: Evidence, life: Life) -> Iterator[str]:
    """What may end a process by itself: a journal that cannot accept, or no way to begin."""
    kind, _, reason = life.why.partition(": ")
    if kind == "JournalError" and reason in evidence.refusals:
        return
    if life.subscribed_ns is None and kind != "JournalError" and evidence.happened:
        return
    yield f"it ended by itself: {life.why}"


def _left(life: Life, run: Run) -> Iterator[str]:
    """Nothing leaves a process before the journal has what it comes from."""
    journalled = Counter(map(_order, run.outputs.closed))
    unfounded = Counter(map(_order, life.left)) - journalled
    if unfounded:
        first = next(iter(unfounded))[:3]
        yield f"{unfounded.total()} bars left it that its journal does not make, the first: {first}"


def _counts(evidence: Evidence, life: Life) -> Iterator[str]:
    status = life.status
    if status is None:
        return
    if not status.holds:
        yield "an identity does not hold: ticks or volume are missing from the counts"
    most = evidence.scenario.redundancy + 1
    for pool in status.pools:
        if pool.lines_most > most:
            yield f"the pool {pool.name} had {pool.lines_most} lines, more than {most}"
    lived_s = (life.ended_ns - life.started_ns) / NS_PER_S
    if status.token.tokens > 1 + lived_s / LEAST_TOKEN_S:
        yield f"it asked for {status.token.tokens} tokens in {lived_s:.0f} s"


# --- bars and prints ------------------------------------------------------------------------------


def unlike_the_oracle(run: Run, bars: list[Bar]) -> Iterator[str]:
    """Bars of prints alone are those that sorting makes; the others are judged by the market."""
    naive = naive_bars(run.trades, TIMEFRAMES)
    engine = dict(map(numbers_of, bars))
    if len(engine) != len(bars):
        yield "an interval has two bars"
    repaired = run.repaired
    mixed = {numbers_of(bar)[0] for bar in bars if not repaired.isdisjoint(bar.gap_ids)}
    wrong = [key for key in {**naive, **engine} if naive.get(key) != engine.get(key)]
    wrong = [key for key in wrong if key not in mixed]
    if wrong:
        yield f"{len(wrong)} bars differ from the oracle's, the first is {wrong[0]}"


def _measured(run: Run, bars: list[Bar]) -> Iterator[str]:
    """Of every measure the bars are apart, and hold each print that was accepted once."""
    keys = {(bar.contract_id, bar.timeframe, bar.ts_open, bar.ordinal) for bar in bars}
    if len(keys) != len(bars):
        yield "two measured bars have one name"
    for measure in MEASURES:
        made: Counter[tuple[str, str]] = Counter()
        for bar in bars:
            if bar.timeframe == str(measure):
                made[bar.contract_id, "prints"] += bar.n
                made[bar.contract_id, "volume"] += bar.volume
        for batch in run.trades:
            made[batch.contract_id, "prints"] -= len(batch)
            made[batch.contract_id, "volume"] -= sum(batch.size)
        wrong = {key: count for key, count in made.items() if count}
        if wrong:
            yield f"the {measure} bars differ from what was accepted: {wrong}"


def _added(run: Run, bars: Iterable[Bar]) -> Iterator[str]:
    """Bars of timeframes that came later, and that call themselves complete, have all prints."""
    naive = naive_bars(run.trades, ADDED_TIMEFRAMES)
    of_added = frozenset(map(str, ADDED_TIMEFRAMES))
    whole = (
        numbers_of(bar)
        for bar in bars
        if bar.timeframe in of_added and bar.completeness is Completeness.COMPLETE
    )
    wrong = [key for key, numbers in whole if naive.get(key) != numbers]
    if wrong:
        yield f"{len(wrong)} bars of what was added are not the oracle's, the first is {wrong[0]}"


def _untrue(evidence: Evidence, run: Run) -> Iterator[str]:
    """Bars that call themselves complete although their process lacked a print of theirs.

    A subscription that is frozen, and not found yet, is a thing that nobody can know of. What a
    process finds out when its journal accepts no more is in its log, but its bars cannot say it.
    A bar that was forming when its process ended has a gap as soon as a later one follows on.
    """
    excused = (*frozen_spans(evidence), *mute_spans(evidence))
    times = sorted(
        (contract_id, ts_ns)
        for contract_id, ts_ns, at_ns in missing_prints(evidence, run)
        if not any(span.holds(at_ns, contract_id) for span in excused)
    )
    untrue = [
        bar
        for bar in run.bars
        if bar.completeness is Completeness.COMPLETE
        and bisect_left(times, (bar.contract_id, bar.ts_open))
        < bisect_left(times, (bar.contract_id, bar.ts_end))
    ]
    if untrue:
        yield f"{len(untrue)} bars say that they are complete and are not, the first: {untrue[0]}"


def _backfilled(evidence: Evidence, bars: Iterable[Bar]) -> Iterator[str]:
    """Smallest bars that history stands for, and that are not those of the whole market."""
    smallest = min(TIMEFRAMES)
    batches: dict[str, TradeBatch] = {}
    for one in evidence.market:
        for contract_id, ts_ns, price, size, side in one.prints:
            batch = batches.setdefault(contract_id, TradeBatch(contract_id))
            batch.append(ts_ns, price, size, side, ts_ns, len(batch))
    market = naive_bars(batches.values(), [smallest])
    wrong = [
        bar
        for bar in bars
        if bar.completeness is Completeness.BACKFILLED
        and bar.timeframe == str(smallest)
        and bar.ts_open >= evidence.start_ns
        and _five(numbers_of(bar)[1]) != _five(market.get(numbers_of(bar)[0]))
    ]
    if wrong:
        yield f"{len(wrong)} bars were filled in and are not the market's, the first: {wrong[0]}"


def _five(numbers: Numbers | None) -> tuple[float, ...]:
    """Open, high, low, close and volume, which is all that history tells."""
    return () if numbers is None else numbers[:5]


def _order(bar: Bar) -> tuple[str, str, int, str]:
    return bar.contract_id, bar.timeframe, bar.ts_open, repr(bar)


def _taken(run: Run, made: Counter[Key]) -> Iterator[str]:
    """What came by one connection is on the tape as often as it is real, or came too late.

    A connection may bring more than the market made: its gateway repeats itself.
    """
    taken = accepted(run.trades)
    taken.update(key_of(one.raw) for one in run.rejected if one.reason is Reason.LATE)
    missing = (run.known.once & made) - taken
    if missing:
        first = next(iter(missing))
        yield f"{missing.total()} prints came and are not on the tape, the first: {first}"


def _invented(evidence: Evidence, runs: Iterable[Run], made: Counter[Key]) -> Iterator[str]:
    """Prints in bars that the market did not make, or not as often as it and the gateway did."""
    taken: Counter[Key] = Counter()
    for run in runs:
        taken.update(accepted(run.outputs.trades))
    # The gateway itself repeats what it sent, on one connection: as real prints do.
    again = sum(isinstance(one.fault, Replay) for one in evidence.happened)
    extra = taken - Counter({key: count * (1 + again) for key, count in made.items()})
    if extra:
        yield f"{extra.total()} prints are on the tape that nobody made: {next(iter(extra))}"
