"""Bars that end with prints: what ends them, what amends them, and what does neither."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.core.bars import AllBars, BarPolicy, ContractBars, Mark, MeasuredBars
from tapekeeper.core.bars.gauges import Renko, gauge_of
from tapekeeper.core.bars.marks import LONG_AGO_NS, NEVER_NS
from tapekeeper.core.bars.measured_node import MeasuredNode
from tapekeeper.core.bars.sums import Row, Sums
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure, parse_size
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import HOUR_NS, SECOND_NS

ES = Instrument("CON.F.US.EP.U24", "ESU4", tick_size=0.25, tick_value=12.5)
CALENDAR = calendar_by_name("cme")
S = SECOND_NS


def at(text: str) -> int:
    """A UTC time of 8 and 9 May 2024 in ns, such as `8 14:00`."""
    day, clock = text.split()
    return int(dt.datetime.fromisoformat(f"2024-05-0{day}T{clock}+00:00").timestamp()) * S


NOON = at("8 12:00")
CLOSE, OPEN = at("8 21:00"), at("8 22:00")


def engine(*names: str, policy: BarPolicy | None = None, instrument: Instrument = ES) -> AllBars:
    """Bars of a contract of all these sizes."""
    policy = policy or BarPolicy()
    bars = AllBars(
        ContractBars(instrument.contract_id, [], CALENDAR, policy=policy),
        MeasuredBars(instrument, CALENDAR, policy),
    )
    bars.add(map(parse_size, names))
    return bars


def fold(bars: AllBars, *prints: tuple[int, float, int] | tuple[int, float, int, int]) -> list[Bar]:
    """Fold prints (time, price, size, side) at once; none may be late."""
    batch = TradeBatch(ES.contract_id)
    for seq, (ts_ns, price, size, *side) in enumerate(prints):
        batch.append(ts_ns, price, size, side[0] if side else 0, ts_ns, seq)
    folded = bars.fold(batch)
    assert folded.late == []
    return folded.closed


def forming(bars: AllBars) -> Bar:
    """The only bar that forms."""
    (bar,) = bars.forming_all()
    return bar


# -- what ends a bar -------------------------------------------------------------------------------


def test_a_bar_has_all_numbers_of_its_prints() -> None:
    """Prices, volume, sides, average price and times are those of its prints, the last included."""
    bars = engine("4tick")
    (bar,) = fold(
        bars,
        (NOON, 5_000.0, 2, 0),
        (NOON + 1, 5_001.0, 3, 1),
        (NOON + 1, 4_999.5, 0, 0),
        (NOON + 7, 5_000.5, 1, -1),
    )
    assert bar == Bar(
        ES.contract_id, "4tick", NOON, NOON + 8, 5_000.0, 5_001.0, 4_999.5, 5_000.5, 6, 4, 2, 3,
        NOON, NOON + 7, BarState.CLOSED, 0, 30_003_500_000_000,
    )  # fmt: skip
    assert bar.vwap == pytest.approx(30_003.5 / 6)
    assert bars.forming_all() == []


def test_a_print_is_never_split() -> None:
    """What is more than enough for a bar is in it as a whole, and the next one begins at 0."""
    bars = engine("10vol")
    told = fold(bars, (NOON, 1.0, 7), (NOON + 1, 1.0, 50), (NOON + 2, 1.0, 12), (NOON + 3, 1.0, 3))
    assert [bar.volume for bar in told] == [57, 12]
    assert forming(bars).volume == 3
    assert all(check.holds for check in bars.checks(72))


def test_dollars_are_price_by_size_by_point_value() -> None:
    """A point of ES is worth 50: a bar ends where its prints come to that much, not before."""
    bars = engine("500000dollar")
    assert fold(bars, (NOON, 4_999.75, 2)) == []  # 499,975
    (bar,) = fold(bars, (NOON + 1, 4_999.75, 1))
    assert bar.volume == 3
    (bar,) = fold(bars, (NOON + 2, 5_000.0, 2))  # 500,000 exactly
    assert bar.volume == 2


def test_a_range_ends_with_the_print_that_reaches_it() -> None:
    """From the lowest to the highest price, whichever came first; none is made up in between."""
    bars = engine("4range")
    (bar,) = fold(bars, (NOON, 10.0, 1), (NOON + 1, 10.75, 1), (NOON + 2, 9.0, 1))
    assert (bar.open, bar.high, bar.low, bar.close) == (10.0, 10.75, 9.0, 9.0)
    assert fold(bars, (NOON + 3, 9.75, 1)) == []
    assert forming(bars).ordinal == 1


def prices(bars: list[Bar]) -> list[tuple[float, float, float, float, int]]:
    """Open, high, low, close and number of prints."""
    return [(bar.open, bar.high, bar.low, bar.close, bar.n) for bar in bars]


def test_a_jump_makes_several_bricks_and_is_counted_in_the_first() -> None:
    """The print ends the first of them; those behind it are of the same nanosecond and empty."""
    bars = engine("2renko")
    told = fold(bars, (NOON, 10.0, 1), (NOON + 1, 10.25, 1), (NOON + 2, 11.75, 5))
    assert prices(told) == [
        (10.0, 10.5, 10.0, 10.5, 3),
        (10.5, 11.0, 10.5, 11.0, 0),
        (11.0, 11.5, 11.0, 11.5, 0),
    ]
    assert [(bar.ts_open, bar.ts_end, bar.ordinal) for bar in told] == [
        (NOON, NOON + 3, 0), (NOON + 2, NOON + 3, 1), (NOON + 2, NOON + 3, 2),
    ]  # fmt: skip
    assert [bar.volume for bar in told] == [7, 0, 0]
    assert told[1].vwap is None
    (check,) = bars.checks(7)
    assert (check.bars, check.holds) == (1, True)


def test_a_brick_back_needs_two_heights() -> None:
    """One height back is where the last brick began; the brick back begins there."""
    bars = engine("2renko")
    fold(bars, (NOON, 10.0, 1), (NOON + 1, 10.5, 1))
    assert fold(bars, (NOON + 2, 9.75, 1)) == []
    (bar,) = fold(bars, (NOON + 3, 9.5, 1))
    assert prices([bar]) == [(10.0, 10.0, 9.5, 9.5, 2)]
    (bar,) = fold(bars, (NOON + 4, 9.0, 1))
    assert prices([bar]) == [(9.5, 9.5, 9.0, 9.0, 1)]


def test_what_is_no_brick_yet_begins_at_the_last_line() -> None:
    """The forming one, and what a session leaves of it, have the prices that there were."""
    bars = engine("4renko")
    fold(bars, (NOON, 10.0, 1), (NOON + 1, 11.25, 1), (NOON + 2, 11.5, 1), (NOON + 3, 10.75, 1))
    assert prices([forming(bars)]) == [(11.0, 11.5, 10.75, 10.75, 2)]
    (bar,) = bars.close_due(CLOSE)
    assert prices([bar]) == [(11.0, 11.5, 10.75, 10.75, 2)]
    assert bar.completeness is Completeness.COMPLETE


def test_edges_are_the_nearest_numbers_to_decimal_prices() -> None:
    """Three ticks of 0.1 are 0.3, and not what adding 0.1 three times makes."""
    gold = Instrument(ES.contract_id, "GC", tick_size=0.1, tick_value=10.0)
    bars = engine("1renko", instrument=gold)
    told = fold(bars, (NOON, 0.1, 1), (NOON + 1, 0.4, 1))
    assert [bar.close for bar in told] == [0.2, 0.3, 0.4]
    gauge = gauge_of(Measure.parse("3renko"), gold)
    assert isinstance(gauge, Renko)


# -- sessions --------------------------------------------------------------------------------------


def test_counting_begins_anew_with_each_session() -> None:
    """What is left of a session is a bar of its own, and the next one begins with number 0."""
    bars = engine("3tick")
    told = fold(bars, *((CLOSE - 10 + n, 10.0, 1) for n in range(5)))
    assert [(bar.n, bar.ordinal) for bar in told] == [(3, 0)]
    told = fold(bars, *((OPEN + n, 10.0, 1) for n in range(4)))
    assert [(bar.n, bar.ordinal) for bar in told] == [(2, 1), (3, 0)]
    assert forming(bars).ordinal == 1


def test_a_timer_ends_a_bar_only_where_its_session_is_over() -> None:
    """However quiet it is, a bar waits for its prints until trading closes."""
    bars = engine("3tick")
    fold(bars, (NOON, 10.0, 1))
    assert bars.due_ns() == CLOSE
    assert bars.close_due(CLOSE - 1) == []
    (bar,) = bars.close_due(CLOSE)
    assert (bar.n, bar.state, bars.due_ns()) == (1, BarState.CLOSED, None)
    # A print after the close shows that trading went on: it waits for the next open.
    fold(bars, (CLOSE + 1, 10.0, 1))
    assert (bars.due_ns(), forming(bars).ordinal) == (OPEN, 1)


def test_waiting_prints_go_on_by_the_timer() -> None:
    """With a lateness, a quiet market would hold the last prints back for ever."""
    bars = engine("2tick", policy=BarPolicy(lateness_ns=S))
    assert fold(bars, (NOON, 10.0, 1), (NOON + 5, 11.0, 1), (NOON + 9, 12.0, 1)) == []
    assert [bar.close for bar in bars.forming_all()] == [11.0, 12.0]
    latest = bars.forming(Measure.parse("2tick"))
    assert latest is not None
    assert latest.close == 12.0
    assert {bar.state for bar in bars.forming_all()} == {BarState.FORMING}
    assert all(check.holds for check in bars.checks(3))
    assert bars.due_ns() == NOON
    assert [bar.n for bar in bars.close_due(NOON + 9)] == [2]


# -- late prints -----------------------------------------------------------------------------------


def test_a_late_print_amends_the_bar_that_had_begun_last() -> None:
    """It is told again with the next number; bars behind it are not cut anew."""
    bars = engine("2tick")
    fold(bars, *((NOON + n * S, 10.0 + n, 1) for n in range(6)))
    (bar,) = fold(bars, (NOON + 2 * S, 99.0, 9, 1))
    assert (bar.ts_open, bar.ordinal, bar.revision, bar.state) == (
        NOON + 2 * S, 1, 1, BarState.REVISED,
    )  # fmt: skip
    assert (bar.n, bar.volume, bar.high, bar.close, bar.sell_vol) == (3, 11, 99.0, 13.0, 9)
    # In the lull behind a bar it is that bar's last one.
    (bar,) = fold(bars, (NOON + 3 * S + 1, 5.0, 1))
    assert (bar.revision, bar.close, bar.ts_last, bar.ts_end) == (
        2, 5.0, NOON + 3 * S + 1, NOON + 3 * S + 2,
    )  # fmt: skip
    assert all(check.holds for check in bars.checks(16))


def test_a_late_print_within_the_forming_bar_counts_for_it() -> None:
    """Behind the last closed bar there is nothing to amend: the bar may end by it."""
    bars = engine("3tick")
    assert fold(bars, (NOON + 5, 10.0, 1), (NOON + 9, 11.0, 1)) == []
    (bar,) = fold(bars, (NOON + 2, 12.0, 1))
    assert (bar.open, bar.close, bar.ts_open, bar.revision) == (12.0, 11.0, NOON + 2, 0)


def test_a_late_print_moves_no_edge_of_a_brick() -> None:
    """Its volume and time are real, and the brick stays on the grid."""
    bars = engine("2renko")
    fold(bars, (NOON, 10.0, 1), (NOON + S, 10.5, 1), (NOON + 2 * S, 10.75, 1))
    (bar,) = fold(bars, (NOON + 1, 8.0, 4))
    assert prices([bar]) == [(10.0, 10.5, 10.0, 10.5, 3)]
    assert bar.volume == 6


def test_a_late_print_before_all_bars_of_its_session_has_one_alone() -> None:
    """Its number is below 0, and its revision 1, because its absence was told."""
    bars = engine("1tick")
    fold(bars, (NOON, 10.0, 1), (OPEN + S, 11.0, 1), (OPEN + 2 * S, 11.0, 1))
    (bar,) = fold(bars, (OPEN, 12.0, 2))
    assert (bar.ts_open, bar.ordinal, bar.revision, bar.n) == (OPEN, -1, 1, 1)
    (again,) = fold(bars, (OPEN + 1, 12.0, 3))
    assert (again.ts_open, again.ordinal, again.revision, again.volume) == (OPEN, -1, 2, 5)


def test_beyond_the_horizon_a_print_is_late_for_all_bars() -> None:
    """It is folded nowhere, not even into an open bar of time that would have taken it."""
    bars = engine("2tick", "1d", policy=BarPolicy(horizon_ns=60 * S))
    fold(bars, (NOON, 10.0, 1), (NOON + 100 * S, 10.0, 1))
    batch = TradeBatch(ES.contract_id)
    for seq, ts_ns in enumerate((NOON + 40 * S, NOON + 40 * S - 1, NOON + 101 * S)):
        batch.append(ts_ns, 10.0, 1, 0, ts_ns, seq)
    folded = bars.fold(batch)
    assert folded.late == [1]
    assert all(check.holds for check in bars.checks(4))
    late = TradeBatch(ES.contract_id)
    late.append(NOON, 10.0, 1, 0, NOON, 9)
    assert (bars.fold(late).late, bars.fold(late).closed) == ([0], [])


def test_memory_is_bounded_by_the_horizon_and_by_number() -> None:
    """Closed bars that nothing amends any more are forgotten; of too many it is counted."""
    node = MeasuredNode(
        ES.contract_id,
        Measure.parse("1tick"),
        gauge_of(Measure.parse("1tick"), ES),
        CALENDAR,
        marks={},
        policy=BarPolicy(horizon_ns=10 * S, measured_max=1_000),
    )
    told: list[Bar] = []
    for n in range(2_000):
        node.take((NOON + n * S, 10.0, 1, 0, 40, 10_000_000_000), told)
    assert len(told) == 2_000
    assert len(node._kept) < 300
    assert node.forgotten == 0
    for n in range(3_000):
        row: Row = (NOON + 2_000 * S + n, 10.0, 1, 0, 40, 10_000_000_000)
        node.take(row, told)
    assert len(node._kept) <= 2_000
    assert node.forgotten >= 1_000
    assert node.check(0, []).forgotten_bars == node.forgotten
    # All bars are told, whatever is kept of them.
    assert len(told) == 5_000


def test_a_print_from_before_what_is_kept_has_a_bar_of_its_own() -> None:
    """It is within the horizon, so it is accepted; no volume is lost."""
    bars = engine("1tick", policy=BarPolicy(measured_max=300))
    fold(bars, *((NOON + n * S, 10.0, 1) for n in range(900)))
    (_, count), *_ = bars.forgotten()
    assert count > 0
    (stray,) = fold(bars, (NOON + 5, 10.0, 1))
    assert (stray.ordinal, stray.revision, stray.n) == (-1, 1, 1)
    (check,) = bars.checks(901)
    assert (check.holds, check.forgotten_bars) == (True, count)


# -- gaps ------------------------------------------------------------------------------------------


def test_a_lasting_gap_ends_the_bar_and_the_next_one_is_exact() -> None:
    """The timer ends it where the gap begins; it says so, and counting begins anew behind it."""
    bars = engine("3tick")
    fold(bars, (NOON, 10.0, 1), (NOON + S, 10.0, 1))
    assert bars.mark(7, [Mark(NOON + 2 * S, NEVER_NS, 7)]) == []
    assert bars.due_ns() == NOON + 2 * S
    (bar,) = bars.close_due(NOON + 2 * S)
    assert (bar.n, bar.completeness, bar.gap_ids) == (2, Completeness.GAP, (7,))
    assert bars.mark(7, [Mark(NOON + 2 * S, NOON + 9 * S, 7)]) == []
    told = fold(bars, *((NOON + 9 * S + n, 10.0, 1) for n in range(4)))
    assert [(one.n, one.completeness, one.ordinal) for one in told] == [
        (3, Completeness.COMPLETE, 1)
    ]


def test_what_comes_while_a_gap_lasts_is_apart_from_what_comes_behind_it() -> None:
    """Without a timer the next print ends the bar; those within the gap say that they are."""
    bars = engine("9tick")
    fold(bars, (NOON, 10.0, 1))
    bars.mark(1, [Mark(NOON + S, NOON + 5 * S, 1)])
    told = fold(bars, (NOON + 2 * S, 10.0, 1), (NOON + 3 * S, 10.0, 1), (NOON + 5 * S, 10.0, 1))
    assert [(bar.n, bar.gap_ids) for bar in told] == [(1, (1,)), (2, (1,))]
    assert forming(bars).completeness is Completeness.COMPLETE


def test_a_gap_that_is_found_in_the_midst_of_a_bar_ends_it_there_and_then() -> None:
    """It holds prints of both sides, says so, and takes no more; closed ones are revised."""
    bars = engine("3tick")
    fold(bars, *((NOON + n * S, 10.0, 1) for n in range(5)))
    told = bars.mark(3, [Mark(NOON + 2 * S, NOON + 3 * S + 1, 3)])
    assert [(bar.n, bar.revision, bar.completeness) for bar in told] == [
        (3, 1, Completeness.GAP),
        (2, 0, Completeness.GAP),
    ]
    assert [bar.n for bar in fold(bars, *((NOON + (5 + n) * S, 10.0, 1) for n in range(3)))] == [3]


def test_bricks_go_on_from_the_sessions_grid_behind_a_gap() -> None:
    """Without a direction, from the line at or below the price, whenever the gap was found."""
    for found_late in (False, True):
        bars = engine("4renko")
        fold(bars, (NOON, 10.0, 1), (NOON + S, 11.0, 1), (NOON + 2 * S, 11.25, 1))
        mark = (
            Mark(NOON + 2 * S - 1, NOON + 2 * S, 1)
            if found_late
            else Mark(NOON + 3 * S, NOON + 4 * S, 1)
        )
        bars.mark(1, [mark])
        fold(bars, (NOON + 5 * S, 12.5, 1))
        # 12.0 is a line of the grid through 10.0; the brick down from it needs one height alone.
        told = fold(bars, (NOON + 6 * S, 11.0, 1))
        assert prices(told[-1:]) == [(12.0, 12.0, 11.0, 11.0, 2)], found_late


def test_bricks_behind_a_gap_that_is_found_later_are_in_doubt_with_it() -> None:
    """Where the last line was depends on what is missing, so they name the gap as well."""
    bars = engine("2renko")
    told = fold(bars, *((NOON + n * S, 10.0 + n / 2, 1) for n in range(5)))
    assert {bar.completeness for bar in told} == {Completeness.COMPLETE}
    told = bars.mark(1, [Mark(NOON + S + 1, NOON + S + 2, 1)])
    assert [(bar.ordinal, bar.revision, bar.gap_ids) for bar in told] == [
        (1, 1, (1,)),
        (2, 1, (1,)),
        (3, 1, (1,)),
    ]
    (bar,) = fold(bars, (NOON + 9 * S, 12.0, 1), (NOON + 10 * S, 12.5, 1))
    assert bar.completeness is Completeness.COMPLETE


def test_before_a_contract_was_followed_a_bar_is_a_partial_start() -> None:
    """Its prints so far end with the start; what follows is exact."""
    bars = engine("9tick")
    bars.mark(1, [Mark(LONG_AGO_NS, NEVER_NS, 1, is_start=True)])
    fold(bars, (NOON, 10.0, 1), (NOON + 2 * S, 10.0, 1))
    assert forming(bars).completeness is Completeness.PARTIAL_START
    (bar,) = bars.mark(1, [Mark(LONG_AGO_NS, NOON + S, 1, is_start=True)])
    assert (bar.n, bar.completeness, bar.gap_ids) == (2, Completeness.PARTIAL_START, (1,))


def test_a_replay_makes_what_was_added_live_from_the_beginning() -> None:
    """What the journal says of the measure alone is of the live run, which began with it later."""
    bars = engine("2tick")
    fold(bars, (NOON, 10.0, 1))
    mark = Mark(LONG_AGO_NS, NOON + 2 * S, 1, is_start=True, timeframes=("2tick",))
    assert bars.mark(1, [mark]) == []
    (bar,) = fold(bars, (NOON + 3 * S, 10.0, 1))
    assert (bar.n, bar.completeness) == (2, Completeness.COMPLETE)


def test_the_first_bar_of_a_measure_that_is_added_is_called_a_partial_start() -> None:
    """It may have begun before; those behind it are exact, and other measures as they were."""
    bars = engine("4tick")
    fold(bars, (NOON, 10.0, 1), (NOON + S, 10.0, 1))
    bars.add([Measure.parse("2tick")], 2)
    whole_ns = bars.whole_ns("2tick")
    assert (whole_ns, bars.whole_ns("4tick")) == (NOON + S + 1, None)
    mark = Mark(LONG_AGO_NS, NOON + S + 1, 1, is_start=True, timeframes=("2tick",))
    assert bars.mark(1, [mark]) == []
    told = fold(bars, *((NOON + n * S, 10.0, 1) for n in range(2, 6)))
    assert [(bar.timeframe, bar.completeness, bar.gap_ids, bar.live_share) for bar in told] == [
        ("2tick", Completeness.PARTIAL_START, (1,), 1.0),
        ("4tick", Completeness.COMPLETE, (), 1.0),
        ("2tick", Completeness.COMPLETE, (), 1.0),
    ]
    assert all(check.holds for check in bars.checks(6))


def test_a_repair_of_bars_of_time_leaves_them_a_gap() -> None:
    """The gateway's bar stands for a second, and nobody knows where ten prints would have ended."""
    bars = engine("1s", "2tick")
    fold(bars, (NOON, 10.0, 1), (NOON + 1, 10.0, 1), (NOON + 2 * S, 10.0, 1))
    (_, revised) = bars.mark(1, [Mark(NOON, NOON + S, 1)])
    assert (revised.timeframe, revised.completeness) == ("2tick", Completeness.GAP)
    theirs = Bar(
        ES.contract_id, "1s", NOON, NOON + S, 10.0, 10.0, 10.0, 10.0, 9, 0, 0, 0, NOON, NOON + S - 1
    )
    told = bars.repair(1, [Mark(NOON, NOON + S, 1, repaired=True)], [theirs], NOON + S)
    assert [(bar.timeframe, bar.completeness) for bar in told] == [("1s", Completeness.BACKFILLED)]
    assert all(check.holds for check in bars.checks(3))


