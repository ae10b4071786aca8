"""One client connection to a hub, from the handshake to its end, without I/O.

Theory of operation. The owner of a connected WebSocket makes one `Session` per connection and
turns the crank: it hands in whatever was received (`receive`), calls `on_time` when `due_ns` has
come, and after every call sends what `outgoing` gives. The session answers with events. It never
reads a clock: `now_ns` is a monotonic time in ns that may stand still but not step back.

    state        what happens                          next         events
    -----------  ------------------------------------  -----------  --------------------------
    NEW          start                                 HANDSHAKING  (sends the handshake)
    HANDSHAKING  answer {}                             OPEN         Opened (sends a ping)
                 answer with error or type, not JSON   CLOSED       Ended(handshake_error)
                 handshake_timeout passes              CLOSED       Ended(handshake_timeout)
                 stop                                  CLOSED       Ended(local_stop)
    OPEN         invocation                            OPEN         Called
                 completion of a pending call          OPEN         Completed
                 invocation_timeout of a call          OPEN         TimedOut
                 malformed record                      OPEN         Garbled
                 malformed_max of them in a row        CLOSED       Ended(protocol_error), behind
                                                                    the rest of what has come
                 keep_alive without sending            OPEN         (sends a ping)
                 server_timeout without receiving      CLOSED       Ended(server_timeout)
                 Close record                          CLOSED       Ended(server_close)
                 interrupted, or server_timeout, where
                 the session can be resumed            RESUMING     Interrupted
                 too much that is not acknowledged     CLOSED       Ended(protocol_error)
                 stop                                  CLOSING      (sends a Close record)
    RESUMING     reattached                            RESUMING     (sends Sequence, and what is
                                                                    not acknowledged)
                 Sequence in time                      OPEN         Resumed
                 Sequence beyond what was received     CLOSED       Ended(protocol_error)
                 Close record                          CLOSED       Ended(server_close)
                 resume_timeout, lost                  CLOSED       Ended(cause of the interruption)
                 stop                                  CLOSED       Ended(local_stop)
    CLOSING      invocation                            CLOSING      Called
                 Close record, or close_timeout        CLOSED       Ended(local_stop)
    any but      record without end beyond the limit   CLOSED       Ended(protocol_error)
    CLOSED       lost                                  CLOSED       Ended(transport_lost), or
                                                                    Ended(local_stop) if CLOSING
    CLOSED       anything but invoke                   CLOSED       (nothing)

Leaving OPEN completes every pending call with an error before the end is told, so no caller is
left waiting; `Ended` is the last event, once. A malformed record is quarantined by the caller and
costs itself alone, because the framing still tells where the next one starts; official clients
drop the connection at the first, which loses live data that could be read. Which protocol is
spoken behind the handshake is a value (`HubProtocol`); the handshake itself is always JSON.

A session that was given a `Resume` can be resumed: on another transport it goes on where it was,
calls that wait for their answers included. Its owner says `interrupted` when a transport is lost,
and `reattached` when there is another one to the same URL and id; `lost` gives it up.
Rules and defaults: reference of the SignalR hub protocol (HubProtocol.md) and the official
clients, measured against a 9.0.7 server.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from tapekeeper.core.signalr.framing import DEFAULT_RECORD_BYTES_MAX, SEPARATOR
from tapekeeper.core.signalr.protocol import JSON, HubProtocol
from tapekeeper.core.signalr.records import (
    Ack,
    Close,
    Completion,
    Invocation,
    Malformed,
    Record,
    Sequence,
)
from tapekeeper.core.signalr.resume import Resume
from tapekeeper.errors import ConnectionLostError, ProtocolError

HANDSHAKE_BYTES_MAX = 64 * 1024
"""Bound of the answer to the handshake, which is a few bytes or one error text."""

NO_RESULT = "Client didn't provide a result."
"""What official clients answer to a server that wants a result nobody provides."""

STOPPED = "the connection was stopped"
"""The error of calls that were pending when the session was stopped."""

_SECOND_NS = 1_000_000_000


class SessionState(StrEnum):
    """See the table at the top of the module."""

    NEW = "new"
    HANDSHAKING = "handshaking"
    OPEN = "open"
    RESUMING = "resuming"
    CLOSING = "closing"
    CLOSED = "closed"


class EndCause(StrEnum):
    """Why a session ended. The set is closed, so it may label a metric."""

    LOCAL_STOP = "local_stop"  # we stopped it
    SERVER_CLOSE = "server_close"  # the server sent a Close record
    HANDSHAKE_ERROR = "handshake_error"  # the server refused, or did not answer a handshake
    HANDSHAKE_TIMEOUT = "handshake_timeout"  # no answer in time
    SERVER_TIMEOUT = "server_timeout"  # nothing received for too long
    PROTOCOL_ERROR = "protocol_error"  # what came was not the protocol
    TRANSPORT_LOST = "transport_lost"  # the transport ended without a Close record


class SessionTimers(msgspec.Struct, frozen=True):
    """Times of a session, ns. Defaults are those of the official clients.

    Attributes:
        handshake_timeout_ns: from the handshake to its answer.
        keep_alive_ns: a ping is sent when nothing was sent for this long. The server gives up
            after 30 s by default, so it must be well below that.
        server_timeout_ns: the server is taken for dead when nothing came for this long; at least
            twice its keep-alive interval (15 s by default).
        invocation_timeout_ns: from a call to its completion.
        close_timeout_ns: from our Close record to the server's; servers wait 5 s themselves.
        resume_timeout_ns: from an interruption to the server's Sequence record; servers forget
            a connection without a transport after about 15 s.
    """

    handshake_timeout_ns: int = 15 * _SECOND_NS
    keep_alive_ns: int = 15 * _SECOND_NS
    server_timeout_ns: int = 30 * _SECOND_NS
    invocation_timeout_ns: int = 15 * _SECOND_NS
    close_timeout_ns: int = 5 * _SECOND_NS
    resume_timeout_ns: int = 10 * _SECOND_NS


class Opened(msgspec.Struct, frozen=True, gc=False):
    """The handshake succeeded; calls may be made."""


class Called(msgspec.Struct, frozen=True, gc=False):
    """The server invoked a method of the client."""

    invocation: Invocation


class Completed(msgspec.Struct, frozen=True, gc=False):
    """A call of ours was answered, or failed with the connection.

    Attributes:
        invocation_id: what `Session.invoke` returned.
        result: undecoded, None where absent.
        error: the hub's text or our own, None where it succeeded.
        by_hub: whether the hub answered; otherwise the session ended first.
    """

    invocation_id: str
    result: bytes | None
    error: str | None
    by_hub: bool = True


class TimedOut(msgspec.Struct, frozen=True, gc=False):
    """A call of ours was not answered in time; a later answer is ignored."""

    invocation_id: str


class Garbled(msgspec.Struct, frozen=True, gc=False):
    """A malformed record, whole, with the reason; for the quarantine."""

    raw: bytes
    detail: str


class Interrupted(msgspec.Struct, frozen=True, gc=False):
    """The transport is of no use any more; the session waits for another one.

    Attributes:
        cause: what `Ended` will say if there is none.
        detail: one clause for a person.
    """

    cause: EndCause
    detail: str


class Resumed(msgspec.Struct, frozen=True, gc=False):
    """The session goes on where it was interrupted; nothing was lost."""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The session is over; always the last event, and once.

    Attributes:
        cause: why.
        detail: one clause for a person.
        allow_reconnect: of a server's Close record what it says; otherwise whether official
            clients would reconnect: False for our own stop and a refused handshake.
    """

    cause: EndCause
    detail: str
    allow_reconnect: bool


