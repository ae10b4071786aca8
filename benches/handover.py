"""A refresh of the token every two seconds under load: what is lost, and what it costs.

    python benches/handover.py [--virtual-s 20] [--real-s 10] [--json]

The tape is the real composition, and the gateway the simulated one. Each renewal refuses the
token before it and replaces the connections of both hubs. It runs twice:

- `virtual`: 10,000 prints a second over four contracts, in virtual time over the network in
  memory, for `--virtual-s` seconds of exchange time. As nothing waits there, the load is exact,
  and no lag can be seen.
- `real`: over loopback sockets in real time for `--real-s` seconds, at the highest rate that this
  machine delivers, 10,000 at most: short runs find it, or `--real-ticks-per-s` says it. Lag is of
  the one event loop that gateway and tape share, and so an upper bound for the tape; the watch of
  the tape looks every 10 ms, a timer of this program every 5 ms.

What the market made is held against the bars of one second: for every contract and second between
the first confirmed subscription and the end, number of prints and volume. CPU seconds are those
of gateway, network and tape together. It exits with 1 if a print was lost or is in the bars twice,
or if a hub had more than two lines; times decide nothing. 0 seconds leave a part out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import msgspec

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape, TapeStatus
from tapekeeper.cli.heap import settled_heap
from tapekeeper.ports import Clock, Random
from tapekeeper.runtime.loop_lag import LOOK_S, LoopLag, LoopWatch
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

STALL_LOOK_S = 0.005

PROBE_S = 3.0
LEAST_PER_S = 1_000.0
LATE_MS = 250.0

ARRIVES_WITHIN_S = 30
NS_PER_S = 1_000_000_000

Sums = tuple[int, int]
"""Number of prints, and their volume."""


@dataclass
class Made:
    """What the market made, by contract and second of exchange time."""

    sums: dict[tuple[str, int], Sums] = field(default_factory=lambda: defaultdict(lambda: (0, 0)))
    newest_ns: int = 0
    prints: int = 0

    def take(self, event: MarketEvent) -> None:
        """Count the prints of an event."""
        if isinstance(event, Trades):
            key = event.contract_id, event.ts_ns // WIRE_NS * WIRE_NS // NS_PER_S
            count, volume = self.sums[key]
            size = sum(one.size for one in event.prints)
            self.sums[key] = count + len(event.prints), volume + size
            self.newest_ns = max(self.newest_ns, event.ts_ns)
            self.prints += len(event.prints)


@dataclass
class Figures:
    """One run. Prints are those of the whole seconds that were compared, unless said otherwise."""

    run: str
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
    cpu_s_per_million: float
    cpu_share: float | None  # of one processor; None where time is virtual
    market_late_ms: float  # how far the market was behind its own time in the end
    lag: LoopLag | None  # as the tape's watch sees it; None where time is virtual
    stalls: LoopLag | None  # as a timer of 5 ms sees it
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
    """What one run is made of."""

    run: str
    seconds: float
    ticks_per_s: float
    clock: Clock
    random: Random
    network: MemoryNetwork | None = None
    made: Made = field(default_factory=Made)
    loud: Counter[str] = field(default_factory=Counter)
    compared: tuple[int, int] = (0, 0)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    loaded: int = 0
    market_late_ms: float = 0.0
    stalls: LoopLag | None = None

    def log(self, event: str, /, *, level: str = "info", **_: object) -> None:
        """Count what is above info."""
        if level not in {"debug", "info"}:
            self.loud[event] += 1

    def session(self) -> aiohttp.ClientSession:
        """What connections are made with."""
        if self.network is None:
            return open_session()
        return open_session(connector=MemoryConnector(self.network))


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
    gateway = SimGateway(
        SimConfig(
            seed=SEED,
            products=PRODUCTS,
            trades_per_s=world.ticks_per_s / len(PRODUCTS),
            token_life_s=TOKEN_LIFE_S,
            single_token=True,
        ),
        world.clock,
        Seeded(SEED, "gateway"),
        network=world.network,
    )
    gateway.feed.made_taps.append(world.made.take)
    outside = Outside(
        world.clock,
        world.random,
        session=world.session,
        log=lambda _: world.log,
        loop_look_s=LOOK_S if world.network is None else None,
    )
    with tempfile.TemporaryDirectory() as folder:
        async with gateway:
            tape = Tape(tape_config(gateway.urls, folder), outside=outside)
            async with tape:
                await load(world, gateway, tape)
                status = tape.status()
            return compare(world, tape, status)


async def load(world: World, gateway: SimGateway, tape: Tape) -> None:
    """Subscribe everything, let the seconds pass, and wait for what is on its way."""
    for product in PRODUCTS:
        await tape.subscribe(product)
    first = world.made.newest_ns // NS_PER_S + 2
    cpu_s, wall_s, prints = time.process_time(), time.perf_counter(), world.made.prints
    # The second that is not whole is left out at either end.
    if world.network is None:
        world.stalls = await stalls(world.clock, world.seconds + 2)
    else:
        await world.clock.sleep_s(world.seconds + 2)
    last = world.made.newest_ns // NS_PER_S
    world.cpu_s = time.process_time() - cpu_s
    world.wall_s = time.perf_counter() - wall_s
    world.loaded = world.made.prints - prints
    now_ns = gateway.feed.now_ns(gateway.contracts[0])
    world.market_late_ms = max(0.0, (now_ns - world.made.newest_ns) / 1e6)
    world.compared = first, last
    for _ in range(ARRIVES_WITHIN_S):
        await world.clock.sleep_s(1.0)
        newest = [tape.last_trade(product) for product in PRODUCTS]
        if any(one and one.ts_event >= (last + 2) * NS_PER_S for one in newest):
            return


async def stalls(clock: Clock, seconds: float) -> LoopLag:
    """How late a short timer fires while the seconds pass."""
    watch = LoopWatch(clock, lambda *_, **__: None, STALL_LOOK_S)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watch.run()
    return watch.lag()


def compare(world: World, tape: Tape, status: TapeStatus) -> Figures:
    """Hold the bars against what was made."""
    first, last = world.compared
    made = {key: sums for key, sums in world.made.sums.items() if first <= key[1] < last}
    bars: dict[tuple[str, int], Sums] = defaultdict(lambda: (0, 0))
    for bar in tape.result().bars["1s"]:
        key = bar.contract_id, bar.ts_open // NS_PER_S
        if first <= key[1] < last:
            # Two bars of one interval would be prints twice, too.
            bars[key] = bars[key][0] + bar.n, bars[key][1] + bar.volume
    keys = made.keys() | bars.keys()
    more = [made.get(key, (0, 0))[0] - bars[key][0] for key in keys]
    lag = None if world.network is not None else status.loop
    return Figures(
        run=world.run,
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
        cpu_s_per_million=world.cpu_s / max(1, world.loaded) * 1e6,
        cpu_share=None if world.network is not None else world.cpu_s / world.wall_s,
        market_late_ms=world.market_late_ms,
        lag=lag,
        stalls=world.stalls,
        holds=status.holds,
        loud=dict(world.loud),
    )


def virtual(seconds: float) -> Figures:
    """The full load in virtual time."""

    async def main(clock: VirtualClock) -> Figures:
        network = MemoryNetwork(Seeded(SEED, "network"))
        jitter = Seeded(SEED, "jitter")
        return await run(World("virtual", seconds, TICKS_PER_S, clock, jitter, network))

    return run_virtual(main)


def real(seconds: float, ticks_per_s: float, name: str = "real") -> Figures:
    """Over sockets, in real time, with the garbage collector set up as `tapekeeper run` does."""
    with settled_heap():
        return asyncio.run(run(World(name, seconds, ticks_per_s, SystemClock(), SystemRandom())))


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
        f"made {rate:,.0f}/s"
    )
    print(f"  made {one.made:,}  in bars {one.in_bars:,}  lost {one.lost:,}  twice {one.doubled:,}")
    print(
        f"  whole run: received {one.received:,}  accepted {one.accepted:,}  "
        f"duplicate {one.duplicate:,}  quarantined {one.quarantined:,}"
    )
    per_hub = ", ".join(f"{name} {count}" for name, count in one.handovers.items())
    print(
        f"  token renewals {one.renewals}, hand-overs {per_hub}, failed {one.handovers_failed}, "
        f"most lines of a hub {one.lines_most}, uncovered intervals {one.uncovered}"
    )
    share = "" if one.cpu_share is None else f" ({one.cpu_share:.0%} of one processor)"
    print(f"  {one.cpu_s_per_million:.1f} CPU s per million prints{share}")
    for name, lag in (("watch", one.lag), ("timer of 5 ms", one.stalls)):
        if lag is not None:
            print(
                f"  event loop by {name}: worst lag {lag.max_ms:.1f} ms of {lag.measured} looks, "
                f"{lag.over_50_ms} of 50 ms"
            )
    if one.lag is not None:
        print(f"  market late by {one.market_late_ms:.0f} ms at the end")
    for event, count in one.loud.items():
        print(f"  logged above info: {event} x {count}")
    for problem in one.problems:
        print(f"  WRONG: {problem}")


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
