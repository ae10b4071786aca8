"""Bars against a naive model: one dictionary per timeframe, nothing shared, nothing clever."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import SECOND_NS, Timeframe

CONTRACT = "CON.F.US.EP.U24"
CALENDARS = {name: calendar_by_name(name) for name in ("cme", "24x7")}
SHORT = ("1s", "2s", "3s", "5s", "7s", "15s", "60s", "1m", "2m", "5m", "7m", "15m", "30m", "1h")
LONG = ("90m", "2h", "3h", "4h", "7h", "1d", "2d", "3d", "1w", "2w", "1mo", "3mo")
Print = tuple[int, float, int, int]

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


@dataclass
class Naive:
    """What bars mean, written down as plainly as possible."""

    timeframes: list[Timeframe]
    calendar: Calendar
    open_bars: dict[Timeframe, dict[int, Bar]] = field(default_factory=lambda: defaultdict(dict))
    closed: list[Bar] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    high_ns: int = -1
    floor_ns: int = -1

    def take(self, index: int, row: Print) -> None:
        """Fold one print into the bar of every timeframe, then close what is over."""
        if row[0] < self.floor_ns:
            self.late.append(index)
            return
        for timeframe in self.timeframes:
            interval = self.calendar.interval(timeframe, row[0])
            bars = self.open_bars[timeframe]
            bars[interval.start_ns] = folded(
                bars.get(interval.start_ns),
                row,
                str(timeframe),
                (interval.start_ns, interval.end_ns),
            )
        self.high_ns = max(self.high_ns, row[0])
        over = [
            (bar.ts_end, timeframe, bar.ts_open)
            for timeframe, bars in self.open_bars.items()
            for bar in bars.values()
            if bar.ts_end <= self.high_ns
        ]
        for end_ns, timeframe, open_ns in sorted(over):
            bar = self.open_bars[timeframe].pop(open_ns)
            self.closed.append(msgspec.structs.replace(bar, state=BarState.CLOSED))
            self.floor_ns = max(self.floor_ns, end_ns)

    def forming(self) -> list[Bar]:
        """What is still open."""
        return [bar for item in sorted(self.timeframes) for bar in self.open_bars[item].values()]


def folded(bar: Bar | None, row: Print, name: str, interval: tuple[int, int]) -> Bar:
    """The bar with one more print in it."""
    ts_ns, price, size, side = row
    buy, sell = (size if side == 0 else 0), (size if side == 1 else 0)
    if bar is None:
        return Bar(
            CONTRACT, name, *interval, price, price, price, price, size, 1, buy, sell,
            ts_ns, ts_ns, BarState.FORMING,
        )  # fmt: skip
    return msgspec.structs.replace(
        bar,
        open=price if ts_ns < bar.ts_first else bar.open,
        high=max(bar.high, price),
        low=min(bar.low, price),
        close=price if ts_ns >= bar.ts_last else bar.close,
        volume=bar.volume + size,
        n=bar.n + 1,
        buy_vol=bar.buy_vol + buy,
        sell_vol=bar.sell_vol + sell,
        ts_first=min(bar.ts_first, ts_ns),
        ts_last=max(bar.ts_last, ts_ns),
    )


def batch_of(tape: list[Print]) -> TradeBatch:
    """The prints as columns."""
    batch = TradeBatch(CONTRACT)
    for seq, (ts_ns, price, size, side) in enumerate(tape):
        batch.append(ts_ns, price, size, side, ts_ns, seq)
    return batch


def fold_in(bars: ContractBars, tape: list[Print], sizes: list[int]) -> tuple[list[Bar], list[int]]:
    """Fold a tape in batches of these sizes, over and over; closed bars and late indexes."""
    closed: list[Bar] = []
    late: list[int] = []
    done = turn = 0
    while done < len(tape):
        size = sizes[turn % len(sizes)]
        result = bars.fold(batch_of(tape[done : done + size]))
        closed += result.closed
        late += [done + index for index in result.late]
        done += size
        turn += 1
    return closed, late


@given(prints(), timeframe_sets, calendars, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_bars_are_those_of_one_dictionary_per_timeframe(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar, sizes: list[int]
) -> None:
    """For every tape, set of timeframes and split into batches: the same bars, order and lates."""
    naive = Naive(timeframes, calendar)
    for index, row in enumerate(tape):
        naive.take(index, row)

    bars = ContractBars(CONTRACT, timeframes, calendar)
    closed, late = fold_in(bars, tape, sizes)

    assert late == naive.late
    assert closed == naive.closed
    assert bars.forming_all() == naive.forming()


@given(prints(), timeframe_sets, calendars)
def test_no_contract_is_lost_or_made(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """Of every timeframe, the bars hold exactly the volume and prints that were accepted."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    closed, late = fold_in(bars, tape, [5])
    accepted = [row for index, row in enumerate(tape) if index not in set(late)]
    volume = sum(row[2] for row in accepted)

    checks = bars.checks(volume)
    everything = closed + bars.forming_all()

    assert all(check.holds for check in checks + bars.checks(volume))
    for timeframe in timeframes:
        mine = [bar for bar in everything if bar.timeframe == str(timeframe)]
        assert sum(bar.volume for bar in mine) == volume
        assert sum(bar.n for bar in mine) == len(accepted)
        assert sum(bar.buy_vol for bar in mine) == sum(row[2] for row in accepted if row[3] == 0)
        assert sum(bar.sell_vol for bar in mine) == sum(row[2] for row in accepted if row[3] == 1)


