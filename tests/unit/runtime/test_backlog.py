"""What inboxes and mailboxes have in common."""

from __future__ import annotations

import pytest

from tapekeeper.model.queue import QueueLimits
from tapekeeper.runtime.backlog import Backlog


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
