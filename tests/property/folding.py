"""Tapes as columns, folded in batches of any size, and what bars of time mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.core.bars import Folded
from tapekeeper.core.calendar import Calendar
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

Print: TypeAlias = tuple[int, float, int, int]
"""Event time (ns UTC), price (or price in ticks), size, side."""

Key: TypeAlias = tuple[str, int]
"""Timeframe, and open in ns UTC."""


class Folds(Protocol):
    """Bars of any sort."""

    def fold(self, batch: TradeBatch) -> Folded:
        """Fold prints of one contract."""
        ...


def batch_of(tape: Sequence[Print], *, contract_id: str, tick: float = 1.0) -> TradeBatch:
    """The prints as columns."""
    batch = TradeBatch(contract_id)
    for seq, (ts_ns, price, size, side) in enumerate(tape):
        batch.append(ts_ns, price * tick, size, side, ts_ns, seq)
    return batch


def fold_in(
    bars: Folds, tape: Sequence[Print], sizes: list[int], *, contract_id: str, tick: float = 1.0
) -> tuple[list[Bar], list[int]]:
    """Fold a tape in batches of these sizes, over and over; told bars and late indexes."""
    told: list[Bar] = []
    late: list[int] = []
    done = turn = 0
    while done < len(tape):
        size = sizes[turn % len(sizes)]
        result = bars.fold(batch_of(tape[done : done + size], contract_id=contract_id, tick=tick))
        told += result.closed
        late += [done + index for index in result.late]
        done += size
        turn += 1
    return told, late


def plain(
    tape: Iterable[Print], timeframes: Iterable[Timeframe], calendar: Calendar, contract_id: str
) -> dict[Key, Bar]:
    """What bars of time mean, written down as plainly as possible."""
    bars: dict[Key, Bar] = {}
    timeframes = list(timeframes)
    for row in tape:
        for timeframe in timeframes:
            interval = calendar.interval(timeframe, row[0])
            key = str(timeframe), interval.start_ns
            span = interval.start_ns, interval.end_ns
            bars[key] = _folded(bars.get(key), row, contract_id, key[0], span)
    return bars


def _folded(
    bar: Bar | None, row: Print, contract_id: str, name: str, interval: tuple[int, int]
) -> Bar:
    """The bar with one more print in it."""
    ts_ns, price, size, side = row
    buy, sell = (size if side == 0 else 0), (size if side == 1 else 0)
    turnover_e9 = int(price * 4) * 250_000_000 * size
    if bar is None:
        return Bar(
            contract_id, name, *interval, price, price, price, price, size, 1, buy, sell,
            ts_ns, ts_ns, BarState.CLOSED, 0, turnover_e9,
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
        turnover_e9=bar.turnover_e9 + turnover_e9,
    )
