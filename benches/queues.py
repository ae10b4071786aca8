"""A pipeline that stands still, and then a reader that does: what that costs, and what is lost.

    python benches/queues.py [--stall-s 600] [--ticks-per-s 10000] [--json]

The tape is the real composition and the gateway the simulated one, in virtual time over the network
in memory; the journal and what is spilled are files of a temporary folder. Ticks are prints and
quotes. In turn:

- `stalled`: nothing is processed for `--stall-s` seconds of exchange time (`feed.on_full =
  "spill"`), and the lines go on;
- `caught up`: all of it is processed, while a reader of every quote (`on_full="spill"`) does not
  read;
- `read`: the reader reads everything.

Memory is the resident memory of the whole process, gateway and market included, at its most in
each phase. It exits with 1 if a tick was lost, a connection ended or a queue does not add up.
Figures of memory and time decide nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from tapekeeper import Tape
from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.runtime.feed import Feed
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

PRODUCTS = ("MES", "MNQ", "MGC", "MCL")
START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
TICKS_OF_PRINT = 1.15
"""Prints and quotes that the market makes for each print, about."""
WARM_S = 10
MEGABYTE = 1_000_000


class Phase(msgspec.Struct):
    """What one phase took."""

    name: str
    rss_mb: float  # at its most
    wall_s: float
    waiting_mb: float = 0.0  # of memory, at its most, as the tape estimates it
    disk_mb: float = 0.0  # at its most


class Report(msgspec.Struct):
    """What came of it."""

    stall_s: float
    ticks: int
    ticks_per_s: float
    rss_before_mb: float
    phases: list[Phase]
    connections: list[int]
    lost: int  # ticks that were sent, and not received
    unread: int  # quotes that the reader was not given
    holds: bool


class Watcher:
    """Looks at memory and queues."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._process = psutil.Process()
        self._phase: Phase | None = None
        self.phases: list[Phase] = []

    def look(self) -> None:
        """Take the present figures into the present phase."""
        census, phase = self._tape.status().census, self._phase
        if phase is not None:
            phase.rss_mb = max(phase.rss_mb, self.rss_mb())
            phase.waiting_mb = max(phase.waiting_mb, census.queue_bytes / MEGABYTE)
            phase.disk_mb = max(phase.disk_mb, census.spilled_bytes / MEGABYTE)

    def rss_mb(self) -> float:
        """Resident memory now."""
        return float(self._process.memory_info().rss) / MEGABYTE

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """All looks inside are of this phase."""
        self._phase = Phase(name, self.rss_mb(), time.perf_counter())
        self.phases.append(self._phase)
        try:
            yield
        finally:
            self.look()
            self._phase.wall_s = time.perf_counter() - self._phase.wall_s


class Gate:
    """Lets the pipeline process what waits, or not."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        catch_up, gate = Feed.catch_up, self.open

        async def run(feed: Feed) -> None:
            while True:
                await gate.wait()
                await catch_up(feed)
                await asyncio.sleep(0.01)

        async def wait_and_catch_up(feed: Feed) -> None:
            await gate.wait()
            await catch_up(feed)

        # Everybody who processes what waits without being asked by a program.
        setattr(Feed, "run", run)  # noqa: B010 - mypy would refuse the assignment
        setattr(Feed, "catch_up", wait_and_catch_up)  # noqa: B010 - the same


def config_for(gateway: SimGateway, folder: Path) -> Config:
    """Defaults, but for what the run needs."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": gateway.urls.rest,
                "market_hub_url": gateway.urls.market_hub,
                "user_hub_url": gateway.urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "cme"},
            "journal": {"dir": str(folder)},
            "feed": {"on_full": "spill"},
            "history": {"enabled": False},
            "audit": {"compare": False},
        }
    )


async def measure(clock: VirtualClock, stall_s: int, prints_per_s: float, folder: Path) -> Report:
    """Stand still, catch up, read."""
    gate = Gate()
    network = MemoryNetwork(Seeded(1, "network"))
    gateway = SimGateway(
        SimConfig(
            products=PRODUCTS,
            trades_per_s=prints_per_s / len(PRODUCTS),
            trades_max=round((WARM_S + stall_s) * prints_per_s / len(PRODUCTS)),
        ),
        clock,
        Seeded(1, "gateway"),
        sessions=calendar_by_name("cme"),
        network=network,
    )
    outside = Outside(
        clock=clock,
        random=Seeded(1, "jitter"),
        session=lambda: open_session(connector=MemoryConnector(network)),
        log=lambda _: lambda *_args, **_fields: None,
    )
    async with gateway:
        tape = Tape(config_for(gateway, folder), outside=outside)
        watcher = Watcher(tape)
        async with tape:
            for product in PRODUCTS:
                await tape.subscribe(product, ["1s", "1m"])
            await clock.sleep_s(WARM_S)
            gc.collect()
            before, rss_before_mb = tape.status(), watcher.rss_mb()
            readers = [tape.quotes(product, on_full="spill") for product in PRODUCTS]
            gate.open.clear()
            with watcher.phase("stalled"):
                for _ in range(stall_s):
                    await clock.sleep_s(1)
                    watcher.look()
                await gateway.finished.wait()
                await clock.sleep_s(1)
                watcher.look()
            with watcher.phase("caught up"):
                gate.open.set()
                while tape.status().feed.waiting_frames:
                    await clock.sleep_s(0.01)
                    watcher.look()
        with watcher.phase("read"):
            quotes = 0
            for reader in readers:
                async for _ in reader:
                    quotes += 1
                    if not quotes % 10_000:
                        watcher.look()
        sent = gateway.statistics()
    status = tape.status()
    received = status.trades.received + status.quotes.received
    made = sum(sent.trades_sent.values()) + sum(sent.quotes_sent.values())
    ticks = received - before.trades.received - before.quotes.received
    return Report(
        stall_s=stall_s,
        ticks=ticks,
        ticks_per_s=ticks / stall_s,
        rss_before_mb=rss_before_mb,
        phases=watcher.phases,
        connections=[line.connections for line in status.lines],
        lost=made - received,
        unread=status.quotes.accepted - before.quotes.accepted - quotes,
        holds=status.holds,
    )


def parse() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stall-s", type=int, default=600)
    parser.add_argument("--ticks-per-s", type=float, default=10_000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Measure, print, judge."""
    asked = parse()
    with tempfile.TemporaryDirectory() as folder:
        report = run_virtual(
            lambda clock: measure(
                clock, asked.stall_s, asked.ticks_per_s / TICKS_OF_PRINT, Path(folder)
            ),
            start_ns=START_NS,
        )
    if asked.json:
        print(msgspec.json.encode(report).decode())
    else:
        print(f"{report.ticks:,} ticks, {report.ticks_per_s:,.0f} a second of exchange time")
        print(f"resident before: {report.rss_before_mb:,.0f} MB")
        for phase in report.phases:
            print(
                f"{phase.name:<10} resident {phase.rss_mb:8,.0f} MB, "
                f"queues {phase.waiting_mb:6,.1f} MB of memory and "
                f"{phase.disk_mb:8,.1f} MB of disk at most, {phase.wall_s:,.1f} s"
            )
        print(f"lost {report.lost:,}, unread {report.unread:,}, connections {report.connections}")
    is_good = report.holds and not report.lost and not report.unread
    return 0 if is_good and set(report.connections) == {1} else 1


if __name__ == "__main__":
    sys.exit(main())
