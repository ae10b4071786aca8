"""Queues keep their identity and their order, whatever comes in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.errors import FellBehindError
from tapekeeper.model.queue import OnFull, QueueLimits, Shed
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
