"""A refresh of the token every two seconds under load: what is lost, and what it costs.

    python benches/handover.py [--virtual-s 20] [--real-s 10] [--json]

The tape is the real composition, and the gateway the simulated one. Each renewal refuses the
token before it and replaces the connections of both hubs. It runs twice:

- `virtual`: 10,000 prints a second over four contracts, in virtual time over the network in
  memory, for `--virtual-s` seconds of exchange time. As nothing waits there, the load is exact,
  and no lag can be seen.
- `real`: over loopback sockets in real time for `--real-s` seconds, with the gateway in a process
  of its own, at the highest rate that it keeps up on this machine, 10,000 at most: short runs find
  it, or `--real-ticks-per-s` says it. The event loop that is timed is the tape's alone.

The journal is written at level `process`. What the market made is held against the bars of one
second, contract by contract: number of prints and volume. It exits with 1 if a print was lost or
is in the bars twice, or if a hub had more than two lines; times decide nothing. 0 seconds leave a
part out.

How long the loop was held is how late a timer of 5 ms fires. Other programs of the machine are in
that, so two more figures stand beside it: the same lateness without the time for which the system
let the tape's thread wait for a processor (Linux tells it), and how late a third process wakes
that does nothing but sleep for 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import sys
import tempfile
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol, TypeAlias

import aiohttp
import msgspec

from tapekeeper import Tape, TapeStatus
from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.cli.heap import settled_heap
from tapekeeper.ports import Clock, Random
from tapekeeper.runtime.loop_lag import LOOK_S, STALL_MS, LoopLag
from tapekeeper.runtime.syncer import Durability
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.sim.wire import WIRE_NS, MarketEvent, Trades

SEED = 1
PRODUCTS = ("MES", "MNQ", "MGC", "MCL")
TICKS_PER_S = 10_000.0
ISSUE_S = 300.0
"""How long the full run is."""

TOKEN_LIFE_S = 4.0
REFRESH_SHARE = 0.5
"""Renewed every two seconds, counted from the arrival of the token before."""
OVERLAP_S = 0.5

LINES_MOST = 2

LOOK_MS = 5.0
"""Period of the timers of this program."""
WAITED = Path("/proc/thread-self/schedstat")
"""Where Linux says for how long this thread had to wait for a processor."""

WORST = 5

PROBE_S = 3.0
LEAST_PER_S = 1_000.0
LATE_MS = 250.0

ARRIVES_WITHIN_S = 30
NS_PER_S = 1_000_000_000

NS_PER_MS = 1_000_000

Sums: TypeAlias = tuple[int, int]
"""Number of prints, and their volume."""
BySecond: TypeAlias = dict[tuple[str, int], Sums]
"""By contract and second of exchange time."""


@dataclass
class Mark:
    """How far the market is at one moment."""

    newest_ns: int
    prints: int
    late_ms: float  # behind its own time
    cpu_s: float  # of its process


class Source(Protocol):
    """A gateway with its market, wherever it runs."""

    urls: SimUrls

    async def mark(self) -> Mark:
        """How far it is."""
        ...

    async def sums(self) -> BySecond:
        """What the market has made."""
        ...


class Here:
    """A gateway in this process."""

    def __init__(self, gateway: SimGateway) -> None:
        self._gateway = gateway
        self._sums: BySecond = defaultdict(lambda: (0, 0))
        self._newest_ns = self._prints = 0
        gateway.feed.made_taps.append(self._take)
        self.urls = gateway.urls

    def _take(self, event: MarketEvent) -> None:
        """Count the prints of an event."""
        if isinstance(event, Trades):
            key = event.contract_id, event.ts_ns // WIRE_NS * WIRE_NS // NS_PER_S
            count, volume = self._sums[key]
            size = sum(one.size for one in event.prints)
            self._sums[key] = count + len(event.prints), volume + size
            self._newest_ns = max(self._newest_ns, event.ts_ns)
            self._prints += len(event.prints)

    async def mark(self) -> Mark:
        """How far it is."""
        late_ns = self._gateway.feed.now_ns(self._gateway.contracts[0]) - self._newest_ns
        return Mark(self._newest_ns, self._prints, max(0.0, late_ns / 1e6), time.process_time())

    async def sums(self) -> BySecond:
        """What the market has made."""
        return dict(self._sums)


class Apart:
    """A gateway in a process of its own, at the other end of a pipe."""

    def __init__(self, pipe: Connection, urls: SimUrls) -> None:
        self._pipe = pipe
        self.urls = urls

    async def mark(self) -> Mark:
        """How far it is."""
        answer = await self._asked("mark")
        assert isinstance(answer, Mark)
        return answer

    async def sums(self) -> BySecond:
        """What the market has made."""
        answer = await self._asked("sums")
        assert isinstance(answer, dict)
        return answer

    async def _asked(self, what: str) -> object:
        self._pipe.send(what)
        answer: object = await asyncio.to_thread(self._pipe.recv)
        return answer


def sim_config(ticks_per_s: float) -> SimConfig:
    """How the gateway is set up."""
    return SimConfig(
        seed=SEED,
        products=PRODUCTS,
        trades_per_s=ticks_per_s / len(PRODUCTS),
        token_life_s=TOKEN_LIFE_S,
        single_token=True,
    )


def serve(pipe: Connection, ticks_per_s: float) -> None:
    """Be the gateway at the other end, until the pipe is closed."""

    async def main() -> None:
        clock = SystemClock()
        async with SimGateway(sim_config(ticks_per_s), clock, Seeded(SEED, "gateway")) as gateway:
            here = Here(gateway)
            pipe.send(here.urls)
            with suppress(EOFError):
                while True:
                    asked = await asyncio.to_thread(pipe.recv)
                    pipe.send(await (here.mark() if asked == "mark" else here.sums()))

    with settled_heap():
        asyncio.run(main())


def oversleep(pipe: Connection) -> None:
    """Sleep again and again, from one word to the next; send how late it woke."""
    late = array("d")
    gc.disable()
    with suppress(EOFError):
        pipe.recv()
        due_ns = time.monotonic_ns()
        while not pipe.poll():
            due_ns += round(LOOK_MS * NS_PER_MS)
            time.sleep(LOOK_MS / 1e3)
            now_ns = time.monotonic_ns()
            late.append((now_ns - due_ns) / NS_PER_MS)
            due_ns = now_ns
        pipe.recv()
        pipe.send(late)


@contextmanager
def process(target: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Run `target` in a new process; the pipe to it, which ends it when it is closed."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        child.join()


class Lateness(msgspec.Struct, frozen=True):
    """How late a timer of 5 ms fired, ms."""

    looks: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    over_50_ms: int  # as the watch of the tape counts: what may have begun a period earlier, too

    @classmethod
    def of(cls, late_ms: Sequence[float]) -> Lateness:
        """Of all looks."""
        ordered = sorted(late_ms) or [0.0]
        p50, p99, p999 = (ordered[round((len(ordered) - 1) * at)] for at in (0.5, 0.99, 0.999))
        over = sum(one + LOOK_MS >= STALL_MS for one in ordered)
        return cls(len(late_ms), p50, p99, p999, ordered[-1], over)


class Stall(msgspec.Struct, frozen=True):
    """One look of the tape's loop that came late."""

    at_s: float  # since the load began
    late_ms: float
    cpu_ms: float  # that the tape's thread computed since the look before
    waited_ms: float | None  # for which it was ready and had no processor; None where not told


