"""Intervals without a trade: no bars, or such that repeat the last close (`bars.quiet`)."""

from __future__ import annotations

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.bars import BarPolicy, ContractBars, Mark
from tapekeeper.core.bars.quiet import is_flat, next_interval
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe

CONTRACT = "CON.F.US.EP.U24"
CME = calendar_by_name("cme")
S = SECOND_NS
tf = Timeframe.parse


def at(text: str) -> int:
    """`YYYY-MM-DDTHH:MM[:SS]` in UTC, as ns."""
    return int(dt.datetime.fromisoformat(text + "+00:00").timestamp()) * S


NOON = at("2024-07-01T12:00")
FRIDAY = at("2024-06-28T20:59:58")  # two seconds before the close
SUNDAY = at("2024-06-30T22:00")


def engine(*timeframes: str, carry_max: int = 100, lateness_ns: int = 0) -> ContractBars:
    """Bars that carry closes on."""
    policy = BarPolicy(lateness_ns, carry_max=carry_max)
    return ContractBars(CONTRACT, [tf(text) for text in timeframes], CME, policy=policy)


def tape(*rows: tuple[int, float]) -> TradeBatch:
    """Prints as (time, price)."""
    batch = TradeBatch(CONTRACT)
    for seq, (ts_ns, price) in enumerate(rows):
        batch.append(ts_ns, price, 1, 0, ts_ns, seq)
    return batch


