"""Days of reconnects in minutes: whether a tape that runs for long holds on to more and more.

The tape is the real composition with its journal on a real disk, and the gateway the simulated
one, in virtual time over the network in memory. A thin market flows, and every connection of both
hubs is cut again and again. Once in so many hours of virtual time, when everything is connected,
what is held is counted: sockets, WebSockets and what waits by the tape's own census, tasks,
futures and objects that the garbage collector knows, and the open files and the memory of the
process, gateway included.

History that is kept has a limit (bars, uncovered intervals, what the arbiter remembers), and
grows until it is there. So the first part of a run is shown and not judged. Of the rest the slope
is taken that half of all pairs of samples exceed (Theil and Sen), which a few odd samples cannot
bend, and held against what the figure may grow by in that time.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.errors import DeadlineError, UsageError
from tapekeeper.runtime.line_values import LineState
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.fault_menu import Drop
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.verify.leaks import held

PRODUCTS = ("MES", "MNQ")
HOUR_S = 3_600.0
MEGABYTE = 1_000_000

JUDGED_FROM = 0.4
"""Share of a run before what is judged: the limits of kept history are reached in it."""

CALM_WITHIN_S = 300.0
"""All lines are live again within so long after a cut; a sample waits for it."""

SAMPLES_MIN = 5
"""Fewer judged samples show no slope."""

SITES = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        hours: virtual time.
        cut_every_s: how often every connection is cut, virtual seconds.
        sample_every_s: how often what is held is counted, virtual seconds.
        seed: of market and network.
        trades_per_s: mean rate of each contract.
        keep: closed bars that are kept, per timeframe, quotes, per contract, and gaps.
        trace: whether allocations are traced; takes three times as long.
    """

    hours: float = 48.0
    cut_every_s: float = 60.0
    sample_every_s: float = HOUR_S
    seed: int = 1
    trades_per_s: float = 0.05
    keep: int = 200
    trace: bool = False

    def __post_init__(self) -> None:
        """Refuse what would show nothing.

        Raises:
            UsageError: the run is too short for a slope, or a number is out of range.
        """
        if not 5 <= self.cut_every_s <= HOUR_S:  # noqa: PLR2004 - the sentence says it
            raise UsageError("connections are cut every 5 to 3600 s")
        judged = self.hours * HOUR_S / self.sample_every_s * (1 - JUDGED_FROM)
        if not (judged >= SAMPLES_MIN and self.hours <= 10_000):  # noqa: PLR2004 - over a year
            raise UsageError(
                f"{self.hours:g} hours with a sample every {self.sample_every_s:g} s show no "
                f"slope: at least {SAMPLES_MIN / (1 - JUDGED_FROM):.0f} samples are needed"
            )


class Sample(msgspec.Struct, frozen=True):
    """What was held at one moment.

    Attributes:
        hour: virtual time since the start.
        connections: hub connections made so far.
        tasks, sockets, websockets, waiting: of the census.
        queue_bytes: of the census, in memory and on the disk.
        futures: futures that somebody holds, tasks included.
        handles: files and sockets that the process has open; those in memory are none.
        objects: containers that the garbage collector knows, after it has run.
        resident_mb: memory of the process.
        traced_mb: allocated by Python; None unless it is traced.
        accepted: trades in bars so far.
        holds: whether both identities hold.
        full: whether every hub keeps as many uncovered intervals as it ever will.
        os_sockets: network sockets among the handles; connections in memory are none.
    """

    hour: float
    connections: int
    tasks: int
    sockets: int
    websockets: int
    waiting: int
    queue_bytes: int
    futures: int
    handles: int
    objects: int
    resident_mb: float
    traced_mb: float | None
    accepted: int
    holds: bool
    full: bool
    os_sockets: int = 0


class Limit(msgspec.Struct, frozen=True):
    """By how much a figure may grow in the judged time: the larger of the two."""

    absolute: float
    share: float = 0.0


Limits: TypeAlias = Mapping[str, Limit]

