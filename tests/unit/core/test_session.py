"""The session: one connection from its handshake to its end, in bytes and time."""

from __future__ import annotations

from typing import Any

import pytest

from tapekeeper.core.signalr.protocol import JSON
from tapekeeper.core.signalr.records import PING, Invocation
from tapekeeper.core.signalr.session import (
    HANDSHAKE_BYTES_MAX,
    STOPPED,
    Called,
    Completed,
    EndCause,
    Ended,
    Garbled,
    Opened,
    Session,
    SessionState,
    SessionTimers,
    TimedOut,
)
from tapekeeper.errors import ConnectionLostError

S = 1_000_000_000
START = 50 * S
QUOTE = b'{"type":1,"target":"GatewayQuote","arguments":["C",{}]}\x1e'
CALLED = Called(Invocation("GatewayQuote", b'["C",{}]'))
CLOSE = b'{"type":7}\x1e'


def opened(**arguments: Any) -> Session:
    """A session that is open at START and has nothing to send."""
    session = Session(**arguments)
    session.start(START)
    assert session.receive(b"{}\x1e", START) == [Opened()]
    session.outgoing()
    return session


class TestHandshake:
    def test_it_starts_with_the_handshake_record(self) -> None:
        """The first bytes are the JSON handshake of version 1, and nothing else."""
        assert Session().state is SessionState.NEW
        assert Session().due_ns() is None
        session = Session()
        session.start(START)
        assert session.outgoing() == [JSON.handshake()]
        assert (
            bytes.fromhex(
                "7b 22 70 72 6f 74 6f 63 6f 6c 22 3a 22 6a 73 6f 6e 22 2c"
                "22 76 65 72 73 69 6f 6e 22 3a 31 7d 1e"
            )
            == JSON.handshake()
        )
        assert session.outgoing() == []
        assert session.state is SessionState.HANDSHAKING
        assert session.last_received_ns == START

    def test_the_answer_opens_and_a_ping_follows_at_once(self) -> None:
        """`{}` opens the session; the first ping arms the server's watch over us."""
        session = Session()
        session.start(START)
        session.outgoing()
        assert session.receive(bytes.fromhex("7b 7d 1e"), START + S) == [Opened()]
        assert session.state is SessionState.OPEN
        assert session.outgoing() == [PING]

    def test_the_answer_may_come_in_pieces(self) -> None:
        """The answer may span messages like any record."""
        session = Session()
        session.start(START)
        assert session.receive(b"{", START) == []
        assert session.receive(b"}", START) == []
        assert session.receive(b"\x1e", START) == [Opened()]

    def test_records_may_follow_in_the_same_message(self) -> None:
        """A server may put its first records right behind the answer."""
        session = Session()
        session.start(START)
        assert session.receive(b"{}\x1e" + QUOTE + QUOTE[:9], START) == [Opened(), CALLED]
        assert session.receive(QUOTE[9:], START) == [CALLED]

    def test_unknown_members_of_the_answer_are_ignored(self) -> None:
        """A newer server may say more in its answer; a null error is none."""
        session = Session()
        session.start(START)
        assert session.receive(b'{"minorVersion":1,"error":null}\x1e', START) == [Opened()]

    @pytest.mark.parametrize(
        ("answer", "detail"),
        [
            (
                b'{"error":"The protocol \'xyz\' is not supported."}',
                "the server refused the handshake: The protocol 'xyz' is not supported.",
            ),
            (b'{"error":""}', "the server refused the handshake: "),
            (b'{"type":6}', "Expected a handshake response from the server."),
            (b'{"type":null}', "Expected a handshake response from the server."),
            (b'{"error":"x","type":7}', "Expected a handshake response from the server."),
        ],
    )
    def test_a_refused_handshake_ends_the_session(self, answer: bytes, detail: str) -> None:
        """An error, or a record in place of the answer, ends it and says what came."""
        session = Session()
        session.start(START)
        assert session.receive(answer + b"\x1e" + QUOTE, START) == [
            Ended(EndCause.HANDSHAKE_ERROR, detail, allow_reconnect=False)
        ]
        assert session.state is SessionState.CLOSED

    @pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"error":5}', b'{"error":"\xff"}'])
    def test_an_unreadable_answer_ends_the_session(self, answer: bytes) -> None:
        """What is not a handshake answer at all ends the session."""
        session = Session()
        session.start(START)
        (event,) = session.receive(answer + b"\x1e", START)
        assert isinstance(event, Ended)
        assert event.cause is EndCause.HANDSHAKE_ERROR
        assert event.detail.startswith("the handshake answer cannot be read")

    def test_an_answer_without_an_end_ends_the_session(self) -> None:
        """The answer is a few bytes; a peer that never ends it is not heard out."""
        session = Session()
        session.start(START)
        assert session.receive(b" " * HANDSHAKE_BYTES_MAX, START) == []
        assert session.receive(b" ", START) == [
            Ended(
                EndCause.PROTOCOL_ERROR,
                "the handshake answer exceeds 65,536 bytes without an end",
                allow_reconnect=True,
            )
        ]

    def test_silence_ends_it(self) -> None:
        """Without an answer the session ends after the handshake timeout, not before."""
        session = Session()
        session.start(START)
        assert session.due_ns() == START + 15 * S
        assert session.on_time(START + 15 * S - 1) == []
        assert session.on_time(START + 15 * S) == [
            Ended(
                EndCause.HANDSHAKE_TIMEOUT, "no handshake answer within 15 s", allow_reconnect=True
            )
        ]
        assert session.due_ns() is None


