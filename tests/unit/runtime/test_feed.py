"""From frames to published outputs, with a real journal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.bars import BarPolicy
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import Rerun
from tapekeeper.core.signalr.records import Invocation, encode_invocation
from tapekeeper.core.signalr.session import Garbled
from tapekeeper.errors import JournalError, UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure
from tapekeeper.model.queue import QueueDefaults, QueueLimits
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.intake import BURST_BYTES_MAX, BURST_FRAMES_MAX, FeedLimits
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line_values import Connected, Disconnected, Inbound
from tapekeeper.runtime.timer import run_timer

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"


class SteppedClock:
    """A clock that moves only when it is told to, or by what is slept."""

    def __init__(self) -> None:
        self.ns = START
        self.oversleep_s = 0.0
        self.naps_left = 0
        self.tired = asyncio.Event()

    def now_ns(self) -> int:
        """The wall clock is the same as the monotonic one."""
        return self.ns

    def monotonic_ns(self) -> int:
        """See `now_ns`."""
        return self.ns

    async def sleep_s(self, delay_s: float) -> None:
        """Move on by the delay and what is overslept; when no nap is left, for ever."""
        if not self.naps_left:
            self.tired.set()
            await asyncio.Event().wait()
        self.naps_left -= 1
        self.ns += round((delay_s + self.oversleep_s) * SECOND)
        await asyncio.sleep(0)


class Bench:
    """A feed with everything it needs."""

    def __init__(self, folder: Path, limits: FeedLimits, *, segment_bytes_max: int = 10**6) -> None:
        self.folder = folder
        self.clock = SteppedClock()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.journaler = Journaler(
            FolderFiles(folder), created_ns=START, segment_bytes_max=segment_bytes_max
        )
        self.feed = Feed(
            pipeline=Pipeline(grace_ns=SECOND),
            journaler=self.journaler,
            recent=RecentBars(10),
            dispatch=Dispatch(QueueDefaults(QueueLimits(10, 10**9))),
            clock=self.clock,
            limits=limits,
            log=self.log,
        )
        instrument = Instrument(MES, "MESH6")
        self.feed.subscribe(
            Subscription(instrument, (Timeframe.parse("1s"),), calendar_by_name("cme"))
        )

    def log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Keep what is said."""
        self.events.append((event, fields))

    def kinds(self) -> list[EntryKind]:
        """What the journal holds so far."""
        return [entry.kind for entry in JournalReader(FolderFiles(self.folder))]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A feed with room for four frames or 10,000 bytes."""
    made = Bench(tmp_path / "journal", FeedLimits(frames=4, bytes=10_000))
    yield made
    made.journaler.close()


def inbound(second: float = 0.0, *, data: bytes = b"x", price: str = "6000.25") -> Inbound:
    """A frame with one trade at START plus `second`."""
    stamp = f"2026-01-05T15:00:{second:09.6f}Z"
    arguments = f'["{MES}",[{{"timestamp":"{stamp}","price":{price},"volume":1,"type":0}}]]'
    return Inbound(1, "market", START, data, (Invocation("GatewayTrade", arguments.encode()),), ())


def test_a_measure_that_cannot_be_had_is_not_recorded(bench: Bench) -> None:
    """A replay could not do it either: it is refused before the journal has it."""
    wanted = Subscription(
        Instrument(MES, "MESH6"), (Measure.parse("8renko"),), calendar_by_name("cme")
    )
    with pytest.raises(UsageError, match="8renko bars of MESH6 need its tick size"):
        bench.feed.subscribe(wanted)
    assert bench.kinds() == [EntryKind.META]
    known = msgspec.structs.replace(wanted, timeframes=(Measure.parse("5tick"),))
    bench.feed.subscribe(known)
    assert list(map(str, bench.feed.pipeline.timeframes(MES))) == ["1s", "5tick"]


def test_bars_that_are_forgotten_are_told_of_once(bench: Bench) -> None:
    """Whoever chose a measure that small learns what it costs, and not with every bar."""
    sizes, policy = (Measure.parse("1tick"),), BarPolicy(measured_max=1)
    other = Instrument("CON.F.US.MNQ.H26", "MNQH6")
    bench.feed.subscribe(Subscription(other, sizes, calendar_by_name("cme"), policy=policy))
    for _ in range(2):
        batch = TradeBatch(other.contract_id)
        for seq in range(300):
            batch.append(START + seq, 6_000.0, 1, 0, START, seq)
        bench.feed.pipeline.take_trades(batch)
        bench.feed.pipeline.step()
        bench.feed.on_time(bench.clock.ns)
    (told,) = [fields for event, fields in bench.events if event == "bars_forgotten"]
    assert (told["contract"], told["timeframe"]) == (other.contract_id, "1tick")
    ((_, _, count),) = bench.feed.pipeline.forgotten()
    assert count > 250


def test_the_journal_has_a_burst_before_anything_comes_of_it(bench: Bench) -> None:
    """Connections, frames and the timer's closing are entries, in the order they happened."""
    bench.feed(Connected(1, "market", START))
    bench.feed(inbound())
    bench.feed.drain()
    bench.clock.ns += 10 * SECOND
    bench.feed.on_time(bench.clock.ns)
    assert bench.kinds() == [
        EntryKind.META,
        EntryKind.CONNECT,
        EntryKind.FRAME,
        EntryKind.CLOCK,
    ]
    assert len(bench.feed.recent.of(MES, "1s")) == 1


