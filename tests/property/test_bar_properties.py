"""Bars against a naive model: one dictionary per timeframe, nothing shared, nothing clever."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import partial

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.bars import BarPolicy, ContractBars
from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.timeframe import SECOND_NS, Timeframe
from tests.property import folding
from tests.property.folding import Key, Print

CONTRACT = "CON.F.US.EP.U24"
CALENDARS = {name: calendar_by_name(name) for name in ("cme", "24x7")}
SHORT = ("1s", "2s", "3s", "5s", "7s", "15s", "60s", "1m", "2m", "5m", "7m", "15m", "30m", "1h")
LONG = ("90m", "2h", "3h", "4h", "7h", "1d", "2d", "3d", "1w", "2w", "1mo", "3mo")
YEAR_NS = 366 * 86_400 * SECOND_NS
FOREVER = BarPolicy(horizon_ns=YEAR_NS)

# Around a clock change, a holiday halt, an early close, and the turns of a week, month and year.
STARTS_NS = [
    int(dt.datetime.fromisoformat(text).timestamp()) * SECOND_NS
    for text in (
        "2024-03-08T20:59:50+00:00",
        "2024-03-10T21:59:50+00:00",
        "2024-07-03T17:14:50+00:00",
        "2024-11-28T17:59:50+00:00",
        "2024-12-31T21:59:50+00:00",
        "2024-09-30T23:59:50+00:00",
    )
]
# From within a second to over a weekend; mostly small, so that bars hold several prints.
STEPS_NS = st.one_of(
    st.integers(0, 900_000_000),
    st.integers(0, 90).map(lambda seconds: seconds * SECOND_NS),
    st.integers(0, 3 * 86_400).map(lambda seconds: seconds * SECOND_NS),
)


@st.composite
def prints(draw: st.DrawFn) -> list[Print]:
    """A tape with equal times, prints out of order, sizes of 0 and every side."""
    ts_ns = draw(st.sampled_from(STARTS_NS))
    tape: list[Print] = []
    for _ in range(draw(st.integers(0, 60))):
        ts_ns += draw(STEPS_NS)
        behind = draw(st.one_of(st.just(0), st.just(0), STEPS_NS))
        price = draw(st.integers(20_000, 20_040)) / 4
        tape.append((ts_ns - behind, price, draw(st.integers(0, 9)), draw(st.integers(-1, 1))))
    return tape


timeframe_sets = st.lists(st.sampled_from(SHORT + LONG), min_size=1, max_size=7, unique=True).map(
    lambda names: [Timeframe.parse(name) for name in names]
)
calendars = st.sampled_from(sorted(CALENDARS)).map(CALENDARS.__getitem__)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=4)
latenesses = st.sampled_from([0, 1, SECOND_NS // 2, 3 * SECOND_NS, 7_200 * SECOND_NS])


batch_of = partial(folding.batch_of, contract_id=CONTRACT)
fold_in = partial(folding.fold_in, contract_id=CONTRACT)
plain = partial(folding.plain, contract_id=CONTRACT)


def latest(bars: Iterable[Bar]) -> dict[Key, Bar]:
    """The last word on each bar, whether it is told, revised or forming."""
    return {
        (bar.timeframe, bar.ts_open): msgspec.structs.replace(
            bar, state=BarState.CLOSED, revision=0
        )
        for bar in bars
    }


def without(tape: list[Print], late: list[int]) -> list[Print]:
    """The accepted prints."""
    gone = set(late)
    return [row for index, row in enumerate(tape) if index not in gone]


@given(prints(), timeframe_sets, calendars, cuts, latenesses)
def test_bars_are_those_of_one_dictionary_per_timeframe(
    tape: list[Print],
    timeframes: list[Timeframe],
    calendar: Calendar,
    sizes: list[int],
    lateness_ns: int,
) -> None:
    """However late prints come within the horizon, the last word on every bar is the same."""
    policy = BarPolicy(lateness_ns, YEAR_NS)
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    told, late = fold_in(bars, tape, sizes)
    assert late == []
    assert latest(told + bars.forming_all()) == plain(tape, timeframes, calendar)
    high_ns = max((row[0] for row in tape), default=0)
    assert all(bar.ts_end <= high_ns - lateness_ns for bar in told)
    assert all(bar.ts_end > high_ns - lateness_ns for bar in bars.forming_all())


@given(prints(), timeframe_sets, calendars, cuts, latenesses, st.integers(0, 7_200))
def test_what_is_told_does_not_depend_on_how_batches_are_cut(
    tape: list[Print],
    timeframes: list[Timeframe],
    calendar: Calendar,
    sizes: list[int],
    lateness_ns: int,
    horizon_s: int,
) -> None:
    """The same bars, revisions, order and lates, whatever came together."""
    policy = BarPolicy(lateness_ns, horizon_s * SECOND_NS)
    one = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    other = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    assert fold_in(one, tape, sizes) == fold_in(other, tape, [len(tape) or 1])
    assert one.forming_all() == other.forming_all()


@given(prints(), timeframe_sets, calendars)
def test_revisions_rise_by_one_and_each_is_told(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """A bar is told closed once, and then revised with the numbers 1, 2, 3."""
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=FOREVER)
    told, _ = fold_in(bars, tape, [4])
    seen: dict[Key, int] = {}
    first: dict[str, int] = {}
    for bar in told:
        key = bar.timeframe, bar.ts_open
        began = first.setdefault(bar.timeframe, bar.ts_open)
        if key in seen:
            assert (bar.state, bar.revision) == (BarState.REVISED, seen[key] + 1)
        elif bar.revision:  # its interval had been passed without it
            assert (bar.state, bar.revision) == (BarState.REVISED, 1)
            assert bar.ts_open > began
        else:
            assert bar.state is BarState.CLOSED
        first[bar.timeframe] = min(began, bar.ts_open)
        seen[key] = bar.revision


@given(prints(), timeframe_sets, calendars, st.data())
def test_disorder_within_the_lateness_changes_nothing(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar, data: st.DataObject
) -> None:
    """Prints that change places by less than the lateness make the bars of prints in order."""
    lateness_ns = 3 * SECOND_NS
    policy = BarPolicy(lateness_ns, 0)
    in_order = sorted(tape, key=lambda row: row[0])
    delays = [data.draw(st.integers(0, lateness_ns)) for _ in in_order]
    # Equal times keep their order, because among them it is the order of arrival that counts.
    due: dict[int, int] = {}
    for row, delay_ns in zip(in_order, delays, strict=True):
        due.setdefault(row[0], row[0] + delay_ns)
    disordered = sorted(in_order, key=lambda row: due[row[0]])

    one = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    other = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    told, late = fold_in(one, in_order, [5])
    told_too, late_too = fold_in(other, disordered, [5])
    assert late == late_too == []
    assert told_too == told
    assert {bar.revision for bar in told} <= {0}
    assert other.forming_all() == one.forming_all()


@given(prints(), timeframe_sets, calendars, st.integers(0, 100_000))
def test_no_contract_is_lost_or_made(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar, horizon_s: int
) -> None:
    """Of every timeframe, the bars hold exactly the volume and prints that were accepted."""
    policy = BarPolicy(horizon_ns=horizon_s * SECOND_NS)
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    told, late = fold_in(bars, tape, [5])
    accepted = without(tape, late)
    volume = sum(row[2] for row in accepted)

    checks = bars.checks(volume)
    everything = latest(told + bars.forming_all())

    assert all(check.holds for check in checks + bars.checks(volume))
    assert everything == plain(accepted, timeframes, calendar)
    for check in checks:
        mine = [bar for bar in everything.values() if bar.timeframe == check.timeframe]
        assert (sum(bar.volume for bar in mine), len(mine)) == (volume, check.bars)


@given(prints(), timeframe_sets, calendars)
def test_a_bar_is_consistent_with_itself_and_its_interval(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """Low <= open, close, vwap <= high; its prints are within it."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    told, _ = fold_in(bars, tape, [len(tape) or 1])
    for bar in told + bars.forming_all():
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.ts_open <= bar.ts_first <= bar.ts_last < bar.ts_end
        assert bar.n >= 1
        assert bar.buy_vol + bar.sell_vol <= bar.volume
        assert bar.vwap is None or bar.low <= bar.vwap <= bar.high