LIMITS: Limits = {
    "tasks": Limit(0.5),
    "sockets": Limit(0.5),
    "websockets": Limit(0.5),
    "waiting": Limit(50.0),
    "queue_bytes": Limit(50_000.0),
    "futures": Limit(0.5),
    "handles": Limit(0.5),
    "os_sockets": Limit(0.5),
    "objects": Limit(300.0, 0.003),
    "resident_mb": Limit(1.0, 0.01),
    "traced_mb": Limit(0.1, 0.003),
}
"""What is held in whole may not grow by one. The others breathe: an idle connection more, a
dictionary that doubles its table, an arena that the allocator has opened. The market of a run is
thin, so its window of prints moves objects by some hundreds."""


class Trend(msgspec.Struct, frozen=True):
    """How one figure went over the judged samples.

    Attributes:
        figure: its name in `Sample`.
        median: of the judged samples.
        per_hour: its slope.
        growth: the slope over the judged time.
        limit: what that may be.
    """

    figure: str
    median: float
    per_hour: float
    growth: float
    limit: float

    @property
    def flat(self) -> bool:
        """Whether it did not grow."""
        return self.growth <= self.limit


class Endured(msgspec.Struct, frozen=True):
    """A whole run.

    Attributes:
        samples: all of them.
        trends: of every figure that was judged.
        sites: where most of what grew was allocated; empty unless it was traced.
        problems: what must not be, in words.
    """

    samples: tuple[Sample, ...]
    trends: tuple[Trend, ...]
    sites: tuple[str, ...]
    problems: tuple[str, ...]


def endure(plan: Plan, on_sample: Callable[[Sample], None]) -> Endured:
    """Run `plan`; `on_sample` is told of each sample as it is taken.

    Raises:
        DeadlineError: connections did not come back.
    """
    samples: list[Sample] = []

    def take(sample: Sample) -> None:
        samples.append(sample)
        on_sample(sample)

    shots: list[tracemalloc.Snapshot] = []
    if plan.trace:
        tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory(prefix="tapekeeper-endurance-") as folder:
            run_virtual(lambda clock: _run(plan, clock, Path(folder), take, shots))
    finally:
        if plan.trace:
            tracemalloc.stop()
    trends = judge(samples)
    return Endured(tuple(samples), trends, _grown(shots), tuple(problems(samples, trends)))


def judge(
    samples: Sequence[Sample], judged_from: float = JUDGED_FROM, limits: Limits = LIMITS
) -> tuple[Trend, ...]:
    """The trends of what is judged of a run.

    Args:
        samples: all of them.
        judged_from: share of them before what is judged.
        limits: what each figure may grow by.
    """
    judged = samples[int(len(samples) * judged_from) :]
    hours = judged[-1].hour - judged[0].hour
    trends = []
    for figure, limit in limits.items():
        values = [getattr(sample, figure) for sample in judged]
        if None in values:
            continue
        median = statistics.median(values)
        per_hour = statistics.median(
            (b - a) / (later.hour - sooner.hour)
            for (sooner, a), (later, b) in itertools.combinations(
                zip(judged, values, strict=True), 2
            )
        )
        allowed = max(limit.absolute, limit.share * median)
        trends.append(Trend(figure, median, per_hour, per_hour * hours, allowed))
    return tuple(trends)


def problems(samples: Sequence[Sample], trends: Sequence[Trend]) -> list[str]:
    """What must not be, in words."""
    found = [
        f"{one.figure} grew by {one.growth:,.2f} where {one.limit:,.2f} is breathing: "
        f"{one.per_hour:,.3f} an hour"
        for one in trends
        if not one.flat
    ]
    if not samples[int(len(samples) * JUDGED_FROM)].full:
        found.append("kept history was still filling up: run for longer, or cut more often")
    if not all(sample.holds for sample in samples):
        found.append("an identity is broken")
    if samples[-1].accepted <= samples[0].accepted:
        found.append("nothing flowed, so nothing was shown")
    return found


