"""The service starts while the outside is not there: in virtual time, over real protocols."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.app.service import RunSummary, run_service
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.errors import AuthError, DeadlineError, InvocationError, OutsideError
from tapekeeper.runtime.line_values import LineState
from tapekeeper.runtime.pool_values import PoolHealth
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tests.simulated_gateway import outside_in_memory

HOUR_S = 3_600.0
NOBODY = 9_999
"""A port where nothing listens."""


@dataclass
class World:
    """A tape's outside, with the gateway of it not yet there."""

    clock: VirtualClock
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[tuple[float, TapeStatus]] = field(default_factory=list)
    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    user_port: int = MEMORY_PORT
    key: str = TEST_API_KEY
    start: Literal["wait", "fail"] = "wait"
    contracts: tuple[str, ...] = ("MES", "MNQ")

    def __post_init__(self) -> None:
        """Make the network."""
        self.network = MemoryNetwork(Seeded(1, "network"))

    def gateway(self) -> SimGateway:
        """Another one, to be entered."""
        config = SimConfig(products=("MES", "MNQ"))
        return SimGateway(config, self.clock, Seeded(1, "gateway"), network=self.network)

    def outside(self) -> Outside:
        """What the tape gets."""
        files = MemoryFiles()

        def log(event: str, /, *, level: str = "info", **fields: object) -> None:
            self.told.append((event, {"level": level, **fields}))

        return outside_in_memory(self.clock, self.network, files, log)

    def config(self) -> Config:
        """Of the tape."""
        base = f"http://127.0.0.1:{MEMORY_PORT}"
        return Config.model_validate(
            {
                "gateway": {
                    "rest_url": base,
                    "market_hub_url": f"{base}/hubs/market",
                    "user_hub_url": f"http://127.0.0.1:{self.user_port}/hubs/user",
                    "user_name": TEST_USER,
                    "api_key": self.key,
                },
                "calendar": {"default": "24x7"},
                "bars": {"timeframes": ["1s"]},
                "service": {"start": self.start},
                "subscribe": [{"contract": name} for name in self.contracts],
            }
        )

    async def serve(self, seconds: float | None = None) -> RunSummary | None:
        """Run the service."""
        return await run_service(
            self.config(),
            stop=self.stop,
            on_status=lambda status: self.seen.append((self.clock.monotonic_ns() / 1e9, status)),
            seconds=seconds,
            outside=self.outside(),
        )

    def health(self) -> PoolHealth:
        """As it was reported last."""
        return self.seen[-1][1].health

    def waits(self) -> list[dict[str, object]]:
        """What the start waited for."""
        return [fields for event, fields in self.told if event == "start_waits"]


def play(
    scenario: Callable[[World], Awaitable[None]],
    **options: Any,
) -> World:
    """Run a scenario; the world afterwards."""

    async def main(clock: VirtualClock) -> World:
        world = World(clock, **options)
        async with asyncio.timeout(12 * HOUR_S):
            await scenario(world)
        return world

    return run_virtual(main)


def test_a_gateway_that_is_away_for_three_hours_is_waited_for() -> None:
    """It is said again and again, health is down, and when it comes everything is followed."""

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(world.serve())
            await world.clock.sleep_s(3 * HOUR_S)
            assert world.health() is PoolHealth.DOWN
            async with world.gateway():
                await world.clock.sleep_s(120)
                world.stop.set()
                summary = await serving
        assert summary is not None
        assert world.health() is PoolHealth.UP
        assert summary.status.holds
        assert {check.contract_id.split(".")[3] for check in summary.result.checks} == {
            "MES",
            "MNQ",
        }
        assert all(check.bars > 10 for check in summary.result.checks)

    world = play(scenario)
    reports = [at_s for at_s, _ in world.seen if at_s < 3 * HOUR_S]
    assert all(b - a <= 10.1 for a, b in itertools.pairwise(reports))
    healths = [status.health for _, status in world.seen]
    assert healths[0] is PoolHealth.STARTING
    assert PoolHealth.DEGRADED not in healths
    assert len(world.waits()) > 300
    assert all(one["level"] == "warning" for one in world.waits())
    down = [f for e, f in world.told if e == "pool_health" and f["health"] == PoolHealth.DOWN]
    assert [one["level"] for one in down] == ["error", "error"]


def test_hubs_that_refuse_while_rest_answers_are_waited_for() -> None:
    """The deadline of a subscription is no end of the start."""

    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, asyncio.TaskGroup() as group:
            gateway.faults.refuse(Door.UPGRADE, 40, 503)
            serving = group.create_task(world.serve())
            await world.clock.sleep_s(0.25 * HOUR_S)
            world.stop.set()
            summary = await serving
        assert summary is not None
        assert world.health() is PoolHealth.UP

    world = play(scenario)
    steps = {str(one["step"]).partition("(")[0] for one in world.waits()}
    assert {"SubscribeContractTrades", "SubscribeAccounts"} <= steps


def test_a_user_hub_that_is_away_does_not_hold_up_the_market() -> None:
    """Bars come; the hub is down and says so."""

    async def scenario(world: World) -> None:
        async with world.gateway():
            summary = await world.serve(300.0)
        assert summary is not None
        market, user = summary.status.pools
        assert market.name == "market"
        assert user.reason
        assert world.seen[0][0] < 5
        assert world.seen[-1][1].pools[0].health is PoolHealth.UP
        assert world.seen[-1][1].pools[1].health is PoolHealth.DOWN
        assert summary.status.trades.accepted > 100

    play(scenario, user_port=NOBODY)


