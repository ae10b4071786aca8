"""Two days in one sitting: a thousand ticks a second, and memory that stays where it was.

The tape is the real composition with its journal on a real disk, and the gateway the simulated
one. Its market is prepared (`tapekeeper.sim.prepared`), so that most of the time is the tape's own.
Every tick takes the whole way: records of the hub in frames, the line, the journal, the arbiter,
validation, bars, and subscribers that read them. Connections are handed over every few hours and
whenever the token is renewed, while the market goes on.

Time is virtual, over the network in memory; or real, over sockets of this machine, and then 48
hours take 48 hours. Nothing else is different. The journal is kept bounded by `journal.retain_gb`,
which removes what an archive confirms; the run confirms in an archive's place what is sealed.

What is held is counted every ten minutes. Judged is what comes after the first hour: the slope of
each figure, and the resident memory by what it was at the end of that hour.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.process import processor_s
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside, real_outside
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.journal.retention import CONFIRMATIONS
from tapekeeper.errors import DeadlineError, UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.ports import Clock
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.contracts import PRODUCTS
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.prepared import STEP_NS, STEPS_PER_S, PreparedMarket, Rates
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.sim.virtual_time import run_virtual
from tapekeeper.verify.endurance import LIMITS, Limit, Limits, Sample, Trend, judge, sample_of

ROOTS = ("MES", "MNQ")
TIMEFRAMES = ("1s", "5s", "1m", "5m", "1h")
READ_TIMEFRAME = "1m"
"""Whose bars a subscriber reads and sums up."""

BURST_EVERY_S = 100
"""A burst of one second comes so often."""

KEEP = 50
"""Closed bars per timeframe, and so on: full within the hour that is not judged."""

SAMPLES_MIN = 30
SAMPLE_EVERY_S = 600.0
"""More often in a run that would have fewer samples than these."""

SHOWN_H, SHOWN_SHARE = 1.0, 0.4
"""What is shown and not judged: the first hour, or so much of a shorter run."""

HANDOVER_EVERY_S = 600.0
"""Often, so that what a hand-over leaves for good shows, and what it takes for a moment has been
taken before anything is judged."""

REVISE_FOR_S = 600.0
"""Closed bars that a late print would still revise are kept, up to twice as long as this; at the
hour of the default the first two hours fill up."""

RESIDENT_SHARE = 0.01
"""By which resident memory may grow after the first hour."""

RETAIN_GB = 0.1
SEGMENT_MB = 4
DRAIN_S = 60.0
"""How long what was sent may take to be in bars."""

_NS = 1_000_000_000
_HOUR_S = 3_600.0

LIMITS_HERE: Limits = {
    **{name: limit for name, limit in LIMITS.items() if name != "traced_mb"},
    "waiting": Limit(500.0),
    "queue_bytes": Limit(500_000.0),
    "objects": Limit(1_000.0, 0.01),
    "resident_mb": Limit(0.0, RESIDENT_SHARE),
}
"""A sample may be of the midst of a step here; and with a thousand ticks a second what is kept of
the latest seconds breathes by hundreds."""


@dataclass(frozen=True, slots=True)
class SittingPlan:
    """One run.

    Attributes:
        hours: of market time.
        ticks_per_s: trades and quotes of all contracts together, on average.
        burst_per_s: the same within a burst.
        real: whether time and sockets are the real ones.
        seed: of the market and the network.
        minutes_max: of real time; a run that has not come to its end by then ends where it is.
    """

    hours: float = 48.0
    ticks_per_s: int = 1_000
    burst_per_s: int = 20_000
    real: bool = False
    seed: int = 1
    minutes_max: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would show nothing.

        Raises:
            UsageError: too short for a slope, or a rate is out of range.
        """
        if not 0.1 <= self.hours <= 1_000:  # noqa: PLR2004 - the sentence says it
            raise UsageError(f"{self.hours:g} hours are not between 0.1 and 1000")
        if not 50 <= self.ticks_per_s <= 20_000:  # noqa: PLR2004 - the same
            raise UsageError(f"{self.ticks_per_s} ticks a second are not between 50 and 20000")
        if not self.ticks_per_s <= self.burst_per_s < self.ticks_per_s * BURST_EVERY_S / 2:
            raise UsageError(
                f"a burst of {self.burst_per_s} a second every {BURST_EVERY_S} s does not go with "
                f"{self.ticks_per_s} on average"
            )

    @property
    def sample_steps(self) -> int:
        """Steps of the market from one sample to the next."""
        every_s = min(SAMPLE_EVERY_S, self.hours * _HOUR_S / SAMPLES_MIN)
        return round(every_s * STEPS_PER_S)

    @property
    def shown_h(self) -> float:
        """How much of it is shown and not judged, hours."""
        return min(SHOWN_H, self.hours * SHOWN_SHARE)

    @property
    def rates(self) -> Rates:
        """Of each contract; a quote goes with every step, and is a tick as well."""
        calm = (self.ticks_per_s * BURST_EVERY_S - self.burst_per_s) / (BURST_EVERY_S - 1)
        steps = STEPS_PER_S * len(ROOTS)
        return Rates(
            max(1, round(calm / steps) - 1),
            max(1, round(self.burst_per_s / steps) - 1),
            BURST_EVERY_S,
        )