class LoopLooks:
    """Looks at the event loop it runs in; see the module's text on what is in a lateness."""

    def __init__(self) -> None:
        # Plain numbers: what is kept here must not be work for the garbage collector.
        self._at_s, self._late_ms = array("d"), array("d")
        self._cpu_ms, self._waited_ms = array("d"), array("d")
        self._told = WAITED.exists()

    async def run(self) -> None:
        """Look until cancelled."""
        start_ns = now_ns = time.monotonic_ns()
        cpu_ns, waited_ns = time.thread_time_ns(), self._waited_ns()
        while True:
            await asyncio.sleep(LOOK_MS / 1e3)
            before_ns, now_ns = now_ns, time.monotonic_ns()
            before_cpu_ns, cpu_ns = cpu_ns, time.thread_time_ns()
            before_waited_ns, waited_ns = waited_ns, self._waited_ns()
            self._at_s.append((now_ns - start_ns) / NS_PER_S)
            self._late_ms.append((now_ns - before_ns) / NS_PER_MS - LOOK_MS)
            self._cpu_ms.append((cpu_ns - before_cpu_ns) / NS_PER_MS)
            self._waited_ms.append((waited_ns - before_waited_ns) / NS_PER_MS)

    def _waited_ns(self) -> int:
        return int(WAITED.read_bytes().split()[1]) if self._told else 0

    def late(self) -> Lateness:
        """All of it."""
        return Lateness.of(self._late_ms)

    def own(self) -> Lateness | None:
        """Without what the thread waited for a processor; None where that is not told."""
        if not self._told:
            return None
        both = zip(self._late_ms, self._waited_ms, strict=True)
        return Lateness.of([max(0.0, late - waited) for late, waited in both])

    def worst(self) -> tuple[Stall, ...]:
        """The latest looks."""
        looks = sorted(range(len(self._late_ms)), key=self._late_ms.__getitem__)[-WORST:]
        return tuple(
            Stall(
                self._at_s[look],
                self._late_ms[look],
                self._cpu_ms[look],
                self._waited_ms[look] if self._told else None,
            )
            for look in reversed(looks)
        )