@given(prints(), timeframe_sets, calendars)
def test_a_bar_is_consistent_with_itself_and_its_interval(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """Low <= open, close <= high; its prints are within it; no interval has two bars."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    closed, _ = fold_in(bars, tape, [len(tape) or 1])
    everything = closed + bars.forming_all()

    for bar in everything:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.ts_open <= bar.ts_first <= bar.ts_last < bar.ts_end
        assert bar.n >= 1
        assert bar.buy_vol + bar.sell_vol <= bar.volume
    stamps = [(bar.timeframe, bar.ts_open) for bar in everything]
    assert len(stamps) == len(set(stamps))


@given(prints(), timeframe_sets, calendars)
def test_smaller_bars_add_up_to_larger_ones(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar
) -> None:
    """Where one timeframe nests in another, a larger bar is made of the smaller ones within it."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    closed, _ = fold_in(bars, tape, [3])
    everything = closed + bars.forming_all()

    for small in timeframes:
        for large in timeframes:
            if small is large or not small.nests_in(large, calendar.alignment_ns):
                continue
            parts = [bar for bar in everything if bar.timeframe == str(small)]
            for bar in (bar for bar in everything if bar.timeframe == str(large)):
                within = [part for part in parts if bar.ts_open <= part.ts_open < bar.ts_end]
                within.sort(key=lambda part: part.ts_open)
                assert all(part.ts_end <= bar.ts_end for part in within)
                assert sum(part.volume for part in within) == bar.volume
                assert sum(part.n for part in within) == bar.n
                assert max(part.high for part in within) == bar.high
                assert min(part.low for part in within) == bar.low
                assert (within[0].open, within[-1].close) == (bar.open, bar.close)


@given(
    prints(),
    timeframe_sets,
    calendars,
    st.lists(st.integers(-5, 4 * 86_400), min_size=1, max_size=6),
)
def test_a_timer_closes_what_is_due_and_nothing_else(
    tape: list[Print], timeframes: list[Timeframe], calendar: Calendar, waits_s: list[int]
) -> None:
    """After `close_due(now)` nothing is due by now, and no volume is lost or counted twice."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    closed: list[Bar] = []
    volume = 0
    for turn, row in enumerate(tape):
        result = bars.fold(batch_of([row]))
        volume += 0 if result.late else row[2]
        now_ns = row[0] + waits_s[turn % len(waits_s)] * SECOND_NS
        due_ns = bars.due_ns()
        timed = bars.close_due(now_ns)
        assert bool(timed) == (due_ns is not None and due_ns <= now_ns)
        left = bars.due_ns()
        assert left is None or left > now_ns
        assert all(bar.ts_last < now_ns for bar in timed)
        assert all(check.holds for check in bars.checks(volume))
        closed += result.closed + timed
    everything = closed + bars.forming_all()
    stamps = [(bar.timeframe, bar.ts_open) for bar in everything]
    assert len(stamps) == len(set(stamps))
    for timeframe in timeframes:
        mine = [bar for bar in everything if bar.timeframe == str(timeframe)]
        assert sum(bar.volume for bar in mine) == volume
        assert [bar.ts_open for bar in mine] == sorted(bar.ts_open for bar in mine)


@given(prints(), timeframe_sets, timeframe_sets, calendars, st.integers(0, 60))
def test_a_timeframe_added_later_changes_no_other(
    tape: list[Print],
    timeframes: list[Timeframe],
    more: list[Timeframe],
    calendar: Calendar,
    at: int,
) -> None:
    """Accepted prints reach every timeframe, old and new, and old bars are what they would be."""
    bars = ContractBars(CONTRACT, timeframes, calendar)
    before, late_before = fold_in(bars, tape[:at], [4])
    volume = sum(row[2] for i, row in enumerate(tape[:at]) if i not in set(late_before))
    bars.add(more, volume)
    assert bars.timeframes == tuple(sorted({*timeframes, *more}))
    after, late_after = fold_in(bars, tape[at:], [4])
    kept = [row for i, row in enumerate(tape[at:]) if i not in set(late_after)]
    volume += sum(row[2] for row in kept)
    assert all(check.holds for check in bars.checks(volume))

    # A new timeframe can make a print late, so the comparison is with the prints it accepted.
    accepted = [row for i, row in enumerate(tape[:at]) if i not in set(late_before)] + kept
    alone = ContractBars(CONTRACT, timeframes, calendar)
    closed, late = fold_in(alone, accepted, [4])
    assert late == []
    old = {str(item) for item in timeframes}
    mine = [bar for bar in before + after + bars.forming_all() if bar.timeframe in old]
    by_stamp = {(bar.timeframe, bar.ts_open): bar for bar in mine}
    assert len(by_stamp) == len(mine)
    expected = closed + alone.forming_all()
    assert by_stamp == {(bar.timeframe, bar.ts_open): bar for bar in expected}
