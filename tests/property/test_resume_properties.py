"""Stateful reconnect: two sides, a transport that loses what is under way, and nothing is lost."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.signalr.records import (
    PING,
    Ack,
    Ping,
    Sequence,
    decode,
    encode_invocation,
)
from tapekeeper.core.signalr.resume import Resume, ResumeLimits

Side: TypeAlias = Literal[0, 1]
SIDES = st.sampled_from([0, 1])
STEPS = st.lists(
    st.tuples(st.just("send"), SIDES, st.integers(1, 5))
    | st.tuples(st.just("ping"), SIDES, st.just(1))
    | st.tuples(st.just("deliver"), SIDES, st.integers(1, 6))
    | st.tuples(st.just("ack"), SIDES, st.just(1))
    | st.tuples(st.just("cut"), SIDES, st.just(1)),
    max_size=80,
)


class _Pair:
    """Two sides and what is under way from each to the other."""

    def __init__(self, limits: ResumeLimits, *, server_waits: bool) -> None:
        self.sides = (Resume(limits), Resume(limits, waits=server_waits))
        self.under_way: tuple[deque[bytes | Ack | Sequence], ...] = (deque(), deque())
        self.sent: tuple[list[bytes], ...] = ([], [])
        self.had: tuple[list[bytes], ...] = ([], [])
        self.made = 0

    def send(self, side: Side) -> None:
        if self.sides[side].is_full:
            return
        self.made += 1
        record = encode_invocation("GatewayTrade", [self.made])
        self.sides[side].keep(record)
        self.sent[side].append(record)
        self.under_way[side].append(record)

    def deliver(self, sender: Side) -> None:
        """The next thing from `sender` arrives."""
        if not self.under_way[sender]:
            return
        thing = self.under_way[sender].popleft()
        mine = self.sides[1 - sender]
        record = thing if isinstance(thing, Ack | Sequence) else decode(thing[:-1])
        if not mine.admits(record):
            return
        if isinstance(record, Sequence):
            assert mine.begins_at(record.sequence_id)
        elif isinstance(record, Ack):
            mine.acknowledged(record.sequence_id)
        elif isinstance(thing, bytes) and not isinstance(record, Ping):
            self.had[sender].append(thing)

    def ack(self, side: Side) -> None:
        if not self.sides[side].awaits_sequence:
            self.under_way[side].append(Ack(self.sides[side].take_ack()))

    def cut(self) -> None:
        """All that is under way is lost, and both begin again on another transport."""
        for side, under_way in zip(self.sides, self.under_way, strict=True):
            under_way.clear()
            side.interrupted()
            number, records = side.again()
            under_way.append(Sequence(number))
            under_way.extend(records)


@given(STEPS, st.integers(60, 400), st.booleans())
def test_each_record_arrives_exactly_once_in_order(
    steps: list[tuple[str, Side, int]],
    room_bytes: int,
    server_waits: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whatever the interleaving of sends, acks, deliveries and cuts, in both directions."""
    pair = _Pair(ResumeLimits(unacknowledged_bytes_max=room_bytes), server_waits=server_waits)
    for what, side, times in steps:
        for _ in range(times):
            match what:
                case "send":
                    pair.send(side)
                case "ping":
                    pair.under_way[side].append(PING)
                case "deliver":
                    pair.deliver(side)
                case "ack":
                    pair.ack(side)
                case _:
                    pair.cut()
        for each in (0, 1):
            assert pair.had[each] == pair.sent[each][: len(pair.had[each])]
    pair.cut()
    while pair.under_way[0] or pair.under_way[1]:
        pair.deliver(0)
        pair.deliver(1)
    assert pair.had == pair.sent


@given(STEPS, st.integers(60, 400))
def test_what_is_kept_is_bounded_and_the_point_says_all(
    steps: list[tuple[str, Side, int]], room_bytes: int
) -> None:
    """At most one record over the limit is kept; a side made from a point counts the same."""
    pair = _Pair(ResumeLimits(unacknowledged_bytes_max=room_bytes), server_waits=True)
    for what, side, times in steps:
        for _ in range(times):
            if what == "cut":
                pair.cut()
            elif what == "deliver" and pair.under_way[side]:
                twin = Resume(point=pair.sides[1 - side].point)
                thing = pair.under_way[side][0]
                record = thing if isinstance(thing, Ack | Sequence) else decode(thing[:-1])
                admitted = twin.admits(record)
                if admitted and isinstance(record, Sequence):
                    assert twin.begins_at(record.sequence_id)
                had = len(pair.had[side])
                pair.deliver(side)
                assert twin.point == pair.sides[1 - side].point
                if not isinstance(record, Ack | Sequence | Ping):
                    assert admitted is (len(pair.had[side]) > had)
            elif what == "ack":
                pair.ack(side)
            else:
                pair.send(side)
            assert pair.sides[side].kept_bytes < room_bytes + 100
