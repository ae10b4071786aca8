"""What reached the process, read from the journal in the plainest way there is.

Nothing of the live path is used for it: frames are cut at the separator and read with the
standard library, and bars are made by sorting. It is slow, short and easy to believe.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

Key: TypeAlias = tuple[str, int, float, int, int]
"""Contract, event time (ns UTC), price, size, side (0 buy, 1 sell, -1 unknown)."""

BarKey: TypeAlias = tuple[str, str, int]
"""Contract, timeframe, open (ns UTC)."""

Numbers: TypeAlias = tuple[float, float, float, float, int, int, int, int]
"""Open, high, low, close, volume, number of prints, first and last event time (ns UTC)."""


@dataclass(slots=True)
class Reached:
    """What the frames of a journal hold.

    Attributes:
        trades: how often each print came, over all connections.
        connections: their number.
    """

    trades: Counter[Key] = field(default_factory=Counter)
    connections: int = 0


def what_reached(entries: Iterable[Entry]) -> Reached:
    """Read the frames of all connections."""
    reached = Reached()
    rests: dict[int, bytes] = {}
    for entry in entries:
        if entry.kind is EntryKind.CONNECT:
            reached.connections += 1
        if entry.kind is not EntryKind.FRAME:
            continue
        *records, rests[entry.line] = (rests.get(entry.line, b"") + entry.payload).split(b"\x1e")
        for record in records:
            reached.trades.update(_trades(record))
    return reached


def _trades(record: bytes) -> Iterator[Key]:
    try:
        message: Any = json.loads(record)
    except ValueError:
        return
    if not isinstance(message, dict) or message.get("target") != "GatewayTrade":
        return
    contract_id, prints = message["arguments"]
    for one in prints:
        if "timestamp" in one:
            ts_ns = parse_ns(one["timestamp"])
            side = one.get("type", -1)
            yield contract_id, ts_ns, float(one["price"]), one["volume"], side


def accepted(batches: Iterable[TradeBatch]) -> Counter[Key]:
    """How often each print is in `batches`."""
    found: Counter[Key] = Counter()
    for batch in batches:
        rows = zip(batch.ts_event, batch.price, batch.size, batch.side, strict=True)
        found.update(
            (batch.contract_id, ts_ns, price, size, side) for ts_ns, price, size, side in rows
        )
    return found


def naive_bars(
    batches: Iterable[TradeBatch], timeframes: Iterable[Timeframe]
) -> dict[BarKey, Numbers]:
    """Bars by sorting the prints of each interval by (event time, arrival).

    Only for timeframes on the grid of the epoch: up to an hour.
    """
    rows: dict[BarKey, list[tuple[int, int, float, int]]] = defaultdict(list)
    wanted = list(timeframes)
    arrival = 0
    for batch in batches:
        for ts_ns, price, size in zip(batch.ts_event, batch.price, batch.size, strict=True):
            arrival += 1
            for timeframe in wanted:
                open_ns = ts_ns - ts_ns % timeframe.length_ns
                key = (batch.contract_id, str(timeframe), open_ns)
                rows[key].append((ts_ns, arrival, price, size))
    return {key: _numbers(sorted(prints)) for key, prints in rows.items()}


def _numbers(prints: list[tuple[int, int, float, int]]) -> Numbers:
    prices = [price for _, _, price, _ in prints]
    volume = sum(size for _, _, _, size in prints)
    return (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        volume,
        len(prints),
        prints[0][0],
        prints[-1][0],
    )


def numbers_of(bar: Bar) -> tuple[BarKey, Numbers]:
    """The same of a bar that the engine made."""
    return (bar.contract_id, bar.timeframe, bar.ts_open), (
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        bar.n,
        bar.ts_first,
        bar.ts_last,
    )
