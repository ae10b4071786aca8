"""A subscriber's bounded queue, policy by policy."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from tapekeeper.errors import FellBehindError
from tapekeeper.model.queue import OnFull, QueueLimits, Shed
from tapekeeper.runtime.mailbox import Mailbox
from tapekeeper.runtime.spill import EventCodec, Spill
from tapekeeper.sim.memory_scratch import MemoryScratch

EVENT_BYTES = 10


class Bench:
    """A mailbox of whole numbers, of ten bytes each, with its log and its disk."""

    def __init__(
        self,
        events: int,
        on_full: OnFull = OnFull.FAIL,
        *,
        size: int = 10**9,
        disk_bytes: int = 10**9,
        merge: Callable[[list[int]], list[int]] | None = None,
        optional: bool = False,
    ) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []
        self.scratch = MemoryScratch()
        limits = QueueLimits(events, size)
        spill: Spill[int] | None = None
        if on_full is OnFull.SPILL:
            spill = Spill(
                self.scratch,
                EventCodec(int),
                lambda _: EVENT_BYTES,
                bytes_max=disk_bytes,
                limits=limits,
                file_bytes_max=200,
            )
        self.mailbox: Mailbox[int] = Mailbox(
            "test",
            limits,
            self.log,
            on_full,
            size_of=lambda _: EVENT_BYTES,
            spill=spill,
            merge=merge,
            optional=optional,
        )

    def log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Keep what is said."""
        self.events.append((event, {"level": level, **fields}))

    def said(self) -> list[str]:
        """The events of the log."""
        return [event for event, _ in self.events]

    def put(self, *items: int) -> None:
        """Offer events, after each of which the identity holds."""
        for item in items:
            self.mailbox.put(item)
            assert self.mailbox.statistics().holds

    def stream(self) -> AsyncIterator[int | Shed]:
        """The mailbox, as one that sheds is typed."""
        return cast("AsyncIterator[int | Shed]", self.mailbox)

    async def rest(self) -> list[int | Shed]:
        """All that still comes."""
        self.mailbox.close()
        return [item async for item in self.stream()]


@pytest.mark.asyncio
async def test_events_come_in_order_and_the_stream_ends_when_closed() -> None:
    """What waits at the close is still delivered."""
    bench = Bench(10)
    bench.put(0, 1, 2)
    bench.mailbox.close()
    bench.mailbox.put(99)
    assert [item async for item in bench.mailbox] == [0, 1, 2]
    statistics = bench.mailbox.statistics()
    assert (statistics.offered, statistics.delivered, statistics.waiting) == (3, 3, 0)
    assert bench.said() == []


@pytest.mark.asyncio
async def test_a_full_mailbox_ends_with_what_was_missed() -> None:
    """What fits is delivered; then one error says how many events were missed."""
    bench = Bench(2)
    bench.put(0, 1, 2, 3, 4)
    mailbox = bench.mailbox
    assert [await anext(mailbox), await anext(mailbox)] == [0, 1]
    bench.put(5)
    with pytest.raises(FellBehindError, match="test did not keep up: 2 events waited") as caught:
        await anext(mailbox)
    assert caught.value.missed == 4
    statistics = mailbox.statistics()
    assert statistics.offered == 6
    assert statistics.holds
    assert bench.said().count("queue_missed") == 1


@pytest.mark.asyncio
async def test_bytes_fill_a_mailbox_as_events_do() -> None:
    """The limit that is reached first counts."""
    bench = Bench(1_000, size=3 * EVENT_BYTES)
    bench.put(0, 1, 2, 3)
    assert bench.mailbox.statistics().waiting_bytes == 3 * EVENT_BYTES
    assert bench.mailbox.statistics().missed == 1


@pytest.mark.asyncio
async def test_a_reader_waits_for_the_next_event() -> None:
    """An empty mailbox suspends its reader until something is offered."""
    bench = Bench(2)

    async def read() -> list[int]:
        return [item async for item in bench.mailbox]

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        await asyncio.sleep(0)
        bench.put(7)
        await asyncio.sleep(0)
        bench.mailbox.close()
    assert reader.result() == [7]


@pytest.mark.asyncio
async def test_watermarks_are_told_once_each_way() -> None:
    """High at three quarters, low at a half; what goes to and fro in between says nothing."""
    bench = Bench(8)
    bench.put(*range(5))
    assert bench.said() == []
    bench.put(5)
    assert bench.events == [
        (
            "queue_high",
            {
                "level": "warning",
                "queue": "test",
                "reason": "6 of 8 events wait, and 0.0 of 1,000.0 MB",
                "on_full": "fail",
            },
        )
    ]
    assert bench.mailbox.statistics().is_high
    for item in range(6, 12):
        await anext(bench.mailbox)
        bench.put(item)
    assert bench.said() == ["queue_high"]
    for _ in range(2):
        await anext(bench.mailbox)
    assert bench.said() == ["queue_high", "queue_low"]
    assert not bench.mailbox.statistics().is_high