@given(prints(), timeframe_sets, calendars)
def test_smaller_bars_add_up_to_larger_ones_after_every_revision(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """Where one timeframe nests in another, a larger bar is made of the smaller ones within it."""
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=FOREVER)
    told: dict[Key, Bar] = {}
    for row in tape:
        closed, _ = fold_in(bars, [row], [1])
        told.update(latest(closed))
        everything = {**told, **latest(bars.forming_all())}
        for small in timeframes:
            for large in timeframes:
                if small is not large and small.nests_in(large, calendar.alignment_ns):
                    assert_adds_up(everything, str(small), str(large), around_ns=row[0])


def assert_adds_up(bars: dict[Key, Bar], small: str, large: str, *, around_ns: int) -> None:
    """The large bar around a time is what the small ones within it make."""
    (whole,) = (
        bar
        for (name, _), bar in bars.items()
        if name == large and bar.ts_open <= around_ns < bar.ts_end
    )
    parts = [
        bar
        for (name, start_ns), bar in bars.items()
        if name == small and whole.ts_open <= start_ns < whole.ts_end
    ]
    parts.sort(key=lambda part: part.ts_open)
    assert all(part.ts_end <= whole.ts_end for part in parts)
    assert sum(part.volume for part in parts) == whole.volume
    assert sum(part.turnover_e9 for part in parts) == whole.turnover_e9
    assert sum(part.n for part in parts) == whole.n
    assert max(part.high for part in parts) == whole.high
    assert min(part.low for part in parts) == whole.low
    assert (parts[0].open, parts[-1].close) == (whole.open, whole.close)


