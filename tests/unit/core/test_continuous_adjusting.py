"""core/continuous: volumes of sessions, bars at a roll, and prices on both sides of it."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.continuous import (
    Shift,
    cut_ns,
    front_bars,
    measure,
    rolls_of,
    session_volumes,
    shifts_of,
    traded,
)
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import PRICE_SCALE, Bar, BarState, Completeness
from tapekeeper.model.continuous import Adjustment, Measured, Roll, Segment
from tapekeeper.model.measure import Measure
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

CME, EUREX = calendar_by_name("cme"), calendar_by_name("eurex")
H26, M26, U26 = (f"CON.F.US.MES.{code}26" for code in "HMU")
MINUTE = Timeframe.parse("1m")


def at(text: str) -> int:
    """A time of March 2026, written DD HH:MM, UTC."""
    return int(dt.datetime.fromisoformat(f"2026-03-{text}:00+00:00").timestamp()) * SECOND_NS


def bar(contract_id: str, opens: str, close: float, timeframe: str = "1m", volume: int = 1) -> Bar:
    """A bar of one price."""
    start_ns = at(opens)
    length_ns = Timeframe.parse(timeframe).length_ns
    return Bar(
        contract_id,
        timeframe,
        start_ns,
        start_ns + length_ns,
        *(close, close, close, close),
        volume,
        int(volume > 0),
        *(0, volume),
        *(start_ns, start_ns),
        turnover_e9=round(close * PRICE_SCALE) * volume,
    )


# -- volumes of sessions --------------------------------------------------------------------------


def test_volumes_are_of_session_dates() -> None:
    """A session is dated by its close, the day after it opened in Chicago."""
    daily = [bar(H26, "08 22:00", 1.0, "1d", 7), bar(M26, "08 22:00", 1.0, "1d", 3)]
    found = session_volumes(daily, CME)
    assert list(found) == [dt.date(2026, 3, 9)]
    assert {key: each.volume for key, each in found[dt.date(2026, 3, 9)].items()} == {
        H26: 7,
        M26: 3,
    }


def test_bars_of_two_runs_of_a_session_are_one_volume() -> None:
    """Parts add up; a later bar that begins no later is filled in, and has all in it."""
    first = msgspec.structs.replace(
        bar(H26, "08 22:00", 1.0, "1d", 7), ts_first=at("09 14:00"), ts_last=at("09 15:00")
    )
    partial, filled = Completeness.PARTIAL_START, Completeness.BACKFILLED
    for ts_first, completeness, expected in (
        (at("09 15:30"), partial, 9),
        (at("09 15:30"), Completeness.COMPLETE, 9),
        (at("08 22:00"), filled, 2),
        (at("09 14:00"), filled, 2),
    ):
        second = msgspec.structs.replace(
            first, volume=2, completeness=completeness, ts_first=ts_first
        )
        third = msgspec.structs.replace(second, volume=1, ts_first=at("09 16:00"))
        found = session_volumes([first, second], CME)
        assert found[dt.date(2026, 3, 9)][H26] == (expected, completeness)
        found = session_volumes([first, second, third], CME)
        assert found[dt.date(2026, 3, 9)][H26] == (expected + 1, completeness)


def test_a_bar_that_repeats_the_last_close_is_no_trade() -> None:
    """Quiet bars have no volume and no print; a print of size 0 is one."""
    quiet = msgspec.structs.replace(
        bar(H26, "09 15:00", 1.0, volume=0), completeness=Completeness.QUIET
    )
    assert not traded(quiet)
    assert session_volumes([quiet], CME) == {}
    assert traded(msgspec.structs.replace(bar(H26, "09 15:00", 1.0, volume=0), n=1))
    assert traded(msgspec.structs.replace(bar(H26, "09 15:00", 1.0, volume=5), n=0))


# -- measuring ------------------------------------------------------------------------------------


def test_the_last_bar_in_which_both_traded_counts() -> None:
    """Not the last one of each, and none that ends after the roll."""
    left = [bar(H26, f"09 20:{minute}", 100.0 + minute) for minute in (55, 56, 58)]
    taken = [bar(M26, f"09 20:{minute}", 150.0 + minute) for minute in (55, 56, 57, 58)]
    found = measure(left, taken, at("09 22:00"), "1m")
    assert found == Measured(
        "1m", at("09 20:58"), at("09 20:59"), 158.0, 208.0, *[Completeness.COMPLETE] * 2
    )
    assert (found.difference, found.ratio) == (50.0, 208.0 / 158.0)
    earlier = measure(left, taken, at("09 20:59") - 1, "1m")
    assert earlier is not None
    assert earlier.ts_open == at("09 20:56")
    assert measure(left, taken, at("09 20:55"), "1m") is None


def test_quiet_bars_measure_nothing_and_those_left_forming_do() -> None:
    """A repeated close is no price of its interval; a last one that no timer closed is."""
    left, taken = bar(H26, "09 20:55", 100.0), bar(M26, "09 20:55", 150.0)
    forming = msgspec.structs.replace(left, state=BarState.FORMING)
    quiet = msgspec.structs.replace(taken, volume=0, n=0, completeness=Completeness.QUIET)
    assert measure([forming], [taken], at("09 22:00"), "1m") is not None
    assert measure([forming], [taken], at("09 20:55"), "1m") is None
    assert measure([left], [quiet], at("09 22:00"), "1m") is None
    assert measure([], [taken], at("09 22:00"), "1m") is None


def test_prices_that_are_not_above_0_have_no_ratio() -> None:
    """A ratio of a negative price would turn the series over."""
    measured = Measured("1m", 0, 1, -37.5, 20.25, *[Completeness.COMPLETE] * 2)
    assert (measured.difference, measured.ratio) == (57.75, None)


def segment(contract_id: str, opens: str, ends: str | None) -> Segment:
    """A segment between two times of March 2026."""
    session = CME.session_of(at(opens))
    assert session.open_ns == at(opens)
    return Segment(contract_id, session.date, at(opens), None if ends is None else at(ends), "why")


SEGMENTS = [
    segment(H26, "08 22:00", "10 22:00"),
    segment(M26, "10 22:00", "11 22:00"),
    segment(U26, "11 22:00", None),
]


def test_a_roll_tells_its_evidence() -> None:
    """Timeframes are tried in their order; a roll that none can measure says so by None."""
    minutes = {
        H26: [bar(H26, "10 20:00", 6000.25)],
        M26: [bar(M26, "10 20:00", 6050.5), bar(M26, "11 20:00", 6060.0)],
    }
    hours = {key: [bar(key, "11 20:00", 7000.0, "1h")] for key in (H26, M26)}
    first, second = rolls_of(SEGMENTS, {"1m": minutes, "1h": hours})
    assert (first.contract_from, first.contract_to, first.reason) == (H26, M26, "why")
    assert (first.ts_roll, first.session) == (at("10 22:00"), dt.date(2026, 3, 11))
    assert first.difference == 50.25
    assert first.ratio == 6050.5 / 6000.25
    assert (second.measured, second.difference, second.ratio) == (None, None, None)
    hours[U26] = [bar(U26, "11 20:00", 7001.0, "1h")]
    second = rolls_of(SEGMENTS, {"1m": minutes, "1h": hours})[1]
    assert second.measured is not None
    assert second.measured.timeframe == "1h"


# -- adjusting ------------------------------------------------------------------------------------


def roll(close_from: float, close_to: float) -> Roll:
    """A roll with these closes on both sides."""
    measured = Measured("1m", 0, 1, close_from, close_to, *[Completeness.COMPLETE] * 2)
    return Roll(H26, M26, dt.date(2026, 3, 11), 0, "why", measured)


def test_prices_are_adjusted_from_the_newest_backwards() -> None:
    """The last contract's stay; those before take every roll after them."""
    rolls = [roll(6000.25, 6050.5), roll(6060.0, 6100.75)]
    assert shifts_of(rolls, Adjustment.NONE) == [Shift(), Shift(), Shift()]
    first, second, third = shifts_of(rolls, Adjustment.DIFFERENCE)
    assert [each.price(6000.0) for each in (first, second, third)] == [6091.0, 6040.75, 6000.0]
    first, second, third = shifts_of([roll(100.0, 110.0), roll(200.0, 250.0)], Adjustment.RATIO)
    assert [each.price(80.0) for each in (first, second, third)] == [110.0, 100.0, 80.0]
    assert shifts_of([], Adjustment.RATIO) == [Shift()]


