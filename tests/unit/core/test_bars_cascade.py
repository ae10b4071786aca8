"""Bars by example: the rules that a reader of bars relies on, one at a time."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.core.bars import BarPolicy, ContractBars, Mark
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.gap import Lack
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe

CONTRACT = "CON.F.US.EP.U24"
CME = calendar_by_name("cme")
S = SECOND_NS


def at(text: str) -> int:
    """`YYYY-MM-DDTHH:MM[:SS]` in UTC, as ns."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * S


NOON = at("2024-07-01T12:00")


def tf(text: str) -> Timeframe:
    """A timeframe by its text."""
    return Timeframe.parse(text)


def engine(*timeframes: str) -> ContractBars:
    """Bars of one contract on the calendar of Chicago."""
    return ContractBars(CONTRACT, [tf(text) for text in timeframes], CME)


def tape(
    *rows: tuple[int, float] | tuple[int, float, int] | tuple[int, float, int, int],
) -> TradeBatch:
    """Prints as (time, price, size 1, side buy)."""
    batch = TradeBatch(CONTRACT)
    for seq, row in enumerate(rows):
        size = row[2] if len(row) > 2 else 1
        side = row[3] if len(row) > 3 else 0
        batch.append(row[0], row[1], size, side, row[0], seq)
    return batch


def brief(bars: list[Bar]) -> list[tuple[str, int]]:
    """Timeframe and number of prints of each bar."""
    return [(bar.timeframe, bar.n) for bar in bars]


def test_a_bar_has_all_its_columns() -> None:
    """Open, high, low, close, volumes, number and times of a bar, whole."""
    bars = engine("1m")
    folded = bars.fold(
        tape(
            (NOON, 10.0, 3, 0),
            (NOON + 1, 12.0, 2, 1),
            (NOON + 2, 9.0, 4, -1),
            (NOON + 3, 11.0, 1, 0),
            (NOON + MINUTE_NS, 10.0),
        )
    )
    assert folded.closed == [
        Bar(CONTRACT, "1m", NOON, NOON + MINUTE_NS, 10.0, 12.0, 9.0, 11.0, 10, 4, 4, 2,
            NOON, NOON + 3, BarState.CLOSED, 0, 101_000_000_000)
    ]  # fmt: skip
    assert folded.closed[0].vwap == 10.1
    assert folded.late == []


def test_the_print_on_the_boundary_belongs_to_the_new_bar() -> None:
    """Intervals are half-open, so a print at a bar's end closes it and is not in it."""
    bars = engine("1s")
    assert bars.fold(tape((NOON + S - 1, 10.0))).closed == []
    closed = bars.fold(tape((NOON + S, 11.0))).closed
    assert [(bar.ts_open, bar.close, bar.n) for bar in closed] == [(NOON, 10.0, 1)]
    forming = bars.forming(tf("1s"))
    assert forming is not None
    assert (forming.ts_open, forming.open) == (NOON + S, 11.0)


def test_bars_close_small_before_large() -> None:
    """One print that ends several bars closes them by their ends, then by length."""
    bars = engine("1h", "5m", "1m", "1s", "7m")
    bars.fold(tape((NOON, 10.0)))
    closed = bars.fold(tape((NOON + HOUR_NS, 11.0))).closed
    assert [bar.timeframe for bar in closed] == ["1s", "1m", "7m", "5m", "1h"]
    assert [bar.ts_end for bar in closed] == sorted(bar.ts_end for bar in closed)


def test_no_bar_is_made_of_nothing() -> None:
    """Quiet intervals have no bars."""
    bars = engine("1s")
    closed = bars.fold(tape((NOON, 10.0), (NOON + 10 * S, 11.0), (NOON + 20 * S, 12.0))).closed
    assert [bar.ts_open for bar in closed] == [NOON, NOON + 10 * S]
    assert bars.fold(tape()).closed == []
    assert engine("1s").forming_all() == []


def test_order_in_a_bar_is_time_then_arrival() -> None:
    """A print that comes late within its bar may be its first, and never becomes its last."""
    bars = engine("1s", "1m")
    bars.fold(
        tape((NOON + 5, 10.0), (NOON + 7, 11.0), (NOON + 6, 12.0), (NOON + 4, 9.0), (NOON + 7, 8.0))
    )
    for forming in bars.forming_all():
        assert (forming.open, forming.high, forming.low, forming.close) == (9.0, 12.0, 8.0, 8.0)
        assert (forming.ts_first, forming.ts_last) == (NOON + 4, NOON + 7)


