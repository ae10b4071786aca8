"""One frozen subscription of twenty, and a market that closes: the whole tape in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tapekeeper.app.config import Config, load_config
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.sim.wire import Trades
from tests.simulated_gateway import account_at, outside_in_memory

TEN = ("ES", "NQ", "RTY", "YM", "MES", "MNQ", "GC", "MGC", "CL", "ZN")
ALARMS = {"stream_stale", "handover_requested", "handover", "uncovered"}
START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""


@dataclass
class Running:
    """A tape on a simulated gateway, and what it logged."""

    clock: VirtualClock
    gateway: SimGateway
    tape: Tape
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)

    def of(self, *names: str) -> list[dict[str, Any]]:
        """The fields of all events of these names."""
        return [fields for _, event, fields in self.events if event in names]

    async def until(self, event: str) -> None:
        """Wait for an event, an hour at most."""
        for _ in range(3_600):
            if self.of(event):
                return
            await self.clock.sleep_s(1)
        raise AssertionError(f"there was no {event} within an hour")


def run(
    products: tuple[str, ...],
    script: Callable[[Running], Coroutine[Any, Any, None]],
    *,
    start_ns: int = START_NS,
    calendar: str = "24x7",
) -> Running:
    """Follow `products` and do what `script` says, with default settings."""

    async def main(clock: VirtualClock) -> Running:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(
            SimConfig(products=products),
            clock,
            Seeded(1, "gateway"),
            sessions=calendar_by_name(calendar),
            network=network,
        )
        files = MemoryFiles()
        events: list[tuple[float, str, dict[str, Any]]] = []

        def log(event: str, /, **fields: Any) -> None:
            events.append((clock.monotonic_ns() / 1e9, event, fields))

        outside = outside_in_memory(clock, network, files, log)
        async with gateway:
            running = Running(clock, gateway, Tape(config(gateway, calendar), outside=outside))
            running.events = events
            async with running.tape:
                for product in products:
                    await running.tape.subscribe(product, ["1m"])
                await script(running)
        return running

    return run_virtual(main, start_ns=start_ns)


def config(gateway: SimGateway, calendar: str) -> Config:
    """Defaults, but for where the gateway is."""
    return load_config(
        {
            "gateway": {**account_at(gateway.urls), "user_hub": False},
            "calendar": {"default": calendar},
        }
    )


def test_one_frozen_subscription_of_twenty_is_found_and_subscribed_again() -> None:
    """Within its threshold, and no other is touched; the line stays."""
    made: list[tuple[float, str]] = []

    async def script(running: Running) -> None:
        await running.clock.sleep_s(900)
        assert running.of(*ALARMS) == []
        running.gateway.feed.made_taps.append(
            lambda event: (
                made.append((running.clock.monotonic_ns() / 1e9, event.contract_id))
                if isinstance(event, Trades)
                else None
            )
        )
        assert running.gateway.faults.freeze(Stream.TRADES) == 1
        await running.until("stream_fresh")
        await running.clock.sleep_s(120)

    running = run(TEN, script)
    (stale,) = running.of("stream_stale")
    (fresh,) = running.of("stream_fresh")
    assert (stale["contract"], stale["stream"]) == (fresh["contract"], "trades")
    (found_s, _, _), (back_s, _, _) = (
        each for each in running.events if each[1] in {"stream_stale", "stream_fresh"}
    )
    onset_s = back_s - fresh["silent_s"]
    # By the next look, which are a second apart; and what tells is the first print that is missed.
    assert stale["threshold_s"] <= found_s - onset_s < stale["threshold_s"] + 2
    missed_s = next(made_s for made_s, contract_id in made if contract_id == stale["contract"])
    assert 60 <= found_s - missed_s < 60 + 2
    assert back_s - found_s < 30
    assert running.of("handover_requested") == []
    assert running.tape.status().watch.resubscribed == 1


def test_a_stream_that_stays_frozen_costs_its_line() -> None:
    """The hub refuses the new subscription; a new line brings the data back."""

    async def script(running: Running) -> None:
        await running.clock.sleep_s(900)
        running.gateway.faults.freeze(Stream.QUOTES)
        running.gateway.faults.spoil_calls(1, "not now")
        await running.until("stream_fresh")
        await running.until("handover")

    running = run(("MES", "MNQ"), script)
    (stale,) = running.of("stream_stale")
    assert len(running.of("stream_fresh")) == 1
    (request,) = running.of("handover_requested")
    assert request["reason"] == f"no quotes of {stale['contract']}"
    (pool,) = running.tape.status().pools
    assert pool.handovers == 1
    assert running.tape.status().trades.holds


def test_a_daily_break_raises_no_alarm_and_costs_no_connection() -> None:
    """From half an hour before the close to half an hour after the next open."""
    monday_close_ns = START_NS + 7 * 3_600_000_000_000

    async def script(running: Running) -> None:
        await running.clock.sleep_s(2 * 3_600)

    start_ns = monday_close_ns - 1_800_000_000_000
    running = run(("MES",), script, start_ns=start_ns, calendar="cme")
    assert running.of(*ALARMS) == []
    (line,) = running.tape.status().lines
    assert line.connections == 1
