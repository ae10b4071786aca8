"""Closes bars in quiet markets."""

from __future__ import annotations

from tapekeeper.ports import Clock
from tapekeeper.runtime.feed import Feed

INTERVAL_S = 0.2
"""How often to look; adds at most this much to the grace of a bar, and costs five look-ups a
second. An exact alarm per bar was rejected: it would be moved with almost every burst."""


async def run_timer(feed: Feed, clock: Clock) -> None:
    """Look for bars that are due, until cancelled."""
    while True:
        await clock.sleep_s(INTERVAL_S)
        feed.on_time()