def test_decimals_stay_decimals() -> None:
    """0.1 + 0.2 is 0.3 on a price ladder, and not what floats make of it."""
    [shift, _] = shifts_of([roll(1322.3, 1322.4)], Adjustment.DIFFERENCE)
    assert shift.price(1313.8) == 1313.9
    assert shift.price(0.2) == 0.3
    assert roll(1322.3, 1322.4).difference == 0.1
    [shift, _] = shifts_of([roll(0.0063955, 0.006437)], Adjustment.DIFFERENCE)
    assert shift.price(0.00625) == 0.0062915


def test_turnover_follows_the_prices() -> None:
    """The average price by volume moves by what each price moves by."""
    made = msgspec.structs.replace(
        bar(H26, "10 20:00", 100.0, volume=4), turnover_e9=round(100.25 * 4 * PRICE_SCALE)
    )
    [add, _] = shifts_of([roll(100.0, 110.5)], Adjustment.DIFFERENCE)
    [multiply, _] = shifts_of([roll(100.0, 150.0)], Adjustment.RATIO)
    assert add.bar(made).vwap == 110.75
    assert multiply.bar(made).vwap == 150.375


def test_all_but_prices_stays() -> None:
    """Contract, completeness, gaps, revision, volumes and times are the bar's own."""
    made = msgspec.structs.replace(
        bar(H26, "10 20:00", 100.0, volume=4),
        high=101.0,
        low=99.0,
        revision=3,
        completeness=Completeness.GAP,
        gap_ids=(4, 9),
        live_share=0.5,
    )
    [shift, unmoved] = shifts_of([roll(100.0, 110.0)], Adjustment.DIFFERENCE)
    moved = shift.bar(made)
    assert (moved.open, moved.high, moved.low, moved.close) == (110.0, 111.0, 109.0, 110.0)
    back = msgspec.structs.replace(
        moved, open=100.0, high=101.0, low=99.0, close=100.0, turnover_e9=made.turnover_e9
    )
    assert back == made
    assert unmoved.bar(made) is made