class Collections(msgspec.Struct):
    """What the garbage collector of this process did, and what it took."""

    count: int = 0
    total_ms: float = 0.0
    max_ms: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what it does inside."""
        began_ns = 0

        def told(phase: str, _: dict[str, int]) -> None:
            nonlocal began_ns
            if phase == "start":
                began_ns = time.monotonic_ns()
                return
            took_ms = (time.monotonic_ns() - began_ns) / NS_PER_MS
            self.count += 1
            self.total_ms += took_ms
            self.max_ms = max(self.max_ms, took_ms)

        gc.callbacks.append(told)
        try:
            yield
        finally:
            gc.callbacks.remove(told)


class Timing(msgspec.Struct, frozen=True):
    """How long the tape's event loop was held, and how punctual the machine was meanwhile."""

    watch: LoopLag  # as the tape's own watch sees it, which looks every 10 ms
    loop: Lateness
    own: Lateness | None  # `loop` without what its thread waited for a processor
    sleeper: Lateness  # of another process that does nothing
    worst: tuple[Stall, ...]
    collections: Collections


@dataclass
class Figures:
    """One run. Prints are those of the whole seconds that were compared, unless said otherwise."""

    run: str
    durability: str
    seconds: int
    asked_per_s: float
    made: int
    in_bars: int
    lost: int
    doubled: int
    wrong_volume: int  # seconds whose number of prints is right and whose volume is not
    received: int  # by the whole run, and so the next three
    accepted: int
    duplicate: int
    quarantined: int
    renewals: int
    handovers: dict[str, int]
    handovers_failed: int
    lines_most: int
    uncovered: int
    cpu_s_per_million: float  # of the tape's process, with the gateway where that is in it
    cpu_share: float | None  # of one processor; None where time is virtual
    gateway_cpu_share: float | None
    market_late_ms: float  # how far the market was behind its own time in the end
    timing: Timing | None  # None where time is virtual
    holds: bool
    loud: dict[str, int]  # log events above info

    @property
    def problems(self) -> list[str]:
        """What must not be."""
        found = []
        if self.lost or self.doubled or self.wrong_volume or not self.holds:
            found.append(
                f"{self.lost} prints lost, {self.doubled} in the bars twice, "
                f"{self.wrong_volume} seconds with a wrong volume, identities hold: {self.holds}"
            )
        if self.lines_most > LINES_MOST:
            found.append(f"{self.lines_most} lines at once")
        if not self.made or not all(self.handovers.values()):
            found.append("nothing was shown: there was no print, or no hand-over on a hub")
        return found


