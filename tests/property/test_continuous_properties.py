"""Continuous series of random markets, under every rule and adjustment."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise
from typing import NamedTuple

from hypothesis import assume, given
from hypothesis import strategies as st

from tapekeeper.app.continuous import DAILY, MEASURE, Continuous, Reading, make_continuous
from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import PRICE_SCALE, Bar, Completeness
from tapekeeper.model.continuous import Adjustment
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.session import Session
from tapekeeper.model.timeframe import MINUTE_NS, Timeframe

CALENDARS = {name: calendar_by_name(name) for name in ("cme", "24x7", "eurex", "ose")}
MONTHS = ("H26", "J26", "M26", "U26")
CHAIN = [Instrument(f"CON.F.US.MES.{code}", f"MES{code[0]}6") for code in MONTHS]
FIRST, LAST = dt.date(2026, 3, 2), dt.date(2026, 7, 10)
TIMEFRAMES = ("1m", "1h", "4h", "1d", "1w", "1mo")
RULES = (
    "volume",
    "calendar:0",
    "calendar:8",
    "dates:2026-03-12=J26,2026-04-04=M26,2026-06-15=U26",
)


class Print(NamedTuple):
    """One print: contract number, time (ns UTC), price in quarters, size."""

    contract: int
    ts_ns: int
    quarters: int
    size: int


@st.composite
def markets(draw: st.DrawFn) -> tuple[Calendar, list[Session], list[Print]]:
    """Prints of up to four expiries, sparse or dense, with sessions without any."""
    calendar = CALENDARS[draw(st.sampled_from(sorted(CALENDARS)))]
    sessions = calendar.sessions(FIRST, LAST)
    begin = draw(st.integers(0, len(sessions) - 2))
    sessions = sessions[begin : begin + draw(st.integers(1, 30))]
    # All prints of a session are within minutes of each other, so that some are in common bars.
    row = st.tuples(
        st.integers(0, len(CHAIN) - 1),
        st.integers(0, 4 * MINUTE_NS),
        st.integers(20_000, 20_400),
        st.integers(0, 9),
    )
    prints = []
    for session in sessions:
        start_ns = draw(st.sampled_from([session.open_ns, session.close_ns - 5 * MINUTE_NS]))
        for contract, after_ns, quarters, size in draw(st.lists(row, max_size=8)):
            prints.append(Print(contract, start_ns + after_ns, quarters, size))
    return calendar, sessions, sorted(prints, key=lambda each: each.ts_ns)


def bars_of(calendar: Calendar, prints: list[Print], contract_id: str, tf: Timeframe) -> list[Bar]:
    """The bars of one contract, made as plainly as can be; each is over."""
    rows: dict[tuple[int, int], list[Print]] = {}
    for each in prints:
        if CHAIN[each.contract].contract_id == contract_id:
            interval = calendar.interval(tf, each.ts_ns)
            rows.setdefault((interval.start_ns, interval.end_ns), []).append(each)
    return [
        Bar(
            contract_id,
            str(tf),
            *interval,
            group[0].quarters / 4,
            max(each.quarters for each in group) / 4,
            min(each.quarters for each in group) / 4,
            group[-1].quarters / 4,
            sum(each.size for each in group),
            len(group),
            *(0, 0),
            *(group[0].ts_ns, group[-1].ts_ns),
            gap_ids=(len(group),),
            revision=len(group) % 3,
            completeness=list(Completeness)[len(group) % 3],
            turnover_e9=sum(each.quarters * each.size for each in group) * PRICE_SCALE // 4,
        )
        for interval, group in rows.items()
    ]


def series(
    calendar: Calendar, prints: list[Print], timeframe: str, rule: str, adjust: str = "none"
) -> Continuous:
    """The continuous series of a product of these prints."""
    return make_continuous(
        Reading("MES", timeframe, rule, adjust),
        CHAIN,
        lambda _: calendar,
        lambda contract_id, tf: bars_of(calendar, prints, contract_id, Timeframe.parse(str(tf))),
    )


def by_contract(found: Continuous) -> dict[str, list[Bar]]:
    """The rows of each contract, in order of time."""
    rows: dict[str, list[Bar]] = {}
    for bar in found.bars:
        rows.setdefault(bar.contract_id, []).append(bar)
    return rows


timeframes, rules = st.sampled_from(TIMEFRAMES), st.sampled_from(RULES)


@given(markets(), timeframes, rules)
def test_segments_cover_every_session_once_and_expiries_rise(
    market: tuple[Calendar, list[Session], list[Print]], timeframe: str, rule: str
) -> None:
    """From the first session with a print on without a hole; each contract has one segment."""
    calendar, _, prints = market
    found = _series_or_none(calendar, prints, timeframe, rule)
    assume(found is not None)
    assert found is not None
    if not prints:
        assert (found.segments, found.bars, found.rolls) == ((), (), ())
        return
    assert found.segments[0].from_ns == calendar.session_of(prints[0].ts_ns).open_ns
    assert [each.to_ns for each in found.segments] == [
        *(each.from_ns for each in found.segments[1:]),
        None,
    ]
    order = [each.contract_id for each in CHAIN]
    numbers = [order.index(each.contract_id) for each in found.segments]
    assert all(left < right for left, right in pairwise(numbers))
    for each in found.segments:
        assert calendar.session_of(each.from_ns).open_ns == each.from_ns
        assert calendar.session_of(each.from_ns).date == each.session
    assert [each.ts_roll for each in found.rolls] == [s.from_ns for s in found.segments[1:]]


@given(markets(), timeframes, rules)
def test_every_row_is_the_front_contracts_own_bar(
    market: tuple[Calendar, list[Session], list[Print]], timeframe: str, rule: str
) -> None:
    """Untouched without adjustment, in order of time, no interval twice, none of them missing."""
    calendar, _, prints = market
    found = _series_or_none(calendar, prints, timeframe, rule)
    assume(found is not None)
    assert found is not None
    opens = [bar.ts_open for bar in found.bars]
    assert all(left < right for left, right in pairwise(opens))
    tf = Timeframe.parse(timeframe)
    for segment in found.segments:
        own = bars_of(calendar, prints, segment.contract_id, tf)
        rows = by_contract(found).get(segment.contract_id, [])
        assert [bar for bar in own if bar in rows] == rows
        first = segment is found.segments[0]
        inside = [
            bar
            for bar in own
            if (first or bar.ts_open >= segment.from_ns)
            and (segment.to_ns is None or bar.ts_end <= segment.to_ns)
        ]
        # A bar over two rolls stays with the contract that it opened with.
        assert [bar for bar in inside if bar not in rows] == []


@given(markets(), markets(), timeframes, st.sampled_from(RULES), st.integers(1, 29))
def test_the_future_changes_nothing_of_the_past(
    market: tuple[Calendar, list[Session], list[Print]],
    other: tuple[Calendar, list[Session], list[Print]],
    timeframe: str,
    rule: str,
    at: int,
) -> None:
    """Whatever is traded from a session on, fronts until that session's end stay what they were.

    The session itself is part of the future: what is traded in it decides nothing about it.
    """
    calendar, _, prints = market
    held = sorted({calendar.session_of(each.ts_ns).open_ns for each in prints})
    assume(at < len(held))
    cut_ns = held[at]
    past = [each for each in prints if each.ts_ns < cut_ns]
    here = [each for each in prints if calendar.session_of(each.ts_ns).open_ns == cut_ns]
    elsewhere = [each for each in other[2] if each.ts_ns >= cut_ns]
    full = _series_or_none(calendar, prints, timeframe, rule)
    for later in ([], here[:1], elsewhere):
        changed = _series_or_none(calendar, [*past, *later], timeframe, rule)
        if full is None or changed is None:
            continue
        # Without a future the series ends with the last session that has a print.
        until = cut_ns if later else held[at - 1]
        assert [
            (each.contract_id, each.from_ns, each.reason)
            for each in full.segments
            if each.from_ns <= until
        ] == [
            (each.contract_id, each.from_ns, each.reason)
            for each in changed.segments
            if each.from_ns <= until
        ]
        over = [bar for bar in full.bars if bar.ts_end <= cut_ns]
        assert [bar for bar in changed.bars if bar.ts_end <= cut_ns] == over


@given(markets(), timeframes, rules, st.sampled_from(["difference", "ratio"]))
def test_adjusting_moves_each_contract_as_a_whole(
    market: tuple[Calendar, list[Session], list[Print]], timeframe: str, rule: str, adjust: str
) -> None:
    """Differences stay exactly, or returns do; the newest contract and all but prices stay, too."""
    calendar, _, prints = market
    raw = _series_or_none(calendar, prints, timeframe, rule)
    assume(raw is not None)
    assert raw is not None
    try:
        found = series(calendar, prints, timeframe, rule, adjust)
    except UsageError:
        assert any(each.measured is None for each in raw.rolls)
        return
    assert all(each.measured is not None for each in raw.rolls)
    assert (found.rolls, found.segments) == (raw.rolls, raw.segments)
    for contract_id, rows in by_contract(raw).items():
        moved = by_contract(found)[contract_id]
        for left, right in pairwise(_prices(moved)):
            assert math.isfinite(left + right)
        if adjust == Adjustment.DIFFERENCE:
            assert _steps(_prices(moved)) == _steps(_prices(rows))
            assert _apart([bar.vwap for bar in moved], [bar.vwap for bar in rows])
        else:
            assert _returns(_prices(moved), _prices(rows))
        applied = found.adjustments.get(contract_id)
        assert (applied is None) == (contract_id == raw.segments[-1].contract_id)
        for bar, was in zip(moved, rows, strict=True):
            for name in set(Bar.__struct_fields__) - {
                "open",
                "high",
                "low",
                "close",
                "turnover_e9",
            }:
                assert getattr(bar, name) == getattr(was, name)
            if applied is None:
                assert bar == was
    jumps = [each.measured for each in found.rolls]
    for (before, after), measured in zip(pairwise(found.segments), jumps, strict=True):
        assert measured is not None
        assert math.isclose(
            _shifted(found, before.contract_id, measured.close_from),
            _shifted(found, after.contract_id, measured.close_to),
            rel_tol=1e-12,
        )


def _series_or_none(
    calendar: Calendar, prints: list[Print], timeframe: str, rule: str
) -> Continuous | None:
    """The series; None where given dates name a contract that has not traded here."""
    try:
        return series(calendar, prints, timeframe, rule)
    except UsageError:
        assert rule.startswith("dates")
        return None


def _prices(bars: list[Bar]) -> list[float]:
    return [price for bar in bars for price in (bar.open, bar.high, bar.low, bar.close)]


def _steps(prices: list[float]) -> list[int]:
    return [round((right - left) * 10**6) for left, right in pairwise(prices)]


def _apart(some: list[float | None], others: list[float | None]) -> bool:
    """Whether all of one list lie equally far from those of another; billionths are rounded."""
    far = [x - y for x, y in zip(some, others, strict=True) if x is not None and y is not None]
    return all(math.isclose(each, far[0], abs_tol=1e-8) for each in far)


def _returns(some: list[float], others: list[float]) -> bool:
    return all(
        math.isclose(right / left, now / before, rel_tol=1e-12)
        for (left, right), (before, now) in zip(pairwise(some), pairwise(others), strict=True)
    )


def _shifted(found: Continuous, contract_id: str, price: float) -> float:
    applied = found.adjustments.get(contract_id)
    if applied is None:
        return price
    return price + applied if found.adjust is Adjustment.DIFFERENCE else price * applied


def test_the_timeframes_are_those_that_are_read() -> None:
    """The plain bars above stand for what a reading asks for, each timeframe once."""
    assert Reading("MES", "5m").timeframes == (Timeframe.parse("5m"), MEASURE, DAILY)
    assert Reading("MES", "1d").timeframes == (DAILY, MEASURE)
