"""Gaps are taken up in order and in time, asked for a bounded number of times, and told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.rest_payloads import BARS_MAX, BarUnit, HistoryBar
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.errors import AuthError, ConnectFailedError, OutsideError
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import Gap, GapCause, GapState, Span
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size
from tapekeeper.model.queue import QueueDefaults, QueueLimits
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime import history
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.history import ATTEMPTS_MAX, History, HistoryPolicy, WarmUp
from tapekeeper.runtime.intake import FeedLimits
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import DEFAULT_START_NS, VirtualClock, run_virtual

S = 1_000_000_000
START = DEFAULT_START_NS
MES = "CON.F.US.MES.H26"


class Gateway:
    """Answers with one bar of five contracts a second, unless it is told otherwise."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.asked: list[tuple[float, BarUnit, int]] = []
        self.failures: list[OutsideError] = []
        self.until_ns = 1 << 62
        self.volume = 5
        self.hole = range(0)  # no bars open in it, ns UTC

    async def retrieve_bars(
        self,
        contract_id: str,
        *,
        start_ns: int,
        end_ns: int,
        unit: BarUnit,
        unit_number: int = 1,
        limit: int = BARS_MAX,
    ) -> list[HistoryBar]:
        """One page."""
        assert contract_id == MES
        self.asked.append((self._clock.monotonic_ns() / S, unit, unit_number))
        if self.failures:
            raise self.failures.pop(0)
        units = {BarUnit.SECOND: S, BarUnit.MINUTE: 60 * S, BarUnit.HOUR: 3_600 * S}
        length_ns = unit_number * units[unit]
        last_ns = min(end_ns, self._clock.now_ns() - length_ns, self.until_ns - length_ns)
        opens = range(-(-start_ns // length_ns) * length_ns, last_ns + 1, length_ns)
        volume = self.volume * length_ns // S
        there = [at for at in opens[-limit:] if at not in self.hole]
        return [HistoryBar(at, 10.0, 12.0, 9.0, 11.0, volume) for at in there]


class Bench:
    """A feed, and history beside it, in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.gateway = Gateway(clock)
        self.feed = Feed(
            pipeline=Pipeline(grace_ns=S),
            journaler=Journaler(MemoryFiles(), created_ns=START),
            recent=RecentBars(10_000),
            dispatch=Dispatch(QueueDefaults(QueueLimits(10, 10**9))),
            clock=clock,
            limits=FeedLimits(frames=100, bytes=100_000),
            log=lambda _event, /, **_fields: None,
        )
        self.history = History(
            feed=self.feed,
            source=self.gateway,
            policy=HistoryPolicy(settle_ns=5 * S, warm_up_bars=30),
            clock=clock,
            random=Seeded(1, "history"),
            log=lambda _event, /, **_fields: None,
        )
        self.gaps: dict[int, Gap] = {}
        self.feed.listen(lambda outputs: self.gaps.update({g.gap_id: g for g in outputs.gaps}))

    def subscribe(self, *timeframes: str) -> None:
        """Follow the contract."""
        names = tuple(map(Timeframe.parse, timeframes or ("1s", "1m")))
        self.feed.subscribe(Subscription(Instrument(MES, "MESH6"), names, calendar_by_name("24x7")))

    def trade(self) -> None:
        """A print of three contracts, now."""
        batch = TradeBatch(MES)
        now_ns = self.clock.now_ns()
        batch.append(now_ns, 10.5, 3, 0, now_ns, now_ns)
        self.feed.pipeline.take_trades(batch)
        self.feed._publish(self.feed.pipeline.step(self.clock.monotonic_ns()))

    def gap(self, number: int, from_s: float | None, to_s: float, cause: GapCause) -> None:
        """Let a gap be known."""
        from_ns = None if from_s is None else START + round(from_s * S)
        to_ns = START + round(to_s * S)
        self.feed.know([Gap(number, MES, cause, from_ns, to_ns, "a test", START)])

    def state(self, number: int) -> GapState:
        """What has become of a gap."""
        return self.gaps[number].state

    def worth(self, second: int) -> Completeness:
        """Of a bar of one second."""
        bars = {bar.ts_open: bar for bar in self.feed.recent.of(MES, "1s")}
        return bars[START + second * S].completeness


def with_bench(use: Callable[[Bench], Awaitable[None]], *timeframes: str) -> None:
    """Run history in virtual time."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(clock)
        bench.subscribe(*timeframes)
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(bench.history.run(), name="history")
            await use(bench)
            task.cancel()

    run_virtual(main)


def test_a_gap_is_asked_for_when_its_bars_are_over_and_settled() -> None:
    """Not before five seconds after the end of the second in which it ends, and once."""

    async def use(bench: Bench) -> None:
        for _ in range(10):
            bench.trade()
            await bench.clock.sleep_s(1)
        bench.gap(1, 4.5, 7.2, GapCause.DISCONNECT)
        await bench.clock.sleep_s(30)
        ((at_s, unit, number),) = bench.gateway.asked
        assert 13 <= at_s <= 14.1
        assert (unit, number) == (BarUnit.SECOND, 1)
        assert bench.state(1) is GapState.REPAIRED
        assert [bench.worth(second) for second in (3, 4, 7, 8)] == [
            Completeness.COMPLETE,
            Completeness.BACKFILLED,
            Completeness.BACKFILLED,
            Completeness.COMPLETE,
        ]
        status = bench.history.status()
        assert (status.repaired, status.partly, status.waiting, status.requests) == (1, 0, 0, 1)

    with_bench(use)


def test_a_start_goes_first_and_whoever_waits_is_told() -> None:
    """A warm-up is what somebody waits for; each timeframe has one state."""

    async def use(bench: Bench) -> None:
        start = Gap(2, MES, GapCause.START, None, None, "a test", START)
        bench.feed.know([start])
        assert bench.history.warm_up(MES, "1m") is WarmUp.PENDING
        assert bench.history.warm_up(MES, "5m") is WarmUp.OFF
        await bench.clock.sleep_s(3)
        bench.trade()
        bench.gap(1, 2.2, 2.9, GapCause.DISCONNECT)
        bench.gap(2, None, 3.0, GapCause.START)
        async with asyncio.timeout(20):
            assert await bench.history.wait_warm(MES, "1m") is WarmUp.READY
        assert [unit for _, unit, _ in bench.gateway.asked[:2]] == [BarUnit.SECOND, BarUnit.MINUTE]
        assert len(bench.feed.recent.of(MES, "1m")) >= 30
        await bench.clock.sleep_s(5)
        assert bench.history.status().waiting == 0

    with_bench(use)


def test_a_gateway_that_is_away_is_asked_a_bounded_number_of_times() -> None:
    """Then the gap says why, and it is taken up once more when another gap has ended."""

    async def use(bench: Bench) -> None:
        bench.trade()
        await bench.clock.sleep_s(10)
        bench.gateway.failures = [ConnectFailedError("it is away")] * ATTEMPTS_MAX
        bench.gap(1, 2.0, 3.0, GapCause.DISCONNECT)
        await bench.clock.sleep_s(600)
        assert len(bench.gateway.asked) == ATTEMPTS_MAX
        assert bench.state(1) is GapState.ENDED
        assert "could not be asked: it is away" in bench.gaps[1].note
        status = bench.history.status()
        assert (status.given_up, status.failures, status.waiting) == (1, ATTEMPTS_MAX, 0)
        bench.trade()
        bench.gap(2, 600.0, 601.0, GapCause.DISCONNECT)
        await bench.clock.sleep_s(20)
        assert {gap.state for gap in bench.gaps.values()} == {GapState.REPAIRED}
        assert bench.gaps[1].note == ""
        assert bench.history.status().given_up == 0

    with_bench(use)


def test_what_asking_again_cannot_mend_is_given_up_at_once() -> None:
    """A gateway that forbids history is not asked six times."""

    async def use(bench: Bench) -> None:
        bench.trade()
        await bench.clock.sleep_s(10)
        bench.gateway.failures = [AuthError("forbidden", status=403)]
        bench.gap(1, None, 0.0, GapCause.START)
        assert await bench.history.wait_warm(MES, "1s") is WarmUp.SHORT
        assert len(bench.gateway.asked) == 1

    with_bench(use)


def test_bars_that_the_gateway_does_not_have_yet_are_waited_for() -> None:
    """History ends before the gap does, and the line has shown that there was more."""

    async def use(bench: Bench) -> None:
        for _ in range(10):
            bench.trade()
            await bench.clock.sleep_s(1)
        bench.gateway.until_ns = START + 6 * S
        bench.gap(1, 4.5, 7.2, GapCause.DISCONNECT)
        await bench.clock.sleep_s(6)
        assert bench.state(1) is GapState.ENDED
        bench.gateway.until_ns = 1 << 62
        await bench.clock.sleep_s(120)
        assert bench.state(1) is GapState.REPAIRED
        bench.gateway.volume = 2
        for _ in range(5):
            bench.trade()
            await bench.clock.sleep_s(1)
        now_s = bench.clock.monotonic_ns() / S
        bench.gap(2, now_s - 3.2, now_s - 2.2, GapCause.DISCONNECT)
        await bench.clock.sleep_s(600)
        assert bench.state(2) is GapState.ENDED
        assert "nothing that could stand for it" in bench.gaps[2].note
        assert len(bench.gateway.asked) > ATTEMPTS_MAX

    with_bench(use)


def test_what_nobody_follows_any_more_is_not_asked_for() -> None:
    """Whoever waits for it is let go."""

    async def use(bench: Bench) -> None:
        bench.trade()
        bench.gap(1, None, 0.0, GapCause.START)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(bench.history.wait_warm(MES, "1s"), name="waiting")
            await bench.clock.sleep_s(0.5)
            bench.feed.unsubscribe(MES)
            bench.history.forget(MES)
        assert waiting.result() is WarmUp.OFF
        await bench.clock.sleep_s(30)
        assert bench.gateway.asked == []
        assert bench.history.status().waiting == 0

    with_bench(use)


def test_a_gap_that_nobody_followed_is_repaired_when_its_contract_is_followed_again() -> None:
    """It waits for the next start; meanwhile it is counted as given up, and not asked for."""

    async def use(bench: Bench) -> None:
        for _ in range(10):
            bench.trade()
            await bench.clock.sleep_s(1)
        bench.gap(1, 4.5, 7.2, GapCause.DISCONNECT)
        bench.feed.unsubscribe(MES)
        bench.history.forget(MES)
        await bench.clock.sleep_s(70)
        status = bench.history.status()
        assert (status.waiting, status.given_up, bench.gateway.asked) == (0, 1, [])
        bench.subscribe()
        bench.gap(2, 9.0, 80.0, GapCause.START)
        bench.trade()
        await bench.clock.sleep_s(20)
        assert {gap.state for gap in bench.gaps.values()} == {GapState.REPAIRED}
        assert bench.history.status().given_up == 0

    with_bench(use)


def test_who_follows_again_within_a_bar_is_warm_at_once_and_whole_when_it_is_over() -> None:
    """The bars before are there, and of the one that forms nothing is to be had before its end."""

    async def use(bench: Bench) -> None:
        bench.trade()
        await bench.clock.sleep_s(400)
        bench.trade()
        bench.gap(1, 310.0, 330.0, GapCause.START)
        async with asyncio.timeout(10):
            assert await bench.history.wait_warm(MES, "5m") is WarmUp.READY
        assert bench.gateway.asked == []
        assert (bench.state(1), bench.history.status().waiting) == (GapState.ENDED, 1)
        await bench.clock.sleep_s(210)
        bench.trade()
        await bench.clock.sleep_s(10)
        assert (bench.state(1), bench.history.status().waiting) == (GapState.REPAIRED, 0)
        assert bench.history.warm_up(MES, "5m") is WarmUp.READY

    with_bench(use, "5m")


def test_who_waits_for_a_warm_up_is_let_go_when_all_is_over() -> None:
    """Nobody asks any more, so the bars before cannot be had; nor for what is wanted later."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(clock)
        bench.subscribe()
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(bench.history.run(), name="history")
            bench.gap(1, None, 0.0, GapCause.START)
            waiting = tasks.create_task(bench.history.wait_warm(MES, "1m"), name="waiting")
            await clock.sleep_s(1)
            assert not waiting.done()
            run.cancel()
        assert waiting.result() is WarmUp.SHORT
        bench.gap(2, None, 1.0, GapCause.START)
        assert bench.history.warm_up(MES, "1s") is WarmUp.SHORT

    run_virtual(main)


def test_of_too_many_gaps_the_newest_that_nobody_waits_for_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A start stays, and where there are too many of these whoever waits for the last is told."""
    monkeypatch.setattr(history, "JOBS_MAX", 2)

    async def use(bench: Bench) -> None:
        bench.gap(1, None, 0.0, GapCause.START)
        for number in (2, 3, 4):
            bench.gap(number, 1.0, 2.0, GapCause.DISCONNECT)
        assert bench.history.status().waiting == 2
        assert bench.history.warm_up(MES, "1m") is WarmUp.PENDING
        names = ("1s", "1m", "5m", "1h")
        bench.subscribe(*names)
        for number, name in ((5, "5m"), (6, "1h")):
            gap = Gap(number, MES, GapCause.START, None, START, "a", START, timeframes=(name,))
            bench.feed.know([gap])
        states = [bench.history.warm_up(MES, name) for name in names]
        assert states == [WarmUp.PENDING] * 3 + [WarmUp.SHORT]
        await bench.clock.sleep_s(1)
        bench.trade()
        await bench.clock.sleep_s(20)
        states = [bench.history.warm_up(MES, name) for name in names]
        assert states == [WarmUp.READY] * 4  # the start of all has brought the last, too

    with_bench(use)


def test_nobody_waits_for_the_history_of_a_measure() -> None:
    """Prints end its bars, and the gateway has none: what is to come is live."""

    async def use(bench: Bench) -> None:
        bench.trade()
        sizes = (parse_size("2tick"),)
        bench.feed.subscribe(
            Subscription(Instrument(MES, "MESH6"), sizes, calendar_by_name("24x7"))
        )
        gap = Gap(1, MES, GapCause.START, None, START + 1, "a test", START, timeframes=("2tick",))
        bench.feed.know([gap])
        assert await bench.history.wait_warm(MES, "2tick") is WarmUp.OFF
        await bench.clock.sleep_s(120)
        assert bench.gateway.asked == []
        assert bench.history.status().waiting == 0

    with_bench(use)


async def a_day_is_added(bench: Bench) -> None:
    """To the minutes of a contract that has been followed for two minutes."""
    names = tuple(map(Timeframe.parse, ("1s", "1m", "4h", "1d")))
    for _ in range(120):
        bench.trade()
        await bench.clock.sleep_s(1)
    wanted = Subscription(Instrument(MES, "MESH6"), names, calendar_by_name("24x7"))
    bench.feed.subscribe(wanted)
    for number, name in ((5, "4h"), (6, "1d")):
        to_ns = bench.feed.pipeline.whole_ns(MES, name)
        gap = Gap(number, MES, GapCause.START, None, to_ns, "a test", START, timeframes=(name,))
        bench.feed.know([gap])
        assert bench.history.warm_up(MES, name) is WarmUp.PENDING


def test_a_day_that_is_added_is_whole_when_it_is_ready() -> None:
    """The morning comes in a few rows, and every print since the contract was followed is live."""

    async def use(bench: Bench) -> None:
        await a_day_is_added(bench)
        async with asyncio.timeout(30):
            assert await bench.history.wait_warm(MES, "1d") is WarmUp.READY
        assert bench.history.warm_up(MES, "4h") is WarmUp.READY
        day = bench.feed.pipeline.forming(MES, Timeframe.parse("1d"))
        assert day is not None
        before_s = (START - day.ts_open) // S
        assert before_s > 0
        assert day.volume == 5 * before_s + 3 * 120
        assert day.completeness is Completeness.BACKFILLED
        assert len(bench.gateway.asked) <= 10
        await bench.clock.sleep_s(60)
        assert bench.history.status().waiting == 0

    with_bench(use)


def test_a_day_whose_beginning_cannot_be_had_is_short() -> None:
    """It is asked for a bounded number of times, and says that it lacks its beginning."""

    async def use(bench: Bench) -> None:
        bench.gateway.until_ns = START - 30 * 86_400 * S
        await a_day_is_added(bench)
        async with asyncio.timeout(900):
            assert await bench.history.wait_warm(MES, "1d") is WarmUp.SHORT
        day = bench.feed.pipeline.forming(MES, Timeframe.parse("1d"))
        assert day is not None
        assert day.completeness is Completeness.PARTIAL_START

    with_bench(use)


async def an_outage_of_a_minute(bench: Bench, missing: int | None) -> None:
    """The gateway has no bars of the twenty seconds in its middle; the ledger tells of it."""
    for _ in range(20):
        bench.trade()
        await bench.clock.sleep_s(1)
    await bench.clock.sleep_s(60)
    bench.trade()
    bench.gateway.hole = range(START + 40 * S, START + 60 * S)
    to_ns = START + 80 * S
    gap = Gap(1, MES, GapCause.DISCONNECT, START + 20 * S, to_ns, "a test", START)
    gap = msgspec.structs.replace(gap, missing_volume=missing)
    bench.feed.know([gap])
    await bench.clock.sleep_s(20)


def test_a_hole_in_history_stays_a_gap_where_volume_is_known_to_be_missing() -> None:
    """It is asked for again; then the part of which there are no bars says so, and why."""

    async def use(bench: Bench) -> None:
        await an_outage_of_a_minute(bench, 300)
        assert bench.state(1) is GapState.ENDED
        await bench.clock.sleep_s(600)
        assert len(bench.gateway.asked) == ATTEMPTS_MAX
        assert bench.gaps[1].unrestored == ((START + 40 * S, START + 60 * S),)
        assert "lacks 100 contracts that were quoted" in bench.gaps[1].note
        minute = bench.feed.recent.of(MES, "1m")[0]
        assert (minute.completeness, minute.volume) == (Completeness.GAP, 3 * 20 + 5 * 20)

    with_bench(use)


def test_who_is_warm_stays_so_when_more_is_said_of_what_stood_in_front() -> None:
    """Volume that is found missing before bars that go on is no new beginning of them."""

    async def use(bench: Bench) -> None:
        for _ in range(10):
            bench.trade()
            await bench.clock.sleep_s(1)
        bench.gap(1, 4.5, 7.2, GapCause.STOPPED)
        async with asyncio.timeout(30):
            assert await bench.history.wait_warm(MES, "1m") is WarmUp.READY
        bench.feed.know([msgspec.structs.replace(bench.gaps[1], missing_volume=1)])
        assert bench.history.warm_up(MES, "1m") is WarmUp.READY

    with_bench(use)


@pytest.mark.parametrize("missing", [None, 200])
def test_quiet_seconds_of_history_are_no_hole(missing: int | None) -> None:
    """Nothing is known to be missing, or not more than came: it is asked for once."""

    async def use(bench: Bench) -> None:
        await an_outage_of_a_minute(bench, missing)
        assert bench.state(1) is GapState.REPAIRED
        assert len(bench.gateway.asked) == 1

    with_bench(use)


def test_what_is_found_missing_after_a_repair_is_asked_for_again() -> None:
    """The gateway has it by now; and where it has bars of all and still less, the gap says so."""

    async def use(bench: Bench) -> None:
        await an_outage_of_a_minute(bench, None)
        assert bench.state(1) is GapState.REPAIRED
        bench.gateway.hole = range(0)
        bench.feed.know([msgspec.structs.replace(bench.gaps[1], missing_volume=300)])
        await bench.clock.sleep_s(0.1)
        assert bench.state(1) is GapState.ENDED
        await bench.clock.sleep_s(20)
        assert bench.state(1) is GapState.REPAIRED
        assert bench.worth(50) is Completeness.BACKFILLED
        bench.feed.know([msgspec.structs.replace(bench.gaps[1], missing_volume=310)])
        await bench.clock.sleep_s(20)
        assert bench.gaps[1].restored == (Span(START + 20 * S, START + 80 * S),)
        assert "lacks 10 contracts" in bench.gaps[1].note
        assert bench.history.status().waiting == 0

    with_bench(use)