@pytest.mark.asyncio
async def test_what_is_spilled_comes_back_in_its_place() -> None:
    """Memory is bounded, the order is kept, and a drained disk is given back."""
    bench = Bench(8, OnFull.SPILL)
    bench.put(*range(1_000))
    statistics = bench.mailbox.statistics()
    assert statistics.waiting <= 8 + 4
    assert statistics.spilled > 900
    assert statistics.spilled_bytes == sum(map(len, bench.scratch.disk.content.values()))
    files = bench.scratch.open_files
    assert files > 10
    assert [await anext(bench.mailbox) for _ in range(900)] == list(range(900))
    assert bench.mailbox.statistics().waiting <= 8 + 4
    assert bench.scratch.open_files < files / 5
    bench.put(1_000)
    assert await bench.rest() == list(range(900, 1_001))
    assert bench.scratch.open_files == 0
    assert bench.mailbox.statistics().holds
    assert bench.said() == ["queue_high", "queue_low"]


@pytest.mark.asyncio
async def test_a_queue_is_high_while_anything_is_on_the_disk() -> None:
    """A reader who is never quite done is told of once, however much goes to and fro."""
    bench = Bench(8, OnFull.SPILL)
    bench.put(*range(20))
    for item in range(20, 60):
        await anext(bench.mailbox)
        bench.put(item)
    assert bench.mailbox.statistics().is_high
    assert bench.said() == ["queue_high"]
    assert await bench.rest() == list(range(40, 60))
    assert bench.said() == ["queue_high", "queue_low"]


@pytest.mark.asyncio
async def test_a_disk_that_refuses_is_loud_and_costs_nothing_that_was_taken() -> None:
    """All that was taken is delivered in order; the error says why no more was."""
    bench = Bench(4, OnFull.SPILL)
    bench.put(*range(20))
    bench.scratch.disk.is_broken = True
    bench.put(*range(20, 40))
    assert bench.events[-1][0] == "queue_missed"
    assert bench.events[-1][1]["level"] == "error"
    missed = bench.mailbox.statistics().missed
    assert missed > 10
    delivered = [await anext(bench.mailbox) for _ in range(40 - missed)]
    assert delivered == list(range(40 - missed))
    with pytest.raises(FellBehindError, match="Input/output error") as caught:
        await anext(bench.mailbox)
    assert caught.value.missed == missed
    assert bench.mailbox.statistics().holds
    assert bench.scratch.open_files == 0


@pytest.mark.asyncio
async def test_the_disk_of_a_subscriber_is_bounded() -> None:
    """Beyond its limit it refuses as a full disk does."""
    bench = Bench(4, OnFull.SPILL, disk_bytes=500)
    bench.put(*range(400))
    assert bench.mailbox.statistics().spilled_bytes <= 500
    assert "no more than" in str(bench.events[-1][1]["reason"])
    with pytest.raises(FellBehindError):
        await bench.rest()


