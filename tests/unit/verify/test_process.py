"""One simulated process: how it starts, stops, fails and dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.memory_files import MemoryDisk
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.verify.evidence import End, Evidence
from tapekeeper.verify.process import Process
from tapekeeper.verify.scenario import scenario

Script = Callable[[VirtualClock, Process], Awaitable[None]]


def _lives(script: Script, *, disk: MemoryDisk | None = None) -> Evidence:
    """Let one process live on a gateway while a script goes on beside it."""
    plain = replace(scenario(3, ()), guest=False, redundancy=1, endpoints=1, durability="process")
    evidence = Evidence(plain)
    kept = MemoryDisk() if disk is None else disk

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(3, "network"))
        plan = evidence.scenario
        gateway = SimGateway(plan.gateway(), clock, Seeded(3, "gateway"), network=network)
        calm = asyncio.Event()
        calm.set()
        async with gateway:
            network.listen_also(plan.endpoint_ports[0], like=MEMORY_PORT)
            process = Process(
                evidence,
                plan.tape(gateway.urls),
                host=clock.other(),
                true=clock,
                disk=kept,
                network=network,
                guest_goes=calm,
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(process.run())
                await script(clock, process)

    run_virtual(main)
    return evidence


def test_a_process_that_is_asked_to_stops_in_order() -> None:
    """It was up, bars left it, and its status and its bars can be read."""

    async def script(clock: VirtualClock, process: Process) -> None:
        up.append(process.is_up)
        await clock.sleep_s(30)
        up.append(process.is_up)
        process.ask_to_stop()

    up: list[bool] = []
    life = _lives(script).last
    assert up == [False, True]
    assert (life.end, life.why, life.run) == (End.STOPPED, "", 1)
    assert life.left != []
    assert life.status is not None
    assert life.result is not None


def test_a_killed_process_says_nothing_any_more() -> None:
    """From that moment on: no log, no bar, no byte on the disk, however its tasks unwind."""
    disk = MemoryDisk()
    at_death: list[tuple[int, int, int]] = []

    def told(evidence: Evidence) -> tuple[int, int, int]:
        return len(evidence.log), len(evidence.last.left), sum(map(len, disk.content.values()))

    async def script(clock: VirtualClock, process: Process) -> None:
        await clock.sleep_s(20)
        process.kill(None)
        process.kill(None)
        at_death.append(told(process.evidence))
        await clock.sleep_s(20)

    evidence = _lives(script, disk=disk)
    life = evidence.last
    assert at_death == [told(evidence)]
    assert life.end is End.KILLED
    assert (life.ended_ns - life.started_ns) / 1e9 == 20
    assert life.status is not None
    assert life.result is None
    assert not disk.is_locked


@pytest.mark.parametrize("share", [None, 0.5])
def test_a_process_that_is_killed_before_it_begins_writes_nothing(share: float | None) -> None:
    """It takes no lock, and dies at its first write at the latest."""
    disk = MemoryDisk()

    async def script(_clock: VirtualClock, process: Process) -> None:
        process.kill(share)

    life = _lives(script, disk=disk).last
    assert life.end is End.KILLED
    assert life.subscribed_ns is None
    assert not disk.is_locked


def test_a_process_that_cannot_write_says_why_and_ends() -> None:
    """By the disk's own words, before it follows anything."""
    disk = MemoryDisk()
    disk.is_broken = True

    async def script(_clock: VirtualClock, process: Process) -> None:
        process.ask_to_stop()

    life = _lives(script, disk=disk).last
    assert (life.end, life.subscribed_ns) == (End.FAILED, None)
    assert life.why == f"JournalError: {disk.refusals[0]}"
