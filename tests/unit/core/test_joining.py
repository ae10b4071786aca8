"""History joined to live: what is asked for, and which rows stand for what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest

from tapekeeper.core.bars import BarPolicy, ContractBars, marks_of
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.joining import Ask, Joined, Pages, Plan, asked_in, due_ns, join, plan, roots
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import Gap, GapCause, GapState, HistoryRow, Lack, Span
from tapekeeper.model.tick import Side, TradeBatch
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, Timeframe

S = 1_000_000_000
MS = 1_000_000
NOON = 1_767_614_400 * S
"""Monday 2026-01-05, 12:00 UTC: a boundary of every timeframe up to an hour."""
ID = "CON.F.US.MES.H26"
GRID = calendar_by_name("24x7")

Print = tuple[int, float, int]
"""Event time, price, size."""


def tf(text: str) -> Timeframe:
    """A timeframe by its name."""
    return Timeframe.parse(text)


def tape(prints: Iterable[Print]) -> TradeBatch:
    """Prints as a batch."""
    batch = TradeBatch(ID)
    for seq, (ts_ns, price, size) in enumerate(prints):
        batch.append(ts_ns, price, size, int(Side.BUY), ts_ns, seq)
    return batch


def gap_of(from_ns: int | None, to_ns: int | None, cause: GapCause = GapCause.DISCONNECT) -> Gap:
    """A gap of the contract."""
    return Gap(1, ID, cause, from_ns, to_ns, "a test", NOON)


class Vendor:
    """A gateway that has seen every print, and answers as the real one does."""

    def __init__(self, prints: Sequence[Print], *, page: int = 20_000) -> None:
        self.prints = prints
        self._page = page
        self.requests = 0

    def rows(self, timeframe: Timeframe) -> list[HistoryRow]:
        """All bars of a timeframe."""
        found: dict[int, HistoryRow] = {}
        for ts_ns, price, size in self.prints:
            span = GRID.interval(timeframe, ts_ns)
            row = found.get(span.start_ns)
            if row is None:
                row = HistoryRow(span.start_ns, span.end_ns, price, price, price, price, 0)
            found[span.start_ns] = HistoryRow(
                row.ts_open,
                row.ts_end,
                row.open,
                max(row.high, price),
                min(row.low, price),
                price,
                row.volume + size,
            )
        return list(found.values())

    def answer(self, ask: Ask) -> list[HistoryRow]:
        """Walk all pages of an ask."""
        pages = Pages(ask)
        rows = self.rows(ask.asked)
        while (page := pages.next()) is not None:
            start_ns, end_ns, limit = page
            self.requests += 1
            inside = [row for row in rows if start_ns <= row.ts_open <= end_ns]
            pages.take(reversed(inside[-min(limit, self._page) :]))
        return pages.rows


def engine(*names: str) -> ContractBars:
    """Bars of the contract."""
    return ContractBars(ID, map(tf, names), GRID, policy=BarPolicy(0, HOUR_NS))


class Live:
    """An engine, what it told last of every bar, and its repair."""

    def __init__(self, *names: str) -> None:
        self.engine = engine(*names)
        self.told: dict[str, dict[int, Bar]] = {name: {} for name in names}

    def take(self, bars: Iterable[Bar]) -> None:
        """Keep the last word."""
        for bar in bars:
            self.told[bar.timeframe][bar.ts_open] = bar

    def fold(self, prints: Iterable[Print]) -> None:
        """Prints that come live, one by one."""
        for one in prints:
            self.take(self.engine.fold(tape([one])).closed)

    def repair(self, gap: Gap, vendor: Vendor, until_ns: int, *, warm_up_bars: int = 0) -> Joined:
        """Know a gap, ask for what stands for it, and put that in."""
        self.take(self.engine.mark(gap.gap_id, marks_of(gap)))
        made = plan(
            gap,
            self.engine.timeframes,
            GRID,
            until_ns=until_ns,
            horizon_ns=HOUR_NS,
            warm_up_bars=warm_up_bars,
        )
        assert made is not None
        joined = join(made, {ask: vendor.answer(ask) for ask in made.asks}, self.told, GRID)
        repair = joined.repair
        marks = marks_of(repair.gap)
        self.take(self.engine.repair(gap.gap_id, marks, repair.bars(), repair.until_ns))
        return joined

    def numbers(self) -> dict[tuple[str, int], tuple[float, float, float, float, int]]:
        """OHLCV of all bars, closed or not."""
        bars = [bar for each in self.told.values() for bar in each.values()]
        return {
            (bar.timeframe, bar.ts_open): (bar.open, bar.high, bar.low, bar.close, bar.volume)
            for bar in [*bars, *self.engine.forming_all()]
        }


def market(from_s: float, to_s: float, step_ms: int = 371) -> list[Print]:
    """Prints around noon, some on boundaries exactly, with prices and sizes that all differ."""
    times = {NOON + at * MS for at in range(round(from_s * 1e3), round(to_s * 1e3), step_ms)}
    times |= {NOON + second * S for second in range(round(from_s), round(to_s), 2)}
    times |= {NOON + second * S - 1 for second in range(round(from_s) + 1, round(to_s), 3)}
    return [
        (ts_ns, 6000.0 + (number * 7 % 23) / 4, 1 + number * number % 11)
        for number, ts_ns in enumerate(sorted(times))
    ]


NAMES = ("1s", "5s", "1m")
OFFSETS_MS = range(-3_000, 3_001)


def test_a_start_at_every_millisecond_around_a_boundary_misses_and_doubles_nothing() -> None:
    """Bars before come from history, bars after live, and the one between from both: 6,001 times.

    Whatever the offset all bars are what they are of somebody who had followed all along.
    """
    prints = market(-70, 20)
    vendor = Vendor([one for one in prints if one[0] < NOON + 10 * S])
    whole = Live(*NAMES)
    whole.fold(prints)
    expected = whole.numbers()
    wrong = []
    for offset_ms in OFFSETS_MS:
        since_ns = NOON + offset_ms * MS
        live = Live(*NAMES)
        live.fold(one for one in prints if since_ns <= one[0] < NOON + 10 * S)
        gap = gap_of(None, since_ns, GapCause.START)
        joined = live.repair(gap, vendor, NOON + 9 * S, warm_up_bars=60)
        live.fold(one for one in prints if one[0] >= NOON + 10 * S)
        got = live.numbers()
        # The oldest second-bars were not asked for.
        recent = {key for key in expected if key[1] >= NOON - 50 * S}
        same = recent <= got.keys() and all(expected[key] == got[key] for key in got)
        if not (joined.is_whole and same):
            wrong.append(offset_ms)
        checks = live.engine.checks(sum(size for ts_ns, _, size in prints if ts_ns >= since_ns))
        assert all(check.holds for check in checks)
    assert wrong == []


@pytest.mark.parametrize("length_ms", [1, 2_350])
def test_a_hole_at_every_millisecond_around_a_boundary_is_filled_exactly(length_ms: int) -> None:
    """Both ends of a gap move through bars; zero missing, zero doubled, and all marked."""
    prints = market(-8, 14)
    vendor = Vendor(prints)
    whole = Live(*NAMES)
    whole.fold(prints)
    expected = whole.numbers()
    wrong = []
    for offset_ms in OFFSETS_MS:
        from_ns = NOON + offset_ms * MS
        to_ns = from_ns + length_ms * MS
        live = Live(*NAMES)
        live.fold(one for one in prints if not from_ns <= one[0] < to_ns)
        joined = live.repair(gap_of(from_ns, to_ns), vendor, NOON + 9 * S)
        filled = [
            bar.ts_open
            for bar in live.told["1s"].values()
            if bar.completeness is Completeness.BACKFILLED
        ]
        touched = {(ts_ns - ts_ns % S) for ts_ns in (from_ns, to_ns - 1)}
        whole_ = joined.is_whole and joined.repair.gap.state is GapState.REPAIRED
        if not whole_ or live.numbers() != expected or not touched & set(filled):
            wrong.append(offset_ms)
    assert wrong == []


def test_a_print_that_history_holds_already_is_not_counted_again() -> None:
    """A straggler into a second for which history stands is accepted, and in no bar twice."""
    prints = market(-8, 14)
    late = next(one for one in prints if one[0] > NOON + S + 500 * MS)
    live = Live(*NAMES)
    gap = gap_of(NOON, NOON + S + 100 * MS)
    live.fold(one for one in prints if not NOON <= one[0] < NOON + S + 100 * MS and one != late)
    live.repair(gap, Vendor(prints), NOON + 8 * S)
    live.fold([late])
    whole = Live(*NAMES)
    whole.fold(prints)
    assert live.numbers() == whole.numbers()
    accepted = sum(size for ts, _, size in prints if not NOON <= ts < NOON + S + 100 * MS)
    assert all(check.holds for check in live.engine.checks(accepted))


def test_a_gap_older_than_what_is_kept_is_filled_timeframe_by_timeframe() -> None:
    """Three hours without a line: larger bars cannot be made of seconds that are forgotten."""
    prints = [(NOON + at * S + 5, 6000.0 + at % 97, 1 + at % 5) for at in range(-11_000, 1_500, 7)]
    names = ("1s", "1m", "15m", "1h", "4h")
    whole, live = Live(*names), Live(*names)
    whole.fold(prints)
    from_ns, to_ns = NOON - 10_000 * S + 3, NOON + 700 * S
    live.fold(one for one in prints if not from_ns <= one[0] < to_ns)
    joined = live.repair(gap_of(from_ns, to_ns), Vendor(prints), NOON + 1_400 * S)
    assert joined.is_whole
    assert live.numbers() == whole.numbers()


def test_what_the_gateway_has_not_stays_a_gap() -> None:
    """A row that holds less than what came live is not believed, and what is not there neither."""
    prints = market(-8, 14)
    from_ns, to_ns = NOON + 500 * MS, NOON + 4 * S + 500 * MS
    live = Live(*NAMES)
    live.fold(one for one in prints if not from_ns <= one[0] < to_ns)
    short = Vendor([one for one in prints if one[0] < NOON + 3 * S])
    joined = live.repair(gap_of(from_ns, to_ns), short, NOON + 9 * S)
    assert not joined.is_whole
    gap = joined.repair.gap
    assert gap.state is GapState.PARTLY_REPAIRED
    assert gap.unrestored == ((NOON + 3 * S, to_ns),)
    assert gap.note == "the gateway's history has less than what came live in 1 bars"
    worth = {(bar.ts_open - NOON) // S: bar.completeness for bar in live.told["1s"].values()}
    assert [worth.get(second) for second in (-1, 0, 1, 2, 4, 5)] == [
        Completeness.COMPLETE,
        *[Completeness.BACKFILLED] * 3,
        Completeness.GAP,
        Completeness.COMPLETE,
    ]
    nothing = Live(*NAMES)
    nothing.fold(one for one in prints if not from_ns <= one[0] < to_ns)
    joined = nothing.repair(gap_of(from_ns, to_ns), Vendor([]), NOON + 9 * S)
    assert joined.repair.gap.restored == ()
    assert joined.repair.gap.note


def test_a_complete_bar_is_never_overwritten() -> None:
    """Rows beyond the gap are counted where they differ, and left out."""
    prints = market(-8, 14)
    live = Live("1s")
    live.fold(one for one in prints if not NOON + S <= one[0] < NOON + 2 * S)
    gap = gap_of(NOON + S, NOON + 2 * S)
    live.take(live.engine.mark(1, marks_of(gap)))
    before = live.told["1s"][NOON]
    made = plan(gap, [tf("1s")], GRID, until_ns=NOON + 9 * S, horizon_ns=HOUR_NS)
    assert made is not None
    rows = [
        msgspec.structs.replace(row, volume=row.volume + 1)
        for row in Vendor(prints).rows(tf("1s"))
        if NOON <= row.ts_open < NOON + 3 * S
    ]
    joined = join(made, {made.asks[0]: rows}, live.told, GRID)
    assert [row.ts_open for one in joined.repair.history for row in one.rows] == [NOON + S]
    assert joined.differing == 2
    live.take(
        live.engine.repair(1, marks_of(joined.repair.gap), joined.repair.bars(), NOON + 2 * S)
    )
    assert live.told["1s"][NOON] == before


def test_rows_that_cannot_be_are_refused() -> None:
    """Off the grid, not finite, or with a high below the low."""
    gap = gap_of(NOON, NOON + 3 * S)
    made = plan(gap, [tf("1s")], GRID, until_ns=NOON + 9 * S, horizon_ns=HOUR_NS)
    assert made is not None
    good = HistoryRow(NOON, NOON + S, 1.0, 2.0, 1.0, 2.0, 3)
    bad = [
        msgspec.structs.replace(good, ts_open=NOON + 1),
        msgspec.structs.replace(good, ts_open=NOON + S, high=float("inf")),
        msgspec.structs.replace(good, ts_open=NOON + S, low=1.5),
        msgspec.structs.replace(good, ts_open=NOON + S, volume=-1),
    ]
    joined = join(made, {made.asks[0]: [good, *bad]}, {}, GRID)
    assert joined.refused == 4
    assert [len(one.rows) for one in joined.repair.history] == [1]


def test_pages_go_backwards_and_drop_what_comes_twice() -> None:
    """A gateway that gives 100 rows a page is asked until all is there, whatever it cuts at."""
    prints = [(NOON + at * S, 6000.0, 1) for at in range(-1_000, 0)]
    vendor = Vendor(prints, page=100)
    ask = Ask(tf("1s"), tf("1s"), NOON - 1_000 * S, NOON)
    assert [row.ts_open for row in vendor.answer(ask)] == [ts_ns for ts_ns, _, _ in prints]
    assert vendor.requests == 11
    # History that does not reach back so far: a page that adds nothing ends it.
    ask = Ask(tf("1s"), tf("1s"), NOON - 2_000 * S, NOON)
    assert len(vendor.answer(ask)) == 1_000
    ask = Ask(tf("1s"), tf("1s"), NOON - 10 * S, NOON, rows_min=150)
    assert len(vendor.answer(ask)) >= 150


def test_longer_bars_are_made_of_what_stands_on_a_grid_that_is_known() -> None:
    """Up to an hour a timeframe is asked for itself, beyond it hours, or what nests in its day."""
    assert asked_in(tf("15m"), GRID) == tf("15m")
    assert asked_in(tf("4h"), GRID) == tf("1h")
    assert asked_in(tf("1w"), GRID) == tf("1h")
    assert roots([tf("1m"), tf("7m"), tf("5m"), tf("1h")], GRID) == [tf("1m")]
    assert roots([tf("5m"), tf("7m"), tf("1h")], GRID) == [tf("5m"), tf("7m")]
    prints = [(NOON + hour * HOUR_NS, 6000.0 + hour, 1) for hour in range(-60, 1)]
    live = Live("1h", "4h", "1d")
    live.fold(prints[-1:])
    gap = gap_of(None, NOON + 1, GapCause.START)
    joined = live.repair(gap, Vendor(prints), NOON + HOUR_NS, warm_up_bars=2)
    assert [len(one.rows) for one in joined.repair.history] == [3, 3, 2]
    assert all(check.holds for check in live.engine.checks(1))
    midnight = NOON - NOON % DAY_NS
    day = live.numbers()["1d", midnight - DAY_NS]
    assert day == (6000.0 - 36, 6000.0 - 13, 6000.0 - 36, 6000.0 - 13, 24)


def test_two_roots_are_both_repaired() -> None:
    """Bars of seven minutes are made of no others, so they are asked for themselves."""
    prints = [(NOON + at * 10 * S, 6000.0 + at % 13, 1 + at % 3) for at in range(-300, 300)]
    whole, live = Live("5m", "7m"), Live("5m", "7m")
    whole.fold(prints)
    gap = gap_of(NOON + 30 * S, NOON + 90 * S)
    live.fold(one for one in prints if not NOON + 30 * S <= one[0] < NOON + 90 * S)
    due = due_ns(gap, [tf("5m"), tf("7m")], GRID)
    assert due > NOON + 90 * S
    assert live.repair(gap, Vendor(prints), due).is_whole
    assert live.numbers() == whole.numbers()


def test_nothing_is_planned_where_nothing_can_be_had() -> None:
    """A gap that is repaired, one since ever that is no start, and no timeframes."""
    whole = msgspec.structs.replace(gap_of(NOON, NOON + S), restored=(Span(NOON, NOON + S),))
    for gap in (whole, gap_of(None, NOON)):
        assert plan(gap, [tf("1s")], GRID, until_ns=NOON + MINUTE_NS, horizon_ns=0) is None
    gap = gap_of(NOON, NOON + S)
    assert plan(gap, [], GRID, until_ns=NOON + MINUTE_NS, horizon_ns=0) is None


def lack(to_ns: int, *, goes_on: bool = True) -> dict[str, Lack]:
    """What the day of NOON lacks."""
    day = GRID.interval(tf("1d"), NOON)
    return {"1d": Lack(day.start_ns, to_ns, day.end_ns, "1m", goes_on=goes_on)}


def day_plan(to_ns: int, *, goes_on: bool = True) -> Plan:
    """How a day that was added to minutes is warmed up."""
    gap = msgspec.structs.replace(gap_of(None, to_ns, GapCause.START), timeframes=("1d",))
    made = plan(
        gap,
        [tf("1m"), tf("1d")],
        GRID,
        until_ns=to_ns + 60 * S,
        horizon_ns=HOUR_NS,
        whole_ns=to_ns,
        warm_up_bars=2,
        lacks=lack(to_ns, goes_on=goes_on),
    )
    assert made is not None
    return made


def test_the_beginning_of_a_day_is_asked_for_in_as_few_rows_as_may_be() -> None:
    """Whole hours, and minutes of the rest; joined they end where our own bars begin."""
    to_ns = NOON + 7 * MINUTE_NS
    made = day_plan(to_ns)
    (beginning,) = made.beginnings
    spans = [(str(ask.asked), ask.to_ns) for ask in beginning.asks]
    assert spans == [("1h", NOON), ("1m", to_ns)]
    vendor = Vendor(market(-40 * 3_600, 600, step_ms=30_000))
    answers = {ask: vendor.answer(ask) for ask in made.all_asks()}
    joined = join(made, answers, {}, GRID)
    assert (joined.is_whole, joined.has_begun) == (True, True)
    row = joined.repair.history[-1].rows[-1]
    day_ns = GRID.interval(tf("1d"), NOON).start_ns
    inside = [one for one in vendor.prints if day_ns <= one[0] < to_ns]
    assert (row.ts_open, row.ts_end) == (day_ns, to_ns)
    assert (row.open, row.close) == (inside[0][1], inside[-1][1])
    assert row.volume == sum(one[2] for one in inside)
    assert joined.repair.gap.unrestored[-1][1] != to_ns


def test_a_beginning_that_cannot_be_had_whole_is_left_out() -> None:
    """Nothing answers, or less than came live, or what lies behind it lacks something itself."""
    to_ns = NOON + 7 * MINUTE_NS
    vendor = Vendor(market(-40 * 3_600, 600, step_ms=30_000))
    bar = Bar(ID, "1m", NOON, NOON + MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 10**9, 1, 0, 0, NOON, NOON)
    for goes_on, answers_it, live in (
        (False, True, {}),
        (True, False, {}),
        (True, True, {"1m": {NOON: bar}}),
    ):
        made = day_plan(to_ns, goes_on=goes_on)
        parts = made.beginnings[0].asks
        answers = {
            ask: vendor.answer(ask) if answers_it or ask not in parts else []
            for ask in made.all_asks()
        }
        joined = join(made, answers, live, GRID)
        assert (joined.is_whole, joined.has_begun) == (False, False)
        assert joined.repair.gap.unrestored[-1][1] == to_ns
        assert all(row.ts_end <= made.beginnings[0].lack.from_ns
                   for one in joined.repair.history for row in one.rows)  # fmt: skip


def test_a_bar_that_has_its_beginning_already_is_not_asked_for() -> None:
    """The contract's own history has brought it; the gap is over with that."""
    to_ns = NOON + 7 * MINUTE_NS
    day = GRID.interval(tf("1d"), NOON)
    gap = msgspec.structs.replace(gap_of(None, to_ns, GapCause.START), timeframes=("1d",))
    done = {"1d": Lack(day.start_ns, day.start_ns, day.end_ns, "1m", goes_on=True)}
    made = plan(gap, [tf("1d")], GRID, until_ns=to_ns + S, horizon_ns=HOUR_NS, lacks=done)
    assert made is not None
    assert made.beginnings[0].asks == ()
    joined = join(made, {ask: [] for ask in made.all_asks()}, {}, GRID)
    assert joined.has_begun
    assert joined.repair.history == ()
    assert joined.repair.gap.restored == (Span(day.start_ns, to_ns),)
