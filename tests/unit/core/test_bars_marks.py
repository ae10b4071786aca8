"""What gaps make of bars: known before, while or after they are made, and repaired."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.bars import BarPolicy, ContractBars, Mark
from tapekeeper.core.bars.marks import MARKS_MAX, NEVER_NS, Marks
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import MINUTE_NS, SECOND_NS, Timeframe

CONTRACT = "CON.F.US.EP.U24"
CME = calendar_by_name("cme")
S = SECOND_NS
NOON = 1_719_835_200 * S  # 2024-07-01T12:00Z, within a session
tf = Timeframe.parse
GAP, WHOLE = Completeness.GAP, Completeness.COMPLETE


def engine(*timeframes: str) -> ContractBars:
    """Bars of one contract on the calendar of Chicago."""
    return ContractBars(CONTRACT, [tf(text) for text in timeframes], CME)


def tape(*rows: tuple[int, float] | tuple[int, float, int]) -> TradeBatch:
    """Prints as (time, price, size 1)."""
    batch = TradeBatch(CONTRACT)
    for seq, row in enumerate(rows):
        batch.append(row[0], row[1], row[2] if len(row) > 2 else 1, 0, row[0], seq)
    return batch


def all_of(from_ns: int, to_ns: int) -> int:
    """A market that is always open."""
    return to_ns - from_ns


def worths(bars: list[Bar]) -> list[tuple[str, int, Completeness, tuple[int, ...], int]]:
    """Timeframe, open in seconds after noon, completeness, gaps and revision of each bar."""
    return [
        (bar.timeframe, (bar.ts_open - NOON) // S, bar.completeness, bar.gap_ids, bar.revision)
        for bar in bars
    ]


def vendor(timeframe: str, second: int, price: float, volume: int) -> Bar:
    """A bar of the gateway's own history."""
    start_ns, length_ns = NOON + second * S, tf(timeframe).length_ns
    return Bar(
        CONTRACT, timeframe, start_ns, start_ns + length_ns, price, price, price, price, volume, 0,
        0, 0, start_ns, start_ns + length_ns - 1, BarState.CLOSED, 0,
        round(price * 1e9) * volume,
    )  # fmt: skip


def test_a_gap_that_is_found_later_revises_the_bars_it_touches() -> None:
    """Closed bars of every timeframe are told again; those beside it are left alone."""
    bars = engine("1s", "1m")
    rows = [(NOON + second * S, 10.0) for second in (0, 1, 2, 3, 61)]
    bars.fold(tape(*rows))
    told = bars.mark(7, [Mark(NOON + S, NOON + 2 * S + 1, 7)])
    assert worths(told) == [
        ("1s", 1, GAP, (7,), 1),
        ("1s", 2, GAP, (7,), 1),
        ("1m", 0, GAP, (7,), 1),
    ]
    assert [bar.live_share for bar in told] == [0.0, 1 - 1 / S, 1 - (S + 1) / MINUTE_NS]
    assert {bar.state for bar in told} == {BarState.REVISED}
    assert bars.mark(7, [Mark(NOON + S, NOON + 2 * S + 1, 7)]) == []


