"""The records of a hub protocol as values, decoded from JSON and encoded back.

Decoding is total: what the protocol does not allow becomes a `Malformed` value, and a type we
do not know becomes `Unknown`, so no input raises. Member order is free, unknown members are
ignored. Source: dotnet/aspnetcore HubProtocol.md, and bytes measured against a 9.0.7 server.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

PING = b'{"type":6}\x1e'
"""The only record that both sides send in the same bytes all the time."""


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """Type 1. `arguments` is the undecoded array; no id means no answer is wanted.

    `packed` says that the array is MessagePack; otherwise it is JSON.
    """

    target: str
    arguments: bytes
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] = ()
    packed: bool = False


class StreamItem(msgspec.Struct, frozen=True, gc=False):
    """Type 2. `item` is undecoded."""

    invocation_id: str
    item: bytes


class Completion(msgspec.Struct, frozen=True, gc=False):
    """Type 3. `result` is undecoded (None where absent); at most one of the two is set."""

    invocation_id: str
    result: bytes | None = None
    error: str | None = None


class StreamInvocation(msgspec.Struct, frozen=True, gc=False):
    """Type 4. Like `Invocation`, with an id."""

    target: str
    arguments: bytes
    invocation_id: str
    stream_ids: tuple[str, ...] = ()
    packed: bool = False


class CancelInvocation(msgspec.Struct, frozen=True, gc=False):
    """Type 5."""

    invocation_id: str


class Ping(msgspec.Struct, frozen=True, gc=False):
    """Type 6."""


class Close(msgspec.Struct, frozen=True, gc=False):
    """Type 7."""

    error: str | None = None
    allow_reconnect: bool = False


class Ack(msgspec.Struct, frozen=True, gc=False):
    """Type 8, of stateful reconnect only."""

    sequence_id: int


class Sequence(msgspec.Struct, frozen=True, gc=False):
    """Type 9, of stateful reconnect only."""

    sequence_id: int


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A record of a type that this protocol version does not define; to be ignored."""

    type: int
    raw: bytes


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are not a record, whole, with the reason."""

    raw: bytes
    detail: str


Record: TypeAlias = (
    Invocation
    | StreamItem
    | Completion
    | StreamInvocation
    | CancelInvocation
    | Ping
    | Close
    | Ack
    | Sequence
    | Unknown
    | Malformed
)


# One private struct per type, told apart by `type` wherever it stands in the object, so that a
# member is only read (and only judged) where its type defines it. `msgspec.Raw` cannot be joined
# with None, so an absent raw member is an empty one: JSON text is never empty.
_ABSENT = msgspec.Raw(b"")


class _Wire(msgspec.Struct, gc=False, rename="camel", tag_field="type"):
    """What all private structs share."""


class _Invocation(_Wire, tag=1):
    target: str
    arguments: msgspec.Raw
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] | None = None


class _StreamItem(_Wire, tag=2):
    invocation_id: str
    item: msgspec.Raw


class _Completion(_Wire, tag=3):
    invocation_id: str
    result: msgspec.Raw = _ABSENT
    error: str | None = None


class _StreamInvocation(_Wire, tag=4):
    target: str
    arguments: msgspec.Raw
    invocation_id: str
    stream_ids: tuple[str, ...] | None = None


class _CancelInvocation(_Wire, tag=5):
    invocation_id: str


class _Ping(_Wire, tag=6):
    pass


class _Close(_Wire, tag=7):
    error: str | None = None
    allow_reconnect: bool | None = None


class _Ack(_Wire, tag=8):
    sequence_id: int


class _Sequence(_Wire, tag=9):
    sequence_id: int


class _Typed(msgspec.Struct, gc=False):
    """The one member that a record of a type we do not know still has."""

    type: int


_decode_wire = msgspec.json.Decoder(
    _Invocation
    | _StreamItem
    | _Completion
    | _StreamInvocation
    | _CancelInvocation
    | _Ping
    | _Close
    | _Ack
    | _Sequence
).decode
_decode_typed = msgspec.json.Decoder(_Typed).decode
_encode_json = msgspec.json.Encoder().encode

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPES = range(1, 10)
_PING = Ping()


def decode(raw: bytes) -> Record:
    """The record that `raw` (one record without its separator) holds."""
    try:
        wire = _decode_wire(raw)
    except _UNREADABLE as error:
        return _unreadable(raw, error)
    if type(wire) is _Invocation:  # first, because nearly every record is one
        arguments = bytes(wire.arguments)
        if arguments[:1] != b"[":
            return Malformed(raw, "the arguments of an invocation are an array")
        return Invocation(wire.target, arguments, wire.invocation_id, wire.stream_ids or ())
    return _rarer(raw, wire)


def _rarer(raw: bytes, wire: _Wire) -> Record:  # noqa: PLR0911 - one return per type
    match wire:
        case _Ping():
            return _PING
        case _Completion():
            result = bytes(wire.result) or None
            if result is not None and wire.error is not None:
                return Malformed(raw, "a completion has either a result or an error")
            return Completion(wire.invocation_id, result, wire.error)
        case _Close():
            return Close(wire.error, wire.allow_reconnect or False)
        case _StreamItem():
            return StreamItem(wire.invocation_id, bytes(wire.item))
        case _StreamInvocation():
            arguments = bytes(wire.arguments)
            if arguments[:1] != b"[":
                return Malformed(raw, "the arguments of a stream invocation are an array")
            return StreamInvocation(
                wire.target, arguments, wire.invocation_id, wire.stream_ids or ()
            )
        case _CancelInvocation():
            return CancelInvocation(wire.invocation_id)
        case _Ack():
            return Ack(wire.sequence_id)
        case _Sequence():
            return Sequence(wire.sequence_id)
    raise AssertionError(f"a type without a case: {type(wire).__name__}")


def _unreadable(raw: bytes, error: Exception) -> Record:
    """A record of a type that is not ours, or the reason why the bytes are no record."""
    if not raw:
        return Malformed(raw, "an empty record")
    try:
        number = _decode_typed(raw).type
    except _UNREADABLE:
        return Malformed(raw, str(error))
    return Malformed(raw, str(error)) if number in _TYPES else Unknown(number, raw)


def encode_invocation(
    target: str, arguments: list[Any], *, invocation_id: str | None = None
) -> bytes:
    """A type 1 record with its separator. Arguments must be JSON-encodable."""
    return encode_invocation_raw(target, _encode_json(arguments), invocation_id=invocation_id)


def encode_invocation_raw(
    target: str, arguments: bytes, *, invocation_id: str | None = None
) -> bytes:
    """The same with `arguments` already a JSON array in UTF-8."""
    head = b'{"type":1,'
    if invocation_id is not None:
        head += b'"invocationId":' + _encode_json(invocation_id) + b","
    return head + b'"target":' + _encode_json(target) + b',"arguments":' + arguments + b"}\x1e"


def encode_completion(
    invocation_id: str, *, result: bytes | None = b"null", error: str | None = None
) -> bytes:
    """A type 3 record with its separator; `result` is JSON, None leaves it out."""
    head = b'{"type":3,"invocationId":' + _encode_json(invocation_id)
    if error is not None:
        return head + b',"error":' + _encode_json(error) + b"}\x1e"
    if result is None:
        return head + b"}\x1e"
    return head + b',"result":' + result + b"}\x1e"


def encode_close(*, error: str | None = None, allow_reconnect: bool = False) -> bytes:
    """A type 7 record with its separator."""
    body = b'{"type":7'
    if error is not None:
        body += b',"error":' + _encode_json(error)
    if allow_reconnect:
        body += b',"allowReconnect":true'
    return body + b"}\x1e"


def encode_ack(sequence_id: int) -> bytes:
    """A type 8 record with its separator."""
    return b'{"type":8,"sequenceId":%d}\x1e' % sequence_id


def encode_sequence(sequence_id: int) -> bytes:
    """A type 9 record with its separator."""
    return b'{"type":9,"sequenceId":%d}\x1e' % sequence_id
