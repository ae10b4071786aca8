"""Joins the limits that adapt to what they are limits of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tapekeeper.app.archive.live import LiveHistory
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside, in_the_loop
from tapekeeper.core.hot import HotTrades
from tapekeeper.core.limits import Knob, Limits
from tapekeeper.ports import Log
from tapekeeper.runtime.announcer import Announcer
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.limiter import Limiter, Sources
from tapekeeper.runtime.loop_lag import LoopWatch
from tapekeeper.runtime.syncer import Syncer

PAUSED = "memory is critical"
"""Why optional subscribers are paused."""

_MEGABYTE = 1_000_000
_KILOBYTE = 1_024


@dataclass(frozen=True, slots=True)
class Limited:
    """What has limits that adapt, and what they are decided by."""

    feed: Feed
    hot: HotTrades
    past: LiveHistory
    syncer: Syncer | None
    loop: LoopWatch | None


def compose_limits(
    config: Config,
    outside: Outside,
    parts: Limited,
    *,
    log: Log,
    tell: Announcer,
) -> Limiter | None:
    """What measures and sets limits; None where nothing is to be measured."""
    if outside.machine is None or not config.limits.adapt:
        return None
    machine, loop, feed = outside.machine(config.journal.dir), parts.loop, parts.feed
    ceilings, levers = _knobs(config, parts)
    return Limiter(
        Limits(config.limits.policy(), ceilings),
        Sources(machine, lambda: None if loop is None else loop.take_worst_ms(), feed.waiting_s),
        levers,
        feed.move_surplus,
        in_thread=outside.in_thread or in_the_loop,
        clock=outside.clock,
        log=log,
        tell=tell,
    )


def _knobs(
    config: Config, parts: Limited
) -> tuple[dict[Knob, int], dict[Knob, Callable[[int], None]]]:
    """The user's ceilings, and what sets each limit. A new knob is one line here."""
    size = config.limits.burst_kb * _KILOBYTE
    frames = config.limits.burst_frames
    feed, syncer = parts.feed, parts.syncer
    feed.limit_burst(frames, size)
    knobs: dict[Knob, tuple[int, Callable[[int], None]]] = {
        Knob.QUOTES: (config.quotes.keep, feed.recent_quotes.limit),
        Knob.HISTORY: (config.archive.cache_mb * _MEGABYTE, parts.past.limit),
        Knob.QUEUES: (100, lambda now: feed.limit_memory(now / 100)),
        Knob.OPTIONAL: (1, lambda now: feed.dispatch.pause("" if now else PAUSED)),
        Knob.BURST: (frames, lambda now: feed.limit_burst(now, max(1, size * now // frames))),
    }
    if config.trades.keep_mb:
        knobs[Knob.HOT] = (config.trades.keep_mb * _MEGABYTE, parts.hot.limit)
    if syncer is not None and config.journal.durability == "power":
        every_ms = config.journal.sync_every_ms
        knobs[Knob.SYNC] = (every_ms, lambda now: syncer.sync_every(now / 1_000))
    return (
        {knob: ceiling for knob, (ceiling, _) in knobs.items()},
        {knob: lever for knob, (_, lever) in knobs.items()},
    )
