"""One hub connection as the server sees it, without I/O.

Handshake, then records; pings on a tick; what breaks the protocol ends the connection with a
Close record and WebSocket code 1000. The texts and rules were measured on ASP.NET Core 9.0.7:

- a record that is not JSON, is empty, or lacks its type: Close "Connection closed with an
  error." with `allowReconnect`;
- a record of an unknown type wedges the connection: it stays at the head of the server's
  buffer, nothing behind it is ever read, and pings still flow;
- what is spoken behind the handshake, JSON or MessagePack, is what the handshake asks for;
- the client timeout is armed by the client's first ping and reset by any record;
- a ping is due when `keep_alive_s` have passed since the last ping, whatever else was sent;
- Close from the client is answered with Close;
- with stateful reconnect and version 2, records are counted: an Ack goes out on the tick after
  some came, Sequence says where the client goes on, and one beyond what was received ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from tapekeeper.core.signalr.framing import SEPARATOR
from tapekeeper.core.signalr.protocol import JSON, HubProtocol, protocol_by_name
from tapekeeper.core.signalr.records import (
    Ack,
    Close,
    Invocation,
    Malformed,
    Ping,
    Record,
    Sequence,
    StreamInvocation,
    Unknown,
)
from tapekeeper.core.signalr.resume import Resume, ResumeLimits
from tapekeeper.errors import ProtocolError, UsageError
from tapekeeper.sim.config import HubLimits

SECOND_NS = 1_000_000_000
VERSION_MAX = 2
"""Hub protocol versions 0, 1 and 2 are accepted."""

STATEFUL_VERSION = 2
"""That of a client that wants its connection to be resumable."""

CLOSED_WITH_ERROR = "Connection closed with an error."
SEQUENCE_BEYOND = "Sequence ID greater than amount of messages we've received."
TIMEOUT_DETAIL = (
    "OperationCanceledException: Client hasn't sent a message/ping within the configured "
    "ClientTimeoutInterval."
)

Call: TypeAlias = Invocation | StreamInvocation


class _Handshake(msgspec.Struct, gc=False):
    protocol: str
    version: int


_decode_handshake = msgspec.json.Decoder(_Handshake).decode
_encode_json = msgspec.json.Encoder().encode


def asked_protocol(raw: bytes, *, has_messagepack: bool = True) -> HubProtocol | str:
    """What this handshake record asks for, or why the server refuses it."""
    try:
        asked = _decode_handshake(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "An unexpected error occurred during connection handshake."
    try:
        protocol = protocol_by_name(asked.protocol)
    except UsageError:
        return f"The protocol '{asked.protocol}' is not supported."
    if protocol.is_binary and not has_messagepack:
        return f"The protocol '{asked.protocol}' is not supported."
    if not 0 <= asked.version <= VERSION_MAX:
        return (
            f"The server does not support version {asked.version} of the '{protocol.name}' "
            "protocol."
        )
    return protocol


class ServerSession:
    """The protocol state of one connection.

    Args:
        limits: timers and limits.
        send: takes bytes to be written, in order.
        now_ns: monotonic ns at which the connection was established.
        stateful: whether the negotiation agreed on stateful reconnect.
    """

    def __init__(
        self,
        limits: HubLimits,
        send: Callable[[bytes], None],
        now_ns: int,
        *,
        stateful: bool = False,
    ) -> None:
        self._stateful = stateful
        self.resume: Resume | None = None
        """What both sides have, where the connection can be resumed."""
        self.is_attached = True
        """Whether there is a transport."""
        self.resumed = 0
        """Transports behind the first on which the client said where it goes on."""
        self._returns = False  # there is another transport, and the client has not said so yet
        self._limits = limits
        self._send = send
        self.protocol = JSON
        """What is spoken: what the handshake asked for, and before it nothing but JSON."""
        self._greeting = b""  # bound: `inbound_bytes_max`, what came of the handshake
        self._splitter = JSON.new_splitter(limits.inbound_bytes_max)
        self._opened_ns = now_ns
        self._pinged_ns = now_ns
        self._received_ns = now_ns
        self._timeout_armed = False
        self._wedged = False
        self.open = False
        """Whether the handshake succeeded."""
        self.ended = False
        """Whether nothing more is sent or read: flush, then close with 1000."""
        self.protocol_error: str | None = None
        """What the client did wrong, if that ended the connection."""

    def receive(self, data: bytes, now_ns: int) -> Iterator[Call]:
        """The calls in `data`, one by one: each is answered before the next is looked at."""
        if not self.open:
            data = self._greeted(data, now_ns)
            if not self.open:
                return
        try:
            records = self._splitter.feed(data)
        except ProtocolError:
            records = None
        if records is None or any(len(one) > self._limits.inbound_bytes_max for one in records):
            self._violation(
                "InvalidDataException: The maximum message size of "
                f"{self._limits.inbound_bytes_max}B was exceeded."
            )
            return
        for raw in records:
            if self.ended or self._wedged:
                return
            self._received_ns = now_ns
            yield from self._record(raw)

    def _greeted(self, data: bytes, now_ns: int) -> bytes:
        """Read up to the end of the handshake; what came behind it."""
        if self.ended:
            return b""
        greeting, end, rest = (self._greeting + data).partition(SEPARATOR)
        if len(greeting) > self._limits.inbound_bytes_max:
            self._violation("the handshake is too long")
        elif end:
            self._received_ns = now_ns
            self._handshake(greeting, now_ns)
        else:
            self._greeting = greeting
        return rest

    def _handshake(self, raw: bytes, now_ns: int) -> None:
        asked = asked_protocol(raw, has_messagepack=self._limits.has_messagepack)
        if isinstance(asked, str):
            self.refuse_handshake(asked)
            return
        self.protocol = asked
        self._splitter = asked.new_splitter(self._limits.inbound_bytes_max)
        self.open = True
        if self._stateful and _decode_handshake(raw).version >= STATEFUL_VERSION:
            kept_bytes = self._limits.stateful_buffer_bytes
            limits = ResumeLimits(unacknowledged_bytes_max=kept_bytes)
            self.resume = Resume(limits, waits=False)
        self._pinged_ns = now_ns
        self._send(b"{}\x1e")

    def refuse_handshake(self, error: str) -> None:
        """Answer a handshake with an error and end."""
        self.protocol_error = error
        self._send(b'{"error":' + _encode_json(error) + b"}\x1e")
        self.ended = True

    def _record(self, raw: bytes) -> Iterator[Call]:
        record = self.protocol.decode(raw)
        if self.resume is not None and not self._counts(self.resume, record, len(raw)):
            return
        if isinstance(record, Invocation | StreamInvocation):
            yield record
        elif isinstance(record, Ping):
            self._timeout_armed = True
        elif isinstance(record, Close):
            self.close()
        elif isinstance(record, Malformed):
            self._violation(f"InvalidDataException: {record.detail}")
        elif isinstance(record, Unknown):
            self._wedged = True

    def _counts(self, resume: Resume, record: Record, size: int) -> bool:
        """Count a record; whether it is to be acted upon."""
        if not resume.admits(record):
            return False
        resume.heard(size, self._received_ns)
        if isinstance(record, Ack):
            resume.acknowledged(record.sequence_id)
        elif isinstance(record, Sequence):
            self._begins(resume, record)
        return True

    def _begins(self, resume: Resume, record: Sequence) -> None:
        """The client says where it goes on."""
        returns, self._returns = self._returns, False
        if not resume.begins_at(record.sequence_id):
            self.protocol_error = SEQUENCE_BEYOND
            self.close(error=SEQUENCE_BEYOND, allow_reconnect=True)
        elif returns:
            self.resumed += 1

    def detached(self) -> None:
        """The transport is lost."""
        self.is_attached = False
        if self.resume is not None:
            self.resume.interrupted()

    def reattached(self, now_ns: int) -> list[bytes]:
        """There is another transport; what it begins with."""
        if self.resume is None:
            raise RuntimeError("this connection cannot be resumed")
        self.is_attached = self._returns = True
        self._received_ns = self._pinged_ns = now_ns
        self._splitter = self.protocol.new_splitter(self._limits.inbound_bytes_max)
        number, records = self.resume.again()
        return [self.protocol.encode_sequence(number), *records]

    def _violation(self, detail: str) -> None:
        """End because of what the client sent; the detail stays here, as by default there."""
        if self.open:
            self.protocol_error = detail
            self.close(error=CLOSED_WITH_ERROR, allow_reconnect=True)
        else:
            self.refuse_handshake("An unexpected error occurred during connection handshake.")

    def on_tick(self, now_ns: int) -> None:
        """What time asks for; called about once a second."""
        if self.ended:
            return
        if not self.open:
            if now_ns - self._opened_ns >= self._limits.handshake_timeout_s * SECOND_NS:
                self.refuse_handshake("Handshake was canceled.")
            return
        if self.resume is not None and self.resume.ack_due_ns is not None:
            self._send(self.protocol.encode_ack(self.resume.take_ack()))
        silent_ns = now_ns - self._received_ns
        if self._timeout_armed and silent_ns > self._limits.client_timeout_s * SECOND_NS:
            self.protocol_error = TIMEOUT_DETAIL
            self.close(error=f"{CLOSED_WITH_ERROR} {TIMEOUT_DETAIL}", allow_reconnect=True)
            return
        if now_ns - self._pinged_ns >= self._limits.keep_alive_s * SECOND_NS:
            self._pinged_ns = now_ns
            self._send(self.protocol.ping)

    def close(self, *, error: str | None = None, allow_reconnect: bool = False) -> None:
        """Send Close as the last record."""
        if not self.ended:
            encode = self.protocol.encode_close
            self._send(encode(error=error, allow_reconnect=allow_reconnect))
            self.ended = True
