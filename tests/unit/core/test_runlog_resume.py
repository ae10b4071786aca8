"""A connection that changed its transport is repeated from a journal exactly."""

from __future__ import annotations

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.runlog import (
    MARKET_HUB,
    Rerun,
    connect_entry,
    connected_entry,
    counted_entry,
    reattached_entry,
    subscribe_entry,
)
from tapekeeper.core.signalr.protocol import MESSAGEPACK
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.packed import packed_record

START = 1_767_625_200_000_000_000
MES = "CON.F.US.MES.H26"
SUBSCRIPTION = Subscription(
    Instrument(MES, "MESH6", tick_size=0.25, calendar="cme"),
    (Timeframe.parse("1s"),),
    calendar_by_name("cme"),
)
OPEN = [
    subscribe_entry(SUBSCRIPTION, START),
    connect_entry(7, MARKET_HUB, START),
    counted_entry(7, ReceivePoint(), START),
]


def trade(number: int) -> bytes:
    """A GatewayTrade record with one print of a size of its own."""
    stamp = f"2026-01-05T15:00:{number:02}Z"
    one = {"timestamp": stamp, "price": 6000.25, "volume": 1 << number, "type": 0}
    return encode_invocation("GatewayTrade", [MES, [one]])


def sequence(number: int) -> bytes:
    """A Sequence record."""
    return b'{"type":9,"sequenceId":%d}\x1e' % number


def frame(data: bytes) -> Entry:
    """One whole message of connection 7."""
    return Entry(EntryKind.FRAME, 7, START, data)


def volume(*entries: Entry) -> int:
    """The volume of everything accepted: bit n is trade n, and a bit too many is a double."""
    pipeline = Pipeline(grace_ns=0)
    repeat = Rerun(pipeline)
    for entry in entries:
        list(repeat.take(entry))
    assert pipeline.trade_counts().holds
    return sum(check.accepted_volume for check in pipeline.checks())


def test_what_was_had_is_dropped_and_the_unfinished_is_void() -> None:
    """Half a record of the old transport comes again whole, between others that were had."""
    assert (
        volume(
            *OPEN,
            frame(trade(0) + trade(1) + trade(2)[:20]),
            reattached_entry(7, START),
            frame(b'{"type":6}\x1e'),
            frame(sequence(1) + trade(0) + trade(1)),
            frame(trade(2) + trade(3)),
        )
        == 0b1111
    )


def test_messagepack_is_resumed_alike() -> None:
    """The count and the framing begin anew in the protocol that the connection speaks."""
    zero, one, two = (packed_record(trade(number)) for number in range(3))
    known = [OPEN[0], connect_entry(7, MARKET_HUB, START, "messagepack"), OPEN[2]]
    frames = [
        frame(zero + one + two[:20]),
        reattached_entry(7, START),
        frame(MESSAGEPACK.ping + MESSAGEPACK.encode_sequence(1) + zero + one[:9]),
        frame(one[9:] + two),
    ]
    assert volume(*known, *frames) == 0b111


def test_a_transport_that_was_lost_at_once_changes_nothing() -> None:
    """Two of them in a row, the first without a Sequence."""
    again = reattached_entry(7, START)
    assert volume(*OPEN, frame(trade(0)), again, again, frame(sequence(2) + trade(1))) == 0b11


@pytest.mark.parametrize(
    ("point", "frames", "expected"),
    [
        (ReceivePoint(2, 2), [trade(2)], 0b100),
        (ReceivePoint(2, 1), [trade(1) + trade(2)], 0b100),
        (ReceivePoint(2, 2, awaits=True), [trade(5), sequence(2) + trade(1) + trade(2)], 0b100),
    ],
)
def test_a_reader_that_begins_in_the_middle_counts_on(
    point: ReceivePoint, frames: list[bytes], expected: int
) -> None:
    """A segment says where the count stands, be it between two transports."""
    known = [
        subscribe_entry(SUBSCRIPTION, START),
        connected_entry(7, MARKET_HUB, START),
        counted_entry(7, point, START),
    ]
    assert volume(*known, *map(frame, frames)) == expected


def test_who_has_counted_does_not_begin_again() -> None:
    """What a new segment repeats is no news to a reader of the one before."""
    assert (
        volume(
            *OPEN,
            frame(trade(0) + trade(1)[:30]),
            connected_entry(7, MARKET_HUB, START),
            counted_entry(7, ReceivePoint(1, 1), START),
            frame(trade(1)[30:]),
        )
        == 0b11
    )


def test_a_sequence_of_a_connection_that_does_not_count_means_nothing() -> None:
    """Without the entry it is an ordinary connection, as in every journal before."""
    assert volume(*OPEN[:2], frame(trade(0) + sequence(1) + trade(1))) == 0b11


def test_an_unknown_connection_is_ignored() -> None:
    """Its frames, if any, are read as a bare capture."""
    assert volume(OPEN[0], reattached_entry(9, START), counted_entry(9, ReceivePoint(), START)) == 0