class Sat(msgspec.Struct, frozen=True):
    """What a run came to.

    Attributes:
        hours: of market time, as far as it came.
        real: whether time was real.
        made, received, accepted: prints: of the market; that lines brought, those that two lines
            brought counted twice; that are in bars.
        quotes: accepted.
        ticks_per_s: prints and quotes made, per second of market time.
        peak_per_s: within a burst.
        bursts: steps of the feed.
        read_bars, read_volume: of a subscriber to the bars of a minute.
        read_quotes: of subscribers to quotes.
        handovers: hub connections replaced by the next.
        journal_bytes: written.
        removed_bytes: of these removed, once confirmed.
        cpu_s, wall_s: what it took, gateway included.
        resident_mb: at the end of the first hour, the most after it, and at the end.
        samples: all of them.
        trends: of what came after the first hour.
        problems: what must not be, in words.
    """

    hours: float
    real: bool
    made: int
    received: int
    accepted: int
    quotes: int
    ticks_per_s: float
    peak_per_s: int
    bursts: int
    read_bars: int
    read_volume: int
    read_quotes: int
    handovers: int
    journal_bytes: int
    removed_bytes: int
    cpu_s: float
    wall_s: float
    resident_mb: tuple[float, float, float]
    samples: tuple[Sample, ...]
    trends: tuple[Trend, ...]
    problems: tuple[str, ...]


@dataclass(slots=True)
class _Readers:
    """What subscribers were given."""

    bars: int = 0
    volume: int = 0
    quotes: int = 0

    async def read_bars(self, stream: AsyncIterator[Bar]) -> None:
        async for bar in stream:
            self.bars += 1
            self.volume += bar.volume

    async def read_quotes(self, stream: AsyncIterator[object]) -> None:
        async for _ in stream:
            self.quotes += 1


@dataclass(slots=True)
class _Run:
    plan: SittingPlan
    clock: Clock
    folder: Path
    on_sample: Callable[[Sample], None]
    ends_ns: float
    steps: int = 0
    samples: list[Sample] = field(default_factory=list)
    markets: dict[str, PreparedMarket] = field(default_factory=dict)
    readers: _Readers = field(default_factory=_Readers)


def sit(plan: SittingPlan, on_sample: Callable[[Sample], None]) -> Sat:
    """Run `plan`; `on_sample` is told of each sample as it is taken.

    Raises:
        DeadlineError: what was sent did not come.
    """
    watch, cpu_s = SystemClock(), processor_s()
    began_ns = watch.monotonic_ns()
    with tempfile.TemporaryDirectory(prefix="tapekeeper-sitting-") as folder:

        async def run(clock: Clock) -> tuple[_Run, TapeStatus]:
            one = _Run(plan, clock, Path(folder), on_sample, _ends_ns(plan, began_ns))
            return one, await _run(one)

        one, status = asyncio.run(run(SystemClock())) if plan.real else run_virtual(run)
    wall_s = (watch.monotonic_ns() - began_ns) / _NS
    return _told(one, status, processor_s() - cpu_s, wall_s)


