"""The shapes in which a market event may come, and the members that all of them share.

What comes is `(contract id, data)`, where the data is one object, a list with nulls in between,
or an envelope `{"data": ...}` around either.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.tick import Reason

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding of any bytes may raise."""

INT64_MAX = 2**63 - 1

Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]


class _Envelope(msgspec.Struct, gc=False):
    data: msgspec.Raw


class ShapeError(ValueError):
    """Not what the market hub sends; the text says in what way."""


class FlawError(ValueError):
    """One tick is unreadable."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_decode_arguments = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def is_of(contract_id: str, symbol: str) -> bool:
    """Whether a product's symbol id (`F.US.MES`) may stand in data of a contract.

    An empty one says nothing, and of an id of another form than `CON.F.US.MES.H26` it is not known
    what its product is called.
    """
    return (
        contract_id.rpartition(".")[0] == f"CON.{symbol}"
        or not symbol
        or contract_id == f"CON.{symbol}"
        or not contract_id.startswith("CON.")
    )


def as_json(call: Invocation) -> bytes:
    """The arguments as JSON; packed ones that cannot be read are given as they came."""
    try:
        return json_arguments(call)
    except ValueError:
        # MessagePack of an array begins with a byte that no JSON begins with, so this is refused
        # by whoever reads it, and quarantined whole.
        return call.arguments


def addressed(arguments: bytes) -> tuple[str, bytes]:
    """The contract id and the undecoded data of a market event.

    Raises:
        ShapeError: it has no contract id, or no data.
    """
    try:
        parts = _decode_arguments(arguments)
    except UNREADABLE as error:
        raise ShapeError(f"unreadable arguments: {error}") from error
    if len(parts) < 2:  # noqa: PLR2004 - a contract id and data
        raise ShapeError("a market event has a contract id and data")
    try:
        contract_id = _decode_text(parts[0])
    except UNREADABLE as error:
        raise ShapeError("the first argument is not a contract id") from error
    if not contract_id:
        raise ShapeError("the contract id is empty")
    return contract_id, bytes(parts[1])


def items(data: bytes, *, in_envelope: bool = False) -> list[bytes]:
    """The ticks in any of the accepted shapes, without null padding.

    Raises:
        ShapeError: it is none of them.
    """
    if data[:1] == b"[":
        # `data` has been read as JSON once, so it is a list that can be taken apart.
        parts = [bytes(part) for part in _decode_arguments(data)]
        return [part for part in parts if part != b"null"]
    if data[:1] != b"{":
        raise ShapeError("the data is neither an object nor a list")
    try:
        inner = bytes(_decode_envelope(data).data)
    except UNREADABLE:
        return [data]  # no such member: the object is the tick itself
    if in_envelope:
        raise ShapeError("an envelope within an envelope")
    return items(inner, in_envelope=True)


def time_of(raw: bytes) -> int:
    """The time (ns UTC) in a member's JSON.

    Raises:
        FlawError: there is none.
    """
    try:
        return parse_ns(_decode_text(raw))
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors too
        raise FlawError(Reason.TIME, "no readable time") from error


def whole(number: float) -> int:
    """A volume as contracts; `2.000` is 2.

    Raises:
        FlawError: it is no whole number of 64 bits.
    """
    if number != number // 1 or abs(number) > INT64_MAX:
        raise FlawError(Reason.SIZE, "the volume is not a whole number")
    return int(number)