def test_one_print_at_a_time_is_the_same() -> None:
    """The short cut for a batch of one print keeps every rule of order and side."""
    rows = [
        (NOON + 5, 10.0, 1, 0),
        (NOON + 7, 11.0, 2, 1),
        (NOON + 6, 12.0, 3, -1),
        (NOON + 4, 9.0, 4, 0),
        (NOON + 7, 8.0, 5, 1),
    ]
    whole, single = engine("1s"), engine("1s")
    whole.fold(tape(*rows))
    for row in rows:
        single.fold(tape(row))
    assert single.forming_all() == whole.forming_all()
    assert single.forming_all()[0].n == 5


def test_a_print_of_size_zero_sets_prices_only() -> None:
    """It counts as a print and makes highs and lows, and adds no volume."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0, 2), (NOON + 1, 20.0, 0), (NOON + 2, 11.0, 3)))
    forming = bars.forming(tf("1s"))
    assert forming is not None
    assert (forming.high, forming.volume, forming.n, forming.buy_vol) == (20.0, 5, 3, 5)


def test_a_late_print_revises_its_bar_and_those_above() -> None:
    """Its bar and every closed larger one are told again; what is open takes it in silence."""
    bars = engine("1s", "1m", "1h")
    bars.fold(tape((NOON + 59 * S, 10.0), (NOON + MINUTE_NS, 11.0)))
    folded = bars.fold(tape((NOON + 59 * S + 1, 99.0, 50), (NOON + MINUTE_NS, 12.0)))
    assert folded.late == []
    assert [(bar.timeframe, bar.state, bar.revision) for bar in folded.closed] == [
        ("1s", BarState.REVISED, 1),
        ("1m", BarState.REVISED, 1),
    ]
    assert [(bar.high, bar.close, bar.volume, bar.n) for bar in folded.closed] == [
        (99.0, 99.0, 51, 2),
        (99.0, 99.0, 51, 2),
    ]
    hour = bars.forming(tf("1h"))
    assert hour is not None
    assert (hour.high, hour.close, hour.volume, hour.n) == (99.0, 12.0, 53, 4)
    again = bars.fold(tape((NOON + 59 * S, 5.0))).closed
    assert [(bar.revision, bar.low, bar.open) for bar in again] == [(2, 5.0, 10.0)] * 2


def test_beyond_the_horizon_a_print_is_late() -> None:
    """It is named by its index, folded nowhere, and changes no bar."""
    bars = ContractBars(CONTRACT, [tf("1s"), tf("1m")], CME, policy=BarPolicy(0, 10 * S))
    bars.fold(tape((NOON, 10.0), (NOON + 11 * S, 11.0)))
    folded = bars.fold(tape((NOON + 12 * S, 12.0), (NOON + S, 99.0), (NOON + 2 * S, 98.0)))
    assert folded.late == [1]
    assert [(bar.ts_open, bar.high) for bar in folded.closed] == [
        (NOON + 11 * S, 11.0),
        (NOON + 2 * S, 98.0),
    ]
    assert bars.watermark_ns == NOON + 12 * S


def test_within_the_lateness_nobody_is_told_before_the_print() -> None:
    """A bar that is over waits for the watermark; it shows as forming until then."""
    bars = ContractBars(CONTRACT, [tf("1s"), tf("1m")], CME, policy=BarPolicy(2 * S))
    assert bars.watermark_ns is None
    assert bars.fold(tape((NOON, 10.0), (NOON + 2 * S, 11.0))).closed == []
    assert brief(bars.forming_all()) == [("1s", 1), ("1s", 1), ("1m", 2)]
    assert bars.fold(tape((NOON + 1, 9.0), (NOON + S, 12.0))).closed == []
    (first,) = bars.fold(tape((NOON + 3 * S - 1, 11.0), (NOON + 3 * S, 11.0))).closed
    assert (first.ts_open, first.n, first.close, first.revision) == (NOON, 2, 9.0, 0)
    assert bars.due_ns() == NOON + 2 * S
    assert brief(bars.close_due(NOON + 10 * S)) == [("1s", 1), ("1s", 2), ("1s", 1)]


def test_a_timeframe_takes_no_print_of_an_interval_before_it_was_added() -> None:
    """Its bar of that interval would lack all the others; the volume identity knows."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0), (NOON + 90 * S, 11.0)))
    bars.add([tf("1m")], accepted_volume=2)
    folded = bars.fold(tape((NOON + 1, 12.0, 5)))
    assert [(bar.timeframe, bar.volume) for bar in folded.closed] == [("1s", 6)]
    assert all(item.holds for item in bars.checks(7))


