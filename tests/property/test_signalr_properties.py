"""The SignalR core on any input: splitting, decoding, round trips, and the session's promises."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.backoff import Backoff
from tapekeeper.core.signalr.framing import RecordSplitter
from tapekeeper.core.signalr.negotiate import Negotiated, Redirect, parse_answer
from tapekeeper.core.signalr.records import (
    PING,
    Close,
    Completion,
    Invocation,
    Malformed,
    Unknown,
    decode,
    encode_close,
    encode_completion,
    encode_invocation,
)
from tapekeeper.core.signalr.session import Called, Completed, Ended, Session, TimedOut
from tapekeeper.errors import ProtocolError

# Lone surrogates are no text: JSON in UTF-8 cannot hold them.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["type", "target", "arguments", "invocationId", "item", "result", "error", "sequenceId"]
)
NEARLY_RECORDS = st.dictionaries(MEMBERS, JSON | st.integers(0, 10), max_size=8).map(
    msgspec.json.encode
)
ANY_RECORD = st.binary(max_size=60) | NEARLY_RECORDS


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at these places modulo its length."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


@given(st.lists(st.binary(max_size=30)), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_split_of_a_stream_gives_the_same_records(
    records: list[bytes], places: list[int]
) -> None:
    """Where messages end changes nothing, and nothing is left over or lost."""
    stream = b"".join(record.replace(b"\x1e", b"") + b"\x1e" for record in records)
    whole, split = RecordSplitter(), RecordSplitter()
    expected = whole.feed(stream)
    assert [record for piece in cut(stream, places) for record in split.feed(piece)] == expected
    assert len(expected) == len(records)
    assert split.pending_bytes == 0


@given(ANY_RECORD)
def test_decoding_is_total(raw: bytes) -> None:
    """Every input is a record; what is none, or unknown, is kept whole."""
    record = decode(raw)
    if isinstance(record, Malformed | Unknown):
        assert record.raw == raw
    else:
        assert msgspec.json.decode(raw)["type"] in range(1, 10)


@given(TEXT, st.lists(JSON, max_size=4), st.none() | TEXT)
def test_invocations_round_trip(
    target: str, arguments: list[object], invocation_id: str | None
) -> None:
    """What is encoded is decoded again, and holds one separator, at its end."""
    wire = encode_invocation(target, arguments, invocation_id=invocation_id)
    assert wire.index(b"\x1e") == len(wire) - 1
    record = decode(wire[:-1])
    assert isinstance(record, Invocation)
    assert (record.target, record.invocation_id) == (target, invocation_id)
    assert msgspec.json.decode(record.arguments) == arguments


@given(TEXT, JSON, st.none() | TEXT)
def test_completions_round_trip(invocation_id: str, result: object, error: str | None) -> None:
    """A completion comes back with its result or its error."""
    raw = msgspec.json.encode(result)
    wire = encode_completion(invocation_id, result=raw, error=error)
    expected = Completion(invocation_id, raw if error is None else None, error)
    assert decode(wire[:-1]) == expected


@given(st.none() | TEXT, st.booleans())
def test_closes_round_trip(error: str | None, allow: bool) -> None:  # noqa: FBT001 - hypothesis fills by position
    """A Close record comes back with its error and its permission."""
    assert decode(encode_close(error=error, allow_reconnect=allow)[:-1]) == Close(error, allow)


@given(st.binary(max_size=80) | st.dictionaries(TEXT, JSON).map(msgspec.json.encode))
def test_any_negotiation_answer_is_understood_or_refused(body: bytes) -> None:
    """No answer raises anything but a protocol error."""
    try:
        answer = parse_answer(body)
    except ProtocolError as error:
        assert str(error)  # noqa: PT017 - either outcome is right; this one has a sentence
    else:
        assert isinstance(answer, Negotiated | Redirect)


STEPS = st.lists(
    st.one_of(
        ANY_RECORD.map(lambda raw: ("receive", raw + b"\x1e")),
        st.sampled_from([b"{}\x1e", PING, b'{"type":7}\x1e', b'{"ty', b"\x1e"]).map(
            lambda raw: ("receive", raw)
        ),
        st.integers(1, 4).map(
            lambda n: ("receive", b'{"type":3,"invocationId":"%d","result":1}\x1e' % n)
        ),
        st.just(("call", b"")),
        st.just(("time", b"")),
        st.just(("stop", b"")),
        st.just(("lost", b"")),
    ),
    max_size=30,
)


@given(STEPS, st.lists(st.integers(0, 20_000_000_000), min_size=30, max_size=30))
def test_a_session_settles_every_call_and_ends_once(
    steps: list[tuple[str, bytes]], delays_ns: list[int]
) -> None:
    """Each call has one outcome, the end comes last and once, and what is due is done."""
    session, now_ns, calls = Session(), 0, []
    session.start(now_ns)
    events = session.receive(b"{}\x1e", now_ns)
    for (kind, data), delay_ns in zip(steps, delays_ns, strict=False):
        now_ns += delay_ns
        if kind == "receive":
            events += session.receive(data, now_ns)
        elif kind == "call" and session.state == "open":
            calls.append(session.invoke("T", [], now_ns))
        elif kind == "stop":
            events += session.stop(now_ns)
        elif kind == "lost":
            events += session.lost("gone", now_ns)
        events += session.on_time(now_ns)
        due_ns = session.due_ns()
        assert due_ns is None or due_ns > now_ns
        for record in session.outgoing():
            assert record.endswith(b"\x1e")
            assert record not in {b"\x1e", b"{}\x1e"}
    events += session.lost("the end", now_ns)
    settled = [e.invocation_id for e in events if isinstance(e, Completed | TimedOut)]
    assert sorted(settled) == sorted(calls)
    assert len(set(calls)) == len(calls)
    assert [isinstance(event, Ended) for event in events] == [False] * (len(events) - 1) + [True]


@given(st.lists(TEXT, max_size=20), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_session_reads_any_split_alike(targets: list[str], places: list[int]) -> None:
    """Handshake answer and records may be cut anywhere; every invocation comes out, in order."""
    stream = b"{}\x1e" + b"".join(encode_invocation(target, []) for target in targets)
    session = Session()
    session.start(0)
    events = [event for piece in cut(stream, places) for event in session.receive(piece, 0)]
    assert [e.invocation.target for e in events if isinstance(e, Called)] == targets


@given(
    st.integers(1, 10_000),
    st.integers(0, 100_000),
    st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True), st.none() | st.floats(allow_nan=True), st.booleans()
        )
    ),
)
def test_delays_stay_within_their_bounds(
    base_ms: int, more_ms: int, draws: list[tuple[float, float | None, bool]]
) -> None:
    """A delay is below cap plus what was asked, and never below what was asked (up to 10 min)."""
    cap_ms = base_ms + more_ms
    backoff = Backoff(base_ms, cap_ms)
    for random, asked, healthy in draws:
        wanted_ms = int(min(asked, 600.0) * 1_000) if asked is not None and asked > 0 else 0
        assert wanted_ms <= backoff.next_delay_ms(random, asked) < wanted_ms + cap_ms
        if healthy:
            backoff.reset()
