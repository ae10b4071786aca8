"""Records of the MessagePack hub protocol: the reference's bytes, and what to make of others."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.signalr.msgpack import (
    PING,
    LengthSplitter,
    decode,
    encode_ack,
    encode_close,
    encode_completion,
    encode_invocation,
    encode_sequence,
    framed,
)
from tapekeeper.core.signalr.protocol import JSON, MESSAGEPACK, protocol_by_name
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
from tapekeeper.core.signalr.session import (
    Called,
    Completed,
    EndCause,
    Ended,
    Opened,
    Session,
)
from tapekeeper.errors import ProtocolError, UsageError


def packed(*items: object) -> bytes:
    """A MessagePack array without a length."""
    return msgspec.msgpack.encode(items)


METHOD = Invocation("method", b"\x91\x2a", "xyz", packed=True)

FROM_THE_SPECIFICATION: list[tuple[str, Record]] = [
    ("02 91 06", Ping()),
    ("11 96 01 80 a3 78 79 7a a6 6d 65 74 68 6f 64 91 2a 90", METHOD),
    (
        "0e 96 01 80 c0 a6 6d 65 74 68 6f 64 91 2a 90",
        Invocation("method", b"\x91\x2a", packed=True),
    ),
    ("08 94 02 80 a3 78 79 7a 2a", StreamItem("xyz", b"\x2a")),
    ("0e 95 03 80 a3 78 79 7a 01 a5 45 72 72 6f 72", Completion("xyz", error="Error")),
    ("08 94 03 80 a3 78 79 7a 02", Completion("xyz")),
    ("09 95 03 80 a3 78 79 7a 03 2a", Completion("xyz", b"\x2a")),
    ("07 93 05 80 a3 78 79 7a", CancelInvocation("xyz")),
    ("06 92 07 a3 78 79 7a", Close("xyz")),
    ("07 93 07 a3 78 79 7a c3", Close("xyz", allow_reconnect=True)),
    ("04 92 08 cc 24", Ack(36)),
    ("03 92 08 24", Ack(36)),
    ("04 92 09 cc 13", Sequence(19)),
]
FROM_THE_JAVASCRIPT_CLIENT: list[tuple[str, Record]] = [
    ("02 91 06", Ping()),
    ("0b 95 03 80 a2 73 31 03 a3 76 2d 71", Completion("s1", b"\xa3v-q")),
    (
        "1b 95 01 80 c0 a4 46 69 72 65 95 01 a1 61 c3 c0 81 a1 6b cb 3f f8 00 00 00 00 00 00",
        Invocation("Fire", packed(1, "a", True, None, {"k": 1.5}), packed=True),
    ),
    ("03 92 07 c0", Close()),
]


class TestFraming:
    @pytest.mark.parametrize(
        ("prefix", "length"),
        [("00", 0), ("7f", 127), ("80 01", 128), ("80 29", 5248), ("80 00", 0)],
    )
    def test_a_length_has_seven_bits_a_byte(self, prefix: str, length: int) -> None:
        """The low group comes first, and the top bit says that more follow."""
        record = b"x" * length
        splitter = LengthSplitter()
        assert splitter.feed(bytes.fromhex(prefix) + record) == [record]
        assert splitter.pending_bytes == 0

    def test_the_longest_length_is_a_length(self) -> None:
        """0x7fffffff takes five bytes and is judged by our own limit, not as garbage."""
        with pytest.raises(ProtocolError, match="a record of 2,147,483,647 bytes is announced"):
            LengthSplitter().feed(bytes.fromhex("ff ff ff ff 07"))
        splitter = LengthSplitter(record_bytes_max=0x7FFF_FFFF)
        assert splitter.feed(bytes.fromhex("ff ff ff ff 07")) == []
        assert splitter.pending_bytes == 5

    @pytest.mark.parametrize("prefix", ["ff ff ff ff 08", "80 80 80 80 80", "ff ff ff ff ff 01"])
    def test_what_is_no_length_is_refused(self, prefix: str) -> None:
        """More than 31 bits, or more than five bytes, is no length."""
        with pytest.raises(ProtocolError, match="is not a length"):
            LengthSplitter().feed(bytes.fromhex(prefix))

    def test_records_in_front_of_a_broken_length_are_given(self) -> None:
        """They arrived whole, wherever the message ended; the next call tells."""
        splitter = LengthSplitter()
        assert splitter.feed(PING + b"\x80\x80\x80\x80\x80") == [b"\x91\x06"]
        with pytest.raises(ProtocolError, match="is not a length"):
            splitter.feed(b"")

    @pytest.mark.parametrize("limit", [3, 100, 200])
    def test_a_record_has_a_limit(self, limit: int) -> None:
        """A record of the limit is let in; one byte more is refused when it is announced."""
        fitting, larger = framed(b"x" * limit), framed(b"x" * (limit + 1))
        assert LengthSplitter(record_bytes_max=limit).feed(fitting) == [b"x" * limit]
        with pytest.raises(ProtocolError, match="is announced"):
            LengthSplitter(record_bytes_max=limit).feed(larger[:2])

    def test_a_record_may_come_byte_by_byte(self) -> None:
        """A length and a record may be cut anywhere."""
        splitter = LengthSplitter()
        stream = framed(b"x" * 300) + PING
        pieces = [splitter.feed(stream[at : at + 1]) for at in range(len(stream))]
        assert [one for piece in pieces for one in piece] == [b"x" * 300, b"\x91\x06"]


class TestDecoding:
    @pytest.mark.parametrize(
        ("wire", "record"), FROM_THE_SPECIFICATION + FROM_THE_JAVASCRIPT_CLIENT
    )
    def test_every_example_of_the_reference_is_read(self, wire: str, record: Record) -> None:
        """Each example is one framed record of that meaning."""
        (raw,) = LengthSplitter().feed(bytes.fromhex(wire))
        assert decode(raw) == record

    @pytest.mark.parametrize(
        ("items", "record"),
        [
            ((1, {}, "", "T", []), Invocation("T", b"\x90", packed=True)),
            ((1, {"a": "b"}, None, "T", [], ["1"]), Invocation("T", b"\x90", None, ("1",), True)),
            ((1, None, None, "T", [], None, 7), Invocation("T", b"\x90", packed=True)),
            ((3, {}, "1", 3, None), Completion("1", b"\xc0")),
            ((3, {}, "1", 2, 5), Completion("1")),
            ((4, {}, "1", "S", [3], []), StreamInvocation("S", b"\x91\x03", "1", (), True)),
            ((4, {}, "1", "S", [3]), StreamInvocation("S", b"\x91\x03", "1", (), True)),
            ((6, 1), Ping()),
            ((7,), Close()),
            ((7, None, None), Close()),
            ((8, 36, "more"), Ack(36)),
        ],
    )
    def test_what_may_differ(self, items: tuple[object, ...], record: Record) -> None:
        """Trailing elements are ignored, an empty id is none, stream ids may be missing."""
        assert decode(packed(*items)) == record

    @pytest.mark.parametrize("items", [(99,), (0, "x"), (10, {}, 1), (-1,)])
    def test_other_types_are_unknown(self, items: tuple[object, ...]) -> None:
        """A type of a newer protocol is kept whole, to be ignored."""
        raw = packed(*items)
        assert decode(raw) == Unknown(items[0], raw)  # type: ignore[arg-type]  # ints, above

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"\xc1",
            b"\x90",
            b"\x06",
            b"\x91\xa16",
            b"\x81\x06\x06",
            b"{}",
            packed(1, {}, None, "T"),
            packed(1, {}, None, "T", {}),
            packed(1, {}, None, "T", "ab"),
            packed(1, {}, 5, "T", []),
            packed(1, {}, None, None, []),
            packed(2, {}, "1"),
            packed(3, {}, "1", 1),
            packed(3, {}, "1", 1, 5),
            packed(3, {}, "1", 3),
            packed(3, {}, "1", 4, 5),
            packed(3, {}, None, 2),
            packed(4, {}, None, "S", []),
            packed(4, {}, "1", "S", 3),
            packed(5, {}),
            packed(8),
            packed(9, "1"),
            b"\x95\x01\x80\xc0\xa1\xff\x90",
            b"\xdd\xff\xff\xff\xff\x01",
            b"\x95\x01\x80\xc0\xa1T" + b"\x91" * 100_000,
        ],
    )
    def test_what_is_no_record_is_malformed(self, raw: bytes) -> None:
        """Whatever the protocol does not allow is kept whole, with a reason, and raises nothing."""
        record = decode(raw)
        assert isinstance(record, Malformed)
        assert record.raw == raw
        assert record.detail


class TestEncoding:
    @pytest.mark.parametrize(
        ("record", "wire"),
        [
            (PING, "02 91 06"),
            (encode_invocation("Fire", [1]), "0b 95 01 80 c0 a4 46 69 72 65 91 01"),
            (encode_invocation("T", [], invocation_id="1"), "08 95 01 80 a1 31 a1 54 90"),
            (encode_completion("xyz", error="Error"), FROM_THE_SPECIFICATION[4][0]),
            (encode_completion("1"), "07 95 03 80 a1 31 03 c0"),
            (encode_close(), "03 92 07 c0"),
            (encode_close(error="xyz"), "06 92 07 a3 78 79 7a"),
            (encode_close(error="xyz", allow_reconnect=True), "07 93 07 a3 78 79 7a c3"),
            (encode_ack(36), "03 92 08 24"),
            (encode_sequence(19), "03 92 09 13"),
        ],
    )
    def test_records_are_written_as_real_peers_write_them(self, record: bytes, wire: str) -> None:
        """Byte for byte, with the length."""
        assert record == bytes.fromhex(wire)

    @pytest.mark.parametrize("length", [127, 128, 5248, 16_384])
    def test_long_records_have_long_lengths(self, length: int) -> None:
        """What is framed is cut again."""
        assert LengthSplitter().feed(framed(b"x" * length)) == [b"x" * length]


class TestSession:
    def test_a_session_speaks_it_behind_a_handshake_in_json(self) -> None:
        """The handshake is text; what stands behind its answer in the same message is binary."""
        session = Session(protocol=MESSAGEPACK)
        session.start(0)
        assert session.outgoing() == [b'{"protocol":"messagepack","version":1}\x1e']
        call = encode_invocation("GatewayQuote", ["C\x1e"])
        events = session.receive(b"{}\x1e" + call + call[:5], 1)
        assert [type(event) for event in events] == [Opened, Called]
        assert session.outgoing() == [PING]
        (called,) = session.receive(call[5:], 2)
        assert called == events[1]

    def test_calls_answers_and_the_goodbye_are_binary(self) -> None:
        """Everything behind the handshake is MessagePack, both ways."""
        session = Session(protocol=MESSAGEPACK)
        session.start(0)
        session.receive(b"{}\x1e", 0)
        session.outgoing()
        session.invoke("T", ["C"], 1)
        assert session.outgoing() == [encode_invocation("T", ["C"], invocation_id="1")]
        assert session.receive(encode_completion("1"), 2) == [Completed("1", b"\xc0", None)]
        session.receive(encode_invocation("GetValue", [], invocation_id="s1"), 3)
        answer = encode_completion("s1", error="Client didn't provide a result.")
        assert session.outgoing() == [answer]
        session.stop(4)
        assert session.outgoing() == [encode_close()]

    def test_a_broken_length_ends_it(self) -> None:
        """Where the next record starts cannot be told, so nothing more can be read."""
        session = Session(protocol=MESSAGEPACK)
        session.start(0)
        session.receive(b"{}\x1e", 0)
        (ended,) = session.receive(b"\xff" * 9, 1)
        assert isinstance(ended, Ended)
        assert ended.cause is EndCause.PROTOCOL_ERROR


def test_protocols_have_names() -> None:
    """The configuration and the journal name a protocol; another name is a clear error."""
    assert protocol_by_name("json") is JSON
    assert protocol_by_name("messagepack") is MESSAGEPACK
    with pytest.raises(UsageError, match="no hub protocol 'bson'"):
        protocol_by_name("bson")
