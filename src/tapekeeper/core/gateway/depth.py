"""Depth rows of the gateway, decoded.

What comes is `(contract id, data)`, in the shapes of `tapekeeper.core.gateway.shapes`. A row has
`type` (see `DepthKind`), `price`, `volume`, `currentVolume` and `timestamp`; an `index` that some
have is not read, because a level is known by its price.

Only the shape is judged here; whether a price is on the grid is for validation. A row whose type
is unknown is unreadable, because nobody can say what it does to the book. A Reset needs nothing
but its type. Received = rows + the ticks of what was rejected.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tapekeeper.core.gateway.shapes import (
    INT64_MAX,
    UNREADABLE,
    FlawError,
    Int64,
    ShapeError,
    addressed,
    items,
    time_of,
    whole,
)
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.model.depth import LEVEL_KINDS, DepthKind, DepthRow
from tapekeeper.model.tick import Reason, Rejected

DEPTH_TARGET = "GatewayDepth"

_RESET = int(DepthKind.RESET)
_KINDS = frozenset(map(int, DepthKind)) - {int(DepthKind.UNKNOWN)}
_NOTHING = (b"", b"null")


@dataclass(slots=True)
class DepthRecord:
    """What one call of the hub held.

    Attributes:
        contract_id: "" where it is unreadable.
        rows: the readable ones, in order.
        rejected: what could not be read.
        received: rows, the rejected ones included; null padding is not counted.
    """

    contract_id: str = ""
    rows: list[DepthRow] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    received: int = 0


class _Row(msgspec.Struct, gc=False, rename="camel"):
    """A row as nearly all are; whatever does not fit is read member by member."""

    type: int
    price: float
    volume: Int64
    current_volume: Int64
    timestamp: str


class _RawRow(msgspec.Struct, gc=False, rename="camel"):
    """A row whose members are judged one by one; absent members are empty."""

    type: msgspec.Raw = msgspec.Raw(b"")
    price: msgspec.Raw = msgspec.Raw(b"")
    volume: msgspec.Raw = msgspec.Raw(b"")
    current_volume: msgspec.Raw = msgspec.Raw(b"")
    timestamp: msgspec.Raw = msgspec.Raw(b"")


_decode_rows = msgspec.json.Decoder(tuple[str, list[_Row | None]]).decode
_decode_raw_row = msgspec.json.Decoder(_RawRow).decode
_decode_float = msgspec.json.Decoder(float).decode
_decode_number = msgspec.json.Decoder(int | float).decode
_decode_int = msgspec.json.Decoder(int).decode


class DepthDecoder:
    """Decodes the depth of one run's market hub, and numbers its rows."""

    def __init__(self) -> None:
        self._next_seq = 0

    def decode(self, arguments: bytes, recv_ns: int) -> DepthRecord:
        """Read the arguments of a `GatewayDepth` call; never raises.

        Args:
            arguments: undecoded JSON.
            recv_ns: when its frame was received, host clock, ns UTC.
        """
        rows: list[DepthRow] = []
        contract_id = ""
        seq = self._next_seq
        ts_event = 0
        text: str | None = None
        try:
            contract_id, found = _decode_rows(arguments)
            for item in found:
                if item is None:
                    continue
                if item.type not in _KINDS or item.type == _RESET:
                    contract_id = ""
                    break
                if item.timestamp != text:  # rows of one record mostly share it
                    ts_event, text = parse_ns(item.timestamp), item.timestamp
                rows.append(
                    DepthRow(
                        item.type,
                        item.price,
                        item.current_volume,
                        item.volume,
                        ts_event,
                        recv_ns,
                        seq,
                    )
                )
                seq += 1
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors too
            contract_id = ""
        if not contract_id:
            return self._one_by_one(arguments, recv_ns)
        self._next_seq = seq
        return DepthRecord(contract_id, rows, received=len(rows))

    def _one_by_one(self, arguments: bytes, recv_ns: int) -> DepthRecord:
        """The slow way: any accepted shape, each row judged by itself."""
        record = DepthRecord()
        try:
            record.contract_id, data = addressed(arguments)
            parts = items(data)
        except ShapeError as error:
            self._next_seq += 1
            record.received = 1
            record.rejected.append(
                Rejected(Reason.PAYLOAD, str(error), arguments, recv_ns, record.contract_id)
            )
            return record
        for raw in parts:
            record.received += 1
            seq = self._next_seq
            self._next_seq += 1
            try:
                record.rows.append(_row(raw, recv_ns, seq))
            except FlawError as flaw:
                record.rejected.append(
                    Rejected(flaw.reason, str(flaw), raw, recv_ns, record.contract_id)
                )
        return record


def _row(raw: bytes, recv_ns: int, seq: int) -> DepthRow:
    try:
        item = _decode_raw_row(raw)
    except UNREADABLE as error:
        raise FlawError(Reason.PAYLOAD, f"an unreadable depth row: {error}") from error
    kind = _kind(bytes(item.type))
    if kind == _RESET:
        return DepthRow(kind, 0.0, 0, 0, _reset_time(bytes(item.timestamp)), recv_ns, seq)
    ts_event = time_of(bytes(item.timestamp))
    if bytes(item.price) in _NOTHING:
        raise FlawError(Reason.PRICE, "no price")
    if kind in LEVEL_KINDS and bytes(item.current_volume) in _NOTHING:
        raise FlawError(Reason.SIZE, "no currentVolume")
    try:
        price = _decode_float(item.price)
        size = _number(bytes(item.current_volume))
        volume = _number(bytes(item.volume))
    except UNREADABLE as error:
        raise FlawError(Reason.PAYLOAD, f"price or volume is not a number: {error}") from error
    return DepthRow(kind, price, whole(size), whole(volume), ts_event, recv_ns, seq)


def _kind(raw: bytes) -> int:
    try:
        kind = _decode_int(raw)
    except UNREADABLE as error:
        raise FlawError(Reason.PAYLOAD, "no readable type") from error
    if kind not in _KINDS:
        raise FlawError(Reason.PAYLOAD, f"type {kind} is no known kind of depth row")
    return kind


def _number(raw: bytes) -> float:
    return 0 if raw in _NOTHING else _decode_number(raw)


def _reset_time(raw: bytes) -> int:
    """When a Reset happened; 0 where it does not say, which is no reason to leave it undone."""
    try:
        ts_event = time_of(raw)
    except FlawError:
        return 0
    return ts_event if 0 <= ts_event <= INT64_MAX else 0
