"""A session that outlives its transport: from an interruption to its resumption, or its end."""

from __future__ import annotations

import pytest

from tapekeeper.core.signalr.protocol import JSON
from tapekeeper.core.signalr.records import PING, Completion, Invocation
from tapekeeper.core.signalr.resume import Resume, ResumeLimits
from tapekeeper.core.signalr.session import (
    STOPPED,
    Called,
    Completed,
    EndCause,
    Ended,
    Garbled,
    Interrupted,
    Opened,
    Resumed,
    Session,
    SessionState,
    TimedOut,
)
from tapekeeper.errors import ConnectionLostError

S = 1_000_000_000
START = 50 * S
TRADE = b'{"type":1,"target":"GatewayTrade","arguments":["C",[]]}\x1e'
CALLED = Called(Invocation("GatewayTrade", b'["C",[]]'))
LOST = Interrupted(EndCause.TRANSPORT_LOST, "cut")


def ack(number: int) -> bytes:
    """An Ack record."""
    return b'{"type":8,"sequenceId":%d}\x1e' % number


def sequence(number: int) -> bytes:
    """A Sequence record."""
    return b'{"type":9,"sequenceId":%d}\x1e' % number


def opened(limits: ResumeLimits | None = None) -> Session:
    """A session that is open at START and has nothing to send."""
    session = Session(resume=Resume(limits))
    session.start(START)
    assert session.outgoing() == [b'{"protocol":"json","version":2}\x1e']
    assert session.receive(b"{}\x1e", START) == [Opened()]
    session.outgoing()
    return session


def cut(session: Session) -> Session:
    """The same after its transport was lost."""
    assert session.interrupted("cut", START) == [LOST]
    assert session.state is SessionState.RESUMING
    return session


class TestResumption:
    def test_it_goes_on_where_it_was(self) -> None:
        """Sequence and what is not acknowledged first; what was had is dropped, the rest acted."""
        session = opened()
        call = session.invoke("Sub", ["A"], START)
        sent = session.outgoing()
        session.receive(TRADE * 2, START)
        cut(session)
        assert session.outgoing() == []
        session.reattached(START + S)
        assert session.outgoing() == [sequence(1), *sent]
        answer = b'{"type":3,"invocationId":"%s"}\x1e' % call.encode()
        events = session.receive(sequence(1) + TRADE * 3 + answer, START + S)
        assert events == [Resumed(), CALLED, Completed(call, None, None)]
        assert session.state is SessionState.OPEN
        assert session.resume is not None
        assert session.resume.repeated == 2

    def test_what_the_server_acknowledged_is_not_sent_again(self) -> None:
        """Sequence then has the number of the next call."""
        session = opened()
        session.invoke("Sub", ["A"], START)
        session.receive(ack(1), START)
        cut(session)
        session.reattached(START)
        assert session.outgoing()[-1] == sequence(2)

    def test_a_call_made_without_a_transport_goes_out_on_the_next(self) -> None:
        """Once, whether it was made before or behind the new transport's Sequence."""
        session = cut(opened())
        session.invoke("Sub", ["A"], START)
        assert session.outgoing() == []
        session.reattached(START)
        assert len(session.outgoing()) == 2
        session.invoke("Sub", ["B"], START)
        assert b'"B"' in session.outgoing()[0]

    def test_half_a_record_of_the_old_transport_is_void(self) -> None:
        """It comes again as a whole."""
        session = opened()
        session.receive(TRADE + TRADE[:20], START)
        cut(session)
        session.reattached(START)
        assert session.receive(sequence(2) + TRADE, START) == [Resumed(), CALLED]

    def test_nothing_counts_before_the_sequence(self) -> None:
        """Pings and records that come before it are no part of the count."""
        session = cut(opened())
        session.reattached(START)
        assert session.receive(PING + TRADE, START) == []
        assert session.receive(sequence(1) + TRADE, START) == [Resumed(), CALLED]

    def test_what_a_lost_transport_still_brings_is_ignored(self) -> None:
        """Its records come again."""
        session = cut(opened())
        assert session.receive(TRADE, START) == []
        session.reattached(START)
        assert session.receive(sequence(1) + TRADE, START) == [Resumed(), CALLED]

    def test_a_sequence_that_nobody_awaits_means_nothing(self) -> None:
        """Believed, it would have what is new dropped as had already."""
        session = opened()
        assert session.receive(TRADE * 2 + sequence(1) + TRADE, START) == [CALLED] * 3
        assert session.ignored_records == 1

    def test_a_transport_that_is_lost_again_may_be_replaced_again(self) -> None:
        """The second loss is no news; the bound counts from the first."""
        session = cut(opened())
        session.reattached(START + S)
        assert session.interrupted("again", START + 2 * S) == []
        session.reattached(START + 3 * S)
        assert session.due_ns() == START + 10 * S
        assert session.receive(sequence(1), START + 3 * S) == [Resumed()]

    def test_silence_interrupts_and_does_not_end(self) -> None:
        """A half-open transport is one that is lost; the end would name the silence."""
        session = opened()
        events = session.on_time(START + 30 * S)
        text = "nothing received from the server for 30 s"
        assert events == [Interrupted(EndCause.SERVER_TIMEOUT, text)]
        assert session.on_time(START + 40 * S) == [
            Ended(EndCause.SERVER_TIMEOUT, f"{text}; not resumed within 10 s", allow_reconnect=True)
        ]