async def _run(
    plan: Plan,
    clock: VirtualClock,
    folder: Path,
    take: Callable[[Sample], None],
    shots: list[tracemalloc.Snapshot],
) -> None:
    network = MemoryNetwork(Seeded(plan.seed, "network"))
    gateway = SimGateway(
        SimConfig(
            seed=plan.seed,
            products=PRODUCTS,
            trades_per_s=plan.trades_per_s,
            history_seconds_max=plan.keep,
        ),
        clock,
        Seeded(plan.seed, "gateway"),
        schedule=(Drop(every_s=plan.cut_every_s),),
        network=network,
    )
    outside = Outside(
        clock=clock,
        random=Seeded(plan.seed, "jitter"),
        session=lambda: open_session(connector=MemoryConnector(network)),
        log=lambda _: lambda *_, **__: None,
    )
    async with gateway, Tape(_config(plan, gateway.urls, folder), outside=outside) as tape:
        for product in PRODUCTS:
            await tape.subscribe(product)
        count = round(plan.hours * HOUR_S / plan.sample_every_s)
        for number in range(1, count + 1):
            # Half-way between two cuts, so that a sample is of a tape at rest.
            due_ns = round((number * plan.sample_every_s + plan.cut_every_s / 2) * 1e9)
            await clock.sleep_s((due_ns - clock.monotonic_ns()) / 1e9)
            status = await _at_rest(clock, tape)
            gateway.runner.happened.clear()  # the gateway's own history of its faults
            take(sample_of(clock.monotonic_ns(), status))
            if plan.trace and number in {int(count * JUDGED_FROM) + 1, count}:
                shots.append(tracemalloc.take_snapshot())


async def _at_rest(clock: VirtualClock, tape: Tape) -> TapeStatus:
    """The status once every line is live and nothing is under way besides.

    Raises:
        DeadlineError: that did not come about.
    """
    until_ns = clock.monotonic_ns() + round(CALM_WITHIN_S * 1e9)
    while clock.monotonic_ns() < until_ns:
        status = tape.status()
        if all(
            line.state is LineState.LIVE and not line.unconfirmed for line in status.lines
        ) and status.census.websockets == len(status.lines):
            return status
        await asyncio.sleep(1.0)
    raise DeadlineError(f"a line was not live again within {CALM_WITHIN_S:g} s of virtual time")


def sample_of(now_ns: int, status: TapeStatus) -> Sample:
    """What is held now, besides what the status of a tape says.

    Args:
        now_ns: since the start.
        status: of now.
    """
    now = held()
    traced = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else None
    return Sample(
        hour=now_ns / 1e9 / HOUR_S,
        connections=sum(pool.connections for pool in status.pools),
        tasks=now.tasks,
        sockets=status.census.sockets,
        websockets=status.census.websockets,
        waiting=status.census.waiting,
        queue_bytes=status.census.queue_bytes + status.census.spilled_bytes,
        futures=now.futures,
        handles=now.handles,
        os_sockets=now.os_sockets,
        objects=now.objects,
        resident_mb=now.resident_mb,
        traced_mb=None if traced is None else traced / MEGABYTE,
        accepted=status.trades.accepted,
        holds=status.holds,
        full=all(pool.uncovered_count > len(pool.uncovered) for pool in status.pools),
    )


def _grown(shots: Sequence[tracemalloc.Snapshot]) -> tuple[str, ...]:
    if len(shots) < 2:  # noqa: PLR2004 - one before and one after
        return ()
    grown = shots[-1].compare_to(shots[0], "lineno")
    return tuple(str(one) for one in grown[:SITES] if one.size_diff > 0)


def _config(plan: Plan, urls: SimUrls, folder: Path) -> Config:
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "24x7"},
            "journal": {"dir": str(folder), "segment_mb": 8},
            "bars": {"timeframes": ["1s", "1m"], "keep": plan.keep},
            "quotes": {"keep": plan.keep},
            "gaps": {"keep": plan.keep},
        }
    )
