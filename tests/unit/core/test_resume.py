"""Stateful reconnect: what one side counts, keeps, acknowledges and drops."""

from __future__ import annotations

import pytest

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
from tapekeeper.core.signalr.resume import (
    ACK_AFTER_NS,
    UNACKNOWLEDGED_BYTES_MAX,
    ReceivePoint,
    Resume,
    ResumeLimits,
)

S = 1_000_000_000
TRADE = Invocation("GatewayTrade", b"[]")
COUNTED: list[Record] = [
    TRADE,
    StreamItem("1", b"1"),
    Completion("1"),
    StreamInvocation("Cnt", b"[]", "1"),
    CancelInvocation("1"),
]
UNCOUNTED: list[Record] = [Ping(), Close(), Ack(1), Sequence(1), Unknown(99, b"{}")]


def due_ns(side: Resume) -> int | None:
    """When an Ack is due; a call, because mypy takes a property for one value."""
    return side.ack_due_ns


def is_full(side: Resume) -> bool:
    """Whether nothing more should be sent; the same."""
    return side.is_full


def test_types_1_to_5_are_counted_and_no_others() -> None:
    """Pings, Close, Ack, Sequence and unknown types have no number."""
    side = Resume()
    for number, record in enumerate(COUNTED, 1):
        assert side.admits(record)
        assert side.point == ReceivePoint(number, number)
    for record in UNCOUNTED:
        assert side.admits(record)
    assert side.point == ReceivePoint(5, 5)


def test_a_new_transport_begins_with_the_first_record_kept() -> None:
    """Sequence has its number, and all that is kept follows; nothing kept means the next one."""
    side = Resume()
    assert side.again() == (1, ())
    for record in (b"a", b"b", b"c"):
        side.keep(record)
    assert side.again() == (1, (b"a", b"b", b"c"))
    side.acknowledged(2)
    assert side.again() == (3, (b"c",))
    side.acknowledged(1)  # late, and therefore nothing new
    assert side.again() == (3, (b"c",))
    side.acknowledged(1_000)  # more than was ever sent
    assert side.again() == (4, ())
    assert side.kept_bytes == 0


def test_what_was_had_is_dropped_and_counted() -> None:
    """After Sequence(2) the second and third record come again, the fourth is new."""
    side = Resume()
    for _ in range(3):
        side.admits(TRADE)
    side.interrupted()
    assert not side.admits(TRADE)
    assert not side.admits(Ping())
    assert side.point == ReceivePoint(3, 3, awaits=True)
    assert side.admits(Sequence(2))
    assert side.begins_at(2)
    assert [side.admits(TRADE) for _ in range(3)] == [False, False, True]
    assert side.repeated == 2
    assert side.point == ReceivePoint(4, 4)


@pytest.mark.parametrize(("number", "possible"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_sequence_beyond_the_next_record_shows_a_loss(*, number: int, possible: bool) -> None:
    """Three records were had: four is the next, five would leave one out, none has number 0."""
    side = Resume()
    for _ in range(3):
        side.admits(TRADE)
    side.interrupted()
    assert side.begins_at(number) is possible
    assert side.awaits_sequence is not possible


def test_a_cut_among_repeated_records_forgets_nothing() -> None:
    """All was had and acknowledged, so the next transport may begin behind it."""
    side = Resume()
    for _ in range(3):
        side.admits(TRADE)
    side.interrupted()
    side.begins_at(1)
    side.admits(TRADE)
    assert side.take_ack() == 3
    side.interrupted()
    assert side.begins_at(4)
    assert side.admits(TRADE)
    assert side.repeated == 1


def test_an_ack_is_due_a_second_after_the_first_record() -> None:
    """More records do not move it, and after it the next record starts another second."""
    side = Resume()
    side.admits(Ping())
    side.heard(12, 0)
    assert due_ns(side) is None
    side.admits(TRADE)
    side.heard(100, 5)
    side.admits(TRADE)
    side.heard(100, 700)
    assert due_ns(side) == 5 + ACK_AFTER_NS
    assert side.take_ack() == 2
    assert due_ns(side) is None
    side.admits(TRADE)
    side.heard(100, 2 * S)
    assert due_ns(side) == 2 * S + ACK_AFTER_NS


def test_half_of_what_a_server_keeps_is_acknowledged_at_once() -> None:
    """A server whose 100,000 bytes are out would wait for the second to pass."""
    side = Resume()
    side.admits(TRADE)
    side.heard(UNACKNOWLEDGED_BYTES_MAX // 2 - 1, 3)
    assert due_ns(side) == 3 + ACK_AFTER_NS
    side.admits(TRADE)
    side.heard(1, 4)
    assert due_ns(side) == 4


def test_no_ack_is_owed_on_a_new_transport_before_its_sequence() -> None:
    """What was owed comes again, or the other side knows."""
    side = Resume()
    side.admits(TRADE)
    side.heard(100, 0)
    side.interrupted()
    assert due_ns(side) is None
    side.admits(TRADE)
    side.heard(100, 1)
    assert due_ns(side) is None


def test_it_is_full_at_its_limit() -> None:
    """Of bytes that are not acknowledged; an Ack makes room."""
    side = Resume(ResumeLimits(unacknowledged_bytes_max=10))
    side.keep(b"123456789")
    assert not is_full(side)
    side.keep(b"x")
    assert is_full(side)
    side.acknowledged(1)
    assert not is_full(side)


def test_a_record_that_cannot_be_read_puts_the_count_in_doubt() -> None:
    """Nobody can say whether the other side counted it; the first one is named."""
    side = Resume()
    assert side.admits(Malformed(b"x", "no JSON"))
    assert side.admits(Malformed(b"y", "other"))
    assert side.doubt == "a record could not be read: no JSON"


def test_a_side_that_does_not_wait_takes_what_comes() -> None:
    """The measured server acts upon records before the client's Sequence."""
    side = Resume(waits=False)
    side.admits(TRADE)
    side.interrupted()
    assert side.admits(TRADE)
    assert side.begins_at(1)
    assert [side.admits(TRADE) for _ in range(3)] == [False, False, True]