@dataclass
class World:
    """What one run is made of, and what is found out in it."""

    run: str
    seconds: float
    ticks_per_s: float
    clock: Clock
    random: Random
    network: MemoryNetwork | None = None
    apart: tuple[Connection, Connection] | None = None  # gateway and sleeper of a real run
    loud: Counter[str] = field(default_factory=Counter)
    compared: tuple[int, int] = (0, 0)
    before: Mark | None = None
    after: Mark | None = None
    cpu_s: float = 0.0
    wall_s: float = 0.0
    looks: LoopLooks = field(default_factory=LoopLooks)
    collections: Collections = field(default_factory=Collections)
    sleeper_ms: Sequence[float] = ()

    def log(self, event: str, /, *, level: str = "info", **_: object) -> None:
        """Count what is above info."""
        if level not in {"debug", "info"}:
            self.loud[event] += 1

    def session(self) -> aiohttp.ClientSession:
        """What connections are made with."""
        if self.network is None:
            return open_session()
        return open_session(connector=MemoryConnector(self.network))

    @asynccontextmanager
    async def source(self) -> AsyncIterator[Source]:
        """The gateway."""
        if self.apart is not None:
            pipe, _ = self.apart
            urls = await asyncio.to_thread(pipe.recv)
            assert isinstance(urls, SimUrls)
            yield Apart(pipe, urls)
            return
        random = Seeded(SEED, "gateway")
        config = sim_config(self.ticks_per_s)
        async with SimGateway(config, self.clock, random, network=self.network) as gateway:
            yield Here(gateway)


