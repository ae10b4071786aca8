"""Virtual time passes only when nothing else can happen."""

from __future__ import annotations

import asyncio
import itertools
import socket

import pytest

from tapekeeper.sim import virtual_time
from tapekeeper.sim.virtual_time import (
    NothingWakesError,
    StandsStillError,
    VirtualClock,
    run_virtual,
)

_DAY_S = 86_400
_NS = 1_000_000_000


def test_a_month_passes_at_once() -> None:
    """Sleeping advances the clock by exactly what was asked, without waiting for it."""

    async def main(clock: VirtualClock) -> tuple[int, int]:
        await clock.sleep_s(30 * _DAY_S)
        return clock.monotonic_ns(), clock.now_ns()

    assert run_virtual(main, start_ns=7) == (30 * _DAY_S * _NS, 30 * _DAY_S * _NS + 7)


def test_timers_fire_in_order_of_time() -> None:
    """Sleepers wake by deadline, whatever the order in which they went to sleep."""

    async def main(clock: VirtualClock) -> list[str]:
        woken: list[str] = []

        async def sleeper(name: str, delay_s: float) -> None:
            await clock.sleep_s(delay_s)
            woken.append(f"{name}@{clock.monotonic_ns() // 1_000_000}")

        async with asyncio.TaskGroup() as group:
            for name, delay_s in (("c", 0.3), ("a", 0.1), ("b", 0.2)):
                group.create_task(sleeper(name, delay_s))
        return woken

    assert run_virtual(main) == ["a@100", "b@200", "c@300"]


def test_time_stands_still_while_something_is_ready() -> None:
    """Work that never waits takes no virtual time."""

    async def main(clock: VirtualClock) -> int:
        for _ in range(1000):
            await clock.sleep_s(0)
        return clock.monotonic_ns()

    assert run_virtual(main) == 0


def test_a_deadlock_is_an_error_and_not_a_hang() -> None:
    """Waiting for what nobody can set is reported at once."""

    async def main(clock: VirtualClock) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NothingWakesError, match="no timer"):
        run_virtual(main)


def test_deadlines_of_the_library_are_virtual_too() -> None:
    """`asyncio.timeout` ends after its virtual seconds."""

    async def main(clock: VirtualClock) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return clock.monotonic_ns()

    assert run_virtual(main) == 3600 * _NS


def test_the_wall_clock_can_step_and_the_monotonic_one_cannot() -> None:
    """A step of the wall clock leaves durations alone."""

    async def main(clock: VirtualClock) -> tuple[int, int]:
        clock.step_wall_ns(-10 * _NS)
        await clock.sleep_s(1)
        return clock.now_ns(), clock.monotonic_ns()

    assert run_virtual(main, start_ns=100 * _NS) == (91 * _NS, _NS)


def test_sockets_of_the_same_loop_work() -> None:
    """What is readable is seen before time advances."""

    async def main(clock: VirtualClock) -> bytes:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        peer_reader, peer_writer = await asyncio.open_connection(sock=theirs)
        async with asyncio.timeout(60):
            writer.write(b"hello\n")
            peer_writer.write(await peer_reader.readline())
            answer = await reader.readline()
            for one in (writer, peer_writer):
                one.close()
                await one.wait_closed()
        return answer

    assert run_virtual(main) == b"hello\n"


def test_a_program_that_lets_no_time_pass_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Going round for ever is an error and no hang."""
    monkeypatch.setattr(virtual_time, "TURNS_MAX", 1_000)

    async def main(_: VirtualClock) -> None:
        for _turn in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(StandsStillError, match="1,000 turns"):
        run_virtual(main)