def _ends_ns(plan: SittingPlan, began_ns: int) -> float:
    return math.inf if plan.minutes_max is None else began_ns + plan.minutes_max * 60 * _NS


async def _run(run: _Run) -> TapeStatus:
    async with _joined(run) as (gateway, tape):
        ids = {root: (await tape.subscribe(root)).contract_id for root in ROOTS}
        run.markets = {
            contract_id: PreparedMarket(contract_id, PRODUCTS[root], run.plan.rates, run.plan.seed)
            for root, contract_id in ids.items()
        }
        async with asyncio.TaskGroup() as tasks:
            readers = run.readers
            reading = [
                tasks.create_task(readers.read_bars(tape.bars(root, READ_TIMEFRAME)))
                for root in ROOTS
            ]
            reading += [tasks.create_task(readers.read_quotes(tape.quotes(r))) for r in ROOTS]
            await _market(run, gateway, tape)
            await _drain(run, tape)
            status = tape.status()
            for task in reading:
                task.cancel()
        return status


@asynccontextmanager
async def _joined(run: _Run) -> AsyncIterator[tuple[SimGateway, Tape]]:
    plan = run.plan
    network = None if plan.real else MemoryNetwork(Seeded(plan.seed, "network"))
    config = SimConfig(seed=plan.seed, products=ROOTS, trades_max=0)
    gateway = SimGateway(config, run.clock, Seeded(plan.seed, "gateway"), network=network)
    outside = real_outside()
    if network is not None:
        memory = network
        outside = Outside(
            clock=run.clock,
            random=Seeded(plan.seed, "jitter"),
            session=lambda: open_session(connector=MemoryConnector(memory)),
            log=lambda _: lambda *_, **__: None,
        )
    async with gateway, Tape(_config(gateway.urls, run.folder), outside=outside) as tape:
        yield gateway, tape


