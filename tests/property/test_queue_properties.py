"""Queues keep their identity and their order, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.errors import FellBehindError
from tapekeeper.model.queue import OnFull, QueueLimits, Shed
from tapekeeper.runtime.intake import FeedLimits, Intake, Overflowed, Waiting
from tapekeeper.runtime.line_values import Connected, Inbound
from tapekeeper.runtime.mailbox import Mailbox
from tapekeeper.runtime.spill import EventCodec, Spill
from tapekeeper.sim.memory_scratch import MemoryScratch

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 40)),
        st.tuples(st.just("read"), st.integers(1, 40)),
        st.tuples(st.just("break"), st.integers(0, 1)),
        st.tuples(st.just("fill"), st.integers(0, 300)),
        st.tuples(st.just("forget"), st.just(0)),
    ),
    max_size=40,
)
POLICIES = st.sampled_from([OnFull.FAIL, OnFull.SPILL, OnFull.SHED, OnFull.CONFLATE])


def _silent(_event: str, /, *, level: str = "info", **_fields: object) -> None:
    assert level


def _size(item: tuple[int, int]) -> int:
    return 10 + item[0] % 7


def _merge(waited: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Numbers that are next to each other become one: the last, and how many it stands for."""
    return [(waited[-1][0], sum(count for _, count in waited))]


class Run:
    """One mailbox, and everything that came of it."""

    def __init__(self, on_full: OnFull, events: int, size: int) -> None:
        self.scratch = MemoryScratch()
        limits = QueueLimits(events, size)
        self.memory_max = 2 * events + 2
        spill: Spill[tuple[int, int]] | None = None
        if on_full is OnFull.SPILL:
            spill = Spill(
                self.scratch,
                _Pairs(),
                _size,
                bytes_max=3_000,
                limits=limits,
                file_bytes_max=300,
            )
        self.mailbox: Mailbox[tuple[int, int]] = Mailbox(
            "test",
            limits,
            _silent,
            on_full,
            size_of=_size,
            spill=spill,
            merge=_merge if on_full is OnFull.CONFLATE else None,
        )
        self.offered = 0
        self.numbered = 0  # up to which number everything was delivered or evidenced
        self.missed: int | None = None

    def put(self, count: int) -> None:
        """Offer the next numbers, each for itself."""
        for _ in range(count):
            if self.mailbox.ended:
                return
            self.offered += 1
            self.mailbox.put((self.offered, 1))
            self.check()

    async def read(self, count: int) -> None:
        """Read so many, if there are; every number is accounted for, in order."""
        for _ in range(count):
            try:
                item = await anext(cast("AsyncIterator[tuple[int, int] | Shed]", self.mailbox))
            except StopAsyncIteration:
                return
            except FellBehindError as error:
                self.missed = error.missed
                self.numbered += error.missed
                return
            if isinstance(item, Shed):
                assert (item.first, item.last) == (self.numbered + 1, self.numbered + item.count)
                self.numbered = item.last
            else:
                assert item[0] - item[1] == self.numbered
                self.numbered = item[0]
            self.check()

    def check(self) -> None:
        """The identity holds, and memory is bounded."""
        statistics = self.mailbox.statistics()
        assert statistics.holds
        assert statistics.offered == self.offered
        assert statistics.waiting <= self.memory_max
        assert self.scratch.open_files <= 3_000 // 300 + 2


class _Pairs:
    """Pairs on the disk."""

    def __init__(self) -> None:
        self._codec: EventCodec[list[int]] = EventCodec(list)

    def encode(self, items: Sequence[tuple[int, int]]) -> bytes:
        return self._codec.encode([list(item) for item in items])

    def decode(self, data: bytes) -> list[tuple[int, int]]:
        return [(item[0], item[1]) for item in self._codec.decode(data)]


@given(POLICIES, st.integers(1, 12), st.integers(10, 200), STEPS)
def test_every_event_is_delivered_or_accounted_for_in_its_order(
    on_full: OnFull, events: int, size: int, steps: list[tuple[str, int]]
) -> None:
    """For any interleaving of puts, reads and faults of the disk, of every policy."""

    async def run() -> None:
        made = Run(on_full, events, size)
        for what, number in steps:
            if what == "put":
                made.put(number)
            elif what == "read":
                waiting = made.mailbox.statistics()
                if not made.mailbox.ended and waiting.waiting + waiting.spilled:
                    await made.read(min(number, waiting.waiting + waiting.spilled))
            elif what == "break":
                made.scratch.disk.is_broken = bool(number)
            elif what == "fill":
                made.scratch.disk.room_bytes = number
            else:
                made.scratch.gives_back = not made.scratch.gives_back
        made.mailbox.close()
        await made.read(10**6)
        assert made.numbered == made.offered
        assert made.scratch.open_files == 0

    asyncio.run(run())


ARRIVALS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.integers(1, 3)),
        st.tuples(st.just("piece"), st.integers(1, 3)),
        st.tuples(st.just("user"), st.just(9)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("break"), st.integers(0, 1)),
    ),
    max_size=120,
)


@given(st.sampled_from([OnFull.BLOCK, OnFull.SPILL, OnFull.SHED]), st.integers(1, 8), ARRIVALS)
def test_every_frame_is_processed_or_evidenced_in_its_order(
    on_full: OnFull, frames: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever comes in between; a line of which frames were given up begins anew, and whole."""
    scratch = MemoryScratch()
    intake = Intake(FeedLimits(frames, 10**6, on_full, 10**6), _silent, scratch)
    offered: list[int] = []
    taken: list[Waiting] = []
    for number, (what, line) in enumerate(steps):
        if what == "take":
            taken += intake.take()
        elif what == "break":
            scratch.disk.is_broken = bool(line)
        else:
            hub = "user" if what == "user" else "market"
            whole = what != "piece"
            intake.put(Inbound(line, hub, number, b"x", (), (), None, whole))
            offered.append(number)
    while len(intake):
        taken += intake.take()
    numbers = [each.recv_ns for each in taken if isinstance(each, Inbound)]
    given_up = sum(each.frames for each in taken if isinstance(each, Overflowed))
    assert numbers == sorted(set(numbers) & set(offered))
    assert len(numbers) + given_up == len(offered)
    assert intake.counts.shed_frames == given_up
    if on_full is not OnFull.SHED:
        assert not given_up
    users = [number for number in offered if steps[number][0] == "user"]
    assert [number for number in numbers if number in set(users)] == users
    for before, after in pairwise(taken):
        if isinstance(before, Connected):
            assert isinstance(after, Inbound)
            assert (after.line, after.begins_whole) == (before.line, True)
    assert scratch.open_files == 0
