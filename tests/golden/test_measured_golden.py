"""Bars beyond time of real prints against whole-number arithmetic over a sorted list."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.bars import AllBars, BarPolicy, ContractBars, Mark, MeasuredBars
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure, parse_size
from tapekeeper.model.tick import TradeBatch
from tapekeeper.verify.measured_oracle import Print, Shape, naive_measured, shape_of

pytestmark = pytest.mark.data

CALENDAR = calendar_by_name("cme")
MEASURES = ("7tick", "100vol", "1500000dollar", "6range", "4renko", "1renko")
SETS = {  # tick size, and the value of a tick
    "btcusdt_perp_2024-08-08": (0.1, "0.1"),
    "esh2_2022-01-24_0830et": (0.25, "12.5"),
    "esu4_2024-07-01_utc_midnight": (0.25, "12.5"),
    "gc_2013-10-07_08": (0.1, "10"),
}


def prints_of(trades: pl.DataFrame, symbol: str, tick_size: float) -> list[Print]:
    """The prints of one contract in order of arrival, prices in ticks."""
    mine = trades.filter(pl.col("symbol") == symbol).sort("seq", maintain_order=True)
    columns = ("ts_event", "price", "size", "side")
    return [
        (ts_ns, round(price / tick_size), size, side)
        for ts_ns, price, size, side in mine.select(columns).rows()
    ]


def expected(
    prints: list[Print], measure: str, tick_value: str, bounds: tuple[int, ...] = ()
) -> list[Shape]:
    """The oracle's bars."""
    return naive_measured(
        prints,
        Measure.parse(measure),
        session_of=lambda ts_ns: CALENDAR.session_of(ts_ns).open_ns,
        tick_value=Fraction(tick_value),
        bounds=bounds,
    )


@pytest.mark.parametrize("name", SETS)
def test_a_replay_of_real_prints_makes_the_bars_of_a_sorted_list(
    name: str, shared_data: Path
) -> None:
    """Every number of every bar of every contract, each kind, several sessions."""
    tick_size, tick_value = SETS[name]
    source = shared_data / name / "trades.parquet"
    options = ReplayOptions(
        CALENDAR,
        timeframes=tuple(map(parse_size, ("1m", *MEASURES))),
        tick_size=tick_size,
        tick_value=float(tick_value),
    )
    result = replay(source, options)
    assert result.holds
    assert list(result.bars) == ["1m", *sorted(MEASURES, key=list(result.bars).index)]
    trades = pl.read_parquet(source)
    for symbol in trades["symbol"].unique(maintain_order=True):
        prints = prints_of(trades, symbol, tick_size)
        for measure in MEASURES:
            mine = [bar for bar in result.bars[measure] if bar.contract_id == symbol]
            made = [shape_of(bar, tick_size) for bar in mine]
            assert made == expected(prints, measure, tick_value), (symbol, measure)
            decimals = {repr(price) for bar in mine for price in (bar.open, bar.close)}
            assert max(map(len, decimals), default=0) <= len("56789.75"), measure


def test_a_real_session_with_a_gap_is_exact_behind_it(shared_data: Path) -> None:
    """Two hours of gold are cut out: the bars are those of the rest, and say where they end."""
    name = "gc_2013-10-07_08"
    tick_size, tick_value = SETS[name]
    prints = prints_of(pl.read_parquet(shared_data / name / "trades.parquet"), "GCZ3", tick_size)
    from_ns = prints[len(prints) // 3][0]
    to_ns = from_ns + 7_200 * 10**9
    left = [row for row in prints if not from_ns <= row[0] < to_ns]
    assert len(left) < len(prints) - 1_000
    gold = Instrument("GCZ3", "GCZ3", tick_size=tick_size, tick_value=float(tick_value))
    policy = BarPolicy()
    bars = AllBars(
        ContractBars("GCZ3", [], CALENDAR, policy=policy), MeasuredBars(gold, CALENDAR, policy)
    )
    bars.add(map(parse_size, MEASURES))
    told = bars.mark(1, [Mark(from_ns, to_ns, 1)])
    batch = TradeBatch("GCZ3")
    for seq, (ts_ns, ticks, size, side) in enumerate(left):
        batch.append(ts_ns, ticks / 10, size, side, ts_ns, seq)
    told += bars.fold(batch).closed + bars.forming_all()
    for measure in MEASURES:
        mine = [bar for bar in told if bar.timeframe == measure]
        made = [shape_of(bar, tick_size) for bar in mine]
        assert made == expected(left, measure, tick_value, (from_ns, to_ns))
        marked = [bar for bar in mine if bar.completeness is not Completeness.COMPLETE]
        assert all(bar.ts_end <= from_ns and bar.gap_ids == (1,) for bar in marked)
        assert len(marked) <= 1  # none, where a bar ended with the last print before the gap
