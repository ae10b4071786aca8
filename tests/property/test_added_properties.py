"""A timeframe that is added while its bar forms, and what history has of the beginning of it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.bars import BarPolicy, ContractBars, marks_of
from tapekeeper.core.calendar import Calendar
from tapekeeper.core.joining import Ask, join, plan
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import Gap, GapCause, HistoryRow
from tapekeeper.model.timeframe import Timeframe
from tests.property import folding
from tests.property.folding import Print
from tests.property.test_bar_properties import CONTRACT, YEAR_NS, calendars, prints

fold_in = partial(folding.fold_in, contract_id=CONTRACT)
plain = partial(folding.plain, contract_id=CONTRACT)
POLICY = BarPolicy(horizon_ns=YEAR_NS)
small_ones = st.sampled_from(["1s", "5s", "1m", "5m"]).map(Timeframe.parse)
larger_ones = st.lists(
    st.sampled_from(["7m", "15m", "1h", "4h", "7h", "1d", "1w"]).map(Timeframe.parse),
    min_size=1,
    max_size=4,
    unique=True,
)


def rows_of(tape: Iterable[Print], ask: Ask, calendar: Calendar) -> list[HistoryRow]:
    """What a gateway that has all prints answers."""
    bars = plain(tape, [ask.asked], calendar).values()
    return [
        HistoryRow(bar.ts_open, bar.ts_end, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for bar in sorted(bars, key=lambda bar: bar.ts_open)
        if (ask.rows_min or bar.ts_open >= ask.from_ns) and bar.ts_open < ask.to_ns
    ]


def warm_up(
    bars: ContractBars, gap: Gap, tape: list[Print], until_ns: int, calendar: Calendar
) -> bool:
    """Fill in what a timeframe lacks, as history does; whether that is all."""
    plan_ = plan(
        gap,
        bars.timeframes,
        calendar,
        until_ns=until_ns,
        horizon_ns=POLICY.horizon_ns,
        whole_ns=bars.whole_ns(),
        warm_up_bars=3,
        lacks=bars.lacks(),
    )
    if plan_ is None:
        return False
    answers = {ask: rows_of(tape, ask, calendar) for ask in plan_.all_asks()}
    joined = join(plan_, answers, {}, calendar)
    repair = joined.repair
    bars.repair(gap.gap_id, marks_of(repair.gap), repair.bars(), repair.until_ns)
    return bool(plan_.beginnings) and joined.has_begun


def ohlcv(bar: Bar) -> tuple[int, float, float, float, float, int]:
    """What the gateway's bars tell as well."""
    return bar.ts_open, bar.open, bar.high, bar.low, bar.close, bar.volume


@given(prints(), small_ones, larger_ones, calendars, st.integers(0, 59), st.integers(0, 59))
def test_a_bar_that_forms_is_whole_when_it_is_warmed_up(
    tape: list[Print],
    small: Timeframe,
    more: list[Timeframe],
    calendar: Calendar,
    followed_at: int,
    added_at: int,
) -> None:
    """As it forms, and when it is over, however late prints come; nothing is in it twice."""
    tape = sorted((ts_ns, price, size + 1, side) for ts_ns, price, size, side in tape)
    if len(tape) < 3:
        return
    followed_at %= len(tape) - 2
    added_at = followed_at + 1 + added_at % (len(tape) - followed_at - 1)
    followed_ns = calendar.interval(small, tape[followed_at][0]).start_ns
    followed = [row for row in tape if row[0] >= followed_ns]
    done = len(followed) - (len(tape) - added_at)
    bars = ContractBars(CONTRACT, [small], calendar, policy=POLICY)
    fold_in(bars, followed[:done], [4])
    accepted = sum(row[2] for row in followed[:done])
    bars.add(more, accepted)
    high_ns = followed[done - 1][0]
    gaps = [
        Gap(number, CONTRACT, GapCause.START, None, bars.whole_ns(str(one)), "a test", high_ns,
            timeframes=(str(one),))
        for number, one in enumerate(sorted(more))
    ]  # fmt: skip
    for gap in gaps:
        bars.mark(gap.gap_id, marks_of(gap))
    begun = [
        one
        for gap, one in zip(gaps, sorted(more), strict=True)
        if warm_up(bars, gap, tape, high_ns, calendar)
    ]
    assert all(item.holds for item in bars.checks(accepted))
    known = tape[:added_at]
    for one in begun:
        start_ns = calendar.interval(one, high_ns).start_ns
        forming = bars.forming(one)
        assert forming is not None
        assert ohlcv(forming) == ohlcv(plain(known, [one], calendar)[str(one), start_ns])
        assert forming.completeness in {Completeness.COMPLETE, Completeness.BACKFILLED}
    told, late = fold_in(bars, followed[done:], [3])
    assert late == []
    assert all(item.holds for item in bars.checks(sum(row[2] for row in followed)))
    last = {(bar.timeframe, bar.ts_open): bar for bar in [*told, *bars.forming_all()]}
    for one in begun:
        start_ns = calendar.interval(one, high_ns).start_ns
        for (name, open_ns), bar in plain(tape, [one], calendar).items():
            if open_ns >= start_ns:
                assert ohlcv(last[name, open_ns]) == ohlcv(bar)
    # A print of the beginning that comes late is in it already.
    lacks = [each for each in bars.lacks().values() if each.from_ns < followed_ns]
    if lacks:
        before = bars.forming_all()
        bars.fold(folding.batch_of([(lacks[0].from_ns, 1.0, 9, 0)], contract_id=CONTRACT))
        names = {str(one) for one in begun}
        after = {bar.timeframe: bar for bar in bars.forming_all()}
        unchanged = [bar for bar in before if bar.timeframe in names]
        assert [after[bar.timeframe] for bar in unchanged] == unchanged