def test_if_the_journal_refuses_nothing_is_published(bench: Bench) -> None:
    """Stop loudly: what the journal did not take does not reach a bar."""
    bench.journaler.close()
    bench.feed(inbound())
    with pytest.raises(JournalError):
        bench.feed.drain()
    assert bench.feed.pipeline.trade_counts().received == 0


@pytest.mark.asyncio
async def test_a_full_queue_holds_the_line_back_until_half_is_free(bench: Bench) -> None:
    """The answer is False at the limit; there is room again when half has been processed."""
    assert [bench.feed(inbound()) for _ in range(4)] == [True, True, True, False]
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(bench.feed.wait_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        bench.feed.drain()
    assert bench.feed.statistics().waiting_frames_max == 4


def test_a_burst_is_bounded_in_bytes_too(bench: Bench) -> None:
    """Large frames go in several steps, so that none holds the loop for long; each goes whole."""
    for share in (0.5, 0.5, 0.5, 2.0, 0.1):
        bench.feed(inbound(data=b"x" * round(BURST_BYTES_MAX * share)))
    bench.feed.drain()
    assert bench.feed.statistics().bursts == 4
    stages = bench.feed.statistics().stages
    assert stages.burst_frames.sum == 5
    assert stages.written_ns.count == stages.published_ns.count == 4
    assert bench.feed.statistics().waiting_bytes == 0
    assert bench.kinds().count(EntryKind.FRAME) == 5


@pytest.mark.asyncio
async def test_who_catches_up_lets_others_run_and_leaves_what_comes_later(bench: Bench) -> None:
    """Only what waited at the beginning is processed, a burst at a time."""
    waiting: list[int] = []

    async def other() -> None:
        while bench.feed.statistics().bursts < 3:
            waiting.append(bench.feed.statistics().waiting_frames)
            bench.feed(inbound(data=b"later"))
            await asyncio.sleep(0)

    for _ in range(3):
        bench.feed(inbound(data=b"x" * BURST_BYTES_MAX))
    async with asyncio.TaskGroup() as group:
        group.create_task(bench.feed.catch_up())
        group.create_task(other())
    assert waiting == [3, 3, 3]
    assert bench.feed.statistics().waiting_frames == 3


@pytest.mark.asyncio
async def test_several_who_catch_up_share_the_bursts(bench: Bench) -> None:
    """One burst in a turn of the loop, or a backlog would hold it once for each of them."""
    for _ in range(4):
        bench.feed(inbound(data=b"x" * BURST_BYTES_MAX))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.feed.run())
        for _ in range(3):
            group.create_task(bench.feed.catch_up())
        for turn in range(1, 5):
            await asyncio.sleep(0)
            assert bench.feed.statistics().bursts == turn
        running.cancel()