@given(
    prints(),
    timeframe_sets,
    calendars,
    st.lists(st.integers(-5, 4 * 86_400), min_size=1, max_size=6),
    latenesses,
)
def test_a_timer_closes_what_is_due_and_nothing_else(
    tape: list[Print],
    timeframes: list[Timeframe],
    calendar: Calendar,
    waits_s: list[int],
    lateness_ns: int,
) -> None:
    """After `close_due(now)` nothing is due by now; what comes nevertheless revises."""
    policy = BarPolicy(lateness_ns, YEAR_NS)
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=policy)
    told: list[Bar] = []
    volume = 0
    for turn, row in enumerate(tape):
        result = bars.fold(batch_of([row]))
        assert result.late == []
        volume += row[2]
        now_ns = row[0] + waits_s[turn % len(waits_s)] * SECOND_NS
        due_ns = bars.due_ns()
        timed = bars.close_due(now_ns)
        assert bool(timed) == (due_ns is not None and due_ns <= now_ns)
        left = bars.due_ns()
        assert left is None or left > now_ns
        assert all(bar.ts_last < now_ns for bar in timed)
        assert all(check.holds for check in bars.checks(volume))
        told += result.closed + timed
    day_ns = 10 * YEAR_NS + max((row[0] for row in tape), default=0)
    told += bars.close_due(day_ns)
    assert bars.forming_all() == []
    assert latest(told) == plain(tape, timeframes, calendar)


@given(prints(), timeframe_sets, timeframe_sets, calendars, st.integers(0, 60))
def test_a_timeframe_added_later_changes_no_other(
    tape: list[Print],
    timeframes: list[Timeframe],
    more: list[Timeframe],
    calendar: Calendar,
    at: int,
) -> None:
    """Prints reach every timeframe, old and new, and old bars are what they would be."""
    bars = ContractBars(CONTRACT, timeframes, calendar, policy=FOREVER)
    told, _ = fold_in(bars, tape[:at], [4])
    bars.add(more, sum(row[2] for row in tape[:at]))
    assert bars.timeframes == tuple(sorted({*timeframes, *more}))
    told += fold_in(bars, tape[at:], [4])[0]
    assert all(check.holds for check in bars.checks(sum(row[2] for row in tape)))

    old = {str(item) for item in timeframes}
    mine = [bar for bar in told + bars.forming_all() if bar.timeframe in old]
    assert latest(mine) == plain(tape, timeframes, calendar)
