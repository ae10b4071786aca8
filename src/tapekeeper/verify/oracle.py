"""What reached the process, read from the journal in the plainest way there is.

Nothing of the live path is used for it: frames are cut at the separator, or by their lengths, and
read with the standard library, or into the types the simulated gateway writes, and bars are made
by sorting. It is slow, short and easy to believe.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe

RECORD_BEGIN = b'{"type":1,'
"""How the simulated gateway begins the record of a call."""

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
        once: how often it came at least by one connection: that many are real.
        spoilt: prints in records that came behind half of another one, and so are no records.
        connections: their number.
    """

    trades: Counter[Key] = field(default_factory=Counter)
    once: Counter[Key] = field(default_factory=Counter)
    spoilt: Counter[Key] = field(default_factory=Counter)
    connections: int = 0

    def add(self, other: Reached) -> None:
        """Add what reached a later process, by other connections."""
        self.trades += other.trades
        self.once |= other.once
        self.spoilt += other.spoilt
        self.connections += other.connections

    def copy(self) -> Reached:
        """The same, which goes its own way."""
        return Reached(
            Counter(self.trades), Counter(self.once), Counter(self.spoilt), self.connections
        )


def what_reached(entries: Iterable[Entry]) -> Reached:
    """Read the frames of all connections of one run of a journal."""
    reached = Reached()
    rests: dict[int, bytes] = {}
    packed: set[int] = set()
    by_line: defaultdict[int, Counter[Key]] = defaultdict(Counter)
    for entry in entries:
        if entry.kind is EntryKind.CONNECT:
            reached.connections += 1
            rests.pop(entry.line, None)
            packed.discard(entry.line)
            if entry.payload.endswith(b" messagepack"):
                packed.add(entry.line)
        if entry.kind is EntryKind.META and b'"reattached"' in entry.payload:
            # What the old transport left unfinished comes again as a whole.
            rests.pop(json.loads(entry.payload)["line"], None)
        if entry.kind is not EntryKind.FRAME:
            continue
        data = rests.get(entry.line, b"") + entry.payload
        if entry.line in packed:
            records, rests[entry.line] = _cut_by_length(data)
            for record in records:
                by_line[entry.line].update(_packed_trades(record))
        else:
            *records, rests[entry.line] = data.split(b"\x1e")
            for record in records:
                by_line[entry.line].update(_trades(record))
                reached.spoilt.update(_spoilt(record))
    for came in by_line.values():
        reached.trades.update(came)
        reached.once |= came
    return reached


def _spoilt(record: bytes) -> Iterator[Key]:
    begin = record.rfind(RECORD_BEGIN)
    if begin > 0 and not _is_json(record):
        yield from _trades(record[begin:])


def _is_json(record: bytes) -> bool:
    try:
        json.loads(record)
    except ValueError:
        return False
    return True


def _cut_by_length(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole records and the rest."""
    records = []
    while data:
        digits = 1
        while data[digits - 1 : digits] >= b"\x80":
            digits += 1
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(data[:digits]))
        if len(data) < digits + length:
            break
        records.append(data[digits : digits + length])
        data = data[digits + length :]
    return records, data


class _PackedPrint(msgspec.Struct, rename="pascal"):
    price: str
    timestamp: tuple[msgspec.msgpack.Ext, int]
    volume: int
    type: int = -1


class _PackedTrade(msgspec.Struct, array_like=True):
    kind: Literal[1]
    headers: dict[str, str]
    invocation_id: str | None
    target: Literal["GatewayTrade"]
    arguments: tuple[str, list[_PackedPrint]]


def _packed_trades(record: bytes) -> Iterator[Key]:
    try:
        trade = msgspec.msgpack.decode(record, type=_PackedTrade)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    contract_id, prints = trade.arguments
    for one in prints:
        stamp, minutes = one.timestamp
        data = bytes(stamp.data)
        number = int.from_bytes(data)
        whole = len(data) == 4  # noqa: PLR2004 - of the three forms the one without nanoseconds
        nanos, seconds = (0, number) if whole else (number >> 34, number % 2**34)
        ts_ns = (seconds - 60 * minutes) * 1_000_000_000 + nanos
        yield contract_id, ts_ns, float(one.price), one.volume, one.type


def _trades(record: bytes) -> Iterator[Key]:
    try:
        message: Any = json.loads(record)
    except ValueError:
        return
    if not isinstance(message, dict) or message.get("target") != "GatewayTrade":
        return
    contract_id, prints = message["arguments"]
    for one in prints:
        if one and "timestamp" in one:
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


def key_of(raw: bytes) -> Key:
    """The print in a row that was quarantined."""
    row: dict[str, Any] = json.loads(raw)
    return row["contract_id"], row["ts_event"], row["price"], row["size"], row["side"]


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