def test_a_roll_without_a_measure_is_not_adjusted_over() -> None:
    """A number is never invented: the sentence says what to do instead."""
    blind = msgspec.structs.replace(roll(1.0, 2.0), measured=None)
    with pytest.raises(UsageError, match=r"H26 -> .*M26 of 2026-03-11 cannot be measured: "):
        shifts_of([blind, roll(1.0, 2.0)], Adjustment.DIFFERENCE)
    assert len(shifts_of([blind], Adjustment.NONE)) == 2
    with pytest.raises(UsageError, match=r"has no ratio, because a price of -37\.5 and"):
        shifts_of([roll(-37.5, 20.25)], Adjustment.RATIO)


# -- bars at a roll -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeframe", "expected"),
    [("1m", "10 22:00"), ("4h", "10 22:00"), ("1d", "10 22:00"), ("1w", "15 22:00")],
)
def test_a_bar_belongs_to_the_contract_it_opened_with(timeframe: str, expected: str) -> None:
    """At a roll within a week, the week stays the old contract's to its end."""
    assert cut_ns(CME, Timeframe.parse(timeframe), at("10 22:00")) == at(expected)


def test_a_bar_that_trades_after_the_roll_only_is_the_new_contracts() -> None:
    """Eurex opens at ten past, so the bar of that hour opens before the session does."""
    assert EUREX.session_of(at("11 00:10")).open_ns == at("11 00:10")
    assert cut_ns(EUREX, Timeframe.parse("1h"), at("11 00:10")) == at("11 00:00")
    assert cut_ns(EUREX, Timeframe.parse("5m"), at("11 00:10")) == at("11 00:10")


def test_measured_bars_change_hands_at_the_open_of_the_session() -> None:
    """They end with their session, so none lies over a roll."""
    assert cut_ns(CME, Measure.parse("500tick"), at("10 22:00")) == at("10 22:00")
    assert cut_ns(EUREX, Measure.parse("8renko"), at("11 00:10")) == at("11 00:10")


def test_segments_follow_each_other_without_mixing() -> None:
    """What a contract traded before and after its time is not in the series."""
    opens = ("08 20:00", "10 21:00", "10 22:00", "11 21:59", "11 22:00", "20 15:00")
    bars = {key: [bar(key, text, 1.0) for text in opens] for key in (H26, M26, U26)}
    found = front_bars(SEGMENTS, bars, MINUTE, CME)
    assert [(each.contract_id[-3], each.ts_open) for each in found] == [
        ("H", at("08 20:00")),
        ("H", at("10 21:00")),
        ("M", at("10 22:00")),
        ("M", at("11 21:59")),
        ("U", at("11 22:00")),
        ("U", at("20 15:00")),
    ]


def test_two_rolls_in_a_week_leave_it_with_the_first_contract() -> None:
    """The contract between has no week of its own."""
    bars = {
        key: [bar(key, text, 1.0, "1w") for text in ("08 22:00", "15 22:00")]
        for key in (H26, M26, U26)
    }
    found = front_bars(SEGMENTS, bars, Timeframe.parse("1w"), CME)
    assert [each.contract_id for each in found] == [H26, U26]
    assert found[1].ts_open == at("15 22:00")
