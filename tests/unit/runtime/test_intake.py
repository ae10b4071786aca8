"""What waits between the lines and the pipeline, policy by policy."""

from __future__ import annotations

import asyncio

import pytest

from tapekeeper.core.gateway.traded import ANY
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.resume import ReceivePoint
from tapekeeper.core.signalr.session import Garbled
from tapekeeper.errors import JournalError, UsageError
from tapekeeper.model.queue import OnFull, QueueLimits
from tapekeeper.runtime.intake import FeedLimits, Intake, Overflowed, Waiting
from tapekeeper.runtime.line_values import Connected, Disconnected, Inbound, Reattached
from tapekeeper.sim.memory_scratch import MemoryScratch

MEGABYTE = 1_000_000


class Bench:
    """An intake with its log and its disk."""

    def __init__(self, frames: int, on_full: OnFull, *, size: int = MEGABYTE) -> None:
        self.events: list[str] = []
        self.scratch = MemoryScratch()
        limits = FeedLimits(frames, size, on_full, MEGABYTE)
        self.intake = Intake(limits, self.log, self.scratch)

    def log(self, event: str, /, *, level: str = "info", **_fields: object) -> None:
        """Keep what is said."""
        assert level
        self.events.append(event)

    def rest(self) -> list[Waiting]:
        """All that waits, burst by burst."""
        taken = []
        while len(self.intake):
            taken += self.intake.take()
        return taken


def frame(number: int, *, line: int = 1, contract: str = "A", whole: bool = True) -> Inbound:
    """A frame of one print, which has its number for a time."""
    call = Invocation("GatewayTrade", b'["%s",[]]' % contract.encode())
    point = ReceivePoint(number, number)
    return Inbound(line, "market", number, b"x", (call,), (), point, whole)


def user_frame(number: int) -> Inbound:
    """A frame of the user hub."""
    return Inbound(9, "user", number, b"u", (), ())


def test_a_policy_that_cannot_be_is_refused() -> None:
    """With one sentence, before anything waits."""
    with pytest.raises(UsageError, match="the frames of the lines cannot conflate: choose block"):
        Bench(4, OnFull.CONFLATE)
    with pytest.raises(UsageError, match="cannot be spilled: there is no disk"):
        Intake(FeedLimits(4, 100, OnFull.SPILL, 100), Bench(4, OnFull.BLOCK).log)


