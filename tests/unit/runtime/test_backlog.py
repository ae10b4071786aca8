"""What inboxes and mailboxes have in common."""

from __future__ import annotations

import pytest

from tapekeeper.model.queue import QueueLimits
from tapekeeper.runtime.backlog import Backlog, scaled
from tapekeeper.runtime.spill import EventCodec, Spill
from tapekeeper.sim.memory_scratch import MemoryScratch


def backlog(events: int, size: int) -> Backlog[int]:
    """One of numbers that are as large as they say."""
    return Backlog(QueueLimits(events, size), lambda item: item)


def test_it_is_full_by_number_or_by_bytes() -> None:
    """What is reached first counts, and one event may be larger than the limit."""
    few, large = backlog(2, 1_000), backlog(10, 5)
    filled = []
    for _ in range(3):
        few.put(1)
        filled.append(few.is_full)
    assert filled == [False, True, True]
    large.put(7)
    assert large.is_full
    assert large.waiting_bytes == 7
    assert large.get() == 7
    assert large.waiting_bytes == 0


def test_it_is_high_from_three_quarters_until_half() -> None:
    """Of either limit on the way up, of both on the way down."""
    items = backlog(8, 8_000)
    assert [items.put(1) for _ in range(8)] == [False] * 5 + [True] + [False] * 2
    for left in (7, 6, 5):
        items.get()
        assert (len(items), items.is_high, items.is_low) == (left, True, False)
    items.get()
    assert (items.is_high, items.is_low) == (False, True)
    assert items.put(6_000)


@pytest.mark.parametrize(
    ("events_max", "weight_max", "taken"),
    [(10, 1_000, [3, 4, 5, 600]), (2, 1_000, [3, 4]), (10, 8, [3, 4]), (10, 1, [3])],
)
def test_a_burst_is_bounded_by_number_and_weight(
    events_max: int, weight_max: int, taken: list[int]
) -> None:
    """And has one at least, however heavy it is."""
    items = backlog(9, 1_000)
    for item in (3, 4, 5, 600):
        items.put(item)
    assert items.take(events_max, weight_max, lambda item: item, bool) == taken
    assert items.waiting_bytes == 612 - sum(taken)


def test_nothing_is_taken_with_what_ends_a_burst() -> None:
    """What is of that type is the last one."""
    items: Backlog[int] = backlog(9, 1_000)
    for item in (1, True, 2):
        items.put(item)
    assert items.take(9, 1_000, lambda item: item, bool) == [1, True]
    assert items.take(9, 1_000, lambda item: item, bool) == [2]


def test_of_nothing_nothing_comes() -> None:
    """One is an error, several are none."""
    items = backlog(2, 10)
    assert items.take(9, 1_000, lambda item: item, bool) == []
    with pytest.raises(IndexError):
        items.get()


def test_it_says_how_much_waits() -> None:
    """As a clause that a log can show."""
    items = backlog(1_000, 2_000_000)
    items.put(1_500_000)
    assert items.level() == "1 of 1,000 events wait, and 1.5 of 2.0 MB"


def spilled(
    events: int, *, disk_bytes: int = 10**9
) -> tuple[Backlog[int], Spill[int], MemoryScratch]:
    """A queue of ten bytes an event, with a disk behind it."""
    scratch, limits = MemoryScratch(), QueueLimits(events, 10 * events)
    spill = Spill(
        scratch,
        EventCodec(int),
        lambda _: 10,
        bytes_max=disk_bytes,
        limits=QueueLimits(8, 80),
        file_bytes_max=100,
    )
    return Backlog(limits, lambda _: 10, spill), spill, scratch


def drained(items: Backlog[int]) -> list[int]:
    """All that waits, oldest first."""
    return [items.get() for _ in range(len(items))]


@pytest.mark.parametrize("came", [5, 64, 150])
def test_what_exceeds_a_limit_that_shrank_goes_to_the_disk_in_its_place(came: int) -> None:
    """In front of what is there already, and behind what stays; nothing is lost or doubled."""
    items, _, scratch = spilled(64)
    for number in range(came):
        items.put(number)
    items.limit(QueueLimits(4, 10**9))
    while items.move_surplus():
        pass
    assert len(items) == came
    assert items.waiting <= 4 + 8
    assert items.waiting_bytes == 10 * items.waiting
    for number in range(came, came + 30):
        items.put(number)
    taken = [items.get() for _ in range(3)]
    items.limit(QueueLimits(64, 640))
    for number in range(came + 30, came + 90):
        items.put(number)
    assert taken + drained(items) == list(range(came + 90))
    assert items.waiting_bytes == items.spilled == items.spilled_bytes == 0
    assert scratch.open_files == 0


def test_a_limit_that_shrinks_in_the_middle_of_a_file_keeps_the_order() -> None:
    """The file that is being read goes on behind what was moved."""
    items, _, _ = spilled(6)
    for number in range(100):
        items.put(number)
    taken = [items.get() for _ in range(8)]
    items.limit(QueueLimits(1, 10**9))
    while items.move_surplus():
        pass
    assert taken + drained(items) == list(range(100))


def test_where_the_disk_refuses_what_exceeds_the_limit_stays() -> None:
    """In memory, and counted there."""
    items, spill, scratch = spilled(64, disk_bytes=40)
    for number in range(50):
        items.put(number)
    items.limit(QueueLimits(4, 10**9))
    assert not items.move_surplus()
    assert (items.waiting, items.waiting_bytes, spill.written) == (50, 500, 0)
    assert scratch.open_files == 0
    assert drained(items) == list(range(50))


def test_a_queue_without_a_disk_moves_nothing() -> None:
    """What becomes of what does not fit is its owner's business."""
    items = backlog(9, 90)
    for _ in range(9):
        items.put(1)
    items.limit(QueueLimits(1, 1))
    assert not items.move_surplus()
    assert len(items) == 9


def test_a_share_of_limits_has_room_for_one_event() -> None:
    """However small it is."""
    assert scaled(QueueLimits(100, 1_000), 0.25) == QueueLimits(25, 250)
    assert scaled(QueueLimits(3, 1_000), 0.0) == QueueLimits(1, 1)