def test_after_a_quiet_time_an_early_print_gets_its_bar() -> None:
    """A print between the last closed bar and the open one makes a bar that closes at once."""
    bars = engine("1s", "1m")
    folded = bars.fold(tape((NOON, 10.0), (NOON + 5 * S, 11.0), (NOON + 3 * S, 12.0)))
    assert [(bar.ts_open, bar.revision) for bar in folded.closed] == [(NOON, 0), (NOON + 3 * S, 1)]
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.open, minute.high, minute.close, minute.n) == (10.0, 12.0, 11.0, 3)


def test_a_forming_bar_has_every_print() -> None:
    """What is still in smaller bars is folded in on reading, and reading changes nothing."""
    bars = engine("1s", "1m", "1h", "1d", "1w")
    bars.fold(tape((NOON, 10.0), (NOON + S, 12.0), (NOON + MINUTE_NS, 9.0)))
    expected = [("1s", 1), ("1m", 1), ("1h", 3), ("1d", 3), ("1w", 3)]
    assert brief(bars.forming_all()) == expected
    assert brief(bars.forming_all()) == expected
    assert {bar.state for bar in bars.forming_all()} == {BarState.FORMING}
    week = bars.forming(tf("1w"))
    assert week is not None
    assert (week.ts_open, week.high, week.low) == (at("2024-06-30T22:00"), 12.0, 9.0)


def test_a_timeframe_that_is_not_there_is_an_error() -> None:
    """Asking for the bar of a timeframe that was never added is a mistake of the caller."""
    with pytest.raises(UsageError, match=r"CON\.F\.US\.EP\.U24 has no bars of 2m"):
        engine("1m").forming(tf("2m"))


def test_a_batch_of_another_contract_is_a_bug() -> None:
    """Mixing contracts would spoil bars in silence, so it stops loudly."""
    with pytest.raises(ValueError, match="prints of OTHER"):
        engine("1m").fold(TradeBatch("OTHER"))


def test_without_timeframes_prints_make_nothing() -> None:
    """A contract may be subscribed for its ticks alone."""
    bars = engine()
    assert bars.fold(tape((NOON, 10.0))).closed == []
    assert bars.fold(tape((NOON, 10.0), (NOON - 1, 9.0))).late == []
    assert (bars.due_ns(), bars.close_due(NOON + HOUR_NS), bars.forming_all()) == (None, [], [])


def test_a_timer_closes_bars_without_a_later_print() -> None:
    """What is due closes small before large; the rest stays open."""
    bars = engine("1s", "1m", "1h")
    assert bars.due_ns() is None
    bars.fold(tape((NOON, 10.0)))
    assert bars.due_ns() == NOON + S
    assert bars.close_due(NOON + S - 1) == []
    assert brief(bars.close_due(NOON + S)) == [("1s", 1)]
    assert bars.due_ns() == NOON + MINUTE_NS
    assert brief(bars.close_due(NOON + HOUR_NS)) == [("1m", 1), ("1h", 1)]
    assert bars.due_ns() is None
    folded = bars.fold(tape((NOON + HOUR_NS - 1, 12.0), (NOON + 1, 11.0)))
    # The last second had not been there, and is told when it is over; so are those above it.
    assert [(bar.timeframe, bar.revision, bar.close) for bar in folded.closed] == [
        ("1s", 1, 11.0),
        ("1m", 1, 11.0),
        ("1h", 1, 11.0),
    ]
    assert all(item.holds for item in bars.checks(3))
    closed = bars.fold(tape((NOON + HOUR_NS, 10.0))).closed
    assert [(bar.timeframe, bar.revision, bar.close) for bar in closed] == [
        ("1s", 0, 12.0),
        ("1m", 0, 12.0),
        ("1h", 2, 12.0),
    ]
    assert all(item.holds for item in bars.checks(4))


