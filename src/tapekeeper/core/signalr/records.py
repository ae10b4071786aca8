"""The records of the JSON hub protocol, decoded once into values and encoded back.

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
    """Type 1. `arguments` is the undecoded JSON array; no id means no answer is wanted."""

    target: str
    arguments: bytes
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] = ()


class StreamItem(msgspec.Struct, frozen=True, gc=False):
    """Type 2. `item` is undecoded JSON."""

    invocation_id: str
    item: bytes


class Completion(msgspec.Struct, frozen=True, gc=False):
    """Type 3. `result` is undecoded JSON (None where absent); at most one of the two is set."""

    invocation_id: str
    result: bytes | None = None
    error: str | None = None


class StreamInvocation(msgspec.Struct, frozen=True, gc=False):
    """Type 4. Like `Invocation`, with an id."""

    target: str
    arguments: bytes
    invocation_id: str
    stream_ids: tuple[str, ...] = ()


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


class _Wire(msgspec.Struct, gc=False, rename="camel"):
    """The union of the members of all types; which of them must be there depends on `type`."""

    type: int
    target: str | None = None
    arguments: msgspec.Raw | None = None
    invocation_id: str | None = None
    stream_ids: tuple[str, ...] | None = None
    item: msgspec.Raw | None = None
    result: msgspec.Raw | None = None
    error: str | None = None
    allow_reconnect: bool | None = None
    sequence_id: int | None = None


_decode_wire = msgspec.json.Decoder(_Wire).decode
_encode_json = msgspec.json.Encoder().encode


def decode(raw: bytes) -> Record:
    """The record that `raw` (one record without its separator) holds."""
    try:
        wire = _decode_wire(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Malformed(raw, "an empty record" if not raw else str(error))
    make = _MAKERS.get(wire.type)
    if make is None:
        return Unknown(wire.type, raw)
    made = make(wire)
    return Malformed(raw, made) if isinstance(made, str) else made


def _invocation(wire: _Wire) -> Record | str:
    if wire.target is None or not _is_array(wire.arguments):
        return "an invocation needs a target and an array of arguments"
    return Invocation(
        wire.target, bytes(wire.arguments or b""), wire.invocation_id, wire.stream_ids or ()
    )


def _stream_item(wire: _Wire) -> Record | str:
    if wire.invocation_id is None or wire.item is None:
        return "a stream item needs an invocationId and an item"
    return StreamItem(wire.invocation_id, bytes(wire.item))


def _completion(wire: _Wire) -> Record | str:
    if wire.invocation_id is None:
        return "a completion needs an invocationId"
    if wire.result is not None and wire.error is not None:
        return "a completion has either a result or an error"
    result = None if wire.result is None else bytes(wire.result)
    return Completion(wire.invocation_id, result, wire.error)


def _stream_invocation(wire: _Wire) -> Record | str:
    if wire.target is None or wire.invocation_id is None or not _is_array(wire.arguments):
        return "a stream invocation needs a target, an invocationId and an array of arguments"
    return StreamInvocation(
        wire.target, bytes(wire.arguments or b""), wire.invocation_id, wire.stream_ids or ()
    )


def _cancel(wire: _Wire) -> Record | str:
    if wire.invocation_id is None:
        return "a cancellation needs an invocationId"
    return CancelInvocation(wire.invocation_id)


def _ping(_: _Wire) -> Record:
    return Ping()


def _close(wire: _Wire) -> Record:
    return Close(wire.error, wire.allow_reconnect or False)


def _ack(wire: _Wire) -> Record | str:
    return "an ack needs a sequenceId" if wire.sequence_id is None else Ack(wire.sequence_id)


def _sequence(wire: _Wire) -> Record | str:
    if wire.sequence_id is None:
        return "a sequence needs a sequenceId"
    return Sequence(wire.sequence_id)


def _is_array(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw).lstrip()[:1] == b"["


_MAKERS = {
    1: _invocation,
    2: _stream_item,
    3: _completion,
    4: _stream_invocation,
    5: _cancel,
    6: _ping,
    7: _close,
    8: _ack,
    9: _sequence,
}


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
