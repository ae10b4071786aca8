"""The whole system: what was missed is filled in from the gateway's history, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tapekeeper.app.config import Config
from tapekeeper.app.tape import Tape
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.runtime.history import WarmUp
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.fault_menu import Fault, Outage, Refuse, UnknownRecord
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import NS_PER_S, Evidence
from tapekeeper.verify.scenario import MEASURES, scenario
from tapekeeper.verify.simulation import simulate
from tests.simulated_gateway import account_at, outside_in_memory

PLAN = replace(scenario(8, ()), guest=False, redundancy=1, token_life_s=86_400.0, trades_per_s=20.0)


def ran(*schedule: Fault, calm_s: float = 60.0) -> Evidence:
    """A run of the whole system, judged: bars that were filled in are the market's, too."""
    evidence = simulate(replace(PLAN, schedule=schedule, calm_s=calm_s))
    assert judge(evidence).problems == ()
    return evidence


@pytest.mark.parametrize("cut_s", [2.0, 7.0])
def test_a_cut_line_leaves_no_hole_in_the_bars(cut_s: float) -> None:
    """All gaps are repaired, and a replay of the journal has the same bars (`judge`)."""
    evidence = ran(Outage(at_s=30, for_s=cut_s))
    status, result = evidence.last.status, evidence.last.result
    assert status is not None
    assert result is not None
    assert (status.history.repaired, status.history.partly, status.history.waiting) == (4, 0, 0)
    assert status.history.differing == status.history.refused == 0
    assert status.holds
    for timeframe, bars in result.bars.items():
        if timeframe in map(str, MEASURES):  # which no history can stand for
            worth = {bar.completeness for bar in bars if bar.ts_open >= evidence.start_ns}
            assert worth <= {
                Completeness.COMPLETE,
                Completeness.PARTIAL_START,
                Completeness.GAP,
            }
            assert Completeness.GAP in worth
            continue
        live = [bar for bar in bars if bar.ts_open >= evidence.start_ns]
        worth = {bar.completeness for bar in live}
        assert worth <= {Completeness.COMPLETE, Completeness.BACKFILLED}
        assert Completeness.BACKFILLED in worth
        assert all(bar.live_share < 1 for bar in live if bar.gap_ids)
    seconds = {
        (bar.contract_id, bar.ts_open)
        for bars in result.bars.values()
        for bar in bars
        if bar.timeframe == "1s" and bar.ts_open >= evidence.start_ns
    }
    traded = {
        (key[0], key[1] - key[1] % NS_PER_S)
        for one in evidence.made
        for key in one.prints
        if key[0] in set(evidence.contracts.values()) and one.at_ns < evidence.last.ended_ns - 1e9
    }
    assert traded <= seconds


def test_a_gateway_without_rest_for_a_while_is_asked_again() -> None:
    """Refusals during the repair: it waits, and is done in the end."""
    evidence = ran(
        Outage(at_s=30, for_s=3),
        Refuse(at_s=32, door=Door.REST, status=503, count=6),
        UnknownRecord(at_s=90),  # until the last fault what is planned stays so
        calm_s=120.0,
    )
    status = evidence.last.status
    assert status is not None
    assert status.history.failures > 0
    assert (status.history.repaired, status.history.partly) == (4, 0)


@dataclass
class World:
    """A tape and its simulated gateway on one clock."""

    clock: VirtualClock
    tape: Tape
    gateway: SimGateway


def with_tape(
    use: Callable[[World], Awaitable[None]],
    *,
    settings: Mapping[str, Any] | None = None,
    schedule: tuple[Fault, ...] = (),
) -> None:
    """Run a tape in virtual time, and use it."""

    async def main(clock: VirtualClock) -> None:
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = SimGateway(
            SimConfig(products=("MES",), trades_per_s=5.0),
            clock,
            Seeded(1, "gateway"),
            schedule=schedule,
            network=network,
        )
        async with gateway:
            config = Config.model_validate(
                {
                    "gateway": account_at(gateway.urls),
                    "calendar": {"default": "24x7"},
                    **(settings or {}),
                }
            )
            files = MemoryFiles()
            outside = outside_in_memory(clock, network, files)
            tape = Tape(config, outside=outside)
            async with tape:
                await use(World(clock, tape, gateway))

    run_virtual(main)


def test_every_timeframe_is_warm_before_it_says_so() -> None:
    """500 bars of each, as far as there is history, and the day that is not over from its open."""

    async def use(world: World) -> None:
        tape = world.tape
        told = []

        async def read() -> None:
            async for bar in tape.bars("MES", "1s"):
                told.append(bar)  # noqa: PERF401 - read while it goes on

        await tape.subscribe("MES")
        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read(), name="reader")
            assert not tape.ready("MES", "1m")
            async with asyncio.timeout(60):
                states = {
                    name: await tape.wait_ready("MES", name)
                    for name in ("1s", "5s", "1m", "1h", "4h", "1d")
                }
            assert set(states.values()) == {WarmUp.READY}
            assert tape.ready("MES", "1d")
            counts = {name: tape.closed_count("MES", name) for name in states}
            assert counts["1s"] >= 500
            assert counts["1m"] >= 500
            # The simulated history reaches back for five days.
            assert 110 <= counts["1h"] <= 121
            assert 27 <= counts["4h"] <= 30
            assert 4 <= counts["1d"] <= 5
            day, hour = tape.forming("MES", "1d"), tape.forming("MES", "1h")
            assert day is not None
            assert hour is not None
            assert day.completeness is Completeness.BACKFILLED
            hours = tape.frame("MES", "1h")
            today = hours.filter(hours["ts_open"] >= day.ts_open)
            assert day.volume == today["volume"].sum()
            assert day.open == today["open"][0]
            assert all(check.holds for check in tape.status().checks)
            await world.clock.sleep_s(5)
            reader.cancel()
        # Who reads bars as they close gets none from before.
        (start,) = (gap for gap in tape.gaps() if gap.cause is GapCause.START)
        assert start.to_ns is not None
        assert min(bar.ts_end for bar in told) > start.to_ns
        assert start.note == ""

    with_tape(use)