def test_a_day_is_over_at_the_close_of_its_session() -> None:
    """At 16:00 in Chicago the daily bar is due although its interval lasts until 17:00."""
    bars = engine("1m", "4h", "1d", "1w")
    bars.fold(tape((at("2024-07-01T20:59:30"), 10.0)))
    close_ns = at("2024-07-01T21:00")
    assert bars.due_ns() == close_ns
    assert brief(bars.close_due(close_ns)) == [("1m", 1), ("4h", 1), ("1d", 1)]
    assert bars.due_ns() == at("2024-07-05T21:00")


def test_an_early_close_ends_the_hour_that_it_cuts() -> None:
    """On 2024-07-03 trading ends at 12:15 in Chicago, and with it the bar of that hour."""
    bars = engine("1h")
    bars.fold(tape((at("2024-07-03T17:10"), 10.0)))
    assert bars.due_ns() == at("2024-07-03T17:15")
    (hour,) = bars.close_due(at("2024-07-03T17:15"))
    assert (hour.ts_open, hour.ts_end) == (at("2024-07-03T17:00"), at("2024-07-03T18:00"))


def test_a_print_after_the_close_makes_bars_wait_for_their_end() -> None:
    """Trading that goes on after the scheduled close keeps the session's bars open."""
    bars = engine("1m", "1h", "1d")
    bars.fold(tape((at("2024-07-01T20:59"), 10.0), (at("2024-07-01T21:05"), 11.0)))
    assert bars.due_ns() == at("2024-07-01T21:06")
    assert brief(bars.close_due(at("2024-07-01T21:06"))) == [("1m", 1)]
    assert bars.due_ns() == at("2024-07-01T22:00")
    assert brief(bars.close_due(at("2024-07-01T22:00"))) == [("1h", 1), ("1d", 2)]


def test_a_larger_bar_waits_for_the_open_one_below_it() -> None:
    """While a print after the close is still in a smaller bar, the day is not due either."""
    bars = engine("1m", "1d")
    bars.fold(tape((at("2024-07-01T20:59"), 10.0), (at("2024-07-01T21:00:30"), 11.0)))
    assert bars.due_ns() == at("2024-07-01T21:01")
    assert bars.close_due(at("2024-07-01T21:00:59")) == []


def test_what_is_open_can_be_read_and_stays_open() -> None:
    """Open bars come out as forming, small before large, as often as one likes."""
    bars = engine("1d", "1s", "1m")
    bars.fold(tape((NOON, 10.0), (NOON + S, 11.0)))
    rest = bars.forming_all()
    assert brief(rest) == [("1s", 1), ("1m", 2), ("1d", 2)]
    assert {bar.state for bar in rest} == {BarState.FORMING}
    assert bars.forming_all() == rest
    assert bars.fold(tape((NOON + 2 * S, 12.0))).late == []


def test_an_added_timeframe_starts_from_all_that_is_kept_of_its_first_bar() -> None:
    """Its first bar has what the bars below it know, and old bars stay as they were."""
    bars = engine("1m")
    bars.fold(tape((NOON, 10.0, 5), (NOON + MINUTE_NS, 11.0, 7)))
    bars.add([tf("5m"), tf("1m")], accepted_volume=12)
    assert bars.timeframes == (tf("1m"), tf("5m"))
    five = bars.forming(tf("5m"))
    assert five is not None
    assert (five.ts_open, five.open, five.volume) == (NOON, 10.0, 12)
    assert (bars.whole_ns("5m"), bars.whole_ns("1m")) == (NOON, None)
    bars.fold(tape((NOON + 2 * MINUTE_NS, 12.0, 1)))
    checks = bars.checks(13)
    assert [(item.timeframe, item.bars, item.bar_volume) for item in checks] == [
        ("1m", 3, 13),
        ("5m", 1, 13),
    ]
    assert [item.accepted_volume for item in checks] == [13, 13]
    assert all(item.holds for item in checks)