def test_bytes_fill_the_queue_too(bench: Bench) -> None:
    """One huge frame is over the limit by itself; it is taken, and the next one waits."""
    assert not bench.feed(inbound(data=b"x" * 5_000))
    bench.feed.drain()
    assert bench.feed.statistics().waiting_bytes == 0
    assert bench.feed(inbound())


@pytest.mark.asyncio
async def test_run_lets_others_run_between_bursts(tmp_path: Path) -> None:
    """A backlog is worked off in bounded bursts."""
    bench = Bench(tmp_path / "journal", FeedLimits(frames=10_000, bytes=10**9))
    for _ in range(BURST_FRAMES_MAX + 1):
        bench.feed(inbound())
    before = bench.feed.statistics().bursts
    async with asyncio.TaskGroup() as group:
        running = group.create_task(bench.feed.run())
        await asyncio.sleep(0)
        assert bench.feed.statistics().bursts == before + 1
        await asyncio.sleep(0)
        assert bench.feed.statistics().bursts == before + 2
        running.cancel()
    assert bench.feed.statistics().waiting_frames == 0
    bench.journaler.close()


def test_what_is_quarantined_is_said_once_per_reason_and_burst(bench: Bench) -> None:
    """A flood of bad prints is one event, not thousands."""
    for _ in range(3):
        bench.feed(inbound(price="-1.0"))
    garbled = Garbled(b"nonsense", "not a record")
    bench.feed(Inbound(1, "market", START, b"nonsense", (), (garbled,)))
    bench.feed.drain()
    said = [(event, fields["reason"]) for event, fields in bench.events]
    assert [each for each in said if each[0] == "quarantined"] == [
        ("quarantined", "malformed"),
        ("quarantined", "price"),
    ]


def test_user_frames_reach_the_user_stream(bench: Bench) -> None:
    """They are journalled, decoded, and kept away from the bars."""
    call = Invocation("GatewayUserAccount", b'[{"action":1,"data":{"id":1,"name":"TEST"}}]')
    stream = bench.feed.dispatch.user()
    bench.feed(Inbound(2, "user", START, b"x", (call,), ()))
    bench.feed.drain()
    assert [each.offered for each in bench.feed.dispatch.statistics()] == [1]
    assert bench.kinds()[-1] is EntryKind.FRAME
    assert stream is not None
    del stream
    assert bench.feed.dispatch.statistics() == ()


@pytest.mark.asyncio
@pytest.mark.parametrize(("oversleep_s", "closed"), [(0.0, 1), (10.0, 0)])
async def test_the_timer_closes_quiet_bars_but_not_after_a_stall(
    bench: Bench, oversleep_s: float, closed: int
) -> None:
    """A round that comes far too late is left out, because prints may wait in the sockets."""
    bench.feed(inbound())
    bench.feed.drain()
    bench.clock.ns += 2 * SECOND
    bench.clock.oversleep_s = oversleep_s
    await nap(bench, 1)
    assert len(bench.feed.recent.of(MES, "1s")) == closed


@pytest.mark.asyncio
async def test_time_that_was_slept_through_is_no_quiet(bench: Bench) -> None:
    """After a stall a contract whose prints are read last is not closed by those before it."""
    bench.feed(inbound())
    bench.feed.drain()
    bench.clock.oversleep_s = 10.0
    await nap(bench, 1)
    bench.clock.oversleep_s = 0.0
    await nap(bench, 9)
    bench.feed(inbound(0.9))
    bench.feed.drain()
    counts = bench.feed.pipeline.trade_counts()
    assert (counts.accepted, counts.quarantined) == (2, 0)
    await nap(bench, 9)
    assert len(bench.feed.recent.of(MES, "1s")) == 1


