"""The whole system in virtual time: one seed is one run that can be repeated exactly.

The tape is the real composition, REST client and WebSockets included. Time, chance, network and
disk are replaced; the simulated gateway misbehaves as its schedule says, and so does the computer
that the tape runs on. A process that died, or that stopped because its journal could not accept,
is started again on the same disk, as a service manager does it. When the last fault is over all
behaves, and the tape has a bounded time to recover; then it is stopped, and what it left is
judged (`tapekeeper.verify.checks`).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from functools import partial

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.runtime.line_values import LineState
from tapekeeper.runtime.pool_values import PoolHealth
from tapekeeper.sim.faults import Frozen
from tapekeeper.sim.gateway import MEMORY_PORT, SimGateway
from tapekeeper.sim.host import Host
from tapekeeper.sim.memory_files import MemoryDisk
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import (
    NothingWakesError,
    StandsStillError,
    VirtualClock,
    run_virtual,
)
from tapekeeper.sim.wire import WIRE_NS, MarketEvent, Trades
from tapekeeper.verify.evidence import NS_PER_S, End, Evidence, Freezing, Made
from tapekeeper.verify.process import Process
from tapekeeper.verify.scenario import RECOVERY_S, RESTART_S, RETURN_S, Scenario

PATIENCE_S = 7_200.0
"""Virtual seconds after which a run that goes on is stuck: some await has no bound."""

LOOK_S = 0.5
"""How often it is looked whether all has recovered, and which subscriptions are frozen."""

LIVES_MAX = 200
"""Processes of one run; a disk that takes nothing for a minute costs a dozen."""


def simulate(scenario: Scenario) -> Evidence:
    """Run a scenario to its end, whatever that is."""
    evidence = Evidence(scenario)
    disk = MemoryDisk()
    try:
        run_virtual(partial(_bounded, evidence, disk), start_ns=scenario.start_ns)
    except NothingWakesError as error:
        evidence.failure = f"deadlock: {error}"
    except StandsStillError as error:
        evidence.failure = f"spinning: {error}"
    except TimeoutError:
        evidence.failure = f"stuck: it goes on after {PATIENCE_S:g} s"
    # boundary: of the whole simulated program, because what escapes from it is the finding
    except Exception as error:  # noqa: BLE001 - see the line above
        evidence.failure = "escaped: " + "".join(traceback.format_exception(error)).strip()
    evidence.refusals = tuple(disk.refusals)
    # A disk of its own, which nothing of the run is tied to.
    evidence.files.disk.content.update(disk.content)
    evidence.files.disk.is_locked = disk.is_locked
    return evidence


async def _bounded(evidence: Evidence, disk: MemoryDisk, clock: VirtualClock) -> None:
    me = asyncio.current_task()
    async with asyncio.timeout(PATIENCE_S + evidence.scenario.calm_s):
        network = MemoryNetwork(Seeded(evidence.scenario.seed, "network"))
        await _Run(evidence, clock, disk, network).run()
    # What the libraries still have to do when all is closed takes a few turns of the loop.
    await clock.sleep_s(5.0)
    evidence.leftovers = tuple(
        sorted(task.get_name() for task in asyncio.all_tasks() if task is not me)
    )
    evidence.open_ends = network.open_ends


class _Run:
    """Gateway, host and the processes on it."""

    def __init__(
        self, evidence: Evidence, clock: VirtualClock, disk: MemoryDisk, network: MemoryNetwork
    ) -> None:
        plan = evidence.scenario
        self._evidence = evidence
        self._clock = clock
        self._disk = disk
        self._network = network
        self._ports = plan.endpoint_ports
        self._host = Host(clock.other(), clock, disk, network, self._ports)
        self._gateway = SimGateway(
            plan.gateway(),
            clock,
            Seeded(plan.seed, "gateway"),
            schedule=plan.schedule,
            network=network,
            sessions=calendar_by_name(plan.calendar),
        )
        self._gateway.faults.host = self._host
        self._gateway.feed.market_taps.append(partial(self._note, evidence.market))
        self._gateway.feed.made_taps.append(partial(self._note, evidence.made))
        self._process: Process | None = None
        self._calm = asyncio.Event()
        self._over = False
        self._freezings: dict[Frozen, Freezing] = {}

    async def run(self) -> None:
        """Everything, from the start of the gateway to its end."""
        evidence, gateway = self._evidence, self._gateway
        evidence.start_ns = self._clock.now_ns()
        async with gateway:
            for port in self._ports:
                self._network.listen_also(port, like=MEMORY_PORT)
            async with asyncio.TaskGroup() as tasks:
                beside = [
                    tasks.create_task(self._watch_over(), name="watch over"),
                    tasks.create_task(self._watch_freezes(), name="watch freezes"),
                ]
                await self._serve()
                for task in beside:
                    task.cancel()
            evidence.happened = tuple(gateway.runner.happened)
        for port in self._ports:
            self._network.close(port)
        evidence.steps = tuple(self._host.steps)
        evidence.held_s = self._host.held_s

    async def _serve(self) -> None:
        """Start a process, and again when it has ended by itself, as a service manager does."""
        for _ in range(LIVES_MAX):
            process = self._process = Process(
                self._evidence,
                self._evidence.scenario.tape(self._gateway.urls),
                host=self._host.clock,
                true=self._clock,
                disk=self._disk,
                network=self._network,
                guest_goes=self._calm,
            )
            self._host.runs(process.kill)
            async with asyncio.TaskGroup() as tasks:
                # A task of its own, because killing it cancels it.
                tasks.create_task(process.run(), name="process")
            killed = process.life.end is End.KILLED
            if process.life.end is End.STOPPED or (self._over and killed):
                return
            await self._clock.sleep_s(self._host.restart_s if killed else RESTART_S)

    async def _watch_over(self) -> None:
        """Wait for the last fault and for recovery, then let the process stop."""
        evidence, gateway = self._evidence, self._gateway
        await gateway.runner.finished.wait()
        self._calm.set()
        gateway.faults.clear()
        calm_ns = self._clock.monotonic_ns()
        evidence.recovered_s = await self._until(self._not_recovered, calm_ns, RECOVERY_S)
        if evidence.recovered_s is not None:
            evidence.returned_s = await self._until(self._not_returned, calm_ns, RETURN_S)
        await self._clock.sleep_s(evidence.scenario.calm_s)
        self._over = True
        while True:
            # A process that fails while it stops is started again, and is to stop, too.
            if self._process is not None and self._process.is_up:
                self._process.ask_to_stop()
            elif self._process is not None and evidence.recovered_s is None:
                self._process.kill(None)
            await self._clock.sleep_s(LOOK_S)

    async def _until(
        self, waiting: Callable[[], str], since_ns: int, most_s: float
    ) -> float | None:
        """Seconds since a moment until nothing is waited for any more; None if it is too late."""
        while what := waiting():
            self._evidence.waiting = what
            if (self._clock.monotonic_ns() - since_ns) / NS_PER_S > most_s:
                return None
            await self._clock.sleep_s(LOOK_S)
        return (self._clock.monotonic_ns() - since_ns) / NS_PER_S

    def _not_recovered(self) -> str:
        """What is not as it should be, in words; empty if all is well."""
        process = self._process
        if process is None or not process.is_up:
            return "the program is down"
        for line in process.tape.status().lines:
            if line.state is not LineState.LIVE:
                return f"line {line.name} is {line.state}: {line.reason}"
            if line.unconfirmed:
                return f"line {line.name} has no confirmation of {line.unconfirmed[0]}"
        for contract_id in self._evidence.contracts.values():
            for stream in (Stream.TRADES, Stream.QUOTES):
                if not self._gateway.delivers(stream, contract_id):
                    return f"the gateway sends no {stream} of {contract_id}"
        return ""

    def _not_returned(self) -> str:
        present = self._gateway.faults.chosen()
        away = sum(one.port in self._ports[1:] for one in present)
        if away:
            return f"{away} connections are to fallbacks"
        if what := self._not_recovered():  # a program that failed again meanwhile has no pools
            return what
        # Two ends by chance look like a gateway that allows one session only: what that costs is
        # to be given back, too.
        assert self._process is not None  # noqa: S101 - it has recovered
        for pool in self._process.tape.status().pools:
            if pool.health is not PoolHealth.UP:
                return f"the pool {pool.name} is {pool.health}: {pool.reason}"
        return ""

    async def _watch_freezes(self) -> None:
        while True:
            self._note_freezes()
            await self._clock.sleep_s(LOOK_S)

    def _note_freezes(self) -> None:
        now_ns = self._clock.now_ns()
        look_ns = round(LOOK_S * NS_PER_S)
        for one in self._gateway.faults.frozen:
            if one not in self._freezings:
                freezing = Freezing(one.stream, one.key, now_ns - look_ns)
                self._freezings[one] = freezing
                self._evidence.freezings.append(freezing)
            if self._freezings[one].to_ns is None and one.is_over:
                self._freezings[one].to_ns = now_ns

    def _note(self, made: list[Made], event: MarketEvent) -> None:
        if isinstance(event, Trades):
            ts_ns = event.ts_ns // WIRE_NS * WIRE_NS
            prints = tuple(
                (event.contract_id, ts_ns, float(one.price), one.size, one.side)
                for one in event.prints
            )
            made.append(Made(self._clock.now_ns(), prints))
