"""Closes bars in quiet markets."""

from __future__ import annotations

from collections.abc import Callable

from tapekeeper.ports import Clock
from tapekeeper.runtime.feed import Feed

INTERVAL_S = 0.2
"""How often to look; adds at most this much to the grace of a bar, and costs five look-ups a
second. An exact alarm per bar was rejected: it would be moved with almost every burst."""
OVERSLEPT_S = 2 * INTERVAL_S


def _never() -> bool:
    return False


async def run_timer(feed: Feed, clock: Clock, waits: Callable[[], bool] = _never) -> None:
    """Look for bars that are due, until cancelled.

    A round that comes too late closes nothing: the process was stopped or starved, and what has
    arrived meanwhile is still in the sockets. Closing bars before it is read would make it late.

    Args:
        feed: has the bars.
        clock: time.
        waits: whether prints are known to be on their way, because the connection that brings
            them is being resumed; meanwhile nothing is closed either.
    """
    before_ns = clock.monotonic_ns()
    while True:
        await clock.sleep_s(INTERVAL_S)
        now_ns = clock.monotonic_ns()
        if now_ns - before_ns < OVERSLEPT_S * 1e9 and not waits():
            await feed.catch_up()
            feed.on_time(now_ns)
        else:
            feed.held_up(now_ns)
        # Not read again: the time that a round takes may hold the process up as well.
        before_ns = now_ns