def brief(bars: list[Bar], since_ns: int = NOON) -> list[tuple[str, int, float, int]]:
    """Timeframe, second, close and number of prints of each bar."""
    return [(bar.timeframe, (bar.ts_open - since_ns) // S, bar.close, bar.n) for bar in bars]


def test_a_print_fills_what_was_passed_before_it() -> None:
    """Each empty interval has a bar of no volume at the last close, marked quiet."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0)))
    told = bars.fold(tape((NOON + 3 * S, 11.0))).closed
    assert len(told) == 3
    told += bars.fold(tape((NOON + 4 * S, 12.0))).closed
    assert brief(told) == [("1s", 0, 10.0, 1), ("1s", 1, 10.0, 0), ("1s", 2, 10.0, 0),
                           ("1s", 3, 11.0, 1)]  # fmt: skip
    flat = told[1]
    assert is_flat(flat)
    assert (flat.open, flat.high, flat.low, flat.volume, flat.vwap) == (10.0, 10.0, 10.0, 0, None)
    assert (flat.completeness, flat.state) == (Completeness.QUIET, BarState.CLOSED)
    assert told[0].completeness is Completeness.COMPLETE


def test_a_timer_fills_while_nothing_comes() -> None:
    """Of every timeframe, as soon as an interval is due."""
    bars = engine("1s", "1m")
    bars.fold(tape((NOON + 58 * S, 10.0)))
    assert brief(bars.close_due(NOON + 59 * S)) == [("1s", 58, 10.0, 1)]
    assert bars.due_ns() == NOON + 60 * S
    told = bars.close_due(NOON + 62 * S)
    assert brief(told) == [("1s", 59, 10.0, 0), ("1m", 0, 10.0, 1), ("1s", 60, 10.0, 0),
                           ("1s", 61, 10.0, 0)]  # fmt: skip
    assert all(check.holds for check in bars.checks(1))


def test_nothing_is_told_of_a_closed_market() -> None:
    """After Friday's close the next empty second is Sunday's first."""
    bars = engine("1s", "1h")
    bars.fold(tape((FRIDAY, 10.0)))
    told = bars.close_due(SUNDAY + S)
    assert brief(told, FRIDAY) == [
        ("1s", 0, 10.0, 1),
        ("1s", 1, 10.0, 0),
        ("1h", -3598, 10.0, 1),
        ("1s", (SUNDAY - FRIDAY) // S, 10.0, 0),
    ]
    assert next_interval(CME, tf("1m"), FRIDAY + HOUR_NS).start_ns == SUNDAY


def test_there_is_a_limit() -> None:
    """A dead contract makes no endless row; the next print begins anew."""
    bars = engine("1s", carry_max=2)
    bars.fold(tape((NOON, 10.0)))
    assert brief(bars.close_due(NOON + HOUR_NS)) == [
        ("1s", 0, 10.0, 1), ("1s", 1, 10.0, 0), ("1s", 2, 10.0, 0)
    ]  # fmt: skip
    assert bars.due_ns() is None
    told = bars.fold(tape((NOON + HOUR_NS, 11.0), (NOON + HOUR_NS + 2 * S, 12.0))).closed
    assert brief(told) == [("1s", 3_600, 11.0, 1), ("1s", 3_601, 11.0, 0)]
    told = bars.fold(tape((NOON + HOUR_NS + 3 * S, 12.0))).closed
    assert brief(told) == [("1s", 3_602, 12.0, 1)]


def test_a_late_print_takes_the_place_of_a_flat_bar() -> None:
    """Nothing of the flat one is left in it; what was told is revised."""
    bars = engine("1s", "1m")
    bars.fold(tape((NOON, 10.0), (NOON + 3 * S, 11.0), (NOON + 4 * S, 12.0)))
    told = bars.fold(tape((NOON + S, 99.0))).closed
    assert [(bar.open, bar.low, bar.n, bar.revision, bar.state) for bar in told] == [
        (99.0, 99.0, 1, 1, BarState.REVISED)
    ]
    minute = bars.forming(tf("1m"))
    assert minute is not None
    assert (minute.n, minute.high, minute.low) == (4, 99.0, 10.0)
    assert all(check.holds for check in bars.checks(4))


def test_an_outage_is_not_quiet() -> None:
    """Whether it is known before or after the flat bars were made."""
    bars = engine("1s")
    bars.fold(tape((NOON, 10.0)))
    bars.close_due(NOON + 3 * S)
    told = bars.mark(1, [Mark(NOON + 2 * S, NOON + 5 * S, 1)])
    told += bars.close_due(NOON + 6 * S)
    assert [(bar.ts_open - NOON) // S for bar in told] == [2, 3, 4, 5]
    assert [bar.completeness for bar in told] == [*[Completeness.GAP] * 3, Completeness.QUIET]


@given(
    st.lists(st.integers(1, 200), min_size=2, max_size=20),
    st.sampled_from([("1s",), ("1s", "5s", "1m"), ("5s", "7s")]),
    st.sampled_from([0, 3 * S]),
)
def test_every_interval_has_exactly_one_bar(
    steps_s: list[int], timeframes: tuple[str, ...], lateness_ns: int
) -> None:
    """From the first bar on, over prints and pauses, on a market that is open."""
    bars = engine(*timeframes, carry_max=10_000, lateness_ns=lateness_ns)
    ts_ns, told = NOON, []
    for step_s in steps_s:
        told += bars.fold(tape((ts_ns, 10.0))).closed
        ts_ns += step_s * S
    told += bars.close_due(ts_ns + 5 * MINUTE_NS)
    assert told == sorted(told, key=lambda bar: (bar.ts_end, tf(bar.timeframe)))
    for name in timeframes:
        opens = [bar.ts_open for bar in told if bar.timeframe == name]
        length_ns = tf(name).length_ns
        assert opens == list(range(opens[0], opens[-1] + 1, length_ns))
        assert sum(bar.n for bar in told if bar.timeframe == name) == len(steps_s)


def test_what_is_repeated_before_a_bar_does_not_forget_it_untold() -> None:
    """Hours without a print pass the horizon of bars that still wait for late ones."""
    policy = BarPolicy(5 * S, HOUR_NS, carry_max=1_000)
    for prints in range(240, 262):
        bars = ContractBars(CONTRACT, [tf("1s"), tf("1m")], CME, policy=policy)
        seconds = [*range(prints), *range(prints + 1, prints + 4)]
        told = bars.fold(tape(*((NOON + second * S, 10.0) for second in seconds))).closed
        later = NOON + (prints + 2 * 3_600) * S
        told += bars.fold(tape((later, 11.0), (later + 6 * S, 11.0))).closed
        traded = [bar for bar in told if bar.timeframe == "1s" and bar.n]
        assert [(bar.ts_open - NOON) // S for bar in traded] == [*seconds, prints + 2 * 3_600]
