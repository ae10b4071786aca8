"""The MessagePack hub protocol: framing by length, and records that are arrays.

A record is a length (a variable-length integer, 7 bits a byte, low group first) and a MessagePack
array that begins with the type. Decoding is total, like that of the JSON records and into the
same values: a malformed record costs itself alone, since the length says where the next one
starts. Trailing elements that we do not know are ignored. Only a length that cannot be one ends
it all. Arguments and results stay undecoded here; what is in them is for who knows the payload.
Source: dotnet/aspnetcore HubProtocol.md, and bytes measured from the official JavaScript client.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tapekeeper.core.signalr.framing import DEFAULT_RECORD_BYTES_MAX
from tapekeeper.core.signalr.records import (
    Ack,
    CancelInvocation,
    Close,
    Completion,
    Invocation,
    Malformed,
    Ping,
    Record,
    Sequence,
    StreamInvocation,
    StreamItem,
    Unknown,
)
from tapekeeper.errors import ProtocolError

PING = b"\x02\x91\x06"
"""The only record that both sides send in the same bytes all the time."""

LENGTH_BYTES_MAX = 5
LENGTH_MAX = 0x7FFF_FFFF
"""What the protocol allows a length to say, which is more than is let in."""

_MORE = 0x80  # the bit of a length's byte that says that another one follows
_GROUP = 0x7F
_UNFINISHED, _BROKEN = -1, -2  # in place of a length
_ERROR, _VOID, _VALUE = 1, 2, 3  # what a completion holds


class LengthSplitter:
    """Cuts received bytes into whole records and keeps the unfinished tail.

    One splitter serves one connection; a new connection starts with a new one.
    """

    __slots__ = ("_fault", "_record_bytes_max", "_tail", "_tail_bytes", "_wanted_bytes")

    def __init__(self, *, record_bytes_max: int = DEFAULT_RECORD_BYTES_MAX) -> None:
        self._record_bytes_max = record_bytes_max
        # A record that arrives in many pieces is joined once, when enough of it is there.
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._wanted_bytes = 0
        self._fault = ""

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order, without their lengths.

        Empty records are returned as such: they are for the caller to judge. Records in front
        of a broken length are still given; it is told of by the next call.

        Raises:
            ProtocolError: a length is none, or exceeds `record_bytes_max`.
        """
        if self._tail:
            self._tail.append(data)
            self._tail_bytes += len(data)
            if self._tail_bytes < self._wanted_bytes:
                return []
            data = b"".join(self._tail)
            self._tail.clear()
            self._tail_bytes = 0
        records: list[bytes] = []
        at, end = 0, len(data)
        length = stop = 0
        while at < end:
            length, start = data[at], at + 1
            if length & _MORE or length > self._record_bytes_max:
                length, start = self._length(data, at)
            stop = start + length
            if length < 0 or stop > end:
                break
            records.append(data[start:stop])
            at = stop
        if length == _BROKEN and not records:
            raise ProtocolError(self._fault)
        if at < end:
            self._tail.append(data[at:])
            self._tail_bytes = end - at
            self._wanted_bytes = stop - at
        return records

    def _length(self, data: bytes, at: int) -> tuple[int, int]:
        """A length that is not one small byte, and where it ends."""
        length = 0
        for number, byte in enumerate(data[at : at + LENGTH_BYTES_MAX]):
            length |= (byte & _GROUP) << 7 * number
            if not byte & _MORE:
                if length > LENGTH_MAX:
                    break
                if length > self._record_bytes_max:
                    self._fault = f"a record of {length:,} bytes is announced"
                    return _BROKEN, at
                return length, at + number + 1
        else:
            if len(data) - at < LENGTH_BYTES_MAX:
                return _UNFINISHED, at
        self._fault = "the length of a record is not a length"
        return _BROKEN, at

    @property
    def pending_bytes(self) -> int:
        """Bytes of the unfinished record."""
        return self._tail_bytes


# One private struct per type, told apart by the first element. Headers mean nothing to us and are
# not looked into. `msgspec.Raw` cannot be joined with None, so an absent raw element is an empty
# one: MessagePack is never empty.
_ABSENT = msgspec.Raw(b"")


class _Wire(msgspec.Struct, gc=False, array_like=True, tag_field="type"):
    """What all private structs share."""


class _Invocation(_Wire, tag=1):
    headers: msgspec.Raw
    invocation_id: str | None
    target: str
    arguments: msgspec.Raw
    stream_ids: tuple[str, ...] | None = None


class _StreamItem(_Wire, tag=2):
    headers: msgspec.Raw
    invocation_id: str
    item: msgspec.Raw


class _Completion(_Wire, tag=3):
    headers: msgspec.Raw
    invocation_id: str
    kind: int
    value: msgspec.Raw = _ABSENT


