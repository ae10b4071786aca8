"""The server's side of one connection: handshake, records, timers, and negotiation."""

from __future__ import annotations

import json

import pytest

from tapekeeper.core.signalr.protocol import MESSAGEPACK
from tapekeeper.core.signalr.records import PING, Invocation, StreamInvocation
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.hub import negotiate_answer
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import SECOND_NS, Call, ServerSession
from tapekeeper.sim.wire import user_record

HANDSHAKE = b'{"protocol":"json","version":1}\x1e'
PROTOCOL_CLOSE = b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}\x1e'


class Peer:
    """A session with what it sent and which calls it passed on."""

    def __init__(self, limits: HubLimits | None = None) -> None:
        self.sent: list[bytes] = []
        self.calls: list[Call] = []
        self.session = ServerSession(limits or HubLimits(), self.sent.append, 0)

    def receive(self, data: bytes, at_s: float = 0.0) -> None:
        """The client sends `data`."""
        self.calls.extend(self.session.receive(data, round(at_s * SECOND_NS)))

    def tick(self, at_s: float) -> None:
        """The one-second tick comes."""
        self.session.on_tick(round(at_s * SECOND_NS))

    def take(self) -> list[bytes]:
        """What was sent since the last look."""
        sent, self.sent[:] = list(self.sent), []
        return sent


@pytest.fixture
def fresh() -> Peer:
    """A connection before its handshake."""
    return Peer()


@pytest.fixture
def peer() -> Peer:
    """A connection behind its handshake."""
    peer = Peer()
    peer.receive(HANDSHAKE)
    assert peer.take() == [b"{}\x1e"]
    return peer


@pytest.mark.parametrize("version", [0, 1, 2])
def test_protocol_versions_0_to_2_are_accepted(fresh: Peer, version: int) -> None:
    """Version 0 is what one Python client really sends."""
    fresh.receive(b'{"version":%d,"protocol":"json","x":1}\x1e' % version)
    assert fresh.take() == [b"{}\x1e"]
    assert fresh.session.open


@pytest.mark.parametrize(
    ("record", "error"),
    [
        (
            b'{"protocol":"json","version":3}',
            "The server does not support version 3 of the 'json' protocol.",
        ),
        (b'{"protocol":"xyz","version":1}', "The protocol 'xyz' is not supported."),
        (
            b'{"protocol":"messagepack","version":3}',
            "The server does not support version 3 of the 'messagepack' protocol.",
        ),
        (b'{"protocol":"json"}', "An unexpected error occurred during connection handshake."),
        (b'{"version":1}', "An unexpected error occurred during connection handshake."),
        (b"hello", "An unexpected error occurred during connection handshake."),
        (b"", "An unexpected error occurred during connection handshake."),
    ],
)
def test_a_wrong_handshake_is_refused_in_the_servers_words(
    fresh: Peer, record: bytes, error: str
) -> None:
    """The error record goes out and the connection ends."""
    fresh.receive(record + b"\x1e")
    assert [json.loads(one[:-1]) for one in fresh.take()] == [{"error": error}]
    assert fresh.session.ended
    assert not fresh.session.open


def test_the_handshake_may_come_in_pieces_and_with_records_behind_it(fresh: Peer) -> None:
    """Message boundaries mean nothing, before the handshake as after it."""
    fresh.receive(HANDSHAKE[:5])
    fresh.receive(HANDSHAKE[5:] + b'{"type":1,"target":"A","arguments":[]}\x1e{"type"')
    fresh.receive(b":6}\x1e")
    assert fresh.take() == [b"{}\x1e"]
    assert fresh.calls == [Invocation("A", b"[]")]


def test_the_handshake_decides_what_is_spoken(fresh: Peer) -> None:
    """Behind a handshake for MessagePack, which is JSON itself, everything is MessagePack."""
    call = MESSAGEPACK.encode_invocation("A", ["x"], invocation_id="1")
    fresh.receive(b'{"protocol":"messagepack","version":1}\x1e' + call + call[:3])
    fresh.receive(call[3:] + MESSAGEPACK.ping)
    assert fresh.take() == [b"{}\x1e"]
    assert fresh.calls == [Invocation("A", b"\x91\xa1x", "1", packed=True)] * 2
    fresh.tick(15.0)
    assert fresh.take() == [MESSAGEPACK.ping]
    fresh.receive(MESSAGEPACK.encode_close())
    assert fresh.take() == [MESSAGEPACK.encode_close()]
    assert fresh.session.ended


