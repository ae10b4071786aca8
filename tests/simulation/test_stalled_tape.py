"""A pipeline that stands still for ten minutes while the market goes on, policy by policy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import load_config
from tapekeeper.app.outside import Outside
from tapekeeper.app.replay import ReplayResult, result_of
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import Gap, GapCause, GapState
from tapekeeper.model.queue import QueueChange
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.intake import NAME
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.fault_menu import Fault, Trickle
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.memory_scratch import MemoryScratch
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tapekeeper.sim.wire import WIRE_NS, MarketEvent, Trades

START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
FRAMES_MAX = 200
PRODUCTS = ("MES", "MNQ")
NS_PER_S = 1_000_000_000
EDGE_S = 5
"""Of the beginning and the end, where prints are under way that nobody waits for."""
TRADES_PER_S = 15.0
"""Of each contract, and twice as many quotes."""
TRICKLE = Trickle(at_s=20, for_s=300, bytes=70, pause_ms=8)

Second: TypeAlias = tuple[str, int]
"""A contract, and a second of exchange time."""


class Gate:
    """Lets the pipeline process what waits, or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = asyncio.Event()
        catch_up = Feed.catch_up

        async def run(feed: Feed) -> None:
            while True:
                await self.open.wait()
                await catch_up(feed)
                await asyncio.sleep(0.01)  # virtual time: the loop's clock is ours

        async def wait_and_catch_up(feed: Feed) -> None:
            await self.open.wait()
            await catch_up(feed)

        # Everybody who processes what waits without being asked by a program.
        monkeypatch.setattr(Feed, "run", run)
        monkeypatch.setattr(Feed, "catch_up", wait_and_catch_up)