class _StreamInvocation(_Wire, tag=4):
    headers: msgspec.Raw
    invocation_id: str
    target: str
    arguments: msgspec.Raw
    stream_ids: tuple[str, ...] | None = None


class _CancelInvocation(_Wire, tag=5):
    headers: msgspec.Raw
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


_decode_wire = msgspec.msgpack.Decoder(
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
_decode_elements = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_int = msgspec.msgpack.Decoder(int).decode
_decode_text = msgspec.msgpack.Decoder(str).decode
_encode = msgspec.msgpack.Encoder().encode

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_TYPES = range(1, 10)
_PING = Ping()


def is_array(packed: bytes) -> bool:
    """Whether a MessagePack value is an array, by its first byte."""
    return 0x90 <= packed[0] <= 0x9F or packed[0] in {0xDC, 0xDD}  # noqa: PLR2004 - the format's own


def decode(raw: bytes) -> Record:
    """The record that `raw` (one record without its length) holds."""
    try:
        wire = _decode_wire(raw)
    except _UNREADABLE as error:
        return _unreadable(raw, error)
    if type(wire) is _Invocation:  # first, because nearly every record is one
        arguments = bytes(wire.arguments)
        if not is_array(arguments):
            return Malformed(raw, "the arguments of an invocation are an array")
        return Invocation(
            wire.target,
            arguments,
            wire.invocation_id or None,  # an empty id is none
            wire.stream_ids or (),
            packed=True,
        )
    return _rarer(raw, wire)


def _rarer(raw: bytes, wire: _Wire) -> Record:  # noqa: PLR0911 - one return per type
    match wire:
        case _Ping():
            return _PING
        case _Completion():
            return _completion(raw, wire)
        case _Close():
            return Close(wire.error, wire.allow_reconnect or False)
        case _StreamItem():
            return StreamItem(wire.invocation_id, bytes(wire.item))
        case _StreamInvocation():
            arguments = bytes(wire.arguments)
            if not is_array(arguments):
                return Malformed(raw, "the arguments of a stream invocation are an array")
            return StreamInvocation(
                wire.target, arguments, wire.invocation_id, wire.stream_ids or (), packed=True
            )
        case _CancelInvocation():
            return CancelInvocation(wire.invocation_id)
        case _Ack():
            return Ack(wire.sequence_id)
        case _Sequence():
            return Sequence(wire.sequence_id)
    raise AssertionError(f"a type without a case: {type(wire).__name__}")


def _completion(raw: bytes, wire: _Completion) -> Record:
    value = bytes(wire.value)
    if wire.kind == _VOID:
        return Completion(wire.invocation_id)
    if wire.kind == _VALUE and value:
        return Completion(wire.invocation_id, value)
    if wire.kind == _ERROR and value:
        try:
            return Completion(wire.invocation_id, error=_decode_text(value))
        except _UNREADABLE as error:
            return Malformed(raw, f"the error of a completion is a text: {error}")
    return Malformed(raw, "a completion has an error, a result, or says that it has neither")


def _unreadable(raw: bytes, error: Exception) -> Record:
    """A record of a type that is not ours, or the reason why the bytes are no record."""
    if not raw:
        return Malformed(raw, "an empty record")
    try:
        number = _decode_int(_decode_elements(raw)[0])
    except (*_UNREADABLE, IndexError):
        return Malformed(raw, str(error))
    return Malformed(raw, str(error)) if number in _TYPES else Unknown(number, raw)


def framed(packed: bytes) -> bytes:
    """One record behind its length."""
    length = len(packed)
    prefix = bytearray()
    while length > _GROUP:
        prefix.append(length & _GROUP | _MORE)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + packed


def encode_invocation(
    target: str, arguments: list[Any], *, invocation_id: str | None = None
) -> bytes:
    """A type 1 record with its length, of five elements like the official clients'."""
    return framed(_encode([1, {}, invocation_id, target, arguments]))


def encode_completion(invocation_id: str, *, error: str | None = None) -> bytes:
    """A type 3 record with its length: an error, or the result nil."""
    if error is not None:
        return framed(_encode([3, {}, invocation_id, _ERROR, error]))
    return framed(_encode([3, {}, invocation_id, _VALUE, None]))


def encode_close(*, error: str | None = None, allow_reconnect: bool = False) -> bytes:
    """A type 7 record with its length."""
    return framed(_encode([7, error, True] if allow_reconnect else [7, error]))


def encode_ack(sequence_id: int) -> bytes:
    """A type 8 record with its length."""
    return framed(_encode([8, sequence_id]))


def encode_sequence(sequence_id: int) -> bytes:
    """A type 9 record with its length."""
    return framed(_encode([9, sequence_id]))