def tape_config(urls: SimUrls, folder: str) -> Config:
    """How the tape is set up."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
                "token_refresh_share": REFRESH_SHARE,
            },
            "pool": {"overlap_s": OVERLAP_S},
            "calendar": {"default": "24x7"},
            "journal": {"dir": folder},
            "bars": {"timeframes": ["1s", "5s", "1m"]},
        }
    )


async def run(world: World) -> Figures:
    """Start everything, load it, stop it and compare."""
    outside = Outside(
        world.clock,
        world.random,
        session=world.session,
        log=lambda _: world.log,
        loop_look_s=LOOK_S if world.network is None else None,
        in_thread=asyncio.to_thread if world.network is None else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with world.source() as source:
            tape = Tape(tape_config(source.urls, folder), outside=outside)
            async with tape:
                await load(world, source, tape)
                status = tape.status()
            return compare(world, await source.sums(), tape, status)


async def load(world: World, source: Source, tape: Tape) -> None:
    """Subscribe everything, let the seconds pass, and wait for what is on its way."""
    for product in PRODUCTS:
        await tape.subscribe(product)
    before = world.before = await source.mark()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    # The second that is not whole is left out at either end.
    if world.apart is not None:
        await timed(world, world.apart[1])
    else:
        await world.clock.sleep_s(world.seconds + 2)
    world.cpu_s = time.process_time() - cpu_s
    world.wall_s = time.perf_counter() - wall_s
    after = world.after = await source.mark()
    last = after.newest_ns // NS_PER_S
    world.compared = before.newest_ns // NS_PER_S + 2, last
    for _ in range(ARRIVES_WITHIN_S):
        await world.clock.sleep_s(1.0)
        newest = [tape.last_trade(product) for product in PRODUCTS]
        if any(one and one.ts_event >= (last + 2) * NS_PER_S for one in newest):
            return


async def timed(world: World, sleeper: Connection) -> None:
    """Let the seconds pass and look how punctual everything is."""
    sleeper.send("start")
    with world.collections.counted(), suppress(TimeoutError):
        async with asyncio.timeout(world.seconds + 2):
            await world.looks.run()
    sleeper.send("stop")
    late_ms = await asyncio.to_thread(sleeper.recv)
    assert isinstance(late_ms, array)
    world.sleeper_ms = late_ms


def compare(world: World, made_all: BySecond, tape: Tape, status: TapeStatus) -> Figures:
    """Hold the bars against what was made."""
    first, last = world.compared
    made = {key: sums for key, sums in made_all.items() if first <= key[1] < last}
    bars: BySecond = defaultdict(lambda: (0, 0))
    for bar in tape.result().bars["1s"]:
        key = bar.contract_id, bar.ts_open // NS_PER_S
        if first <= key[1] < last:
            # Two bars of one interval would be prints twice, too.
            bars[key] = bars[key][0] + bar.n, bars[key][1] + bar.volume
    keys = made.keys() | bars.keys()
    more = [made.get(key, (0, 0))[0] - bars[key][0] for key in keys]
    before, after = world.before, world.after
    assert before is not None
    assert after is not None
    is_real = world.network is None
    gateway_cpu_s = after.cpu_s - before.cpu_s
    return Figures(
        run=world.run,
        durability=Durability.PROCESS,
        seconds=last - first,
        asked_per_s=world.ticks_per_s,
        made=sum(count for count, _ in made.values()),
        in_bars=sum(count for count, _ in bars.values()),
        lost=sum(one for one in more if one > 0),
        doubled=-sum(one for one in more if one < 0),
        wrong_volume=sum(
            made.get(key) != bars[key] and made.get(key, (0, 0))[0] == bars[key][0] for key in keys
        ),
        received=status.trades.received,
        accepted=status.trades.accepted,
        duplicate=status.trades.duplicate,
        quarantined=status.trades.quarantined,
        renewals=status.token.tokens - 1,
        handovers={pool.name: pool.handovers for pool in status.pools},
        handovers_failed=sum(pool.handovers_failed for pool in status.pools),
        lines_most=max(pool.lines_most for pool in status.pools),
        uncovered=sum(pool.uncovered_count for pool in status.pools),
        cpu_s_per_million=world.cpu_s / max(1, after.prints - before.prints) * 1e6,
        cpu_share=world.cpu_s / world.wall_s if is_real else None,
        gateway_cpu_share=gateway_cpu_s / world.wall_s if is_real else None,
        market_late_ms=after.late_ms,
        timing=timing(world, status.loop) if is_real else None,
        holds=status.holds,
        loud=dict(world.loud),
    )


def timing(world: World, watch: LoopLag) -> Timing:
    """What was found out of time."""
    looks = world.looks
    sleeper = Lateness.of(world.sleeper_ms)
    return Timing(watch, looks.late(), looks.own(), sleeper, looks.worst(), world.collections)


def virtual(seconds: float) -> Figures:
    """The full load in virtual time."""

    async def main(clock: VirtualClock) -> Figures:
        network = MemoryNetwork(Seeded(SEED, "network"))
        jitter = Seeded(SEED, "jitter")
        return await run(World("virtual", seconds, TICKS_PER_S, clock, jitter, network))

    return run_virtual(main)


def real(seconds: float, ticks_per_s: float, name: str = "real") -> Figures:
    """Over sockets, in real time, with the garbage collector set up as `tapekeeper run` does."""
    with process(serve, ticks_per_s) as gateway, process(oversleep) as sleeper, settled_heap():
        world = World(name, seconds, ticks_per_s, SystemClock(), SystemRandom())
        world.apart = gateway, sleeper
        return asyncio.run(run(world))


def deliverable_per_s() -> float:
    """The highest rate at which the market of a short run keeps its own time here."""
    rate = TICKS_PER_S
    while rate > LEAST_PER_S and real(PROBE_S, rate, "probe").market_late_ms > LATE_MS:
        rate = round(rate * 0.7, -2)
    return rate


def show(figures: Figures) -> None:
    """Print one run for people."""
    one = figures
    rate = one.made / max(1, one.seconds)
    print(
        f"{one.run}: {one.seconds} s of exchange time, asked for {one.asked_per_s:,.0f} prints/s, "
        f"made {rate:,.0f}/s, durability {one.durability}"
    )
    print(f"  made {one.made:,}  in bars {one.in_bars:,}  lost {one.lost}  twice {one.doubled}")
    print(
        f"  whole run: received {one.received:,}  accepted {one.accepted:,}  "
        f"duplicate {one.duplicate:,}  quarantined {one.quarantined:,}"
    )
    per_hub = ", ".join(f"{name} {count}" for name, count in one.handovers.items())
    print(
        f"  token renewals {one.renewals}, hand-overs {per_hub}, failed {one.handovers_failed}, "
        f"most lines of a hub {one.lines_most}, uncovered intervals {one.uncovered}"
    )
    print(f"  {one.cpu_s_per_million:.1f} CPU s per million prints")
    if one.timing is not None:
        shares = f"tape {one.cpu_share or 0:.0%}, gateway {one.gateway_cpu_share or 0:.0%}"
        late = f"market late by {one.market_late_ms:.0f} ms at the end"
        print(f"  of one processor: {shares}; {late}")
        show_timing(one.timing)
    for event, count in one.loud.items():
        print(f"  logged above info: {event} x {count}")
    for problem in one.problems:
        print(f"  WRONG: {problem}")


def show_timing(timing: Timing) -> None:
    """Print how punctual everything was."""
    print(f"  {'late, ms':34}{'p50':>8}{'p99':>8}{'p99.9':>8}{'max':>8}  over 50 ms")
    for name, late in (
        ("the tape's event loop", timing.loop),
        ("  without waiting for a processor", timing.own),
        ("a process that only sleeps", timing.sleeper),
    ):
        if late is not None:
            print(
                f"  {name:34}{late.p50_ms:8.1f}{late.p99_ms:8.1f}{late.p999_ms:8.1f}"
                f"{late.max_ms:8.1f}  {late.over_50_ms} of {late.looks:,} looks"
            )
    watch, collections = timing.watch, timing.collections
    print(f"  the tape's own watch: worst {watch.max_ms:.1f} ms, {watch.over_50_ms} over 50 ms")
    print(
        f"  garbage collections: {collections.count}, together {collections.total_ms:.0f} ms, "
        f"longest {collections.max_ms:.1f} ms"
    )
    for stall in timing.worst:
        waited = "" if stall.waited_ms is None else f", waited for one {stall.waited_ms:.1f} ms"
        print(
            f"  late by {stall.late_ms:.1f} ms at {stall.at_s:.2f} s: on a processor for "
            f"{stall.cpu_ms:.1f} ms{waited}"
        )


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--virtual-s", type=float, default=20.0)
    parser.add_argument("--real-s", type=float, default=10.0)
    parser.add_argument("--real-ticks-per-s", type=float, default=0.0, help="0: by a probe")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs: list[Callable[[], Figures]] = []
    if options.virtual_s > 0:
        runs.append(partial(virtual, options.virtual_s))
    if options.real_s > 0:
        rate = options.real_ticks_per_s or deliverable_per_s()
        runs.append(partial(real, options.real_s, rate))
    done = []
    for one in runs:
        done.append(one())
        if not options.json:
            show(done[-1])
    bad = any(one.problems for one in done)
    if options.json:
        rows = [msgspec.to_builtins(one) | {"problems": one.problems} for one in done]
        print(json.dumps(rows))
    elif options.virtual_s < ISSUE_S:
        print(f"ran {options.virtual_s:g} virtual seconds; five minutes: --virtual-s {ISSUE_S:g}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