@pytest.mark.parametrize("late_s", [0.0, 600.0])
def test_a_wrong_key_is_an_error_at_once(late_s: float) -> None:
    """Also where the gateway had to be waited for."""

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(outcome(world.serve()))
            await world.clock.sleep_s(late_s)
            async with world.gateway():
                begin_ns = world.clock.monotonic_ns()
                error = await serving
        assert isinstance(error, AuthError)
        assert world.clock.monotonic_ns() - begin_ns < 45e9

    play(scenario, key="other-test-key-not-a-secret")


async def outcome(work: Awaitable[object]) -> object:
    """What comes of it, an error as a value."""
    try:
        return await work
    except OutsideError as error:
        return error


@pytest.mark.parametrize("refused", ["SubscribeContractTrades", "SubscribeAccounts"])
def test_a_refused_subscription_is_an_error_at_once(refused: str) -> None:
    """A gateway that says no will say no again."""

    async def scenario(world: World) -> None:
        async with world.gateway() as gateway:
            # The first call of the user hub is asked before a contract was looked up.
            if refused == "SubscribeAccounts":
                gateway.faults.spoil_calls(1, "not allowed")
            else:
                gateway.faults.spoil_calls(20, "not allowed")
            error = await outcome(world.serve())
        assert isinstance(error, InvocationError)
        assert world.clock.monotonic_ns() < 30e9

    play(scenario, user_port=MEMORY_PORT if refused == "SubscribeAccounts" else NOBODY)


def test_a_start_that_shall_fail_does_so_at_its_deadline() -> None:
    """With the hubs away and REST there, after the time of one subscription."""

    async def scenario(world: World) -> None:
        async with world.gateway() as gateway:
            gateway.faults.refuse(Door.UPGRADE, 40, 503)
            error = await outcome(world.serve())
        assert isinstance(error, DeadlineError)
        assert world.clock.monotonic_ns() < 60e9

    assert play(scenario, start="fail").waits() == []


def test_a_program_that_uses_the_library_is_told_at_a_deadline() -> None:
    """`Tape` alone fails where the service waits, unless it is told to wait."""

    async def scenario(world: World) -> None:
        with pytest.raises(OutsideError):
            async with Tape(world.config(), outside=world.outside()):
                pytest.fail("nobody is there")
        assert world.clock.monotonic_ns() < 60e9
        async with Tape(world.config(), outside=world.outside(), start="wait") as tape:
            await world.clock.sleep_s(HOUR_S)
            assert tape.status().lines[0].state is not LineState.LIVE
        assert "start" not in tape.status().census.tasks

    play(scenario)


def test_so_many_seconds_bound_the_start_too() -> None:
    """A run that was given its time does not wait beyond it, and says that nothing came of it."""

    async def scenario(world: World) -> None:
        error = await outcome(world.serve(600.0))
        assert isinstance(error, DeadlineError)
        assert 600e9 <= world.clock.monotonic_ns() < 660e9

    play(scenario)


def test_a_stop_while_waiting_is_heeded() -> None:
    """With nothing followed there is nothing to sum up."""

    async def scenario(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(world.serve())
            await world.clock.sleep_s(HOUR_S)
            world.stop.set()
            assert await serving is None
        assert world.clock.monotonic_ns() < 1.02 * HOUR_S * 1e9

    play(scenario)


def test_who_waits_for_the_gateway_holds_up_nobody_who_leaves() -> None:
    """One waits for depth, another takes its own back; then the first one gets all it wanted."""

    async def scenario(world: World) -> None:
        async with (
            world.gateway() as gateway,
            Tape(world.config(), outside=world.outside(), start="wait") as tape,
        ):
            contract_id = (await tape.subscribe("MES", ["1s"])).contract_id
            gateway.faults.refuse(Door.NEGOTIATE, 10_000, 503)
            gateway.faults.drop_all()
            await world.clock.sleep_s(5)
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(tape.subscribe("MES", ["1m"], depth=True))
                await world.clock.sleep_s(5)
                async with asyncio.timeout(30):
                    await tape.unsubscribe(contract_id)
                assert tape.instruments() == []
                await world.clock.sleep_s(120)
                assert not waiting.done()
                before = tape.status().trades.accepted
                gateway.faults.clear()
            await world.clock.sleep_s(120)
            assert [one.contract_id for one in tape.instruments()] == [contract_id]
            assert tape.status().trades.accepted > before + 50
            assert tape.book(contract_id) is not None
            assert len(tape.frame(contract_id, "1m")) >= 1
            await tape.unsubscribe(contract_id)
            assert not any(gateway.delivers(stream, contract_id) for stream in Stream)

    play(scenario)


def test_a_stop_while_one_of_two_is_waited_for_keeps_what_came() -> None:
    """What was followed is summed up; the journal is sealed as ever."""

    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, asyncio.TaskGroup() as group:
            serving = group.create_task(world.serve())
            while not any(gateway.delivers(Stream.QUOTES, one) for one in gateway.contracts):
                await world.clock.sleep_s(0.001)
            gateway.faults.is_away = True  # no further look-up is answered
            await world.clock.sleep_s(120)
            world.stop.set()
            summary = await serving
        assert summary is not None
        assert len({check.contract_id for check in summary.result.checks}) == 1
        assert summary.status.trades.accepted > 100

    play(scenario, user_port=NOBODY)


def test_a_full_disk_under_the_output_ends_the_waiting() -> None:
    """A report that cannot be written is an error as it is while running."""

    async def scenario(world: World) -> None:
        def full(_: TapeStatus) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            await run_service(
                world.config(), stop=world.stop, on_status=full, outside=world.outside()
            )

    play(scenario)