# -- what is there ---------------------------------------------------------------------------------


def test_measures_are_told_apart_from_what_is_not_there() -> None:
    """Asking for bars that nobody wanted is the user's error, as for those of time."""
    bars = engine("1m", "5tick", "3tick")
    assert list(map(str, bars.timeframes)) == ["1m", "3tick", "5tick"]
    assert bars.forming(Measure.parse("5tick")) is None
    for text in ("7tick", "5s"):
        with pytest.raises(UsageError, match=f"no bars of {text}"):
            bars.forming(parse_size(text))


def test_sums_do_not_depend_on_the_order_of_prints() -> None:
    """Of equal times the later one is the last, whatever came in between."""
    rows: list[Row] = [(5, 2.0, 1, 0, 8, 2), (9, 3.0, 1, 1, 12, 3), (1, 1.0, 1, -1, 4, 1)]
    one, other = Sums(rows[0]), Sums(rows[2])
    for row in rows[1:]:
        one.take(row)
    for row in rows[:2]:
        other.take(row)
    assert one.bar("X", "3tick", 0, BarState.CLOSED) == other.bar("X", "3tick", 0, BarState.CLOSED)
    assert (one.high_ticks, one.low_ticks) == (12, 4)


def test_a_horizon_of_an_hour_is_the_default() -> None:
    """Measured bars wait as long as bars of time do."""
    assert BarPolicy().horizon_ns == HOUR_NS
