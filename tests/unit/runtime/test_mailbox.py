"""A subscriber's bounded queue."""

from __future__ import annotations

import asyncio

import pytest

from tapekeeper.errors import FellBehindError
from tapekeeper.runtime.mailbox import Mailbox


@pytest.mark.asyncio
async def test_events_come_in_order_and_then_the_end() -> None:
    """What was put before the end is delivered, then the stream ends."""
    mailbox: Mailbox[int] = Mailbox("test", 10)
    for item in range(3):
        mailbox.put(item)
    mailbox.close()
    mailbox.put(99)
    assert [item async for item in mailbox] == [0, 1, 2]
    statistics = mailbox.statistics()
    assert (statistics.offered, statistics.delivered, statistics.missed) == (3, 3, 0)


@pytest.mark.asyncio
async def test_a_full_mailbox_ends_with_what_was_missed() -> None:
    """No hole inside the stream: the prefix that fitted, then an error that counts the rest."""
    mailbox: Mailbox[int] = Mailbox("test", 2)
    for item in range(5):
        mailbox.put(item)
    assert [await anext(mailbox), await anext(mailbox)] == [0, 1]
    mailbox.put(5)
    with pytest.raises(FellBehindError, match="test did not keep up") as caught:
        await anext(mailbox)
    assert caught.value.missed == 4
    statistics = mailbox.statistics()
    total = statistics.delivered + statistics.waiting + statistics.missed
    assert statistics.offered == total == 6


@pytest.mark.asyncio
async def test_a_waiting_reader_wakes_for_an_event_and_for_the_end() -> None:
    """A reader that waits is woken by the next event, and by closing."""
    mailbox: Mailbox[int] = Mailbox("test", 2)

    async def collect() -> list[int]:
        return [item async for item in mailbox]

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(collect())
        await asyncio.sleep(0)
        mailbox.put(7)
        await asyncio.sleep(0)
        mailbox.close()
    assert reading.result() == [7]