@pytest.mark.asyncio
async def test_what_the_disk_does_not_give_back_is_missed() -> None:
    """Nothing comes out of order behind it: the stream ends with the reason."""
    bench = Bench(4, OnFull.SPILL)
    bench.put(*range(40))
    bench.scratch.gives_back = False
    assert [await anext(bench.mailbox) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(FellBehindError, match="cannot read what was spilled") as caught:
        await anext(bench.mailbox)
    assert caught.value.missed == 36
    assert bench.mailbox.statistics().holds
    assert bench.scratch.open_files == 0


def test_who_lets_go_of_a_stream_gives_its_disk_back() -> None:
    """Leaving a loop says nothing; the files must go with the mailbox."""
    bench = Bench(4, OnFull.SPILL)
    bench.put(*range(40))
    assert bench.scratch.open_files
    del bench.mailbox
    gc.collect()
    assert bench.scratch.open_files == 0


@pytest.mark.asyncio
async def test_what_is_shed_is_told_in_its_place() -> None:
    """The oldest go, down to a half; one value says how many, and which, before the rest."""
    bench = Bench(4, OnFull.SHED)
    bench.put(*range(101, 115))
    statistics = bench.mailbox.statistics()
    assert statistics.shed == 10
    assert await anext(bench.stream()) == Shed(10, 1, 10)
    bench.put(115, 116)
    assert await bench.rest() == [Shed(2, 11, 12), 113, 114, 115, 116]
    assert bench.mailbox.statistics().holds
    assert bench.said() == ["queue_high", "queue_shed", "queue_shed", "queue_low"]


@pytest.mark.asyncio
async def test_what_is_conflated_is_counted() -> None:
    """What waits is merged when it does not fit, and not before."""
    bench = Bench(4, OnFull.CONFLATE, merge=lambda waited: [sum(waited)])
    bench.put(1, 2, 3, 4)
    assert bench.mailbox.statistics().conflated == 0
    bench.put(5, 6)
    assert bench.mailbox.statistics().conflated == 4
    assert await bench.rest() == [15, 6]
    assert bench.mailbox.statistics().holds


@pytest.mark.asyncio
@pytest.mark.parametrize("on_full", [OnFull.FAIL, OnFull.SHED])
async def test_what_an_optional_reader_misses_while_it_is_paused_is_told(on_full: OnFull) -> None:
    """What waits is given up with what comes, and one `Shed` stands for both; then it goes on."""
    bench = Bench(10, on_full, optional=True)
    bench.put(0, 1, 2, 3)
    assert await anext(bench.mailbox) == 0
    bench.mailbox.pause("memory is critical")
    bench.mailbox.pause("memory is critical")
    assert bench.mailbox.statistics().is_paused
    assert bench.mailbox.statistics().waiting == 0
    bench.put(4, 5)
    bench.mailbox.pause("")
    bench.put(6)
    assert not bench.mailbox.statistics().is_paused
    assert bench.mailbox.statistics().shed == 5
    assert bench.mailbox.statistics().holds
    assert await bench.rest() == [Shed(5, 2, 6), 6]
    assert [(name, fields.get("reason")) for name, fields in bench.events] == [
        ("queue_paused", "memory is critical"),
        ("queue_resumed", None),
    ]
    assert bench.events[1][1]["events"] == 5


@pytest.mark.asyncio
async def test_what_waits_on_the_disk_comes_before_what_was_missed() -> None:
    """A pause ends with the last of it, and is longer for one who does not read."""
    bench = Bench(4, OnFull.SPILL, optional=True)
    bench.put(*range(20))
    bench.mailbox.pause("memory is critical")
    bench.put(20, 21)
    bench.mailbox.pause("")
    bench.put(22)
    assert bench.mailbox.statistics().is_paused
    assert [await anext(bench.mailbox) for _ in range(20)] == list(range(20))
    assert not bench.mailbox.statistics().is_paused
    bench.put(23)
    assert await bench.rest() == [Shed(3, 21, 23), 23]


@pytest.mark.asyncio
async def test_a_paused_reader_waits_and_is_told_at_the_end() -> None:
    """It is not woken with a `Shed` for each event; a stop is told of what it missed."""
    bench = Bench(10, optional=True)
    bench.mailbox.pause("memory is critical")

    async def read() -> int | Shed:
        return await anext(bench.stream())

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        bench.put(1, 2)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done()
        bench.mailbox.close()
    assert reading.result() == Shed(2, 1, 2)
    with pytest.raises(StopAsyncIteration):
        await anext(bench.mailbox)


@pytest.mark.asyncio
async def test_who_is_not_optional_is_never_paused() -> None:
    """Nor is one that will fail already paused into silence."""
    bench = Bench(10)
    bench.mailbox.pause("memory is critical")
    bench.put(1)
    assert await bench.rest() == [1]
    bench = Bench(1, optional=True)
    bench.put(1, 2)
    bench.mailbox.pause("memory is critical")
    assert not bench.mailbox.statistics().is_paused
    with pytest.raises(FellBehindError):
        await bench.rest()


@pytest.mark.asyncio
async def test_a_conflating_reader_has_the_latest_alone_meanwhile() -> None:
    """Nothing of it need be given up."""
    bench = Bench(3, OnFull.CONFLATE, merge=lambda items: items[-1:], optional=True)
    bench.mailbox.pause("memory is critical")
    bench.put(1, 2, 3)
    assert bench.mailbox.statistics().waiting == 1
    bench.mailbox.pause("")
    bench.put(4)
    assert await bench.rest() == [3, 4]
    assert bench.mailbox.statistics().conflated == 2
    assert bench.mailbox.statistics().shed == 0


@pytest.mark.asyncio
async def test_a_share_of_memory_is_one_of_what_may_be_spilled() -> None:
    """The rest waits on the disk; who would lose by it keeps what it has."""
    bench = Bench(100, OnFull.SPILL)
    bench.put(*range(100))
    bench.mailbox.limit_memory(0.25)
    while bench.mailbox.move_surplus():
        pass
    assert bench.mailbox.statistics().waiting <= 25
    assert bench.mailbox.statistics().spilled >= 75
    assert await bench.rest() == list(range(100))
    for on_full in (OnFull.FAIL, OnFull.SHED):
        bench = Bench(100, on_full)
        bench.mailbox.limit_memory(0.25)
        bench.put(*range(100))
        assert await bench.rest() == list(range(100))
