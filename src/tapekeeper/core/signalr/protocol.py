"""A hub protocol as one value: how records are framed, decoded and encoded.

A session is written once and given the protocol to speak. The handshake is no part of it: its
two records are JSON with a separator under every protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tapekeeper.core.signalr import msgpack, records
from tapekeeper.core.signalr.framing import RecordSplitter
from tapekeeper.core.signalr.msgpack import LengthSplitter
from tapekeeper.core.signalr.records import Record
from tapekeeper.errors import UsageError


class Splitter(Protocol):
    """Cuts received bytes into whole records and keeps the unfinished tail."""

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order, without their framing.

        Raises:
            ProtocolError: where the next record starts can no longer be told.
        """
        ...

    @property
    def pending_bytes(self) -> int:
        """Bytes of the unfinished record."""
        ...


class InvocationEncoder(Protocol):
    """Encodes a type 1 record."""

    def __call__(
        self, target: str, arguments: list[Any], *, invocation_id: str | None = None
    ) -> bytes:
        """The framed record."""
        ...


class CompletionEncoder(Protocol):
    """Encodes a type 3 record."""

    def __call__(self, invocation_id: str, *, error: str | None = None) -> bytes:
        """The framed record, with the result null where there is no error."""
        ...


class CloseEncoder(Protocol):
    """Encodes a type 7 record."""

    def __call__(self, *, error: str | None = None, allow_reconnect: bool = False) -> bytes:
        """The framed record."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class HubProtocol:
    """One hub protocol.

    Attributes:
        name: as the handshake and the configuration say it.
        is_binary: whether its records travel in binary WebSocket messages.
        new_splitter: makes the splitter of one connection, given the most bytes of a record.
        decode: total; one record without its framing.
        encode_invocation, encode_completion, encode_close: framed records.
        encode_ack, encode_sequence: the same, given the sequence id.
        ping: a framed ping.
    """

    name: str
    is_binary: bool
    new_splitter: Callable[[int], Splitter]
    decode: Callable[[bytes], Record]
    encode_invocation: InvocationEncoder
    encode_completion: CompletionEncoder
    encode_close: CloseEncoder
    encode_ack: Callable[[int], bytes]
    encode_sequence: Callable[[int], bytes]
    ping: bytes

    def handshake(self, version: int = 1) -> bytes:
        """The first record of a client. Version 2 is for stateful reconnect only."""
        return f'{{"protocol":"{self.name}","version":{version}}}\x1e'.encode()


def _json_splitter(record_bytes_max: int) -> Splitter:
    return RecordSplitter(record_bytes_max=record_bytes_max)


JSON = HubProtocol(
    name="json",
    is_binary=False,
    new_splitter=_json_splitter,
    decode=records.decode,
    encode_invocation=records.encode_invocation,
    encode_completion=records.encode_completion,
    encode_close=records.encode_close,
    encode_ack=records.encode_ack,
    encode_sequence=records.encode_sequence,
    ping=records.PING,
)
"""The protocol that every hub speaks."""


def _length_splitter(record_bytes_max: int) -> Splitter:
    return LengthSplitter(record_bytes_max=record_bytes_max)


MESSAGEPACK = HubProtocol(
    name="messagepack",
    is_binary=True,
    new_splitter=_length_splitter,
    decode=msgpack.decode,
    encode_invocation=msgpack.encode_invocation,
    encode_completion=msgpack.encode_completion,
    encode_close=msgpack.encode_close,
    encode_ack=msgpack.encode_ack,
    encode_sequence=msgpack.encode_sequence,
    ping=msgpack.PING,
)
"""The binary protocol, of hubs that have it installed."""

_BY_NAME = {protocol.name: protocol for protocol in (JSON, MESSAGEPACK)}


def protocol_by_name(name: str) -> HubProtocol:
    """The protocol that is called `name`.

    Raises:
        UsageError: there is none.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(_BY_NAME)
        raise UsageError(f"there is no hub protocol {name!r} (there are: {known})") from None
