"""One simulated process: how it starts, stops, fails and dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Literal

import pytest

from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.verify.evidence import End, Evidence
from tapekeeper.verify.process import Process
from tapekeeper.verify.runs import runs_of
from tapekeeper.verify.scenario import scenario

Script = Callable[[VirtualClock, Process], Awaitable[None]]


def _lives(
    script: Script,
    *,
    disk: MemoryDisk | None = None,
    on_failure: Literal["stop", "shed"] = "stop",
    durability: Literal["process", "power"] = "process",
) -> Evidence:
    """Let one process live on a gateway while a script goes on beside it."""
    plain = replace(scenario(3, ()), guest=False, redundancy=1, endpoints=1)
    plain = replace(plain, durability=durability, on_failure=on_failure)
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


def _break(disk: MemoryDisk, fault: str) -> None:
    if fault == "full":
        disk.room_bytes = 10
    elif fault == "broken":
        disk.is_broken = True
    else:
        disk.syncs_fail = 1


@pytest.mark.parametrize("fault", ["full", "broken", "unconfirmed"])
def test_by_policy_a_process_goes_on_without_its_journal(fault: str) -> None:
    """Loudly: in log, health and ledger. It records again when the disk does, in another run."""
    disk = MemoryDisk()
    seen: list[tuple[str, ...]] = []

    async def script(clock: VirtualClock, process: Process) -> None:
        await clock.sleep_s(20)
        _break(disk, fault)
        for _ in range(20):
            await clock.sleep_s(0.5)
            seen.append(process.tape.status().reasons)
        disk.heal()
        await clock.sleep_s(20)
        process.ask_to_stop()

    level: Literal["process", "power"] = "power" if fault == "unconfirmed" else "process"
    evidence = _lives(script, disk=disk, on_failure="shed", durability=level)
    life = evidence.last
    assert (life.end, life.why) == (End.STOPPED, "")
    assert life.status is not None
    shed = life.status.journal.shed
    assert (shed.reason, shed.since_ns, shed.times) == ("", 0, 1)
    assert shed.entries > 0
    assert life.status.reasons == ()
    events = [logged.event for logged in evidence.log]
    assert events.count("journal_sheds") == events.count("journal_records_again") == 1
    if fault != "unconfirmed":  # which is over before anybody can look
        assert any("journal: nothing is recorded: cannot" in text for one in seen for text in one)
    files = MemoryFiles(disk)
    runs, problems = runs_of(files)
    assert list(runs) == [1, 2]
    assert all(problem.expected for problem in problems)
    ledger, unread = read_ledger(files)
    gaps = ledger.find(causes=[GapCause.OVERFLOW])
    assert {gap.contract_id for gap in gaps} == set(evidence.contracts.values())
    assert all("reached the bars and are in no journal: cannot" in gap.evidence for gap in gaps)
    assert all(gap.state is not GapState.LASTING for gap in gaps)
    assert len(unread) <= 1  # the line that the disk cut


@pytest.mark.parametrize("fault", ["full", "broken"])
def test_without_the_policy_a_process_stops_with_its_journal(fault: str) -> None:
    """The default: what is not recorded is not shown to anybody."""
    disk = MemoryDisk()

    async def script(clock: VirtualClock, process: Process) -> None:
        await clock.sleep_s(20)
        _break(disk, fault)
        await clock.sleep_s(20)

    life = _lives(script, disk=disk).last
    assert life.end is End.FAILED
    assert life.why.startswith("JournalError: cannot write segment-000001.tkj")


def test_a_process_that_records_nothing_at_its_end_says_so() -> None:
    """It went on by policy, and ends as one whose journal failed."""
    disk = MemoryDisk()

    async def script(clock: VirtualClock, process: Process) -> None:
        await clock.sleep_s(20)
        disk.is_broken = True
        await clock.sleep_s(20)
        process.ask_to_stop()

    life = _lives(script, disk=disk, on_failure="shed").last
    assert life.end is End.FAILED
    assert life.why.startswith("JournalError: nothing was recorded at the end: cannot write")