def test_a_gap_that_lasts_marks_every_bar_until_it_ends() -> None:
    """Forming bars show it as well, and what closes within it needs no revision."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0)))
    assert bars.mark(1, [Mark(NOON + S // 2, NEVER_NS, 1)]) == []
    assert worths(bars.forming_all()) == [("1s", 0, GAP, (1,), 0)]
    told = bars.fold(tape((NOON + S, 11.0), (NOON + 5 * S, 12.0))).closed
    assert worths(told) == [("1s", 0, GAP, (1,), 0), ("1s", 1, GAP, (1,), 0)]
    # It turns out to have been over before the second of them began.
    told = bars.mark(1, [Mark(NOON + S // 2, NOON + S, 1)])
    assert worths(told) == [("1s", 1, WHOLE, (), 1)]


def test_a_bar_from_before_the_start_is_partial() -> None:
    """Nothing was missed of it: it was not followed yet."""
    bars = engine("1s", "1m")
    bars.mark(3, [Mark(-NEVER_NS, NOON + S // 2, 3, is_start=True)])
    told = bars.fold(tape((NOON + S // 2, 10.0), (NOON + 60 * S, 11.0))).closed
    partial = Completeness.PARTIAL_START
    assert worths(told) == [("1s", 0, partial, (3,), 0), ("1m", 0, partial, (3,), 0)]
    # A gap within it is worse, and both are named.
    told = bars.mark(4, [Mark(NOON + 10 * S, NOON + 20 * S, 4)])
    assert worths(told) == [("1m", 0, GAP, (3, 4), 1)]


def test_a_repair_puts_the_gateways_bars_in_and_rolls_up() -> None:
    """Bars within the gap are replaced or added, and the larger ones are made anew of them."""
    bars = engine("1s", "5s", "1m")
    bars.fold(tape((NOON, 10.0, 1), (NOON + S, 11.0, 2), (NOON + 7 * S, 12.0, 4)))
    marks = [Mark(NOON + S + 1, NOON + 4 * S, 1)]
    assert worths(bars.mark(1, marks)) == [("1s", 1, GAP, (1,), 1), ("5s", 0, GAP, (1,), 1)]
    mended = [msgspec.structs.replace(mark, repaired=True) for mark in marks]
    history = [vendor("1s", 1, 50.0, 20), vendor("1s", 3, 5.0, 30)]
    told = bars.repair(1, mended, history, NOON + 4 * S)
    filled = Completeness.BACKFILLED
    assert worths(told) == [
        ("1s", 1, filled, (1,), 2),
        ("1s", 3, filled, (1,), 1),
        ("5s", 0, filled, (1,), 2),
    ]
    assert [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in told] == [
        (50.0, 50.0, 50.0, 50.0, 20),
        (5.0, 5.0, 5.0, 5.0, 30),
        (10.0, 50.0, 5.0, 5.0, 51),
    ]
    assert told[2].turnover_e9 == round((10 * 1 + 50 * 20 + 5 * 30) * 1e9)
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.volume, minute.high, minute.close) == (55, 50.0, 12.0)
    assert minute.completeness is filled
    checks = bars.checks(7)
    assert all(check.holds for check in checks)
    assert [check.backfilled_volume for check in checks] == [48, 48, 48]
    assert [(check.bars, check.backfilled_bars) for check in checks] == [(4, 1), (2, 0), (1, 0)]


def test_what_a_repair_could_not_restore_stays_a_gap() -> None:
    """Part of the gap is repaired; only bars that touch the rest say that they are not whole."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0), (NOON + 9 * S, 11.0)))
    bars.mark(1, [Mark(NOON + S, NOON + 9 * S, 1)])
    rest = [Mark(NOON + S, NOON + 5 * S, 1, repaired=True), Mark(NOON + 5 * S, NOON + 9 * S, 1)]
    told = bars.repair(1, rest, [vendor("1s", n, 10.5, 1) for n in (4, 5)], NOON + 9 * S)
    assert worths(told) == [
        ("1s", 4, Completeness.BACKFILLED, (1,), 1),
        ("1s", 5, GAP, (1,), 1),
    ]


def test_history_before_the_first_print_is_told_as_it_is() -> None:
    """Nobody was told that these bars were absent, so they are no revisions."""
    bars = engine("1m", "1h")
    # More than what is kept for the horizon: nothing may be forgotten before it is told.
    history = [vendor("1m", 60 * minute, 999.0 + minute, 2) for minute in range(-990, 0)]
    marks = [Mark(NOON - 990 * MINUTE_NS, NOON, 1, repaired=True, is_start=True)]
    told = bars.repair(1, marks, history, NOON)
    names = [bar.timeframe for bar in told]
    assert names == [*["1m"] * 30, "1h", *([*["1m"] * 60, "1h"] * 16)]
    assert {(bar.state, bar.revision) for bar in told} == {(BarState.CLOSED, 0)}
    assert {bar.completeness for bar in told} == {Completeness.BACKFILLED}
    folded = bars.fold(tape((NOON + 1, 7.0)))
    assert (folded.late, folded.closed) == ([], [])
    assert all(check.holds for check in bars.checks(1))


def test_a_forming_bar_gets_the_history_of_its_beginning() -> None:
    """What lies before the first print of an open bar is put below it and folded in once."""
    bars = engine("1s", "1m")
    bars.fold(tape((NOON + 30 * S, 10.0, 3), (NOON + 31 * S, 11.0, 4)))
    marks = [Mark(-NEVER_NS, NOON + 30 * S, 1, repaired=True, is_start=True)]
    bars.repair(1, marks, [vendor("1s", n, 20.0 + n, 1) for n in range(30)], NOON + 30 * S)
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.open, minute.high, minute.close, minute.volume) == (20.0, 49.0, 11.0, 37)
    assert minute.live_share == 0.5
    assert all(check.holds for check in bars.checks(7))


def test_history_does_not_touch_what_is_not_over() -> None:
    """A bar that ends after the time that has certainly passed is left out."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0)))
    assert bars.repair(1, [], [vendor("1s", 0, 99.0, 9)], NOON + S // 2) == []
    assert [bar.high for bar in bars.forming_all()] == [10.0]


def test_history_closes_what_is_due_by_then() -> None:
    """A quiet bar is closed as by a timer before the gateway's takes its place."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0)))
    told = bars.repair(1, [Mark(NOON, NOON + S, 1)], [vendor("1s", 0, 99.0, 9)], NOON + S)
    assert [(bar.revision, bar.high, bar.completeness) for bar in told] == [
        (0, 10.0, WHOLE),
        (1, 99.0, GAP),
    ]