Event: TypeAlias = Opened | Called | Completed | TimedOut | Garbled | Interrupted | Resumed | Ended


class _HandshakeAnswer(msgspec.Struct):
    error: str | None = None
    type: msgspec.Raw = msgspec.Raw(b"")


_USABLE = frozenset({SessionState.OPEN, SessionState.RESUMING})

_decode_handshake = msgspec.json.Decoder(_HandshakeAnswer).decode


class Session:
    """See the module's theory of operation.

    Args:
        timers: times of the session.
        protocol: what is spoken behind the handshake.
        resume: fresh; lets the session outlive its transport, where the server agreed to it.
        malformed_max: malformed records without a good one between them that end the session.
        record_bytes_max: bound of one unfinished record.
    """

    def __init__(
        self,
        timers: SessionTimers | None = None,
        *,
        protocol: HubProtocol = JSON,
        resume: Resume | None = None,
        malformed_max: int = 3,
        record_bytes_max: int = DEFAULT_RECORD_BYTES_MAX,
    ) -> None:
        self._timers = timers or SessionTimers()
        self._malformed_max = malformed_max
        self._protocol = protocol
        self._resume = resume
        self._interruption = Interrupted(EndCause.TRANSPORT_LOST, "")  # the last one
        self._attached = True  # whether there is a transport
        self._record_bytes_max = record_bytes_max
        self._splitter = protocol.new_splitter(record_bytes_max)
        self._greeting = b""  # bound: HANDSHAKE_BYTES_MAX, what came of the handshake's answer
        self._state = SessionState.NEW
        self._now_ns: int | None = None
        self._phase_ns = 0  # when the present state was entered
        self._received_ns = 0
        self._unread_ns = 0  # up to when what came may not have been read
        self._sent_ns = 0
        self._outgoing: list[bytes] = []
        self._next_id = 1
        # Deadlines by invocation id. All calls have the same timeout and time does not step
        # back, so the order of insertion is the order of the deadlines.
        self._pending: dict[str, int] = {}
        self._malformed_run = 0
        self._hopeless = ""  # why the session ends behind the data it is reading
        self._ignored = 0

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._state

    @property
    def protocol(self) -> HubProtocol:
        """What is spoken behind the handshake."""
        return self._protocol

    @property
    def resume(self) -> Resume | None:
        """What is known of both sides' counts, where the session can be resumed."""
        return self._resume

    @property
    def is_usable(self) -> bool:
        """Whether calls may be made: it is open, or may be again on another transport."""
        return self._state in _USABLE

    @property
    def is_attached(self) -> bool:
        """Whether there is a transport; what comes meanwhile from a lost one is ignored."""
        return self._attached

    @property
    def last_received_ns(self) -> int:
        """When bytes were last received, or when the session started."""
        return self._received_ns

    @property
    def unfinished_bytes(self) -> int:
        """Bytes of a record of which the rest is still to come."""
        return self._splitter.pending_bytes

    @property
    def pending_invocations(self) -> tuple[str, ...]:
        """Ids of the calls without an answer, oldest first."""
        return tuple(self._pending)

    @property
    def ignored_records(self) -> int:
        """Well-formed records that meant nothing to us, such as unknown types and late answers."""
        return self._ignored

    def start(self, now_ns: int) -> None:
        """Begin with the handshake; the WebSocket is connected."""
        if self._state is not SessionState.NEW:
            raise RuntimeError("a session is started once")
        self._advance(now_ns)
        self._received_ns = now_ns
        self._enter(SessionState.HANDSHAKING, now_ns)
        version = 1 if self._resume is None else 2
        self._send(self._protocol.handshake(version), now_ns)

    def receive(self, data: bytes, now_ns: int) -> list[Event]:
        """What `data` (the content of one WebSocket message, text or binary) brings about."""
        if self._state is SessionState.NEW:
            raise RuntimeError("a session receives nothing before it is started")
        self._advance(now_ns)
        if self._state is SessionState.CLOSED or not self._attached:
            return []
        self._received_ns = now_ns
        events: list[Event] = []
        if self._state is SessionState.HANDSHAKING:
            data = self._greeted(data, now_ns, events)
            # mypy narrows the state over the call above, which changes it.
            if self.state is not SessionState.OPEN:
                return events
        try:
            pieces = self._splitter.feed(data)
        except ProtocolError as error:
            self._end(EndCause.PROTOCOL_ERROR, str(error), events)
            return events
        decode, resume = self._protocol.decode, self._resume
        for raw in pieces:
            record = decode(raw)
            if resume is not None and not resume.admits(record) and type(record) is not Close:
                continue
            if type(record) is Invocation and record.invocation_id is None:
                # Nearly every record is one of these, so they take the short way.
                self._malformed_run = 0
                events.append(Called(record))
                continue
            self._record(record, now_ns, events)
            if self.state is SessionState.CLOSED:
                return events
        if self._hopeless:
            self._end(EndCause.PROTOCOL_ERROR, self._hopeless, events)
            return events
        if resume is not None and self.state is SessionState.OPEN:
            resume.heard(len(data), now_ns)
            self._acknowledge(resume, now_ns)
            self._end_if_ignored(resume, events)
        return events

    def invoke(self, target: str, arguments: list[Any], now_ns: int) -> str:
        """Call a hub method that must be answered; the id under which the answer will come.

        Args:
            target: the method.
            arguments: JSON-encodable values, whatever the protocol.
            now_ns: monotonic, ns.

        Raises:
            ConnectionLostError: the session is neither open nor being resumed.
        """
        if not self.is_usable:
            raise ConnectionLostError(f"{target} cannot be called: the session is {self._state}")
        self._advance(now_ns)
        invocation_id = str(self._next_id)
        self._next_id += 1
        encode = self._protocol.encode_invocation
        self._send_counted(encode(target, arguments, invocation_id=invocation_id), now_ns)
        self._pending[invocation_id] = now_ns + self._timers.invocation_timeout_ns
        return invocation_id

    def excuse(self, now_ns: int) -> None:
        """Nothing was read up to now: the peer may have spoken, and is not called silent for it."""
        self._unread_ns = now_ns

    def on_time(self, now_ns: int) -> list[Event]:
        """Do what is due at `now_ns`; harmless when nothing is."""
        self._advance(now_ns)
        events: list[Event] = []
        timers = self._timers
        if self._state is SessionState.HANDSHAKING:
            if now_ns >= self._phase_ns + timers.handshake_timeout_ns:
                text = f"no handshake answer within {_seconds(timers.handshake_timeout_ns)}"
                self._end(EndCause.HANDSHAKE_TIMEOUT, text, events)
        elif self._state is SessionState.OPEN:
            self._on_time_open(now_ns, events)
        elif self._state is SessionState.RESUMING:
            self._on_time_resuming(now_ns, events)
        elif (
            self._state is SessionState.CLOSING
            and now_ns >= self._phase_ns + timers.close_timeout_ns
        ):
            self._end(EndCause.LOCAL_STOP, STOPPED, events)
        return events

    def due_ns(self) -> int | None:
        """When `on_time` is wanted next (monotonic, ns), or None for never."""
        timers = self._timers
        if self._state is SessionState.HANDSHAKING:
            return self._phase_ns + timers.handshake_timeout_ns
        if self._state is SessionState.CLOSING:
            return self._phase_ns + timers.close_timeout_ns
        if self._state is SessionState.RESUMING:
            due = self._phase_ns + timers.resume_timeout_ns
        elif self._state is SessionState.OPEN:
            due = min(self._sent_ns + timers.keep_alive_ns, self._silent_too_long_ns())
            if self._resume is not None and self._resume.ack_due_ns is not None:
                due = min(due, self._resume.ack_due_ns)
        else:
            return None
        if self._resume is not None and self._resume.is_full and self._now_ns is not None:
            return self._now_ns
        for deadline_ns in self._pending.values():
            return min(due, deadline_ns)
        return due

    def stop(self, now_ns: int) -> list[Event]:
        """End politely: fail pending calls and say goodbye.

        From OPEN the end is told when the server's Close record, the loss of the transport or the
        close timeout comes; before that it is told at once. Safe to call twice.
        """
        self._advance(now_ns)
        events: list[Event] = []
        if self._state is SessionState.OPEN:
            self._fail_pending(STOPPED, events)
            self._send(self._protocol.encode_close(), now_ns)
            self._enter(SessionState.CLOSING, now_ns)
        elif self._state not in {SessionState.CLOSING, SessionState.CLOSED}:
            self._end(EndCause.LOCAL_STOP, STOPPED, events)
        return events

    def lost(self, detail: str, now_ns: int) -> list[Event]:
        """The transport ended; `detail` says how."""
        self._advance(now_ns)
        events: list[Event] = []
        if self._state is SessionState.CLOSING:
            self._end(EndCause.LOCAL_STOP, STOPPED, events)
        elif self._state is SessionState.RESUMING:
            self._give_up(detail, events)
        elif self._state is not SessionState.CLOSED:
            self._end(EndCause.TRANSPORT_LOST, detail, events)
        return events

    def interrupted(self, detail: str, now_ns: int) -> list[Event]:
        """The transport ended, and there may be another one, if the session can be resumed.

        The state says whether it can; otherwise this is `lost`. While it is being resumed this
        says that the new transport has ended as well.
        """
        if not self.is_usable or self._resume is None or self._resume.doubt:
            return self.lost(detail, now_ns)
        self._advance(now_ns)
        events: list[Event] = []
        self._interrupt(EndCause.TRANSPORT_LOST, detail, events)
        return events

    def reattached(self, now_ns: int) -> None:
        """There is another transport to the same URL and id."""
        if self._state is not SessionState.RESUMING or self._resume is None or self._attached:
            raise RuntimeError("only an interrupted session gets another transport")
        self._advance(now_ns)
        self._attached = True
        # What the old transport left unfinished comes again as a whole.
        self._splitter = self._protocol.new_splitter(self._record_bytes_max)
        number, records = self._resume.again()
        self._send(self._protocol.encode_sequence(number), now_ns)
        self._outgoing += records

    def outgoing(self) -> list[bytes]:
        """Drain the records to send, in order; each is one WebSocket message."""
        drained = self._outgoing
        self._outgoing = []
        return drained

    # --- inside ---------------------------------------------------------------------------

    def _greeted(self, data: bytes, now_ns: int, events: list[Event]) -> bytes:
        """Read up to the end of the handshake's answer; what came behind it."""
        answer, end, rest = (self._greeting + data).partition(SEPARATOR)
        if end:
            self._greeting = b""
            self._answered(answer, now_ns, events)
            return rest
        bytes_max = min(self._record_bytes_max, HANDSHAKE_BYTES_MAX)
        if len(answer) > bytes_max:
            text = f"the handshake answer exceeds {bytes_max:,} bytes without an end"
            self._end(EndCause.PROTOCOL_ERROR, text, events)
        else:
            self._greeting = answer
        return b""

    def _answered(self, raw: bytes, now_ns: int, events: list[Event]) -> None:
        """Judge the handshake answer."""
        try:
            answer = _decode_handshake(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = f"the handshake answer cannot be read: {error}"
            self._end(EndCause.HANDSHAKE_ERROR, text, events)
            return
        if bytes(answer.type):
            text = "Expected a handshake response from the server."
            self._end(EndCause.HANDSHAKE_ERROR, text, events)
        elif answer.error is not None:
            text = f"the server refused the handshake: {answer.error}"
            self._end(EndCause.HANDSHAKE_ERROR, text, events)
        else:
            self._enter(SessionState.OPEN, now_ns)
            events.append(Opened())
            # At once, because a server watches for our silence from our first ping on.
            self._send(self._protocol.ping, now_ns)

    def _record(self, record: Record, now_ns: int, events: list[Event]) -> None:
        """Act on one record of an open or closing session."""
        if type(record) is Malformed:
            self._malformed(record, events)
            return
        self._malformed_run = 0
        if type(record) is Invocation:
            events.append(Called(record))
            # Only those with an id come here: the server waits for an answer.
            if record.invocation_id is not None and self._state is SessionState.OPEN:
                encode = self._protocol.encode_completion
                self._send_counted(encode(record.invocation_id, error=NO_RESULT), now_ns)
        elif type(record) is Completion:
            if self._pending.pop(record.invocation_id, None) is None:
                self._ignored += 1
            else:
                events.append(Completed(record.invocation_id, record.result, record.error))
        elif type(record) is Close:
            self._closed_by_server(record, events)
        elif self._resume is not None and type(record) is Ack:
            self._resume.acknowledged(record.sequence_id)
        elif type(record) is Sequence and self._state is SessionState.RESUMING:
            self._begins(record, now_ns, events)
        else:
            # Pings have done their work by arriving. Streams are never asked for, acks and
            # sequences that nobody awaits mean nothing, unknown types belong to newer protocols.
            self._ignored += 1

    def _begins(self, record: Sequence, now_ns: int, events: list[Event]) -> None:
        """The server says with which of its records it goes on."""
        resume = self._resume
        if resume is None or not resume.begins_at(record.sequence_id):
            text = f"{self._interruption.detail}; resumed at record {record.sequence_id:,}"
            had = 0 if resume is None else resume.point.latest
            self._end(EndCause.PROTOCOL_ERROR, f"{text}, {had:,} had come", events)
            return
        self._enter(SessionState.OPEN, now_ns)
        events.append(Resumed())

    def _malformed(self, record: Malformed, events: list[Event]) -> None:
        events.append(Garbled(record.raw, record.detail))
        self._malformed_run += 1
        if self._malformed_run >= self._malformed_max:
            # Not ended at once: what came behind in the same data may be read all the same.
            text = f"{self._malformed_run} malformed records in a row; the last: {record.detail}"
            self._hopeless = self._hopeless or text

    def _closed_by_server(self, record: Close, events: list[Event]) -> None:
        if self._state is SessionState.CLOSING:
            self._end(EndCause.LOCAL_STOP, STOPPED, events)
            return
        text = "the server closed the connection"
        if record.error is not None:
            text += f": {record.error}"
        self._end(EndCause.SERVER_CLOSE, text, events, allow_reconnect=record.allow_reconnect)

    def _on_time_open(self, now_ns: int, events: list[Event]) -> None:
        timers = self._timers
        if now_ns >= self._silent_too_long_ns():
            text = f"nothing received from the server for {_seconds(timers.server_timeout_ns)}"
            if self._resume is not None and not self._resume.doubt:
                self._interrupt(EndCause.SERVER_TIMEOUT, text, events)
            else:
                self._end(EndCause.SERVER_TIMEOUT, text, events)
            return
        self._time_calls_out(now_ns, events)
        if self._resume is not None:
            self._acknowledge(self._resume, now_ns)
            self._end_if_ignored(self._resume, events)
        if self.state is SessionState.OPEN and now_ns >= self._sent_ns + timers.keep_alive_ns:
            self._send(self._protocol.ping, now_ns)

    def _silent_too_long_ns(self) -> int:
        return max(self._received_ns, self._unread_ns) + self._timers.server_timeout_ns

    def _on_time_resuming(self, now_ns: int, events: list[Event]) -> None:
        within_ns = self._timers.resume_timeout_ns
        if now_ns >= self._phase_ns + within_ns:
            self._give_up(f"not resumed within {_seconds(within_ns)}", events)
            return
        self._time_calls_out(now_ns, events)
        if self._resume is not None:
            self._end_if_ignored(self._resume, events)

    def _time_calls_out(self, now_ns: int, events: list[Event]) -> None:
        for invocation_id, deadline_ns in list(self._pending.items()):
            if deadline_ns > now_ns:
                break
            del self._pending[invocation_id]
            events.append(TimedOut(invocation_id))

    def _interrupt(self, cause: EndCause, detail: str, events: list[Event]) -> None:
        self._attached = False
        self._outgoing.clear()  # what counts is kept, and is sent again
        if self._resume is not None:
            self._resume.interrupted()
        if self._state is SessionState.OPEN:
            self._enter(SessionState.RESUMING, self._now_ns or 0)
            self._interruption = Interrupted(cause, detail)
            events.append(self._interruption)

    def _give_up(self, why: str, events: list[Event]) -> None:
        """End a session that cannot be resumed, with what interrupted it."""
        text = f"{self._interruption.detail}; {why}"
        self._end(self._interruption.cause, text, events)

    def _acknowledge(self, resume: Resume, now_ns: int) -> None:
        if resume.ack_due_ns is not None and now_ns >= resume.ack_due_ns:
            self._send(self._protocol.encode_ack(resume.take_ack()), now_ns)

    def _end_if_ignored(self, resume: Resume, events: list[Event]) -> None:
        """A server that acknowledges nothing would have us keep without bound."""
        if resume.is_full:
            text = f"the server has not acknowledged {resume.kept_bytes:,} bytes of ours"
            self._end(EndCause.PROTOCOL_ERROR, text, events)

    def _end(
        self,
        cause: EndCause,
        detail: str,
        events: list[Event],
        *,
        allow_reconnect: bool | None = None,
    ) -> None:
        self._fail_pending(detail, events)
        self._state = SessionState.CLOSED
        if allow_reconnect is None:
            allow_reconnect = cause not in {EndCause.LOCAL_STOP, EndCause.HANDSHAKE_ERROR}
        events.append(Ended(cause, detail, allow_reconnect))

    def _fail_pending(self, error: str, events: list[Event]) -> None:
        events.extend(
            Completed(invocation_id, None, error, by_hub=False) for invocation_id in self._pending
        )
        self._pending.clear()

    def _enter(self, state: SessionState, now_ns: int) -> None:
        self._state = state
        self._phase_ns = now_ns

    def _send_counted(self, record: bytes, now_ns: int) -> None:
        """Send a record that carries something; without a transport it is sent on the next."""
        if self._resume is not None:
            self._resume.keep(record)
        if self._attached:
            self._send(record, now_ns)

    def _send(self, record: bytes, now_ns: int) -> None:
        self._outgoing.append(record)
        self._sent_ns = now_ns

    def _advance(self, now_ns: int) -> None:
        if self._now_ns is not None and now_ns < self._now_ns:
            raise ValueError(f"time stepped back from {self._now_ns} to {now_ns} ns")
        self._now_ns = now_ns


def _seconds(span_ns: int) -> str:
    return f"{span_ns / _SECOND_NS:g} s"
