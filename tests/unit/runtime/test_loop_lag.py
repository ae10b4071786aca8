"""Stalls of the event loop are seen, however they fall on the timer."""

from __future__ import annotations

import asyncio

import pytest

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.runtime.loop_lag import LOOK_S, LoopLag, LoopWatch
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual


class Held(VirtualClock):
    """A clock of a loop that is held at some moments, for some time."""

    stalls: tuple[tuple[float, float], ...] = ()
    """When each begins and how long it lasts, s."""

    async def sleep_s(self, delay_s: float) -> None:
        """As asked, or until the stall in which it would end is over."""
        due_s = self.monotonic_ns() / 1e9 + delay_s
        for begin_s, for_s in self.stalls:
            if begin_s <= due_s < begin_s + for_s:
                delay_s += begin_s + for_s - due_s
        await super().sleep_s(delay_s)


def watched(*stalls: tuple[float, float], seconds: float) -> tuple[LoopLag, list[object]]:
    """What is seen of stalls, and what is logged."""
    told: list[object] = []

    def log(event: str, /, *, level: str = "info", **fields: object) -> None:
        told.append((event, level, fields["lag_ms"]))

    async def main(clock: VirtualClock) -> LoopLag:
        held = Held(clock._loop)
        held.stalls = stalls
        watch = LoopWatch(held, log)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            await clock.sleep_s(seconds)
            watching.cancel()
        return watch.lag()

    return run_virtual(main), told


def test_a_free_loop_is_never_late() -> None:
    """A hundred looks a second, and none of them is."""
    lag, told = watched(seconds=1.0)
    assert lag.over_50_ms == 0
    assert lag.max_ms < 0.001
    assert 98 <= lag.measured <= 100
    assert told == []


@pytest.mark.parametrize("offset_ms", range(10))
def test_fifty_milliseconds_are_seen_wherever_they_fall(offset_ms: int) -> None:
    """At least all but one period of the timer is measured, and it is counted."""
    lag, _ = watched((1.0 + offset_ms / 1_000, 0.050), seconds=2.0)
    assert lag.over_50_ms == 1
    assert 50.0 - LOOK_S * 1_000 - 0.01 <= lag.max_ms <= 50.01


def test_shorter_ones_are_measured_and_not_counted() -> None:
    """Thirty milliseconds are no stall."""
    lag, _ = watched((1.0, 0.030), seconds=2.0)
    assert lag.over_50_ms == 0
    assert lag.max_ms >= 20.0


def test_the_most_of_late_goes_and_the_most_of_all_stays() -> None:
    """Two minutes later only the record of the whole run remembers it."""
    stall = (1.0, 0.2)
    soon, _ = watched(stall, seconds=59.0)
    later, _ = watched(stall, seconds=119.0)
    last, _ = watched(stall, seconds=122.0)
    assert soon.minute_ms == later.minute_ms == soon.max_ms >= 190.0
    assert last.minute_ms < 0.001
    assert last.max_ms == soon.max_ms


def test_a_loop_that_was_held_for_a_second_is_told() -> None:
    """Such a stall has delayed every bar; a person should know."""
    lag, told = watched((1.0, 1.2), (3.0, 0.9), seconds=5.0)
    assert lag.over_50_ms == 2
    assert [one for one in told if one != ("event_loop_held", "warning", 1_200)] == []
    assert len(told) == 1


def test_the_real_loop_is_caught_holding() -> None:
    """Code that computes for 50 ms without awaiting is found on the host's own clock."""

    async def main() -> LoopLag:
        clock = SystemClock()
        watch = LoopWatch(clock, lambda *_, **__: None)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            while watch.lag().measured < 3:  # noqa: ASYNC110 - a timer has no event
                await asyncio.sleep(0)
            until_ns = clock.monotonic_ns() + 50_000_000
            while clock.monotonic_ns() < until_ns:
                pass
            before = watch.lag()
            while watch.lag().measured == before.measured:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            watching.cancel()
        return watch.lag()

    assert asyncio.run(main()).over_50_ms >= 1


def test_the_worst_is_given_once() -> None:
    """Of what was since it was asked for last."""
    worst: list[float] = []

    async def main(clock: VirtualClock) -> None:
        held = Held(clock._loop)
        held.stalls = ((1.0, 0.2),)
        watch = LoopWatch(held, lambda _event, /, **_fields: None)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            for _ in range(3):
                await clock.sleep_s(0.9)
                worst.append(watch.take_worst_ms())
            watching.cancel()

    run_virtual(main)
    assert [round(each, -2) for each in worst] == [0, 200, 0]