@dataclass
class Ran:
    """What became of a tape that stood still for a while."""

    stalled: TapeStatus
    status: TapeStatus
    result: ReplayResult
    again: ReplayResult
    gaps: list[Gap]
    made: Counter[Second]
    gateway: SimGateway
    scratch: MemoryScratch
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    crossed: list[QueueChange] = field(default_factory=list)
    in_memory_max: int = 0
    waiting_bytes_max: int = 0
    spilled_bytes_max: int = 0

    def said(self, event: str) -> int:
        """How often the log said so."""
        return sum(name == event for name, _ in self.events)

    def lacking(self) -> Counter[Second]:
        """By contract and second: the prints that are in no bar, but for the first and last."""
        lacking = Counter(self.made)
        for bar in self.bars():
            if bar.timeframe == "1s":
                lacking[bar.contract_id, bar.ts_open // NS_PER_S] -= bar.n
        first, last = min(each for _, each in self.made), max(each for _, each in self.made)
        return Counter(
            {
                key: count
                for key, count in lacking.items()
                if count and first + EDGE_S < key[1] < last - EDGE_S
            }
        )

    def bars(self) -> Iterator[Bar]:
        """All of them."""
        for bars in self.result.bars.values():
            yield from bars

    def caused(self, cause: GapCause) -> list[Gap]:
        """The gaps of a cause."""
        return [gap for gap in self.gaps if gap.cause is cause]


def replayed(files: MemoryFiles) -> ReplayResult:
    """What the journal makes of it."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    recent = RecentBars(1_000_000)
    for entry in JournalReader(files):
        for outputs in rerun.take(entry):
            recent.add(outputs.closed)
    for outputs in (pipeline.step(), pipeline.release()):
        recent.add(outputs.closed)
    return result_of(pipeline, [*recent.all(), *pipeline.forming_all()])


def run(
    monkeypatch: pytest.MonkeyPatch,
    stall_s: float,
    *schedule: Fault,
    on_full: str,
    after_s: float = 60.0,
    trades_per_s: float = TRADES_PER_S,
    frames_max: int = FRAMES_MAX,
) -> Ran:
    """Follow two contracts, stand still for so long, and go on for a while."""

    async def main(clock: VirtualClock) -> Ran:
        gate = Gate(monkeypatch)
        gate.open.set()
        network = MemoryNetwork(Seeded(1, "network"))
        gateway = _gateway(clock, network, schedule, trades_per_s)
        files, scratch = MemoryFiles(MemoryDisk()), MemoryScratch()
        events: list[tuple[str, dict[str, Any]]] = []
        made: Counter[Second] = Counter()

        def count(event: MarketEvent) -> None:
            if isinstance(event, Trades):
                made[event.contract_id, event.ts_ns // WIRE_NS * WIRE_NS // NS_PER_S] += len(
                    event.prints
                )

        def log(event: str, /, **fields: Any) -> None:
            events.append((event, fields))

        outside = Outside(
            clock=clock,
            random=Seeded(1, "jitter"),
            files=lambda _: files,
            session=lambda: open_session(connector=MemoryConnector(network)),
            log=lambda _: log,
            scratch=lambda _: scratch,
        )
        gateway.feed.taps.append(count)
        async with gateway:
            tape = Tape(_config(gateway, on_full, frames_max), outside=outside)
            async with tape:
                for product in PRODUCTS:
                    await tape.subscribe(product, ["1s", "1m"])
                changes = tape.transitions()
                await clock.sleep_s(30)
                gate.open.clear()
                most = await _stand_still(tape, clock, stall_s)
                stalled = tape.status()
                gate.open.set()
                await clock.sleep_s(after_s)
                gaps = tape.gaps()
            crossed = [each async for each in changes if isinstance(each, QueueChange)]
            return Ran(
                stalled,
                tape.status(),
                tape.result(),
                replayed(files),
                gaps,
                made,
                gateway,
                scratch,
                events,
                crossed,
                *most,
            )

    return run_virtual(main, start_ns=START_NS)


def _gateway(
    clock: VirtualClock, network: MemoryNetwork, schedule: tuple[Fault, ...], trades_per_s: float
) -> SimGateway:
    return SimGateway(
        SimConfig(products=PRODUCTS, trades_per_s=trades_per_s),
        clock,
        Seeded(1, "gateway"),
        sessions=calendar_by_name("cme"),
        schedule=schedule,
        network=network,
    )


async def _stand_still(tape: Tape, clock: VirtualClock, stall_s: float) -> tuple[int, int, int]:
    """Look once a second; the most frames in memory, bytes of memory, and bytes of the disk."""
    frames, memory, disk = 0, 0, 0
    for _ in range(int(stall_s)):
        await clock.sleep_s(1)
        feed = tape.status().feed
        frames = max(frames, feed.waiting_frames - feed.spilled_frames)
        memory = max(memory, feed.waiting_bytes)
        disk = max(disk, feed.spilled_bytes)
    await clock.sleep_s(stall_s % 1)
    return frames, memory, disk


def _config(gateway: SimGateway, on_full: str, frames_max: int) -> Any:
    return load_config(
        {
            "gateway": {
                "rest_url": gateway.urls.rest,
                "market_hub_url": gateway.urls.market_hub,
                "user_hub_url": gateway.urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "cme"},
            "bars": {"keep": 1_000_000},
            "feed": {"on_full": on_full, "max_frames": frames_max, "max_mb": 1},
            "history": {"warm_up_bars": 0},
        }
    )


def _connections(ran: Ran) -> list[int]:
    return [line.connections for line in ran.status.lines]


def test_a_tape_that_spills_loses_no_print_and_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten minutes cost disk, and neither memory nor ticks; pings go to and fro meanwhile."""
    ran = run(monkeypatch, 600, on_full="spill")
    assert ran.stalled.feed.spilled_frames > 5_000
    assert ran.spilled_bytes_max > 5_000_000
    # The limit, and half of it for what is on its way to the disk.
    assert ran.in_memory_max <= 1.5 * FRAMES_MAX
    assert ran.waiting_bytes_max < 1_500_000
    assert _connections(ran) == [1, 1]
    assert ran.gateway.statistics().market.aborted == {}
    assert {gap.cause for gap in ran.gaps} == {GapCause.START}
    assert ran.status.feed.waiting_frames == 0
    assert ran.lacking() == Counter()
    assert ran.scratch.open_files == 0
    assert ran.status.holds
    assert ran.again == ran.result
    assert (ran.said("queue_high"), ran.said("queue_low")) == (1, 1)
    assert [(each.name, each.is_high) for each in ran.crossed] == [(NAME, True), (NAME, False)]


def test_a_tape_that_blocks_keeps_its_connection_while_the_network_holds_what_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten minutes without reading: our pings go on, and the gateway, which times us, is content."""
    ran = run(monkeypatch, 600, on_full="block", trades_per_s=0.03, frames_max=4)
    assert ran.stalled.feed.waiting_frames >= 4
    assert _connections(ran) == [1, 1]
    assert ran.gateway.statistics().market.aborted == {}
    assert {gap.cause for gap in ran.gaps} == {GapCause.START}
    assert ran.lacking() == Counter()
    assert ran.status.holds
    assert ran.again == ran.result


def test_a_tape_that_blocks_for_too_much_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway bears a blocked write for ten seconds; the ledger has the gap. Not so above."""
    ran = run(monkeypatch, 600, on_full="block")
    assert ran.in_memory_max <= 1.5 * FRAMES_MAX
    assert max(_connections(ran)) > 1
    assert ran.caused(GapCause.DISCONNECT)
    assert ran.lacking().total() > 1_000
    assert ran.status.holds


@pytest.mark.parametrize(
    ("stall_s", "cut"),
    # The second goes on in the middle of a record.
    [(120.0, ()), (60.8, (TRICKLE,))],
)
def test_a_tape_that_sheds_says_what_it_lacks_and_gets_it_back(
    monkeypatch: pytest.MonkeyPatch, stall_s: float, cut: tuple[Fault, ...]
) -> None:
    """One gap of cause overflow for each contract, which history fills in; a replay agrees.

    Also where frames are cut through records, so that a piece of one is given up.
    """
    ran = run(monkeypatch, stall_s, *cut, on_full="shed", after_s=400)
    feed = ran.status.feed
    assert feed.shed_frames > 1_000
    assert feed.shed_records > 1_000
    assert ran.in_memory_max <= 1.5 * FRAMES_MAX
    assert _connections(ran) == [1, 1]
    gaps = ran.caused(GapCause.OVERFLOW)
    assert len(gaps) == len(PRODUCTS)
    assert {gap.cause for gap in ran.gaps} == {GapCause.START, GapCause.OVERFLOW}
    assert all(gap.state is GapState.REPAIRED for gap in gaps)
    assert all("frames were given up" in gap.evidence for gap in gaps)
    touched = [bar for bar in ran.bars() if bar.gap_ids]
    assert touched
    assert {gap.gap_id for gap in gaps} <= {each for bar in touched for each in bar.gap_ids}
    assert all(bar.completeness is not Completeness.GAP for bar in touched)
    assert ran.said("queue_shed") == 1
    assert ran.status.holds
    assert ran.again == ran.result