class TestAcknowledgement:
    def test_an_ack_goes_out_a_second_after_the_first_record(self) -> None:
        """With the highest number had; a ping is not acknowledged."""
        session = opened()
        session.receive(PING, START)
        assert session.due_ns() == START + 15 * S
        session.receive(TRADE * 3, START + S)
        assert session.due_ns() == START + 2 * S
        session.on_time(START + 2 * S - 1)
        assert session.outgoing() == []
        session.on_time(START + 2 * S)
        assert session.outgoing() == [ack(3)]

    def test_much_is_acknowledged_at_once(self) -> None:
        """So that a server with the default buffer need not wait."""
        session = opened(ResumeLimits(ack_after_bytes=2 * len(TRADE)))
        session.receive(TRADE, START)
        assert session.outgoing() == []
        session.receive(TRADE, START)
        assert session.outgoing() == [ack(2)]

    @pytest.mark.parametrize("resuming", [False, True])
    def test_a_server_that_acknowledges_nothing_is_left(self, *, resuming: bool) -> None:
        """What is kept for it is bounded, with and without a transport."""
        session = opened(ResumeLimits(unacknowledged_bytes_max=100))
        if resuming:
            cut(session)
        call = session.invoke("Sub", ["x" * 100], START)
        assert session.due_ns() == START
        events = session.on_time(START)
        assert session.resume is not None
        text = f"the server has not acknowledged {session.resume.kept_bytes} bytes of ours"
        assert events == [
            Completed(call, None, text, by_hub=False),
            Ended(EndCause.PROTOCOL_ERROR, text, allow_reconnect=True),
        ]


class TestEnd:
    def test_a_server_that_left_records_out_is_not_resumed(self) -> None:
        """Its Sequence is beyond the next record: some are lost for good."""
        session = opened()
        session.receive(TRADE, START)
        cut(session)
        session.reattached(START)
        text = "cut; resumed at record 3, 1 had come"
        assert session.receive(sequence(3) + TRADE, START) == [
            Ended(EndCause.PROTOCOL_ERROR, text, allow_reconnect=True)
        ]

    def test_the_time_for_it_is_bounded(self) -> None:
        """Pending calls fail with the end, which says what interrupted the session."""
        session = opened()
        call = session.invoke("Sub", [], START)
        cut(session)
        assert session.on_time(START + 10 * S - 1) == []
        text = "cut; not resumed within 10 s"
        assert session.on_time(START + 10 * S) == [
            Completed(call, None, text, by_hub=False),
            Ended(EndCause.TRANSPORT_LOST, text, allow_reconnect=True),
        ]

    def test_it_may_be_given_up(self) -> None:
        """The id is unknown, say."""
        session = cut(opened())
        assert session.lost("404", START) == [
            Ended(EndCause.TRANSPORT_LOST, "cut; 404", allow_reconnect=True)
        ]
        assert session.due_ns() is None

    def test_a_stop_ends_it_at_once(self) -> None:
        """There is nobody to say goodbye to."""
        session = cut(opened())
        assert session.stop(START) == [
            Ended(EndCause.LOCAL_STOP, STOPPED, allow_reconnect=False),
        ]

    def test_a_close_record_ends_it_even_before_the_sequence(self) -> None:
        """The server refuses to go on."""
        session = cut(opened())
        session.reattached(START)
        assert session.receive(b'{"type":7,"error":"no"}\x1e', START) == [
            Ended(
                EndCause.SERVER_CLOSE, "the server closed the connection: no", allow_reconnect=False
            )
        ]

    def test_a_call_is_timed_out_without_a_transport_too(self) -> None:
        """Its caller has a deadline of its own."""
        session = opened()
        call = session.invoke("Sub", [], START - 0)
        session.receive(TRADE, START + 6 * S)
        assert session.interrupted("cut", START + 6 * S) == [
            Interrupted(EndCause.TRANSPORT_LOST, "cut")
        ]
        assert session.due_ns() == START + 15 * S
        assert session.on_time(START + 15 * S) == [TimedOut(call)]

    def test_a_count_in_doubt_is_not_resumed(self) -> None:
        """Behind a record that could not be read the two counts may differ."""
        session = opened()
        events = session.receive(b"nonsense\x1e", START)
        assert [type(event) for event in events] == [Garbled]
        assert session.interrupted("cut", START) == [
            Ended(EndCause.TRANSPORT_LOST, "cut", allow_reconnect=True)
        ]

    def test_without_the_server_s_consent_there_is_no_resumption(self) -> None:
        """A plain session is lost with its transport, and says version 1."""
        session = Session()
        session.start(START)
        assert session.outgoing() == [JSON.handshake(1)]
        session.receive(b"{}\x1e", START)
        assert session.interrupted("cut", START) == [
            Ended(EndCause.TRANSPORT_LOST, "cut", allow_reconnect=True)
        ]
        with pytest.raises(ConnectionLostError):
            session.invoke("Sub", [], START)

    def test_only_an_interrupted_session_gets_another_transport(self) -> None:
        """Anything else is a bug of the owner."""
        with pytest.raises(RuntimeError, match="interrupted"):
            opened().reattached(START)


def test_a_call_of_the_server_is_answered_on_the_next_transport() -> None:
    """The answer counts, so it is kept like a call."""
    session = opened()
    asks = b'{"type":1,"invocationId":"s1","target":"Get","arguments":[]}\x1e'
    assert session.receive(asks, START) == [Called(Invocation("Get", b"[]", "s1"))]
    answered = session.outgoing()
    cut(session)
    session.reattached(START)
    assert session.outgoing() == [sequence(1), *answered]
    assert JSON.decode(answered[0][:-1]) == Completion(
        "s1", None, "Client didn't provide a result."
    )