async def _market(run: _Run, gateway: SimGateway, tape: Tape) -> None:
    """Send step after step, each when it is over."""
    clock = run.clock
    origin_ns = clock.now_ns() - clock.monotonic_ns()
    first_ns = -(-clock.now_ns() // _NS) * _NS
    steps = round(run.plan.hours * _HOUR_S * STEPS_PER_S)
    confirmed = 0
    for number in range(steps):
        from_ns = first_ns + number * STEP_NS
        wait_ns = from_ns + STEP_NS - origin_ns - clock.monotonic_ns()
        if wait_ns > 0:
            await clock.sleep_s(wait_ns / 1e9)
        for contract_id, market in run.markets.items():
            *prints, quote = market.step(from_ns)
            for message in prints:
                gateway.feed.push(Stream.TRADES, contract_id, message)
            gateway.feed.push(Stream.QUOTES, contract_id, quote)
        run.steps = number + 1
        if (number + 1) % run.plan.sample_steps == 0:
            # Half a step on, so that what was sent has come.
            await clock.sleep_s(STEP_NS / 2e9)
            status = tape.status()
            confirmed = _confirm(run.folder, status, confirmed)
            sample = sample_of((number + 1) * STEP_NS, status)
            run.samples.append(sample)
            run.on_sample(sample)
            if SystemClock().monotonic_ns() >= run.ends_ns:
                return


def _confirm(folder: Path, status: TapeStatus, before: int) -> int:
    """Say in an archive's place that it has what is sealed; through which segment."""
    through = status.journal.synced.durable.segment
    if through > before:
        # A file that an archive appends to, and whose last line counts.
        with (folder / CONFIRMATIONS).open("ab") as file:
            file.write(b'{"through_segment":%d}\n' % through)
    return through


async def _drain(run: _Run, tape: Tape) -> None:
    """Wait until all that was sent is in bars.

    Raises:
        DeadlineError: it is not.
    """
    made = sum(market.prints for market in run.markets.values())
    for _ in range(round(DRAIN_S)):
        await run.clock.sleep_s(1.0)
        if tape.status().trades.accepted >= made and not tape.status().census.waiting:
            return
    accepted = tape.status().trades.accepted
    raise DeadlineError(f"of {made:,} prints {accepted:,} were in bars {DRAIN_S:g} s later")


def _judged(samples: Sequence[Sample], plan: SittingPlan) -> list[Sample]:
    return [each for each in samples if each.hour >= plan.shown_h]


def grown(samples: Sequence[Sample], plan: SittingPlan) -> list[str]:
    """What grew of that which is judged of a run, in words."""
    judged = _judged(samples, plan)
    found = [
        f"{one.figure} grew by {one.growth:,.2f} where {one.limit:,.2f} is breathing"
        for one in judge(judged, 0.0, LIMITS_HERE)
        if not one.flat
    ]
    first_mb, last_mb = judged[0].resident_mb, judged[-1].resident_mb
    if last_mb > first_mb * (1 + RESIDENT_SHARE):
        found.append(
            f"resident memory went from {first_mb:,.1f} to {last_mb:,.1f} MB, which is "
            f"{last_mb / first_mb - 1:.2%}"
        )
    return found


def _told(run: _Run, status: TapeStatus, cpu_s: float, wall_s: float) -> Sat:
    judged = _judged(run.samples, run.plan)
    memory = [each.resident_mb for each in judged]
    made = sum(market.prints for market in run.markets.values())
    quotes = sum(market.quotes for market in run.markets.values())
    rates, hours = run.plan.rates, run.steps / STEPS_PER_S / _HOUR_S
    return Sat(
        hours=hours,
        real=run.plan.real,
        made=made,
        received=status.trades.received,
        accepted=status.trades.accepted,
        quotes=status.quotes.accepted,
        ticks_per_s=(made + quotes) / (hours * _HOUR_S),
        peak_per_s=(rates.burst_prints + 1) * STEPS_PER_S * len(ROOTS),
        bursts=status.feed.bursts,
        read_bars=run.readers.bars,
        read_volume=run.readers.volume,
        read_quotes=run.readers.quotes,
        handovers=sum(pool.handovers for pool in status.pools),
        journal_bytes=status.journal.bytes,
        removed_bytes=status.care.removed_bytes,
        cpu_s=cpu_s,
        wall_s=wall_s,
        resident_mb=(memory[0], max(memory), memory[-1]),
        samples=tuple(run.samples),
        trends=judge(judged, 0.0, LIMITS_HERE),
        problems=tuple(_problems(run, status)),
    )


def _problems(run: _Run, status: TapeStatus) -> list[str]:
    found = grown(run.samples, run.plan)
    if not (status.holds and all(each.holds for each in run.samples)):
        found.append("an identity is broken")
    found += _unequal(run, status)
    return found


def _unequal(run: _Run, status: TapeStatus) -> list[str]:
    """What the market made and the tape does not have, in words."""
    made = sum(market.prints for market in run.markets.values())
    volume: Mapping[str, int] = {id_: market.volume for id_, market in run.markets.items()}
    pairs = [
        ("prints in bars", status.trades.accepted, made),
        ("quotes", status.quotes.accepted, sum(each.quotes for each in run.markets.values())),
        ("quotes read", run.readers.quotes, status.quotes.accepted),
    ]
    pairs += [
        (f"volume of {check.contract_id} in {check.timeframe}", check.bar_volume, volume[id_])
        for check in status.checks
        if (id_ := check.contract_id) in volume
    ]
    found = [
        f"{name}: {got:,}, made were {wanted:,}" for name, got, wanted in pairs if got != wanted
    ]
    # All but the bar that forms.
    if not run.readers.volume or run.readers.volume > sum(volume.values()):
        found.append(f"the bars that were read have a volume of {run.readers.volume:,}")
    return found


def _config(urls: SimUrls, folder: Path) -> Config:
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
                "stateful_reconnect": False,
            },
            "calendar": {"default": "24x7"},
            "journal": {
                "dir": str(folder),
                "segment_mb": SEGMENT_MB,
                "durability": "process",
                "retain_gb": RETAIN_GB,
            },
            "pool": {"max_session_s": HANDOVER_EVERY_S},
            "bars": {
                "timeframes": list(TIMEFRAMES),
                "keep": KEEP,
                "revise_for_s": REVISE_FOR_S,
            },
            "quotes": {"keep": KEEP},
            "gaps": {"keep": KEEP},
            # The gateway's own bars are of another market than the one that is sent.
            "history": {"enabled": False},
            "audit": {"compare": False},
        }
    )