def test_what_is_open_below_a_bar_that_a_timer_closed_is_in_added_timeframes_once() -> None:
    """A print behind the timer opens a small bar anew, which will revise the larger one."""
    bars = engine("1s", "5s", "1m")
    bars.fold(tape((NOON, 10.0, 15)))
    bars.close_due(NOON + 5 * S)
    bars.fold(tape((NOON + 3 * S, 11.0, 8)))
    bars.add([tf("15s"), tf("1h")], accepted_volume=23)
    assert all(item.holds for item in bars.checks(23))
    bars.fold(tape((NOON + 6 * S, 12.0, 1)))
    assert all(item.holds for item in bars.checks(24))
    for text in ("15s", "1h"):
        forming = bars.forming(tf(text))
        assert forming is not None
        assert forming.volume == 24


def test_an_added_timeframe_knows_what_it_lacks() -> None:
    """Where nothing smaller is kept, or not from the begin of its first bar, a part is missing."""
    bars = engine("1m")
    bars.fold(tape((NOON + 3 * MINUTE_NS, 10.0, 5), (NOON + 4 * MINUTE_NS + 7, 11.0, 7)))
    bars.add([tf("5m"), tf("1s")], accepted_volume=12)
    began_ns = NOON + 4 * MINUTE_NS + 8
    kept_ns = NOON + 3 * MINUTE_NS
    assert [bars.whole_ns(name) for name in ("1s", "1m", "5m")] == [began_ns, None, kept_ns]
    assert bars.whole_ns() == began_ns
    assert bars.lacks() == {"5m": Lack(NOON, kept_ns, NOON + 5 * MINUTE_NS, "1m", goes_on=True)}
    assert brief(bars.forming_all()) == [("1m", 1), ("5m", 2)]
    assert engine("1m").whole_ns() is None


def beginning(name: str, from_ns: int, to_ns: int, volume: int) -> Bar:
    """What history has of the beginning of a bar."""
    prices = 8.0, 20.0, 7.0, 9.0
    return Bar(CONTRACT, name, from_ns, to_ns, *prices, volume, 0, 0, 0, from_ns, to_ns - 1)


def test_the_beginning_that_an_added_timeframe_lacks_is_put_into_its_open_bar() -> None:
    """If it is just this; it stays where a gap is repaired later, and where prints come late."""
    bars = engine("1m")
    bars.fold(tape((NOON + 3 * MINUTE_NS, 10.0, 5), (NOON + 4 * MINUTE_NS + 7, 11.0, 7)))
    bars.add([tf("5m"), tf("15m")], accepted_volume=12)
    from_ns, to_ns = NOON, NOON + 3 * MINUTE_NS
    other = beginning("5m", from_ns, to_ns - 1, 100)
    assert bars.repair(1, [], [other], to_ns) == []
    assert bars.lacks()["5m"].to_ns == to_ns
    for _ in range(2):
        bars.repair(1, [], [beginning("5m", from_ns, to_ns, 100)], to_ns)
    assert (bars.lacks()["5m"].to_ns, bars.whole_ns("5m")) == (from_ns, from_ns)
    for name in ("5m", "15m"):
        five = bars.forming(tf(name))
        assert five is not None
        assert (five.open, five.high, five.close, five.volume, five.n) == (8.0, 20.0, 11.0, 112, 2)
    assert all(item.holds for item in bars.checks(12))
    # Another minute is filled in later, of which the five are made anew.
    theirs = beginning("1m", to_ns, to_ns + MINUTE_NS, 50)
    bars.repair(2, [Mark(to_ns, to_ns + 1, 2, repaired=True)], [theirs], to_ns + MINUTE_NS)
    five = bars.forming(tf("5m"))
    assert five is not None
    assert (five.open, five.volume) == (8.0, 157)
    told = bars.fold(tape((NOON + 5 * MINUTE_NS, 11.0, 1), (NOON + S, 99.0, 3))).closed
    assert [(bar.timeframe, bar.ts_open, bar.volume) for bar in told] == [
        ("1m", NOON + 4 * MINUTE_NS, 7),
        ("5m", NOON, 157),
        ("1m", NOON, 3),
    ]
    assert all(item.holds for item in bars.checks(16))
    theirs = beginning("1m", to_ns, to_ns + MINUTE_NS, 60)
    told = bars.repair(2, [Mark(to_ns, to_ns + 1, 2, repaired=True)], [theirs], to_ns + MINUTE_NS)
    assert [(bar.timeframe, bar.revision, bar.volume) for bar in told] == [
        ("1m", 2, 60),
        ("5m", 1, 167),
    ]
    assert bars.lacks().keys() == {"15m"}