@pytest.mark.asyncio
async def test_a_line_that_is_blocked_goes_on_when_half_is_free() -> None:
    """Until then it waits; what it handed over is in the limit."""
    bench = Bench(4, OnFull.BLOCK)
    assert [bench.intake.put(frame(number)) for number in range(4)] == [True, True, True, False]
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(bench.intake.wait_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        bench.rest()
    assert bench.events == ["queue_high", "queue_low"]
    assert bench.intake.waiting_max == 4


def test_bytes_are_those_of_memory() -> None:
    """A frame counts with what was read in it, and gives all of it back."""
    bench = Bench(1_000, OnFull.BLOCK, size=2_000)
    big = Inbound(1, "market", 1, bytes(1_000), (), ())
    assert not bench.intake.put(big)
    assert bench.intake.waiting_bytes > 2_000
    bench.rest()
    assert bench.intake.waiting_bytes == 0


def test_what_is_spilled_is_processed_in_its_place() -> None:
    """All kinds of arrivals, as they were; no line ever waits, and memory is bounded."""
    bench = Bench(8, OnFull.SPILL)
    point = ReceivePoint(7, 5, awaits=True)
    arrivals: list[Waiting] = [Connected(1, "market", 0, ReceivePoint(), "messagepack")]
    for number in range(200):
        arrivals.append(frame(number))
        arrivals.append(user_frame(number))
    arrivals += [
        Inbound(1, "market", 8, b"\xff", (), (Garbled(b"\x00\xff", "not a record"),), None, False),
        Reattached(1, "market", 9, point),
        Disconnected(1, "market", 9),
    ]
    for arrival in arrivals:
        assert not isinstance(arrival, Overflowed)
        assert bench.intake.put(arrival)
        assert bench.intake.waiting_bytes < 8 * 700 + 4 * 700
    assert bench.intake.spilled > 380
    assert bench.intake.spilled_bytes > 0
    assert len(bench.intake) == len(arrivals)
    assert bench.rest() == arrivals
    assert bench.scratch.open_files == 0
    assert bench.events == ["queue_high", "queue_low"]


@pytest.mark.asyncio
async def test_where_the_disk_refuses_lines_are_blocked() -> None:
    """Loudly; nothing that was taken is lost, and it is tried again when all has been read."""
    bench = Bench(4, OnFull.SPILL)
    bench.scratch.disk.is_broken = True
    taken = 0
    while bench.intake.put(frame(taken)):
        taken += 1
    assert taken < 8
    assert not bench.intake.put(frame(taken + 1))
    assert bench.events == ["queue_high", "queue_refused"]
    bench.scratch.disk.is_broken = False
    assert [each.recv_ns for each in bench.rest()] == list(range(taken + 2))
    await bench.intake.wait_room()
    assert all(bench.intake.put(frame(number)) for number in range(40))
    assert bench.intake.spilled > 20


def test_what_the_disk_does_not_give_back_stops_the_tape() -> None:
    """Frames that were lost are no gap of the market: it is an error of this computer."""
    bench = Bench(4, OnFull.SPILL)
    for number in range(40):
        bench.intake.put(frame(number))
    bench.scratch.gives_back = False
    with pytest.raises(JournalError, match="the frames of the lines are lost that waited"):
        bench.rest()


def test_what_is_given_up_is_told_in_its_place() -> None:
    """One value says how many frames, and of which contracts; half is free before it ends."""
    bench = Bench(4, OnFull.SHED)
    for number in range(4):
        assert bench.intake.put(frame(number))
    assert bench.intake.put(frame(4, contract="A"))
    assert bench.intake.put(frame(5, contract="B", line=2))
    quote = Invocation("GatewayQuote", b'["C",{}]')
    assert bench.intake.put(Inbound(1, "market", 6, b"q", (quote,), (), ReceivePoint(6, 6)))
    counts = bench.intake.counts
    assert (counts.shed_frames, counts.shed_bytes, counts.shed_records) == (3, 3, 3)
    burst = bench.intake.take()
    assert [each.recv_ns for each in burst[:-1]] == [0, 1, 2, 3]
    mark = burst[-1]
    assert isinstance(mark, Overflowed)
    assert (mark.frames, mark.contracts, mark.recv_ns) == (3, {"A", "B"}, 4)
    assert mark.waited.startswith("4 of 4 events wait")
    assert bench.events == ["queue_high", "queue_shed", "queue_low"]


def test_a_connection_of_which_frames_were_given_up_begins_anew() -> None:
    """With its protocol and its count, so that a reader of the journal joins nothing to before."""
    bench = Bench(2, OnFull.SHED)
    bench.intake.put(Connected(1, "market", 0, ReceivePoint(), "messagepack"))
    for number in range(1, 4):
        bench.intake.put(frame(number))
    bench.rest()
    bench.intake.put(frame(4, whole=False))
    bench.intake.put(frame(5))
    mark, begins, taken = bench.rest()
    assert isinstance(mark, Overflowed)
    assert mark.frames == 1
    assert begins == Connected(1, "market", 5, ReceivePoint(4, 4), "messagepack")
    assert taken == frame(5)
    bench.intake.put(frame(6, whole=False))
    assert bench.rest() == [frame(6, whole=False)]


def test_another_transport_is_told_with_the_next_frame() -> None:
    """Where its connection lost frames before; its count is the one that was told last."""
    bench = Bench(1, OnFull.SHED)
    bench.intake.put(frame(1))
    bench.intake.put(frame(2))
    point = ReceivePoint(7, 5, awaits=True)
    bench.intake.put(Reattached(1, "market", 3, point))
    bench.rest()
    bench.intake.put(frame(4))
    assert bench.rest() == [Connected(1, "market", 4, point, "json"), frame(4)]


def test_what_nothing_else_tells_of_is_never_given_up() -> None:
    """Frames of the user hub have as much room again; then they wait, and their line with them."""
    bench = Bench(2, OnFull.SHED)
    bench.intake.put(frame(1))
    bench.intake.put(frame(2))
    assert bench.intake.put(user_frame(3))
    assert not bench.intake.put(user_frame(4))
    assert bench.intake.put(Disconnected(1, "market", 5))
    assert [each.recv_ns for each in bench.rest()] == [1, 2, 3, 4, 5]


def test_what_cannot_be_read_may_be_of_any_contract() -> None:
    """A record without sense that is given up is a gap for all."""
    bench = Bench(1, OnFull.SHED)
    bench.intake.put(frame(1))
    bench.intake.put(Inbound(1, "market", 2, b"x", (), (Garbled(b"x", "not a record"),)))
    *_, mark = bench.rest()
    assert isinstance(mark, Overflowed)
    assert mark.contracts == {ANY}


def test_evidence_stays_in_its_place() -> None:
    """What is given up behind something else that waits is evidence of its own."""
    bench = Bench(1, OnFull.SHED)
    bench.intake.put(frame(1))
    bench.intake.put(frame(2))
    bench.intake.put(user_frame(3))
    bench.intake.put(frame(4))
    assert [type(each) for each in bench.rest()] == [Inbound, Overflowed, Inbound, Overflowed]


def test_a_burst_is_as_large_as_it_may_be_now() -> None:
    """By number and by bytes."""
    intake = Bench(100, OnFull.BLOCK).intake
    for number in range(9):
        intake.put(Inbound(1, "market", number, b"x" * 10, (), ()))
    intake.burst = QueueLimits(4, 1_000)
    assert len(intake.take()) == 4
    intake.burst = QueueLimits(4, 20)
    assert len(intake.take()) == 2


def test_the_oldest_that_waits_says_since_when() -> None:
    """Also where it is on the disk: no earlier than the one before it."""
    intake = Bench(4, OnFull.SPILL).intake

    def oldest_ns() -> int | None:
        return intake.oldest_ns

    assert oldest_ns() is None
    for number in range(8):
        intake.put(Inbound(1, "market", 100 + number, b"x", (), ()))
    assert oldest_ns() == 100
    intake.burst = QueueLimits(4, 1_000)
    intake.take()
    assert oldest_ns() == 103
    while len(intake):
        intake.take()
    assert oldest_ns() is None