@pytest.mark.parametrize("garbage", [b"\x01\xc1", b"\x00", b"\x02\x91\xa0", b"\xff" * 6])
def test_packed_garbage_ends_the_connection(fresh: Peer, garbage: bytes) -> None:
    """What breaks the protocol is answered as under JSON, in MessagePack."""
    fresh.receive(b'{"protocol":"messagepack","version":1}\x1e')
    fresh.take()
    fresh.receive(garbage)
    error = "Connection closed with an error."
    assert fresh.take() == [MESSAGEPACK.encode_close(error=error, allow_reconnect=True)]


def test_a_server_may_lack_messagepack() -> None:
    """It is a package of its own; without it the handshake is refused."""
    peer = Peer(HubLimits(has_messagepack=False))
    peer.receive(b'{"protocol":"messagepack","version":1}\x1e')
    assert peer.take() == [b'{"error":"The protocol \'messagepack\' is not supported."}\x1e']
    assert peer.session.ended


def test_a_handshake_without_an_end_is_refused(fresh: Peer) -> None:
    """It counts against the limit of a record."""
    fresh.receive(b" " * 32_768)
    assert fresh.take() == []
    fresh.receive(b" ")
    assert fresh.session.ended


def test_a_handshake_that_does_not_come_is_cancelled(fresh: Peer) -> None:
    """After 15 s the server gives up."""
    fresh.tick(14.9)
    assert fresh.take() == []
    fresh.tick(15.0)
    assert fresh.take() == [b'{"error":"Handshake was canceled."}\x1e']
    assert fresh.session.ended


def test_member_order_is_free_and_calls_are_passed_on_in_order(peer: Peer) -> None:
    """The JavaScript client writes `type` last."""
    peer.receive(
        b'{"arguments":["A",7],"target":"Sub","invocationId":"0","type":1}\x1e'
        b'{"target":"Cnt","arguments":[3],"invocationId":"1","type":4}\x1e'
    )
    assert peer.calls == [
        Invocation("Sub", b'["A",7]', "0"),
        StreamInvocation("Cnt", b"[3]", "1"),
    ]


@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"",
        b"{}",
        b"[]",
        b'{"type":"1"}',
        b'{"type":1,"target":"A"}',
        b'{"type":1,"target":"A","arguments":[],"invocationId":5}',
        b'{"type":3,"invocationId":"1","result":1,"error":"x"}',
    ],
)
def test_a_broken_record_closes_with_permission_to_come_back(peer: Peer, record: bytes) -> None:
    """Every violation gets the same Close, and nothing behind it is read."""
    peer.receive(record + b'\x1e{"type":1,"target":"A","arguments":[]}\x1e')
    assert peer.take() == [PROTOCOL_CLOSE]
    assert peer.session.ended
    assert peer.calls == []
    assert peer.session.protocol_error is not None


@pytest.mark.parametrize("ending", [b"\x1e", b""])
def test_a_record_beyond_32_kib_closes_the_connection(peer: Peer, ending: bytes) -> None:
    """The limit holds for whole records and for those that never end."""
    peer.receive(b'{"type":6,"x":"' + b"x" * 32_768 + b'"}' + ending)
    assert peer.take() == [PROTOCOL_CLOSE]


def test_a_record_of_exactly_32_kib_passes(peer: Peer) -> None:
    """The limit is the largest size allowed."""
    head, tail = b'{"type":6,"x":"', b'"}'
    peer.receive(head + b"x" * (32_768 - len(head) - len(tail)) + tail + b"\x1e")
    assert peer.take() == []
    assert not peer.session.ended


def test_an_unknown_type_wedges_the_connection_and_pings_still_flow(peer: Peer) -> None:
    """Nothing behind it is ever processed, without any error."""
    peer.receive(b'{"type":99}\x1e{"type":1,"target":"A","arguments":[]}\x1e')
    peer.receive(b'{"type":1,"target":"B","arguments":[]}\x1e')
    peer.tick(15.0)
    assert peer.calls == []
    assert peer.take() == [PING]