def test_an_added_timeframe_that_is_made_anew_of_all_its_parts_lacks_nothing() -> None:
    """As where the history of the contract comes when it has been added."""
    bars = engine("1m")
    bars.fold(tape((NOON + 3 * MINUTE_NS, 10.0, 5)))
    bars.add([tf("5m")], accepted_volume=5)
    theirs = [
        beginning("1m", NOON + n * MINUTE_NS, NOON + (n + 1) * MINUTE_NS, 50) for n in range(3)
    ]
    bars.repair(1, [], theirs, NOON + 3 * MINUTE_NS)
    assert bars.lacks() == {
        "5m": Lack(NOON, NOON, NOON + 5 * MINUTE_NS, "1m", goes_on=True),
    }
    bars.repair(2, [], [beginning("5m", NOON, NOON + 3 * MINUTE_NS, 150)], NOON + 3 * MINUTE_NS)
    five = bars.forming(tf("5m"))
    assert five is not None
    assert five.volume == 155
    assert all(item.holds for item in bars.checks(5))


def test_a_smaller_timeframe_added_later_feeds_the_larger_one() -> None:
    """The larger bar keeps what it took itself, and gets the rest from below in order of time."""
    bars = engine("1m")
    bars.fold(tape((NOON + 5 * S, 10.0), (NOON + 9 * S, 11.0)))
    bars.add([tf("1s")], accepted_volume=2)
    folded = bars.fold(tape((NOON + 7 * S, 15.0), (NOON + 9 * S, 12.0)))
    assert brief(folded.closed) == []  # the seventh second was over when seconds were added
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.open, minute.high, minute.close, minute.n) == (10.0, 15.0, 12.0, 4)
    assert all(item.holds for item in bars.checks(4))


def test_a_print_before_the_open_bar_of_a_former_root_closes_at_once() -> None:
    """A timeframe that took prints itself gives an early bar, and keeps its open one."""
    bars = engine("1m")
    bars.fold(tape((NOON + MINUTE_NS + 5 * S, 10.0)))
    bars.add([tf("1s"), tf("5s")], accepted_volume=1)
    folded = bars.fold(tape((NOON + 30 * S, 9.0), (NOON + MINUTE_NS + 6 * S, 11.0)))
    assert [(bar.timeframe, bar.ts_open) for bar in folded.closed] == [("1m", NOON)]
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.ts_open, minute.open, minute.close) == (NOON + MINUTE_NS, 10.0, 11.0)
    assert all(item.holds for item in bars.checks(3))


def test_a_timeframe_keeps_its_feeder_where_a_new_one_would_lose_prints() -> None:
    """60s that hangs from 2s is not moved to a new 3s, which knows nothing of the open 2s."""
    bars = engine("2s", "60s")
    bars.fold(tape((NOON, 10.0, 4)))
    bars.add([tf("3s")], accepted_volume=4)
    bars.fold(tape((NOON + S, 11.0, 5), (NOON + 2 * S, 12.0, 6)))
    assert [(bar.timeframe, bar.volume) for bar in bars.forming_all()] == [
        ("2s", 6),
        ("3s", 11),
        ("60s", 15),
    ]
    assert all(item.holds for item in bars.checks(15))


def test_a_new_root_may_begin_with_a_print_that_is_not_the_latest() -> None:
    """7m beside 5m takes its first print in whatever order it comes, and stays open."""
    bars = engine("5m")
    bars.fold(tape((NOON + 9 * S, 10.0)))
    bars.add([tf("7m")], accepted_volume=1)
    folded = bars.fold(tape((NOON + 7 * S, 11.0), (NOON + 8 * S, 12.0)))
    assert (folded.closed, folded.late) == ([], [])
    assert brief(bars.forming_all()) == [("5m", 3), ("7m", 2)]
    assert [bar.close for bar in bars.forming_all()] == [10.0, 12.0]
    assert all(item.holds for item in bars.checks(3))


def test_a_check_shows_a_difference() -> None:
    """Where accepted volume and bars differ, the check does not hold: it is no tautology."""
    bars = engine("1s", "1m")
    bars.fold(tape((NOON, 10.0, 5)))
    assert [item.holds for item in bars.checks(5)] == [True, True]
    assert [item.holds for item in bars.checks(6)] == [False, False]
