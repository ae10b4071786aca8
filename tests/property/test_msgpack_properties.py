"""The MessagePack hub protocol on any input: splitting, decoding, round trips."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.signalr.msgpack import (
    LengthSplitter,
    decode,
    encode_ack,
    encode_close,
    encode_completion,
    encode_invocation,
    encode_sequence,
    framed,
)
from tapekeeper.core.signalr.protocol import MESSAGEPACK
from tapekeeper.core.signalr.records import (
    Ack,
    Close,
    Completion,
    Invocation,
    Malformed,
    Sequence,
    Unknown,
)
from tapekeeper.core.signalr.session import Called, Session
from tapekeeper.errors import ProtocolError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
NEARLY_RECORDS = st.lists(VALUE | st.integers(0, 10), max_size=7).map(msgspec.msgpack.encode)
ANY_RECORD = st.binary(max_size=60) | NEARLY_RECORDS
PLACES = st.lists(st.integers(0, 10_000), max_size=20)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at these places modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


def read(pieces: list[bytes]) -> list[bytes]:
    """The records of a stream up to its end, or to what is no length."""
    splitter, records = LengthSplitter(record_bytes_max=1_000), []
    try:
        for piece in [*pieces, b"", b""]:
            records += splitter.feed(piece)
    except ProtocolError:
        return [*records, b"broken"]
    return records


@given(st.lists(st.binary(max_size=300)), PLACES)
def test_any_split_of_a_stream_gives_the_same_records(
    records: list[bytes], places: list[int]
) -> None:
    """Where messages end changes nothing, and nothing is left over or lost."""
    stream = b"".join(map(framed, records))
    splitter = LengthSplitter()
    pieces = cut(stream, places)
    assert [record for piece in pieces for record in splitter.feed(piece)] == records
    assert splitter.pending_bytes == 0


@given(st.binary(max_size=200), PLACES)
def test_any_split_of_garbage_gives_the_same_records(stream: bytes, places: list[int]) -> None:
    """Even of bytes that are no stream, and with the same end."""
    assert read(cut(stream, places)) == read([stream])


@given(ANY_RECORD)
def test_decoding_is_total(raw: bytes) -> None:
    """Every input is a record; what is none, or unknown, is kept whole."""
    record = decode(raw)
    if isinstance(record, Malformed | Unknown):
        assert record.raw == raw
    else:
        assert msgspec.msgpack.decode(raw, type=list[msgspec.Raw])


@given(TEXT, st.lists(VALUE, max_size=4), st.none() | TEXT)
def test_invocations_round_trip(
    target: str, arguments: list[object], invocation_id: str | None
) -> None:
    """What is encoded is decoded again; an empty id is none."""
    wire = encode_invocation(target, arguments, invocation_id=invocation_id)
    (raw,) = LengthSplitter().feed(wire)
    record = decode(raw)
    expected = msgspec.msgpack.encode(arguments)
    assert record == Invocation(target, expected, invocation_id or None, packed=True)


@given(TEXT, st.none() | TEXT)
def test_completions_round_trip(invocation_id: str, error: str | None) -> None:
    """A completion comes back with nil or its error."""
    (raw,) = LengthSplitter().feed(encode_completion(invocation_id, error=error))
    assert decode(raw) == Completion(invocation_id, b"\xc0" if error is None else None, error)


@given(st.none() | TEXT, st.booleans(), st.integers(0, 2**63 - 1))
def test_the_small_records_round_trip(error: str | None, allow: bool, number: int) -> None:  # noqa: FBT001 - hypothesis fills by position
    """Close, Ack and Sequence come back with what they hold."""
    wire = encode_close(error=error, allow_reconnect=allow)
    wire += encode_ack(number) + encode_sequence(number)
    records = [decode(raw) for raw in LengthSplitter().feed(wire)]
    assert records == [Close(error, allow), Ack(number), Sequence(number)]


@given(st.lists(TEXT, max_size=20), PLACES)
def test_a_session_reads_any_split_alike(targets: list[str], places: list[int]) -> None:
    """Handshake answer and records may be cut anywhere; every invocation comes out, in order."""
    stream = b"{}\x1e" + b"".join(encode_invocation(target, []) for target in targets)
    session = Session(protocol=MESSAGEPACK)
    session.start(0)
    events = [event for piece in cut(stream, places) for event in session.receive(piece, 0)]
    assert [e.invocation.target for e in events if isinstance(e, Called)] == targets


@given(st.lists(ANY_RECORD | st.binary(max_size=9), max_size=8))
def test_a_session_raises_for_no_input(pieces: list[bytes]) -> None:
    """Whatever a server sends becomes events."""
    session = Session(protocol=MESSAGEPACK)
    session.start(0)
    session.receive(b"{}\x1e", 0)
    for piece in pieces:
        session.receive(framed(piece), 0)
        session.receive(piece, 0)