@pytest.mark.parametrize(
    "record",
    [
        b'{"type":2,"invocationId":"9","item":1}',
        b'{"type":3,"invocationId":"9","result":1}',
        b'{"type":5,"invocationId":"9"}',
        b'{"type":8,"sequenceId":1}',
    ],
)
def test_records_that_answer_nothing_are_ignored(peer: Peer, record: bytes) -> None:
    """Completions of unknown calls and acks are no errors."""
    peer.receive(record + b"\x1e")
    assert peer.take() == []
    assert not peer.session.ended


def test_close_is_answered_with_close(peer: Peer) -> None:
    """A client that says goodbye hears it back."""
    peer.receive(b'{"type":7}\x1e')
    assert peer.take() == [b'{"type":7}\x1e']
    assert peer.session.ended
    assert peer.session.protocol_error is None


def test_a_close_sent_twice_goes_out_once(peer: Peer) -> None:
    """Nothing follows Close."""
    peer.session.close(error="bye", allow_reconnect=True)
    peer.session.close()
    peer.tick(60.0)
    assert peer.take() == [b'{"type":7,"error":"bye","allowReconnect":true}\x1e']


def test_pings_come_15_s_after_the_last_ping_whatever_else_is_said(peer: Peer) -> None:
    """The interval counts from ping to ping, at the ticks."""
    peer.tick(14.0)
    assert peer.take() == []
    peer.tick(15.5)
    assert peer.take() == [PING]
    peer.receive(b'{"type":6}\x1e', 29.0)
    peer.tick(30.0)
    assert peer.take() == []
    peer.tick(30.5)
    assert peer.take() == [PING]


def test_a_client_that_never_pinged_is_never_timed_out(peer: Peer) -> None:
    """The client timeout is armed by the first ping."""
    for second in range(300):
        peer.tick(second)
    assert set(peer.take()) == {PING}
    assert not peer.session.ended


def test_a_client_that_fell_silent_after_a_ping_is_timed_out(peer: Peer) -> None:
    """30 s after its last record it gets Close with the reason."""
    peer.receive(b'{"type":6}\x1e', 1.0)
    peer.receive(b'{"type":1,"target":"A","arguments":[]}\x1e', 5.0)
    peer.tick(35.0)
    assert not peer.session.ended
    peer.take()
    peer.tick(36.0)
    (close,) = peer.take()
    told = json.loads(close[:-1])
    assert told["type"] == 7
    assert told["allowReconnect"] is True
    assert "Client hasn't sent a message/ping within the configured" in told["error"]
    assert peer.session.ended


@pytest.mark.parametrize(("asked", "version"), [(None, 0), ("0", 0), ("1", 1), ("7", 1)])
def test_negotiation_clamps_the_version(asked: str | None, version: int) -> None:
    """A missing version is 0, one above ours is ours; the id to use depends on it."""
    answer, id_ = negotiate_answer(asked, Seeded(1, "ids"))
    assert answer["negotiateVersion"] == version
    assert answer["availableTransports"][0]["transport"] == "WebSockets"
    if version == 0:
        assert id_ == answer["connectionId"]
        assert "connectionToken" not in answer
    else:
        assert id_ == answer["connectionToken"] != answer["connectionId"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ("abc", "The client requested a non-integer protocol version."),
        (
            "-1",
            "The client requested version '-1', but the server does not support this version.",
        ),
    ],
)
def test_negotiation_refuses_versions_that_are_none(asked: str, error: str) -> None:
    """The refusal is a member of a good answer, and there is no id to use."""
    assert negotiate_answer(asked, Seeded(1, "ids")) == ({"error": error}, None)


def test_user_events_are_wrapped_as_the_live_gateway_does() -> None:
    """One argument with the action and the data."""
    assert user_record("GatewayUserAccount", 1, {"id": 7}) == (
        b'{"type":1,"target":"GatewayUserAccount","arguments":[{"action":1,"data":{"id":7}}]}\x1e'
    )
