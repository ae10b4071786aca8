"""How long events wait for their subscriber, followed one at a time."""

from __future__ import annotations

import pytest

from tapekeeper.model.queue import OnFull, QueueLimits
from tapekeeper.runtime.delay import NEVER, Delay
from tapekeeper.runtime.mailbox import Mailbox
from tapekeeper.sim.manual_clock import ManualClock


def _mailbox(clock: ManualClock | None, on_full: OnFull = OnFull.FAIL) -> Mailbox[int]:
    return Mailbox(
        "test",
        QueueLimits(4, 1_000),
        lambda *_, **__: None,
        on_full,
        size_of=lambda _: 10,
        clock=clock,
    )


@pytest.mark.asyncio
async def test_the_delay_is_from_the_offer_until_the_event_is_taken() -> None:
    """Of the first; the next that is followed is the one offered after that was taken."""
    clock = ManualClock()
    mailbox = _mailbox(clock)
    mailbox.put(1)
    clock.advance(0.5)
    mailbox.put(2)
    clock.advance(0.25)
    await anext(mailbox)
    delays = mailbox.statistics().delay_ns
    assert (delays.count, delays.most) == (1, 750_000_000)
    mailbox.put(3)
    clock.advance(0.125)
    await anext(mailbox)
    assert mailbox.statistics().delay_ns.count == 1, "2 was not followed"
    await anext(mailbox)
    delays = mailbox.statistics().delay_ns
    assert (delays.count, delays.least) == (2, 125_000_000)


@pytest.mark.asyncio
async def test_an_event_that_was_given_up_has_no_delay() -> None:
    """What is taken in its place is another, and the next that is offered is followed."""
    clock = ManualClock()
    mailbox = _mailbox(clock, OnFull.SHED)
    for number in range(5):
        mailbox.put(number)
    clock.advance(9.0)
    for _ in range(4):  # what tells of the loss, and what is left
        await anext(mailbox)
    assert mailbox.statistics().delay_ns.count == 0
    mailbox.put(6)
    clock.advance(1.0)
    await anext(mailbox)
    assert mailbox.statistics().delay_ns.least == 1_000_000_000


@pytest.mark.asyncio
async def test_without_a_clock_nothing_is_measured() -> None:
    """And nothing else is different."""
    mailbox = _mailbox(None)
    mailbox.put(1)
    assert await anext(mailbox) == 1
    assert mailbox.statistics().delay_ns.count == 0


def test_one_is_followed_at_a_time() -> None:
    """Its number is due until it is taken or given up."""
    clock = ManualClock()
    delay = Delay(clock)
    assert delay.due == NEVER
    delay.follow(3)
    assert delay.due == 3
    delay.forget()
    assert delay.due == NEVER
    assert delay.view().count == 0