class TestCalls:
    def test_a_call_and_its_answer(self) -> None:
        """A call goes out with an id of its own; its completion comes back as a value."""
        session = opened()
        first = session.invoke("SubscribeContractTrades", ["CON.F.US.EP.Z26"], START)
        second = session.invoke("Add", [1, 2], START)
        assert first != second
        assert session.outgoing() == [
            (
                b'{"type":1,"invocationId":"1","target":"SubscribeContractTrades",'
                b'"arguments":["CON.F.US.EP.Z26"]}\x1e'
            ),
            b'{"type":1,"invocationId":"2","target":"Add","arguments":[1,2]}\x1e',
        ]
        assert list(session.pending_invocations) == [first, second]
        answers = (
            b'{"type":3,"invocationId":"2","result":3}\x1e'
            b'{"type":3,"invocationId":"1","result":null}\x1e'
        )
        assert session.receive(answers, START) == [
            Completed(second, b"3", None),
            Completed(first, b"null", None),
        ]
        assert list(session.pending_invocations) == []

    def test_an_error_of_the_hub_is_passed_on(self) -> None:
        """A failed call completes with the hub's own text."""
        session = opened()
        name = session.invoke("NoSuch", [], START)
        text = "Failed to invoke 'NoSuch' due to an error on the server."
        raw = f'{{"type":3,"invocationId":"{name}","error":"{text}"}}\x1e'.encode()
        assert session.receive(raw, START) == [Completed(name, None, text)]

    def test_a_call_without_an_answer_times_out(self) -> None:
        """Each call has its own deadline; a late answer is ignored."""
        session = opened()
        first = session.invoke("A", [], START)
        second = session.invoke("B", [], START + S)
        session.receive(QUOTE, START + 14 * S)
        assert session.due_ns() == START + 15 * S
        assert TimedOut(first) in session.on_time(START + 15 * S)
        assert list(session.pending_invocations) == [second]
        assert session.on_time(START + 16 * S) == [TimedOut(second)]
        late = b'{"type":3,"invocationId":"1","result":null}\x1e'
        assert session.receive(late, START + 16 * S) == []
        assert session.ignored_records == 1

    def test_a_completion_nobody_asked_for_is_ignored(self) -> None:
        """An unknown id is no error."""
        session = opened()
        assert session.receive(b'{"type":3,"invocationId":"77"}\x1e', START) == []
        assert session.ignored_records == 1

    def test_a_server_that_wants_a_result_is_told_there_is_none(self) -> None:
        """An invocation with an id is delivered, and answered so that the server does not wait."""
        session = opened()
        raw = b'{"type":1,"invocationId":"s1","target":"GetValue","arguments":["q"]}\x1e'
        assert session.receive(raw, START) == [Called(Invocation("GetValue", b'["q"]', "s1"))]
        assert session.outgoing() == [
            b'{"type":3,"invocationId":"s1","error":"Client didn\'t provide a result."}\x1e'
        ]

    def test_calls_need_an_open_session(self) -> None:
        """Before the handshake and after the end a call is refused, and nothing is sent."""
        session = Session()
        session.start(START)
        session.outgoing()
        with pytest.raises(ConnectionLostError, match="the session is handshaking"):
            session.invoke("A", [], START)
        session.lost("gone", START)
        with pytest.raises(ConnectionLostError, match="the session is closed"):
            session.invoke("A", [], START)
        assert session.outgoing() == []


