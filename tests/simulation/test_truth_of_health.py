"""What a tape says of itself while a stream is frozen: the whole system in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tapekeeper.app.config import load_config
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.gap import GapCause
from tapekeeper.model.queue import QueueChange
from tapekeeper.runtime.line_values import Transition
from tapekeeper.runtime.pool_values import HealthChange, PoolHealth
from tapekeeper.runtime.queue_kinds import TapeChange
from tapekeeper.runtime.watch_values import StreamChange
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tests.simulated_gateway import account_at, outside_in_memory

NS = 1_000_000_000
TOLD = {"line_state", "pool_health", "tape_health", "stream_stale", "stream_fresh"}


@dataclass
class Running:
    """A tape on a simulated gateway, what it logged and what it told."""

    clock: VirtualClock
    gateway: SimGateway
    tape: Tape
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    told: list[TapeChange] = field(default_factory=list)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The fields of all events of this name."""
        return [fields for _, event, fields in self.events if event == name]

    async def until(self, event: str, *, within_s: int) -> None:
        """Wait for an event that was not there yet."""
        known = len(self.of(event))
        for _ in range(within_s):
            if len(self.of(event)) > known:
                return
            await self.clock.sleep_s(1)
        raise AssertionError(f"there was no {event} within {within_s} s")


def run(
    script: Callable[[Running], Coroutine[Any, Any, None]],
    *,
    redundancy: int = 1,
    user_hub: bool = False,
    token_life_s: float = 86_400.0,
) -> Running:
    """Follow MES and do what `script` says."""

    async def main(clock: VirtualClock) -> Running:
        network = MemoryNetwork(Seeded(1, "network"))
        calendar = calendar_by_name("24x7")
        config = SimConfig(products=("MES",), token_life_s=token_life_s)
        gateway = SimGateway(
            config, clock, Seeded(1, "gateway"), sessions=calendar, network=network
        )
        files = MemoryFiles()
        events: list[tuple[int, str, dict[str, Any]]] = []

        def log(event: str, /, **fields: Any) -> None:
            events.append((clock.now_ns(), event, fields))

        outside = outside_in_memory(clock, network, files, log)
        async with gateway:
            settings = {
                "gateway": {**account_at(gateway.urls), "user_hub": user_hub},
                "calendar": {"default": "24x7"},
                "pool": {"redundancy": redundancy},
            }
            running = Running(clock, gateway, Tape(load_config(settings), outside=outside))
            async with running.tape:
                transitions = running.tape.transitions()
                del events[:]
                running.events = events
                await running.tape.subscribe("MES", ["1m"])
                await script(running)
            running.told = [each async for each in transitions]
        return running

    return run_virtual(main)


def test_a_frozen_stream_degrades_and_is_uncovered_until_it_is_back() -> None:
    """Neither is said of the quotes, which go on."""

    async def script(running: Running) -> None:
        await running.clock.sleep_s(900)
        assert running.tape.status().health is PoolHealth.UP
        frozen_ns = running.clock.now_ns()
        running.gateway.faults.freeze(Stream.TRADES)
        running.gateway.faults.spoil_calls(1, "not now")
        await running.until("stream_stale", within_s=120)
        status = running.tape.status()
        assert (status.health, len(status.reasons)) == (PoolHealth.DEGRADED, 1)
        assert "no trades of CON.F.US.MES" in status.reasons[0]
        (interval,) = status.pools[0].uncovered
        assert abs(interval.from_ns - frozen_ns) < 10 * NS
        assert [call.target for call in interval.calls] == ["SubscribeContractTrades"]
        assert interval.to_ns is None
        await running.until("stream_fresh", within_s=120)
        await running.clock.sleep_s(10)
        status = running.tape.status()
        assert (status.health, status.reasons) == (PoolHealth.UP, ())
        (interval,) = status.pools[0].uncovered
        assert interval.to_ns is not None

    running = run(script)
    (fresh,) = [e for e in running.told if isinstance(e, StreamChange) and e.after.value == "fresh"]
    (interval,) = running.tape.status().pools[0].uncovered
    assert fresh.at_ns == interval.to_ns
    assert interval.cause is GapCause.STALE_STREAM


def test_a_stream_that_is_frozen_on_one_of_two_lines_is_found_and_its_line_replaced() -> None:
    """The tape lacks nothing, and redundancy is not lost in silence."""

    async def script(running: Running) -> None:
        await running.clock.sleep_s(300)
        before = {line.connection for line in running.tape.status().lines}
        running.gateway.faults.freeze(Stream.TRADES, "newest")
        running.gateway.faults.spoil_calls(1, "not now")
        await running.until("stream_stale", within_s=120)
        status = running.tape.status()
        (lack,) = status.watch.lacking
        assert status.health is PoolHealth.DEGRADED
        await running.until("handover", within_s=120)
        await running.clock.sleep_s(10)
        status = running.tape.status()
        after = {line.connection for line in status.lines}
        assert before - after == {lack.connection}
        assert (status.health, status.watch.lacking) == (PoolHealth.UP, ())
        assert status.pools[0].uncovered == ()
        assert status.trades.holds

    run(script, redundancy=2)


def test_trades_that_never_come_are_found_although_their_rate_is_unknown() -> None:
    """The volume that quotes carry says that there were some."""

    async def script(running: Running) -> None:
        for _ in range(300):
            running.gateway.faults.freeze(Stream.TRADES, "all")
            await running.clock.sleep_s(1)
        assert len(running.of("stream_stale")) >= 1
        assert running.tape.status().pools[0].handovers >= 1
        assert running.tape.status().health is PoolHealth.DEGRADED

    run(script)


def test_a_token_that_cannot_be_renewed_degrades() -> None:
    """The lines go on, and the tape says that they may not for long."""

    async def script(running: Running) -> None:
        running.gateway.faults.refuse(Door.LOGIN, 1_000, 503)
        running.gateway.faults.refuse(Door.REST, 1_000, 503)
        await running.until("token_refresh_failed", within_s=600)
        await running.clock.sleep_s(2)
        status = running.tape.status()
        assert {pool.health for pool in status.pools} == {PoolHealth.UP}
        assert status.health is PoolHealth.DEGRADED
        assert status.reasons[0].startswith("the token cannot be renewed: ")

    run(script, token_life_s=600.0)


def test_the_transitions_are_those_of_the_log() -> None:
    """In its order and with its reasons, from the first to the last."""

    async def script(running: Running) -> None:
        await running.clock.sleep_s(900)
        running.gateway.faults.freeze(Stream.TRADES)
        await running.until("stream_fresh", within_s=300)
        running.gateway.faults.drop_all("market")
        await running.clock.sleep_s(60)

    running = run(script, redundancy=2, user_hub=True)
    logged = [
        (at_ns, event, fields.get("reason"))
        for at_ns, event, fields in running.events
        if event in TOLD | {"queue_high", "queue_low"}
    ]
    assert [(each.at_ns, _event(each), each.reason) for each in running.told] == logged
    assert {event for _, event, _ in logged} >= TOLD


def _event(change: TapeChange) -> str:
    if isinstance(change, Transition):
        return "line_state"
    if isinstance(change, HealthChange):
        return "tape_health" if change.name == "tape" else "pool_health"
    if isinstance(change, QueueChange):
        return "queue_high" if change.is_high else "queue_low"
    return f"stream_{change.after}"
