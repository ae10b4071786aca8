"""The host of a simulated tape: its clock, its disk, its network, and the death of its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from tapekeeper.errors import JournalError, UsageError
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.fault_file import parse_faults
from tapekeeper.sim.fault_host import ALL_KINDS, HOST_KINDS, Kill
from tapekeeper.sim.fault_menu import BY_KIND, Fault, kind_of
from tapekeeper.sim.fault_runner import FaultRunner
from tapekeeper.sim.fault_seed import seeded_more_faults
from tapekeeper.sim.faults import Faults
from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.host import Host, Step
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import DEFAULT_START_NS, VirtualClock, run_virtual

HOUR_NS = 3_600_000_000_000
PING = "/api/Status/ping"


def _host(clock: VirtualClock) -> Host:
    return Host(
        clock.other(), clock, MemoryDisk(), MemoryNetwork(Seeded(1, "network")), (1_001, 1_002)
    )


def _on_host(schedule: str, look: Callable[[Host, float], None]) -> None:
    """Run a schedule, looking at the host every second."""

    async def main(clock: VirtualClock) -> None:
        faults = Faults(lambda _: [])
        faults.host = _host(clock)
        runner = FaultRunner(parse_faults(schedule, kinds=ALL_KINDS), faults, clock, seed=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(runner.run())
            for second in range(10):
                await clock.sleep_s(0.5)
                look(faults.host, second + 0.5)
                await clock.sleep_s(0.5)

    run_virtual(main)


def test_a_step_moves_one_wall_clock_alone() -> None:
    """Monotonic time and the clock of the gateway go on; the step is remembered."""

    async def main(clock: VirtualClock) -> None:
        host = _host(clock)
        await clock.sleep_s(2)
        host.step_clock(-3_600)
        assert clock.now_ns() - host.clock.now_ns() == HOUR_NS
        assert clock.monotonic_ns() == host.clock.monotonic_ns() == 2_000_000_000
        assert host.steps == [Step(DEFAULT_START_NS + 2_000_000_000, -HOUR_NS)]

    run_virtual(main)


def test_a_slow_disk_holds_the_whole_loop_up() -> None:
    """Time passes in the write itself, and no timer runs before it is over."""

    async def main(clock: VirtualClock) -> None:
        host = _host(clock)
        woken_ns: list[int] = []

        async def wake() -> None:
            await clock.sleep_s(0.1)
            woken_ns.append(clock.monotonic_ns())

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(wake())
            await asyncio.sleep(0)
            host.disk.delay_s = 3.0
            MemoryFiles(host.disk).create("a").append(b"x")
            assert clock.monotonic_ns() == 3_000_000_000
        assert woken_ns == [3_000_000_000]
        assert host.held_s == 3.0

    run_virtual(main)


@pytest.mark.parametrize(
    ("fault", "holds"),
    [
        ('kind = "slow_disk"\ndelay_ms = 250', lambda host: host.disk.delay_s == 0.25),
        ('kind = "disk_full"\nroom_bytes = 7', lambda host: host.disk.room_bytes == 7),
        ('kind = "disk_error"', lambda host: host.disk.is_broken),
    ],
)
def test_a_disk_is_ill_for_as_long_as_its_fault_says(
    fault: str, holds: Callable[[Host], bool]
) -> None:
    """From its first moment to its last one, and healthy before and after."""

    def look(host: Host, at_s: float) -> None:
        assert holds(host) == (2 < at_s < 5)

    _on_host(f"[[fault]]\n{fault}\nat_s = 2\nfor_s = 3", look)


def test_a_full_disk_takes_a_part_of_a_write() -> None:
    """The rest is refused by its name, and so is every later byte and the lock of a new writer."""
    files = MemoryFiles()
    segment = files.create("a")
    segment.append(b"whole")
    files.disk.room_bytes = 3
    with pytest.raises(JournalError, match="No space left"):
        segment.append(b"burst")
    assert files.read("a") == b"wholebur"
    with pytest.raises(JournalError, match="No space left"):
        segment.append(b"x")
    with pytest.raises(JournalError, match="No space left"):
        files.lock()
    assert len(files.disk.refusals) == 3
    files.disk.heal()
    segment.append(b"!")
    assert files.read("a") == b"wholebur!"


def test_a_broken_disk_takes_nothing() -> None:
    """No byte, no new file, no lock; a failing sync fails so many times."""
    files = MemoryFiles()
    segment = files.create("a")
    files.disk.is_broken = True
    for refused in (lambda: segment.append(b"x"), lambda: files.create("b"), files.lock):
        with pytest.raises(JournalError, match="error"):
            refused()
    files.disk.heal()
    files.disk.syncs_fail = 1
    with pytest.raises(JournalError, match="cannot sync"):
        segment.sync()
    segment.sync()
    assert (files.names(), files.read("a")) == (["a"], b"")


def test_a_dead_process_reaches_no_disk_and_holds_no_lock() -> None:
    """The next process has the folder at once, and what the dead one still does is refused."""
    disk = MemoryDisk()
    dead, heir = MemoryFiles(disk), MemoryFiles(disk)
    lock = dead.lock()
    segment = dead.create("a")
    dead.die()
    heir.lock()
    lock.release()
    assert disk.is_locked
    for refused in (
        lambda: segment.append(b"x"),
        segment.sync,
        lambda: dead.create("b"),
        dead.lock,
    ):
        with pytest.raises(JournalError, match="dead"):
            refused()
    assert (heir.names(), heir.read("a")) == (["a"], b"")


def test_a_process_that_dies_writing_leaves_a_part_of_the_write() -> None:
    """The tail is torn where the share says."""
    files = MemoryFiles()
    segment = files.create("a")
    segment.append(b"1234")
    files.die_writing(0.5, files.die)
    with pytest.raises(JournalError, match="dead"):
        segment.append(b"abcdef")
    assert files.read("a") == b"1234abc"


def test_a_process_that_is_to_die_writing_and_writes_nothing_dies_all_the_same() -> None:
    """Within two seconds; the one that was started meanwhile is left alone."""

    async def main(clock: VirtualClock) -> None:
        faults = Faults(lambda _: [])
        host = faults.host = _host(clock)
        deaths: list[tuple[float, float | None]] = []
        host.runs(lambda share: deaths.append((clock.monotonic_ns() / 1e9, share)))
        await FaultRunner([Kill(at_s=1, share=0.5, restart_s=4)], faults, clock, seed=1).run()
        assert deaths == [(1.0, 0.5), (3.0, None)]
        assert host.restart_s == 4
        host.kill(0.5, 1)
        host.runs(lambda _: deaths.append((0.0, 0.0)))
        Kill(at_s=1, share=0.5).revert(faults)
        assert len(deaths) == 3

    run_virtual(main)


async def _ping(http: aiohttp.ClientSession, port: int) -> str:
    async with http.get(f"http://127.0.0.1:{port}{PING}") as answer:
        return await answer.text()


def test_an_endpoint_is_cut_off_and_comes_back() -> None:
    """Its connections end and new ones are refused; another address of the same hubs works."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(SimConfig(), clock, Seeded(1, "gateway"), network=network)
        async with aiohttp.ClientSession(connector=MemoryConnector(network)) as http, gateway:
            first, second = MEMORY_PORT + 1, MEMORY_PORT + 2
            for port in (first, second):
                network.listen_also(port, like=MEMORY_PORT)
            host = Host(clock.other(), clock, MemoryDisk(), network, (first, second))
            assert await _ping(http, first) == await _ping(http, second) == "pong"
            assert network.open_ends == 4
            host.cut_off(2)
            await clock.sleep_s(1)
            assert network.open_ends == 2
            with pytest.raises(aiohttp.ClientConnectorError):
                await _ping(http, first)
            assert await _ping(http, second) == "pong"
            host.restore(0)
            assert await _ping(http, first) == "pong"

    run_virtual(main)