@pytest.mark.asyncio
async def test_time_that_a_round_takes_is_no_quiet(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that stalls while the timer writes holds up the reading as well."""
    bench.feed(inbound())
    bench.feed.drain()
    bench.feed(Connected(2, "user", START))

    def stalled(journaler: Journaler, entries: Sequence[Entry]) -> None:
        monkeypatch.undo()
        bench.clock.ns += 10 * SECOND
        journaler.append(entries)

    monkeypatch.setattr(Journaler, "append", stalled)
    await nap(bench, 3)
    assert bench.feed.recent.of(MES, "1s") == ()


async def nap(bench: Bench, naps: int) -> None:
    """Let the timer sleep so many times, and look after each."""
    bench.clock.naps_left = naps
    bench.clock.tired.clear()
    async with asyncio.TaskGroup() as group:
        timer = group.create_task(run_timer(bench.feed, bench.clock))
        await bench.clock.tired.wait()
        timer.cancel()


@pytest.mark.asyncio
async def test_the_timer_waits_for_prints_that_are_on_their_way(bench: Bench) -> None:
    """While a connection is being resumed no quiet counts, nor what was before it goes on."""
    bench.feed(Connected(1, "market", START))
    bench.feed(inbound())
    bench.feed.drain()
    waiting = [True] * 50
    bench.clock.naps_left = 100
    async with asyncio.TaskGroup() as group:
        timer = group.create_task(
            run_timer(bench.feed, bench.clock, lambda: bool(waiting and waiting.pop()))
        )
        while waiting:
            assert bench.feed.recent.of(MES, "1s") == ()
            await asyncio.sleep(0)
        await bench.clock.tired.wait()
        timer.cancel()
    assert len(bench.feed.recent.of(MES, "1s")) == 1


def test_the_end_of_a_connection_comes_behind_its_frames(bench: Bench) -> None:
    """In one burst or not: what waited for it goes on, live as in a replay of the journal."""
    record = encode_invocation(
        "GatewayTrade",
        [MES, [{"timestamp": "2026-01-05T15:00:00Z", "price": 6000.25, "volume": 1}]],
    )
    later = record.replace(b":00Z", b":00.5Z")
    bench.feed(Connected(1, "market", START))
    bench.feed(Connected(2, "market", START))
    for line, data in ((1, record), (2, later)):
        call = Invocation("GatewayTrade", data[data.index(b"[") : -2])
        bench.feed(Inbound(line, "market", START, data, (call,), ()))
    bench.feed(Disconnected(1, "market", START))
    bench.feed.drain()
    assert bench.feed.pipeline.trade_counts().accepted == 2
    assert bench.feed.pipeline.arbiter_statistics().held == 0
    rerun = Pipeline(grace_ns=0)
    repeat = Rerun(rerun)
    for entry in JournalReader(FolderFiles(bench.folder)):
        list(repeat.take(entry))
    assert rerun.trade_counts() == bench.feed.pipeline.trade_counts()


def test_a_lost_segment_takes_nothing_of_the_others_with_it(tmp_path: Path) -> None:
    """Every segment repeats which contracts are followed and which connections are open."""
    bench = Bench(tmp_path / "journal", FeedLimits(1_000, 10**6), segment_bytes_max=2_500)
    bench.feed(Connected(1, "market", START))
    for second in range(59):
        arguments = (
            f'["{MES}",[{{"timestamp":"2026-01-05T15:00:{second:02}Z",'
            '"price":6000.25,"volume":1,"type":0}]]'
        )
        record = f'{{"type":1,"target":"GatewayTrade","arguments":{arguments}}}\x1e'.encode()
        call = Invocation("GatewayTrade", arguments.encode())
        bench.feed(Inbound(1, "market", START, record, (call,), ()))
        bench.feed.drain()
    bench.journaler.close()
    segments = sorted(bench.folder.glob("*.tkj"))
    assert len(segments) > 2
    options = ReplayOptions(calendar_by_name("cme"))
    whole = replay(bench.folder, options)
    assert whole.trades == bench.feed.pipeline.trade_counts()
    segments[0].unlink()
    rest = replay(bench.folder, options)
    assert 0 < rest.trades.accepted < whole.trades.accepted
    assert rest.rejected == {}
    assert len(rest.problems) == 1