class TestRecords:
    @pytest.mark.parametrize(
        "raw",
        [
            b'{"type":6}',
            b'{"type":99,"x":1}',
            b'{"type":8,"sequenceId":1}',
            b'{"type":9,"sequenceId":1}',
            b'{"type":2,"invocationId":"1","item":0}',
            b'{"type":5,"invocationId":"1"}',
            b'{"type":4,"invocationId":"1","target":"T","arguments":[]}',
        ],
    )
    def test_what_means_nothing_to_us_is_ignored(self, raw: bytes) -> None:
        """Pings, unknown types, acks, sequences and streams neither speak nor hurt."""
        session = opened()
        assert session.receive(raw + b"\x1e" + QUOTE, START) == [CALLED]
        assert session.ignored_records == 1
        assert session.outgoing() == []

    @pytest.mark.parametrize("raw", [b"", b"{}", b"not json", b'{"type":1,"target":"T"}'])
    def test_a_malformed_record_costs_itself_alone(self, raw: bytes) -> None:
        """Its neighbours are read; it is handed out whole for the quarantine."""
        session = opened()
        before, garbled, after = session.receive(QUOTE + raw + b"\x1e" + QUOTE, START)
        assert (before, after) == (CALLED, CALLED)
        assert isinstance(garbled, Garbled)
        assert garbled.raw == raw
        assert garbled.detail
        assert session.state is SessionState.OPEN

    def test_malformed_records_in_a_row_end_the_session(self) -> None:
        """Three in a row mean that the stream is not the protocol any more.

        What came behind them in the same data is had all the same.
        """
        session = opened()
        call = session.invoke("A", [], START)
        events = session.receive(b"x\x1ey\x1ez\x1e" + QUOTE, START)
        kinds = [Garbled, Garbled, Garbled, Called, Completed, Ended]
        assert [type(event) for event in events] == kinds
        end = events[-1]
        assert isinstance(end, Ended)
        assert end.cause is EndCause.PROTOCOL_ERROR
        assert end.detail.startswith("3 malformed records in a row; the last: ")
        assert events[-2] == Completed(call, None, end.detail, by_hub=False)

    def test_a_good_record_between_breaks_the_row(self) -> None:
        """The count is of malformed records in a row, over messages."""
        session = opened(malformed_max=2)
        for _ in range(5):
            events = session.receive(b"x\x1e", START) + session.receive(PING, START)
            assert [type(event) for event in events] == [Garbled]
        assert session.state is SessionState.OPEN

    def test_an_endless_record_ends_the_session(self) -> None:
        """A record beyond the bound is a protocol error, before or after the handshake."""
        for session in (opened(record_bytes_max=20), Session(record_bytes_max=20)):
            if session.state is SessionState.NEW:
                session.start(START)
            (event,) = session.receive(b"x" * 21, START)
            assert isinstance(event, Ended)
            assert event.cause is EndCause.PROTOCOL_ERROR
            assert "20 bytes" in event.detail


class TestTime:
    def test_pings_keep_us_alive(self) -> None:
        """A ping goes out when nothing was sent for the keep-alive time, and not before."""
        session = opened()
        assert session.due_ns() == START + 15 * S
        session.on_time(START + 15 * S - 1)
        assert session.outgoing() == []
        session.on_time(START + 15 * S)
        assert session.outgoing() == [PING]
        session.receive(PING, START + 15 * S)
        assert session.due_ns() == START + 30 * S

    def test_sending_postpones_the_ping(self) -> None:
        """Any record we send is a sign of life."""
        session = opened(timers=SessionTimers(invocation_timeout_ns=100 * S))
        session.invoke("A", [], START + 10 * S)
        session.outgoing()
        session.on_time(START + 24 * S)
        assert session.outgoing() == []
        session.on_time(START + 25 * S)
        assert session.outgoing() == [PING]

    @pytest.mark.parametrize("sign", [PING, b"x\x1e", b"{", b""])
    def test_any_message_shows_that_the_server_lives(self, sign: bytes) -> None:
        """Whatever arrives feeds the server timeout, a part of a record too."""
        session = opened()
        session.receive(sign, START + 29 * S)
        assert session.last_received_ns == START + 29 * S
        assert session.on_time(START + 59 * S - 1) == []
        assert session.state is SessionState.OPEN

    def test_a_silent_server_is_given_up(self) -> None:
        """Nothing received for the server timeout ends the session and fails what is pending."""
        session = opened(timers=SessionTimers(invocation_timeout_ns=100 * S))
        call = session.invoke("A", [], START)
        session.on_time(START + 30 * S - 1)
        assert session.due_ns() == START + 30 * S
        text = "nothing received from the server for 30 s"
        assert session.on_time(START + 30 * S) == [
            Completed(call, None, text, by_hub=False),
            Ended(EndCause.SERVER_TIMEOUT, text, allow_reconnect=True),
        ]
        assert session.due_ns() is None

    def test_time_does_not_step_back(self) -> None:
        """A clock that steps back is a bug of the caller; standing still is none."""
        session = opened()
        session.on_time(START)
        with pytest.raises(ValueError, match="time stepped back"):
            session.on_time(START - 1)