def test_nothing_is_lost_on_a_way_that_is_stuck() -> None:
    """What is asked meanwhile is answered when the way is free again."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(SimConfig(), clock, Seeded(1, "gateway"), network=network)
        async with aiohttp.ClientSession(connector=MemoryConnector(network)) as http, gateway:
            assert await _ping(http, MEMORY_PORT) == "pong"
            before_ns = clock.monotonic_ns()
            network.stick(20)
            assert await _ping(http, MEMORY_PORT) == "pong"
            assert 20 < (clock.monotonic_ns() - before_ns) / 1e9 < 21

    run_virtual(main)


def test_a_dead_process_has_no_connections() -> None:
    """Those that it had are cut, and it makes none."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(SimConfig(), clock, Seeded(1, "gateway"), network=network)
        connector = MemoryConnector(network)
        async with aiohttp.ClientSession(connector=connector) as http, gateway:
            assert await _ping(http, MEMORY_PORT) == "pong"
            connector.die()
            await clock.sleep_s(1)
            assert network.open_ends == 0
            with pytest.raises(aiohttp.ClientConnectorError):
                await _ping(http, MEMORY_PORT)

    run_virtual(main)


@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if kind not in BY_KIND])
def test_every_kind_of_the_host_can_be_written_and_a_gateway_refuses_it(kind: str) -> None:
    """A simulation reads it; a gateway says whose fault it is, and has no lever for it."""
    text = f'[[fault]]\nkind = "{kind}"\nat_s = 1\n'
    (fault,) = parse_faults(text, kinds=ALL_KINDS)
    assert kind_of(fault) == kind
    assert type(fault) in HOST_KINDS
    with pytest.raises(UsageError, match=f"a {kind} happens to the client's"):
        parse_faults(text)
    with pytest.raises(UsageError, match="no computer here"):
        fault.apply(Faults(lambda _: []))


def test_seeds_draw_the_second_menu_and_repeat() -> None:
    """The same seed is the same schedule, within its time and in its order."""
    schedules = [seeded_more_faults(seed, within_s=60.0) for seed in range(200)]
    assert schedules == [seeded_more_faults(seed, within_s=60.0) for seed in range(200)]
    drawn: list[Fault] = [fault for schedule in schedules for fault in schedule]
    assert {type(fault) for fault in drawn} >= set(HOST_KINDS)
    assert all(1.0 <= fault.first_s <= 60.0 for fault in drawn)
    assert any(schedule == () for schedule in schedules)