def test_history_of_another_timeframe_is_refused() -> None:
    """It has no place to go."""
    with pytest.raises(UsageError, match="has no bars of 1m"):
        engine("1s").repair(1, [], [vendor("1m", 0, 1.0, 1)], NOON)


def test_a_gap_within_the_lateness_needs_no_revision() -> None:
    """Bars that were not told yet are told once, with the gap."""
    bars = ContractBars(CONTRACT, [tf("1s")], CME, policy=BarPolicy(5 * S))
    bars.fold(tape((NOON, 10.0), (NOON + 2 * S, 10.0)))
    assert bars.mark(1, [Mark(NOON, NOON + S, 1)]) == []
    told = bars.fold(tape((NOON + 9 * S, 10.0))).closed
    assert worths(told) == [("1s", 0, GAP, (1,), 0), ("1s", 2, WHOLE, (), 0)]


def test_marks_are_bounded_and_never_forgotten_in_favour_of_a_bar() -> None:
    """Beyond the bound the oldest two are taken for one."""
    marks = Marks()
    for number in range(MARKS_MAX + 1):
        marks.replace(number, [Mark(10 * number, 10 * number + 1, number)])
    worth = marks.worth("1s", 2, 5, all_of)
    assert worth.completeness is GAP
    marks.forget(12)
    assert marks.worth("1s", 2, 5, all_of).completeness is WHOLE
    with pytest.raises(ValueError, match="another gap"):
        marks.replace(1, [Mark(0, 1, 2)])


def test_overlapping_gaps_are_missing_once() -> None:
    """The share of live time counts every instant once."""
    marks = Marks()
    marks.replace(1, [Mark(0, 40, 1)])
    marks.replace(2, [Mark(20, 50, 2)])
    assert marks.worth("1s", 0, 100, all_of).live_share == 0.5
    assert (
        marks.worth("1s", 0, 100, lambda from_ns, to_ns: min(to_ns, 50) - from_ns).live_share == 0.0
    )
    assert marks.worth("1s", 0, 100, lambda _from_ns, _to_ns: 0).live_share == 0.0


def test_a_repair_makes_no_larger_bar_anew_of_parts_that_were_never_here() -> None:
    """Seconds that were added later have one part of the minute: it stays, or is given itself."""
    bars = engine("1m")
    bars.fold(tape((NOON + 5 * S, 10.0, 5), (NOON + 65 * S, 11.0, 7)))
    bars.add([tf("1s")], accepted_volume=12)
    gap = [Mark(NOON + 20 * S, NOON + 21 * S, 1)]
    bars.mark(1, gap)
    repaired = [Mark(NOON + 20 * S, NOON + 21 * S, 1, repaired=True)]
    told = bars.repair(1, repaired, [vendor("1s", 20, 9.0, 3)], NOON + 66 * S)
    assert [(bar.timeframe, bar.volume) for bar in told if bar.ts_open < NOON + MINUTE_NS] == [
        ("1s", 3),
        ("1m", 5),
    ]


def test_a_mark_of_one_timeframe_touches_its_bars_alone() -> None:
    """As where a timeframe was asked for later than the others."""
    bars = engine("1s", "1m")
    bars.fold(tape((NOON, 10.0), (NOON + S, 11.0), (NOON + 61 * S, 12.0)))
    told = bars.mark(1, [Mark(-NEVER_NS, NOON + S, 1, is_start=True, timeframes=("1m",))])
    assert [(bar.timeframe, bar.ts_open, bar.completeness) for bar in told] == [
        ("1m", NOON, Completeness.PARTIAL_START)
    ]


def test_a_late_print_of_a_given_bar_reaches_the_others() -> None:
    """History of a larger timeframe alone holds the print; the smaller bars do not."""
    bars = engine("1s", "1m", "5m")
    bars.fold(tape((NOON + 5 * S, 10.0, 5), (NOON + 65 * S, 11.0, 7)))
    bars.repair(1, [], [vendor("1m", 0, 10.0, 6)], NOON + 66 * S)
    told = bars.fold(tape((NOON + 6 * S, 10.0, 1))).closed
    assert [(bar.timeframe, bar.volume) for bar in told] == [("1s", 1)]
    (five,) = (bar for bar in bars.forming_all() if bar.timeframe == "5m")
    assert five.volume == 6 + 7
    assert all(check.holds for check in bars.checks(13))
