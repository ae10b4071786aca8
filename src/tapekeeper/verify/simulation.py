"""The whole system in virtual time: one seed is one run that can be repeated exactly.

The tape is the real composition, REST client and WebSockets included. Time, chance, network and
disk are replaced, and the simulated gateway misbehaves as its schedule says. When the last fault
is over the gateway behaves, and the tape has a bounded time to recover; then it is stopped, and
what it left is judged (`tapekeeper.verify.checks`).
"""

from __future__ import annotations

import asyncio
import hashlib
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.outside import Outside
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.tape import Tape, TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import OutsideError, UnknownContractError
from tapekeeper.runtime.line_values import LineState
from tapekeeper.sim.fault_runner import Happened
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import (
    NothingWakesError,
    StandsStillError,
    VirtualClock,
    run_virtual,
)
from tapekeeper.sim.wire import WIRE_NS, MarketEvent, Trades
from tapekeeper.verify.oracle import Key
from tapekeeper.verify.scenario import (
    GUEST,
    PRODUCTS,
    RECOVERY_S,
    TIMEFRAMES,
    Scenario,
)

NS_PER_S = 1_000_000_000

PATIENCE_S = 3_600.0
"""Virtual seconds after which a run that goes on is stuck: some await has no bound."""

STOP_S = 60.0
"""Virtual seconds that stopping may take."""

_GUEST_STAYS_S = 15.0


@dataclass(frozen=True, slots=True)
class Logged:
    """One event of the log: wall clock (ns UTC), its name and its fields."""

    at_ns: int
    event: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Made:
    """Prints of one record of the market, and when it made them (wall clock, ns UTC)."""

    at_ns: int
    prints: tuple[Key, ...]


@dataclass(slots=True)
class Evidence:
    """What a run left behind. Times are virtual wall clock, ns UTC, unless they say otherwise.

    Attributes:
        scenario: what was run.
        files: the journal.
        log: all events, in order.
        made: everything the market made.
        happened: what the faults did, seconds from the start.
        start_ns: when the gateway started.
        subscribed_ns: when both products were confirmed; None if they never were.
        contracts: ids of the products.
        recovered_s: how long recovery took after the last fault; None if it did not come.
        waiting: what had not recovered.
        status, result: of the tape at its end.
        stopping_ns: when it was asked to stop.
        stop_s: how long stopping took.
        leftovers: tasks that were still there in the end.
        open_ends: connections that were still there in the end.
        failure: what came out of the run, if something did.
    """

    scenario: Scenario
    files: MemoryFiles = field(default_factory=MemoryFiles)
    log: list[Logged] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    happened: tuple[Happened, ...] = ()
    start_ns: int = 0
    subscribed_ns: int | None = None
    contracts: dict[str, str] = field(default_factory=dict)
    recovered_s: float | None = None
    waiting: str = ""
    status: TapeStatus | None = None
    result: ReplayResult | None = None
    stopping_ns: int = 0
    stop_s: float = 0.0
    leftovers: tuple[str, ...] = ()
    open_ends: int = 0
    failure: str = ""

    def digest(self) -> str:
        """A fingerprint of everything that happened; equal for runs of the same seed."""
        seen = hashlib.sha256()
        for one in self.log:
            seen.update(repr(one).encode())
        seen.update(repr((self.happened, self.recovered_s, self.status, self.failure)).encode())
        for name in self.files.names():
            seen.update(self.files.read(name))
        return seen.hexdigest()


def simulate(scenario: Scenario) -> Evidence:
    """Run a scenario to its end, whatever that is."""
    evidence = Evidence(scenario)
    try:
        run_virtual(partial(_bounded, evidence), start_ns=scenario.start_ns)
    except NothingWakesError as error:
        evidence.failure = f"deadlock: {error}"
    except StandsStillError as error:
        evidence.failure = f"spinning: {error}"
    except TimeoutError:
        evidence.failure = f"stuck: it goes on after {PATIENCE_S:g} s"
    # boundary: of the whole simulated program, because what escapes from it is the finding
    except Exception as error:  # noqa: BLE001 - see the line above
        evidence.failure = "escaped: " + "".join(traceback.format_exception(error)).strip()
    return evidence