class TestEnd:
    @pytest.mark.parametrize(
        ("raw", "end"),
        [
            (
                b'{"type":7}',
                Ended(
                    EndCause.SERVER_CLOSE, "the server closed the connection", allow_reconnect=False
                ),
            ),
            (
                b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}',
                Ended(
                    EndCause.SERVER_CLOSE,
                    "the server closed the connection: Connection closed with an error.",
                    allow_reconnect=True,
                ),
            ),
        ],
    )
    def test_the_server_closes(self, raw: bytes, end: Ended) -> None:
        """A Close record ends the session with what it says; nothing behind it counts."""
        session = opened()
        call = session.invoke("A", [], START)
        session.outgoing()
        assert session.receive(QUOTE + raw + b"\x1e" + QUOTE, START) == [
            CALLED,
            Completed(call, None, end.detail, by_hub=False),
            end,
        ]
        assert session.outgoing() == []

    def test_our_own_stop(self) -> None:
        """Stopping fails what is pending, says goodbye, and ends with the server's answer."""
        session = opened()
        call = session.invoke("A", [], START)
        session.outgoing()
        assert session.stop(START) == [Completed(call, None, STOPPED, by_hub=False)]
        assert session.outgoing() == [b'{"type":7}\x1e']
        assert session.state is SessionState.CLOSING
        assert session.stop(START) == []
        assert session.receive(QUOTE + CLOSE + QUOTE, START + S) == [
            CALLED,
            Ended(EndCause.LOCAL_STOP, STOPPED, allow_reconnect=False),
        ]

    def test_nothing_is_said_after_goodbye(self) -> None:
        """Between our Close record and the end we neither ping nor answer."""
        session = opened()
        session.stop(START)
        session.outgoing()
        session.receive(b'{"type":1,"invocationId":"s","target":"T","arguments":[]}\x1e', START)
        session.on_time(START + 4 * S)
        assert session.outgoing() == []

    def test_a_stop_does_not_wait_for_ever(self) -> None:
        """Without the server's goodbye the session ends after the close timeout."""
        session = opened()
        session.stop(START)
        assert session.due_ns() == START + 5 * S
        assert session.on_time(START + 5 * S - 1) == []
        assert session.on_time(START + 5 * S) == [
            Ended(EndCause.LOCAL_STOP, STOPPED, allow_reconnect=False)
        ]

    def test_the_loss_of_a_stopped_transport_is_the_stop(self) -> None:
        """The transport ending after our goodbye is what we wanted."""
        session = opened()
        session.stop(START)
        assert session.lost("1000", START) == [
            Ended(EndCause.LOCAL_STOP, STOPPED, allow_reconnect=False)
        ]

    @pytest.mark.parametrize("started", [False, True])
    def test_a_stop_before_the_handshake_is_answered(self, *, started: bool) -> None:
        """There is nobody to say goodbye to yet, so the end is at once."""
        session = Session()
        if started:
            session.start(START)
        assert session.stop(START) == [Ended(EndCause.LOCAL_STOP, STOPPED, allow_reconnect=False)]

    def test_the_transport_is_lost(self) -> None:
        """A socket that ends fails what is pending and ends the session with its own words."""
        session = opened()
        call = session.invoke("A", [], START)
        assert session.lost("1006 without a close frame", START) == [
            Completed(call, None, "1006 without a close frame", by_hub=False),
            Ended(EndCause.TRANSPORT_LOST, "1006 without a close frame", allow_reconnect=True),
        ]

    def test_the_end_is_told_once(self) -> None:
        """A closed session stays closed and says nothing more, whatever is done to it."""
        session = opened()
        session.lost("gone", START)
        assert session.lost("again", START) == []
        assert session.stop(START) == []
        assert session.receive(QUOTE, START) == []
        assert session.on_time(START + 100 * S) == []
        assert session.last_received_ns == START


def test_wrong_use_is_a_bug() -> None:
    """A session starts once, and receives only after it started."""
    session = Session()
    with pytest.raises(RuntimeError, match="before it is started"):
        session.receive(b"", START)
    session.start(START)
    with pytest.raises(RuntimeError, match="started once"):
        session.start(START)
