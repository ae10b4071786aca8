"""What a hub says about the market, as bytes of the JSON protocol.

Member order and number forms follow records measured on a real server: decimals keep their
written form, timestamps have 0 to 7 fractional digits with trailing zeros dropped. The wire
counts in 100 ns, so the last two digits of a full nanosecond stamp are cut off, not rounded.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tapekeeper.core.gateway.times import format_ns

WIRE_NS = 100
"""The resolution of a timestamp on the wire, ns."""

_encode_json = msgspec.json.Encoder().encode


class Print(msgspec.Struct, frozen=True, gc=False):
    """One trade as the market makes it.

    Attributes:
        price: its decimal text, as it goes on the wire.
        size: contracts.
        side: 0 buy, 1 sell, -1 leaves `type` out.
    """

    price: str
    size: int
    side: int


class Trades(msgspec.Struct, frozen=True, gc=False):
    """Prints of one moment that travel in one record; `ts_ns` is exchange time, ns UTC."""

    contract_id: str
    ts_ns: int
    prints: tuple[Print, ...]


class QuoteDelta(msgspec.Struct, frozen=True, gc=False):
    """The members of a quote that changed, by wire name; values are JSON text."""

    contract_id: str
    ts_ns: int
    members: dict[str, str]


class DepthLine(msgspec.Struct, frozen=True, gc=False):
    """One row of depth; see `tapekeeper.model.depth.DepthKind`.

    Attributes:
        kind: the wire's number of what it says.
        price: its decimal text.
        size: what rests at the price now.
        volume: of the row's own event.
    """

    kind: int
    price: str
    size: int
    volume: int = 0


class DepthRows(msgspec.Struct, frozen=True, gc=False):
    """Rows that travel in one record; `ts_ns` is exchange time, ns UTC."""

    contract_id: str
    ts_ns: int
    rows: tuple[DepthLine, ...]


MarketEvent: TypeAlias = Trades | QuoteDelta


def symbol_id(contract_id: str) -> str:
    """The product root of a contract: `CON.F.US.EP.U24` gives `F.US.EP`."""
    return ".".join(contract_id.split(".")[1:4])


def trades_record(event: Trades) -> bytes:
    """A GatewayTrade record with its separator."""
    stamp = format_ns(event.ts_ns)
    head = f'{{"symbolId":"{symbol_id(event.contract_id)}","price":'
    body = ",".join(
        f'{head}{one.price},"timestamp":"{stamp}",'
        + (f'"type":{one.side},' if one.side >= 0 else "")
        + f'"volume":{one.size}}}'
        for one in event.prints
    )
    return (
        f'{{"type":1,"target":"GatewayTrade","arguments":["{event.contract_id}",[{body}]]}}\x1e'
    ).encode()


def quote_record(event: QuoteDelta) -> bytes:
    """A GatewayQuote record with its separator; only the members that are there."""
    stamp = format_ns(event.ts_ns)
    members = "".join(f'"{name}":{text},' for name, text in event.members.items())
    return (
        f'{{"type":1,"target":"GatewayQuote","arguments":["{event.contract_id}",'
        f'{{"symbol":"{symbol_id(event.contract_id)}",{members}"lastUpdated":"{stamp}",'
        f'"timestamp":"{stamp}"}}]}}\x1e'
    ).encode()


def depth_record(event: DepthRows) -> bytes:
    """A GatewayDepth record with its separator."""
    stamp = format_ns(event.ts_ns)
    body = ",".join(
        f'{{"timestamp":"{stamp}","type":{row.kind},"price":{row.price},"volume":{row.volume},'
        f'"currentVolume":{row.size}}}'
        for row in event.rows
    )
    return (
        f'{{"type":1,"target":"GatewayDepth","arguments":["{event.contract_id}",[{body}]]}}\x1e'
    ).encode()


def user_record(target: str, action: int, data: dict[str, object]) -> bytes:
    """A user hub event with its separator: one argument, wrapped as the live gateway does."""
    body = _encode_json([{"action": action, "data": data}])
    return b'{"type":1,"target":"' + target.encode() + b'","arguments":' + body + b"}\x1e"