async def _bounded(evidence: Evidence, clock: VirtualClock) -> None:
    me = asyncio.current_task()
    async with asyncio.timeout(PATIENCE_S + evidence.scenario.calm_s):
        network = MemoryNetwork(Seeded(evidence.scenario.seed, "network"))
        await _run(evidence, clock, network)
    # What the libraries still have to do when all is closed takes a few turns of the loop.
    await clock.sleep_s(5.0)
    evidence.leftovers = tuple(
        sorted(task.get_name() for task in asyncio.all_tasks() if task is not me)
    )
    evidence.open_ends = network.open_ends


async def _run(evidence: Evidence, clock: VirtualClock, network: MemoryNetwork) -> None:
    plan = evidence.scenario
    gateway = SimGateway(
        plan.gateway(),
        clock,
        Seeded(plan.seed, "gateway"),
        schedule=plan.schedule,
        network=network,
        sessions=calendar_by_name(plan.calendar),
    )
    evidence.start_ns = clock.now_ns()

    def made(event: MarketEvent) -> None:
        if isinstance(event, Trades):
            ts_ns = event.ts_ns // WIRE_NS * WIRE_NS
            prints = tuple(
                (event.contract_id, ts_ns, float(one.price), one.size, one.side)
                for one in event.prints
            )
            evidence.made.append(Made(clock.now_ns(), prints))

    def log(event: str, /, *, level: str = "info", **fields: object) -> None:
        evidence.log.append(Logged(clock.now_ns(), event, {"level": level, **fields}))

    gateway.feed.made_taps.append(made)
    outside = Outside(
        clock=clock,
        random=Seeded(plan.seed, "jitter"),
        files=lambda _: evidence.files,
        session=lambda: open_session(connector=MemoryConnector(network)),
        log=lambda _: log,
    )
    async with gateway:
        tape = Tape(plan.tape(gateway.urls), outside=outside)
        async with tape:
            await _use(evidence, clock, gateway, tape)
            evidence.status = tape.status()
            evidence.stopping_ns = clock.now_ns()
        evidence.stop_s = (clock.now_ns() - evidence.stopping_ns) / NS_PER_S
        evidence.result = tape.result()
        evidence.status = tape.status()
        evidence.happened = tuple(gateway.runner.happened)


async def _use(evidence: Evidence, clock: VirtualClock, gateway: SimGateway, tape: Tape) -> None:
    plan = evidence.scenario
    for product in PRODUCTS:
        instrument = await tape.subscribe(product, TIMEFRAMES)
        evidence.contracts[product] = instrument.contract_id
    evidence.subscribed_ns = clock.now_ns()
    async with asyncio.TaskGroup() as tasks:
        guest = tasks.create_task(_come_and_go(clock, tape, plan.seed)) if plan.guest else None
        await gateway.runner.finished.wait()
        if guest is not None:
            guest.cancel()
    gateway.faults.clear()
    calm_ns = clock.monotonic_ns()
    contracts = tuple(evidence.contracts.values())
    while waiting := _not_recovered(gateway, tape, contracts):
        evidence.waiting = waiting
        passed_s = (clock.monotonic_ns() - calm_ns) / NS_PER_S
        if passed_s > RECOVERY_S:
            return
        await clock.sleep_s(0.5)
    evidence.recovered_s = (clock.monotonic_ns() - calm_ns) / NS_PER_S
    await clock.sleep_s(plan.calm_s)


async def _come_and_go(clock: VirtualClock, tape: Tape, seed: int) -> None:
    """Another contract, subscribed and given up; the gateway may refuse or not answer."""
    numbers = Seeded(seed, "guest")
    while True:
        await clock.sleep_s(_GUEST_STAYS_S * numbers.random())
        with suppress(OutsideError, UnknownContractError):
            await tape.subscribe(GUEST, TIMEFRAMES)
        await clock.sleep_s(_GUEST_STAYS_S * numbers.random())
        with suppress(OutsideError, UnknownContractError):
            await tape.unsubscribe(GUEST)


def _not_recovered(gateway: SimGateway, tape: Tape, contracts: Sequence[str]) -> str:
    """What is not as it should be, in words; empty if all is well."""
    for line in tape.status().lines:
        if line.state is not LineState.LIVE:
            return f"line {line.name} is {line.state}: {line.reason}"
        if line.unconfirmed:
            return f"line {line.name} has no confirmation of {line.unconfirmed[0]}"
    for contract_id in contracts:
        for stream in (Stream.TRADES, Stream.QUOTES):
            if not gateway.delivers(stream, contract_id):
                return f"the gateway sends no {stream} of {contract_id}"
    return ""
