"""A machine whose memory shrinks while a tape runs on it: less is kept, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.outside import Outside
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.service import RunSummary, run_service
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.hot import ROW_BYTES
from tapekeeper.core.journal import Ending, SegmentScanner, segment_name, segment_number
from tapekeeper.core.limits import Gauge, LimitsChange, Load
from tapekeeper.model.queue import OnFull, QueuePolicy, Shed
from tapekeeper.runtime.pool_values import HealthChange
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.machine import SimMachine
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.memory_scratch import MemoryScratch
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
MB = 1_000_000
USED = 400 * MB
ROOMY, TIGHT, CRITICAL = 1_000 * MB, 480 * MB, 410 * MB


class World:
    """A gateway, a machine and a tape in virtual time."""

    def __init__(self, clock: VirtualClock, **sections: Any) -> None:
        network, files = MemoryNetwork(Seeded(1, "network")), MemoryFiles()
        self.clock = clock
        self.files = files
        self.machine = SimMachine(ROOMY, USED)
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.gateway = SimGateway(
            SimConfig(products=("MES",), trades_per_s=40),
            clock,
            Seeded(1, "gateway"),
            sessions=calendar_by_name("cme"),
            network=network,
        )
        self.scratch = MemoryScratch()
        self.outside = Outside(
            clock=clock,
            random=Seeded(1, "jitter"),
            files=lambda _: files,
            session=lambda: open_session(connector=MemoryConnector(network)),
            log=lambda _: self._log,
            scratch=lambda _: self.scratch,
            machine=lambda _: self.machine,
        )
        self._sections = sections

    def config(self) -> Config:
        """Of the tape; the gateway must be up."""
        urls = self.gateway.urls
        return load_config(
            {
                "gateway": {
                    "rest_url": urls.rest,
                    "market_hub_url": urls.market_hub,
                    "user_hub": False,
                    "user_name": TEST_USER,
                    "api_key": TEST_API_KEY,
                },
                "calendar": {"default": "cme"},
                "trades": {"keep_mb": 2},
                "quotes": {"keep": 4_000},
                **self._sections,
            }
        )

    def _log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        self.logged.append((event, {"level": level, **fields}))


async def _all(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


Act = Callable[[World, Tape], Awaitable[None]]


def run(act: Act, **sections: dict[str, Any]) -> tuple[World, TapeStatus, ReplayResult, list[Any]]:
    """Follow MES while `act` goes on; the world, the status and bars at the end, and all told."""

    async def main(clock: VirtualClock) -> tuple[World, TapeStatus, ReplayResult, list[Any]]:
        world = World(clock, **sections)
        async with world.gateway, asyncio.TaskGroup() as group:
            tape = Tape(world.config(), outside=world.outside)
            async with tape:
                told = group.create_task(_all(tape.transitions()))
                await tape.subscribe("MES", ["1s", "1m"])
                await act(world, tape)
            return world, tape.status(), tape.result(), await told

    return run_virtual(main, start_ns=START_NS)


def test_less_is_kept_while_memory_is_short_and_all_is_as_it_would_have_been() -> None:
    """The bars are those of a roomy machine, byte for byte; both identities hold."""
    kept: dict[str, tuple[int, int]] = {}

    async def roomy(world: World, _tape: Tape) -> None:
        await world.clock.sleep_s(780)

    async def shrinking(world: World, tape: Tape) -> None:
        def note(when: str) -> None:
            rows = sum(len(view) for view in tape.trades("MES"))
            kept[when] = (rows, len(tape.quotes_frame("MES")))

        await world.clock.sleep_s(600)
        note("before")
        for total in (TIGHT, CRITICAL):
            world.machine.total = total
            await world.clock.sleep_s(60)
            note("critical" if total == CRITICAL else "tight")
        world.machine.total = ROOMY
        await world.clock.sleep_s(60)

    _, _, expected, _ = run(roomy)
    world, status, result, told = run(shrinking)
    assert result.bars == expected.bars
    assert status.holds
    assert expected.trades == result.trades
    assert result.trades.accepted > 20_000
    changes = [one for one in told if isinstance(one, LimitsChange)]
    assert [(one.gauge, one.before, one.after) for one in changes] == [
        (Gauge.MEMORY, Load.NORMAL, Load.TIGHT),
        (Gauge.MEMORY, Load.TIGHT, Load.CRITICAL),
        (Gauge.MEMORY, Load.CRITICAL, Load.TIGHT),
        (Gauge.MEMORY, Load.TIGHT, Load.NORMAL),
    ]
    assert changes[1].reason == ("400 MB are used of 410 MB, the most by the simulated machine")
    health = [one for one in told if isinstance(one, HealthChange) and one.name == "tape"]
    assert [one.after.value for one in health][-3:] == ["up", "degraded", "up"]
    assert health[-2].reason == f"memory: {changes[1].reason}"
    logged = [fields["after"] for event, fields in world.logged if event == "limits_changed"]
    assert logged == [one.after.value for one in changes]
    assert kept["before"][0] > MB // ROW_BYTES >= kept["tight"][0] > MB // 4 // ROW_BYTES
    assert MB // 4 // ROW_BYTES >= kept["critical"][0] > 0
    assert [kept[each][1] for each in kept] == [4_000, 2_000, 500]
    assert all(each.figure == each.ceiling for each in status.limits.knobs)


def test_a_tape_that_is_to_measure_nothing_measures_nothing() -> None:
    """With `limits.adapt = false` every limit stays where it was set."""

    async def act(world: World, _tape: Tape) -> None:
        world.machine.total = CRITICAL
        await world.clock.sleep_s(30)

    world, status, _, told = run(act, limits={"adapt": False})
    assert status.limits.gauges == ()
    assert not [one for one in told if isinstance(one, LimitsChange)]
    assert "limits_changed" not in {event for event, _ in world.logged}


def test_a_disk_that_fills_up_is_told_before_it_is_full() -> None:
    """While the journal can still accept."""

    async def act(world: World, tape: Tape) -> None:
        world.machine.free = 400 * MB
        await world.clock.sleep_s(30)
        assert tape.status().reasons == (
            "disk: 400 MB are free on the journal's disk, and 2,000 MB are wanted",
        )

    _, _, _, told = run(act)
    assert [one.gauge for one in told if isinstance(one, LimitsChange)] == [Gauge.DISK]


def test_under_pressure_queues_move_to_the_disk_and_optional_readers_pause() -> None:
    """A reader that stands still costs a sixteenth of its memory, and loses nothing by it.

    One that can be done without is paused, told what it missed, and goes on; one that is not has
    every quote.
    """
    seen: dict[str, TapeStatus] = {}
    streams: dict[str, AsyncIterator[Any]] = {}

    async def act(world: World, tape: Tape) -> None:
        streams["whole"] = tape.quotes("MES", on_full=QueuePolicy("spill", events=100_000))
        streams["still"] = tape.quotes("MES", on_full=QueuePolicy("spill", events=320))
        streams["optional"] = tape.quotes("MES", on_full=QueuePolicy("fail", optional=True))
        await world.clock.sleep_s(60)
        seen["before"] = tape.status()
        for total, when in ((TIGHT, "tight"), (CRITICAL, "critical"), (ROOMY, "after")):
            world.machine.total = total
            await world.clock.sleep_s(40)
            seen[when] = tape.status()

    world, status, _, _ = run(act)
    assert status.holds
    assert all(each.holds for each in seen.values())
    waiting = {
        when: {each.on_full: each.waiting for each in found.queues if each.name.startswith("the q")}
        for when, found in seen.items()
    }
    still = {
        when: min(each.waiting for each in found.queues if each.on_full is OnFull.SPILL)
        for when, found in seen.items()
    }
    # With what is not written to the disk yet: half of the limit that was set, at most.
    assert still["before"] >= 320 > 80 + 160 >= still["tight"]
    assert still["critical"] <= 20 + 160
    assert waiting["critical"][OnFull.FAIL] == 0
    paused = {when: any(each.is_paused for each in found.queues) for when, found in seen.items()}
    assert paused == {"before": False, "tight": False, "critical": True, "after": False}

    async def read(_clock: VirtualClock) -> dict[str, list[Any]]:
        return {name: await _all(stream) for name, stream in streams.items()}

    found = run_virtual(read, start_ns=START_NS)
    assert found["still"] == found["whole"]
    shed, *rest = found["optional"]
    assert isinstance(shed, Shed)
    assert shed.first == 1
    assert found["whole"][shed.last :] == rest
    assert len(rest) + shed.count == len(found["whole"]) > len(rest) > 0
    told = [event for event, _ in world.logged if event in {"queue_paused", "queue_resumed"}]
    assert told == ["queue_paused", "queue_resumed"]
    assert world.scratch.open_files == 0


def test_the_last_safeguard_is_a_clean_restart() -> None:
    """What grows without end is stopped in order, and the next run goes on in the same journal.

    Every segment is sealed, none is missing, and the ledger has no crash; both runs hold.
    """

    async def main(clock: VirtualClock) -> tuple[World, RunSummary | None, RunSummary | None]:
        world = World(clock, subscribe=[{"contract": "MES"}], limits={"restart_after_s": 30})
        world.machine.used = 100 * MB

        async def serve(seconds: float | None) -> RunSummary | None:
            return await run_service(
                world.config(),
                stop=asyncio.Event(),
                on_status=lambda _: None,
                seconds=seconds,
                outside=world.outside,
            )

        async def grow() -> None:
            await clock.sleep_s(60)
            world.machine.used = 950 * MB

        async with world.gateway, asyncio.TaskGroup() as group:
            group.create_task(grow())
            first = await serve(None)
            world.machine.used = 100 * MB
            return world, first, await serve(120)

    world, first, second = run_virtual(main, start_ns=START_NS)
    assert first is not None
    assert second is not None
    assert first.restart == "950 MB are used of 1,000 MB, the most by the simulated machine"
    assert second.restart == ""
    assert first.result.holds
    assert second.result.holds
    assert second.result.trades.accepted > 1_000
    told = [event for event, _ in world.logged if event in {"limits_changed", "restart_wanted"}]
    assert told == ["limits_changed", "restart_wanted"]
    numbers = sorted(filter(None, map(segment_number, world.files.names())))
    assert numbers == list(range(1, numbers[-1] + 1))
    assert len(numbers) >= 2
    for number in numbers:
        scanner = SegmentScanner(world.files.read(segment_name(number)))
        assert sum(1 for _ in scanner) > 0
        assert scanner.end is Ending.SEALED
    ledger = b"".join(
        world.files.read(name) for name in world.files.names() if "ledger" in name or "gaps" in name
    )
    assert b"stopped" in ledger
    assert b"crash" not in ledger


def test_no_restart_where_the_user_wants_none() -> None:
    """With `restart = "never"` it goes on, says so, and has less in memory."""

    async def act(world: World, tape: Tape) -> None:
        world.machine.used = 100 * MB
        await world.clock.sleep_s(10)
        world.machine.used = 950 * MB
        await world.clock.sleep_s(300)
        assert tape.status().limits.restart == ""

    world, _, _, _ = run(act, limits={"restart": "never"})
    assert "restart_wanted" not in {event for event, _ in world.logged}