def test_a_timeframe_that_is_added_is_warm_before_it_says_so() -> None:
    """Its bars reach back as if it had been there, and the one that was forming is whole."""

    async def use(world: World) -> None:
        tape = world.tape
        await tape.subscribe("MES", ["1m"])
        async with asyncio.timeout(90):
            await tape.wait_ready("MES", "1m")
        await world.clock.sleep_s(200)
        minutes = tape.closed_count("MES", "1m")
        added = ("5s", "5m", "1h", "1d")
        await tape.subscribe("MES", added)
        for name in added:
            assert not tape.ready("MES", name)
        five = tape.forming("MES", "5m")
        assert five is not None
        assert five.completeness in {Completeness.COMPLETE, Completeness.BACKFILLED}
        async with asyncio.timeout(60):
            states = [await tape.wait_ready("MES", name) for name in added]
        assert set(states) == {WarmUp.READY}
        day = tape.forming("MES", "1d")
        assert day is not None
        assert day.completeness is Completeness.BACKFILLED
        hours = tape.frame("MES", "1h")
        today = hours.filter(hours["ts_open"] >= day.ts_open)
        assert len(today) > 1
        assert (day.open, day.volume) == (today["open"][0], today["volume"].sum())
        assert set(today["completeness"].unique()) <= {"complete", "backfilled"}
        assert tape.closed_count("MES", "1m") - minutes <= 1
        assert tape.closed_count("MES", "5m") >= 500
        await world.clock.sleep_s(400)
        frames = {name: tape.frame("MES", name) for name in ("5s", "1m", "5m")}
        worth = {name: set(frame["completeness"].unique()) for name, frame in frames.items()}
        assert all(each <= {"complete", "backfilled"} for each in worth.values())
        for end_ns in frames["5m"]["ts_end"][-3:]:
            whole, parts = (
                frame.filter((frame["ts_open"] >= end_ns - 300 * NS_PER_S)
                             & (frame["ts_end"] <= end_ns))["volume"].sum()
                for frame in (frames["5m"], frames["1m"])
            )  # fmt: skip
            assert whole == parts
        status = tape.status()
        assert all(check.holds for check in status.checks)
        assert status.history.differing == 0

    with_tape(use)


def test_without_history_nothing_is_asked_and_nothing_waited_for() -> None:
    """Turned off, a frame is ready at once, and a gap stays one."""

    async def use(world: World) -> None:
        tape = world.tape
        await tape.subscribe("MES", ["1s", "1m"])
        assert tape.ready("MES", "1m")
        assert await tape.wait_ready("MES", "1m") is WarmUp.OFF
        await world.clock.sleep_s(60)
        assert tape.status().history.requests == 0
        states = {gap.cause: gap.state for gap in tape.gaps()}
        assert states == {GapCause.START: GapState.ENDED, GapCause.DISCONNECT: GapState.ENDED}

    with_tape(use, settings={"history": {"enabled": False}}, schedule=(Outage(at_s=10, for_s=3),))


def test_a_gateway_that_forbids_history_is_told_of_and_asked_again_with_the_next_gap() -> None:
    """The warm-up ends as short, with the reason; when the line is back, it is made good."""

    async def use(world: World) -> None:
        tape = world.tape
        await tape.subscribe("MES", ["1s", "1m"])
        world.gateway.faults.refuse(Door.REST, 1, 404)
        async with asyncio.timeout(30):
            assert await tape.wait_ready("MES", "1m") is WarmUp.SHORT
        assert not tape.ready("MES", "1m")
        (start,) = tape.gaps()
        assert "could not be asked" in start.note
        await world.clock.sleep_s(90)
        assert tape.ready("MES", "1m")
        assert tape.status().history.repaired == 2

    with_tape(use, schedule=(Outage(at_s=40, for_s=3),))


def test_a_timeframe_of_hours_is_warm_at_once_and_whole_when_its_bar_is_over() -> None:
    """Nobody waits an hour for the bars before: the one that is forming is repaired at its end."""

    async def use(world: World) -> None:
        tape = world.tape
        await tape.subscribe("MES", ["1h"])
        async with asyncio.timeout(30):
            assert await tape.wait_ready("MES", "1h") is WarmUp.READY
        assert tape.closed_count("MES", "1h") > 100
        forming = tape.forming("MES", "1h")
        assert forming is not None
        assert forming.completeness is Completeness.PARTIAL_START
        await world.clock.sleep_s(3_700)
        last = tape.frame("MES", "1h").filter(state="revised")
        assert last["completeness"].to_list()[-1] == "backfilled"
        assert all(check.holds for check in tape.status().checks)

    with_tape(use)
