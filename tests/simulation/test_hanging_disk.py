"""A disk that answers nothing for a minute, under a whole tape, policy by policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import load_config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import JournalError
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.pool_values import HealthChange, PoolHealth
from tapekeeper.runtime.slowness import DiskState
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles, MemoryWorker
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.memory_scratch import MemoryScratch
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
HANG_AT_S, HANG_S, AFTER_S = 30, 60, 300


@dataclass
class Ran:
    """What became of a tape."""

    files: MemoryFiles
    gateway: SimGateway
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changes: list[HealthChange] = field(default_factory=list)
    hung: TapeStatus | None = None
    status: TapeStatus | None = None
    gaps: list[Gap] = field(default_factory=list)
    ended_s: float = 0.0
    error: str = ""

    def states(self) -> list[tuple[str, str]]:
        """What the log said of the disk."""
        return [(each["of"], each["state"]) for name, each in self.events if name == "disk_state"]

    def said(self, event: str) -> int:
        """How often the log said so."""
        return sum(name == event for name, _ in self.events)


def run(on_failure: str) -> Ran:
    """Follow a contract while the disk hangs for a minute."""

    async def main(clock: VirtualClock) -> Ran:
        network, disk = MemoryNetwork(Seeded(1, "network")), MemoryDisk()
        disk.wait = clock.hold_s
        gateway = SimGateway(
            SimConfig(products=("MES",), trades_per_s=10),
            clock,
            Seeded(1, "gateway"),
            sessions=calendar_by_name("cme"),
            network=network,
        )
        ran = Ran(MemoryFiles(disk), gateway)

        def log(event: str, /, **fields: Any) -> None:
            ran.events.append((event, fields))

        outside = Outside(
            clock=clock,
            random=Seeded(1, "jitter"),
            files=lambda _: ran.files,
            session=lambda: open_session(connector=MemoryConnector(network)),
            log=lambda _: log,
            scratch=lambda _: MemoryScratch(),
            worker=lambda: MemoryWorker(disk),
        )
        start_ns = clock.monotonic_ns()
        async with gateway:
            tape = Tape(_config(gateway, on_failure), outside=outside)
            try:
                async with tape:
                    changes = tape.transitions()
                    await tape.subscribe("MES", ["1s"])
                    await clock.sleep_s(HANG_AT_S)
                    disk.hangs = True
                    await clock.sleep_s(HANG_S)
                    ran.hung = tape.status()
                    disk.heal()
                    await clock.sleep_s(AFTER_S)
                    ran.gaps = tape.gaps()
            except JournalError as error:
                ran.error = str(error)
            ran.ended_s = (clock.monotonic_ns() - start_ns) / 1e9
            ran.status = tape.status()
            ran.changes = await _health(changes)
        return ran

    return run_virtual(main, start_ns=START_NS)


async def _health(changes: AsyncIterator[Any]) -> list[HealthChange]:
    return [each async for each in changes if isinstance(each, HealthChange)]


def _config(gateway: SimGateway, on_failure: str) -> Any:
    return load_config(
        {
            "gateway": {
                "rest_url": gateway.urls.rest,
                "market_hub_url": gateway.urls.market_hub,
                "user_hub": False,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "cme"},
            "journal": {"on_failure": on_failure},
            "history": {"warm_up_bars": 0},
        }
    )


def test_a_tape_whose_disk_hangs_stops_loudly_and_in_time() -> None:
    """After ten seconds, by name; nothing waits for the disk a second time on the way out."""
    ran = run("stop")
    assert ran.error.startswith("cannot write memory/segment-000001.tkj: the disk has not answered")
    assert ran.states() == [("writes", "slow"), ("writes", "stuck")]
    assert HANG_AT_S + 10 <= ran.ended_s < HANG_AT_S + 12
    assert ran.status is not None
    assert ran.status.journal.disk.state is DiskState.STUCK
    assert ran.status.holds


def test_a_tape_that_may_shed_goes_on_and_keeps_its_connection() -> None:
    """Its bars move on, its ledger says what no journal has, and it records again by itself."""
    ran = run("shed")
    assert not ran.error
    assert ran.hung is not None
    assert ran.status is not None
    assert ran.states() == [
        ("writes", "slow"),
        ("writes", "stuck"),
        ("writes", "slow"),
        ("writes", "fine"),
    ]
    assert ran.hung.health is PoolHealth.DEGRADED
    [first, second] = ran.hung.reasons
    assert "nothing is recorded: cannot" in first
    assert second.startswith("journal: its disk is stuck: to write memory/segment-000001.tkj takes")
    assert ran.status.journal.shed.times == 1
    assert ran.status.journal.shed.entries > 100
    assert ran.said("journal_sheds") == ran.said("journal_records_again") == 1
    [gap] = [gap for gap in ran.gaps if gap.cause is GapCause.OVERFLOW]
    assert "in no journal: cannot write" in gap.evidence
    assert "the disk has not answered for 10 s" in gap.evidence
    assert [line.connections for line in ran.status.lines] == [1]
    assert ran.gateway.statistics().market.aborted == {}
    assert ran.status.holds
    assert ran.status.health is PoolHealth.UP
    healths = [each.after for each in ran.changes if each.name == "tape"]
    assert healths[-2:] == [PoolHealth.DEGRADED, PoolHealth.UP]
    reader = JournalReader(ran.files)
    assert max(entry.ts_ns for entry in reader) > START_NS + (HANG_AT_S + HANG_S + 200) * 10**9
    assert all(problem.expected for problem in reader.problems)
    assert reader.run == 2


@pytest.mark.parametrize("key", ["slow_after_ms", "stuck_after_s"])
def test_the_bounds_are_the_users(key: str) -> None:
    """What is slow is never more than what is stuck."""
    limits = load_config({"journal": {key: 2}}).journal.disk_limits()
    assert (limits.slow_s, limits.stuck_s) == {
        "slow_after_ms": (0.002, 10.0),
        "stuck_after_s": (1.0, 2.0),
    }[key]
