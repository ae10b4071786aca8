"""What holds on every calendar, at every instant, for every timeframe."""

from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.model.timeframe import DAY_NS, MINUTE_NS, SECOND_NS, Anchor, Timeframe

NAMES = (
    "cme",
    "cme_fx",
    "comex",
    "eurex",
    "ose",
    "24x7",
    "24x7@America/New_York",
    "24x7@Australia/Lord_Howe",
    "24x7@America/Sao_Paulo",
)
TEXTS = "1s 5s 1m 5m 7m 15m 30m 59m 1h 90m 2h 3h 4h 7h 23h 1d 2d 1w 1mo 3mo"
TIMEFRAMES = tuple(Timeframe.parse(text) for text in TEXTS.split())

names = st.sampled_from(NAMES)
timeframes = st.sampled_from(TIMEFRAMES)
# 2010 to 2030, and often near a whole quarter of an hour, where things begin and end.
instants = st.one_of(
    st.integers(1_262_304_000 * SECOND_NS, 1_893_456_000 * SECOND_NS),
    st.builds(
        lambda quarters, nudge_ns: 15 * MINUTE_NS * quarters + nudge_ns,
        st.integers(1_402_560, 2_103_840),
        st.sampled_from((-MINUTE_NS, -1, 0, 1, MINUTE_NS)),
    ),
)


@cache
def calendar(name: str) -> Calendar:
    """Made once, so that the answers do not depend on what was asked before."""
    return calendar_by_name(name)


@given(names, timeframes, instants)
def test_every_instant_of_a_bar_has_that_bar(name: str, timeframe: Timeframe, ts_ns: int) -> None:
    """Bars cover time without gap or overlap, and the order of questions is no matter."""
    found = calendar(name).interval(timeframe, ts_ns)
    assert found.start_ns <= ts_ns < found.end_ns
    middle_ns = (found.start_ns + found.end_ns) // 2
    for other_ns in (found.end_ns - 1, found.start_ns, middle_ns, ts_ns):
        assert calendar(name).interval(timeframe, other_ns) == found
    assert calendar(name).interval(timeframe, found.end_ns).start_ns == found.end_ns
    assert calendar(name).interval(timeframe, found.start_ns - 1).end_ns == found.start_ns


@given(names, timeframes, instants)
def test_a_bar_is_due_when_its_last_trading_is_over(
    name: str, timeframe: Timeframe, ts_ns: int
) -> None:
    """No trading is left in it then, and there was some until then; a break ends nothing."""
    mine = calendar(name)
    found = mine.interval(timeframe, ts_ns)
    assert found.start_ns < found.due_ns <= found.end_ns
    if found.due_ns < found.end_ns:
        assert mine.open_spans(found.due_ns, found.end_ns) == []
        assert mine.is_open(found.due_ns - 1)
    elif mine.open_time_ns(found.start_ns, found.end_ns):
        assert mine.is_open(found.end_ns - 1)


@given(names, timeframes, timeframes, instants)
def test_what_nests_is_never_cut(name: str, small: Timeframe, large: Timeframe, ts_ns: int) -> None:
    """Where the calendar's alignment says that bars nest, they do, over breaks and restarts."""
    mine = calendar(name)
    if small < large and small.nests_in(large, mine.alignment_ns):
        inner, outer = mine.interval(small, ts_ns), mine.interval(large, ts_ns)
        assert outer.start_ns <= inner.start_ns
        assert inner.end_ns <= outer.end_ns


@given(names, timeframes, instants)
def test_starts_are_those_of_bars_with_trading(name: str, timeframe: Timeframe, ts_ns: int) -> None:
    """Every bar that starts in a session and has trading is among its starts, and no other."""
    mine = calendar(name)
    session = mine.session_of(ts_ns)
    starts = mine.starts(timeframe, session)
    assert starts == sorted(set(starts))
    if timeframe.anchor is Anchor.DATE or timeframe.length_ns < MINUTE_NS:
        return
    expected, at_ns = [], session.open_ns
    while at_ns < session.close_ns:
        found = mine.interval(timeframe, at_ns)
        if found.start_ns >= session.open_ns and mine.open_spans(found.start_ns, found.end_ns):
            expected.append(found.start_ns)
        at_ns = found.end_ns
    # Over a long break there are more bars to step over than it takes to know.
    if session.close_ns - session.open_ns < 2 * DAY_NS:
        assert starts == expected


@given(names, instants)
def test_open_is_what_the_spans_say(name: str, ts_ns: int) -> None:
    """A session's spans are its hours without its breaks; the next open is where trading begins."""
    mine = calendar(name)
    session = mine.session_of(ts_ns)
    spans = mine.open_spans(session.open_ns, session.close_ns)
    assert mine.is_open(ts_ns) == any(start <= ts_ns < end for start, end in spans)
    assert mine.is_open(ts_ns) == session.is_open(ts_ns)
    breaks_ns = sum(item.end_ns - item.start_ns for item in session.breaks)
    hours_ns = session.close_ns - session.open_ns
    assert mine.open_time_ns(session.open_ns, session.close_ns) == hours_ns - breaks_ns
    next_ns = mine.next_open_ns(ts_ns)
    assert next_ns > ts_ns
    assert mine.is_open(next_ns)
    if not mine.is_open(ts_ns):
        assert mine.open_spans(ts_ns, next_ns) == []
