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


def test_the_first_stays_until_it_is_taken() -> None:
    """Looking at it changes nothing; of nothing there is no first."""
    items = backlog(2, 10)
    with pytest.raises(IndexError):
        items.first()
    items.put(3)
    assert (items.first(), items.get(), len(items)) == (3, 3, 0)
    with pytest.raises(IndexError):
        items.get()


def test_it_says_how_much_waits() -> None:
    """As a clause that a log can show."""
    items = backlog(1_000, 2_000_000)
    items.put(1_500_000)
    assert items.level() == "1 of 1,000 events wait, and 1.5 of 2.0 MB"
