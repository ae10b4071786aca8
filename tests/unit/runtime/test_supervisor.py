"""Parts that run together stop together: in order, for the right reason, with a sealed journal."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.errors import AuthError, JournalError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.queue import QueueDefaults, QueueLimits
from tapekeeper.model.secret import Secret
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.intake import FeedLimits
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line_values import Inbound, LineSpec, LineState
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import PoolPolicy
from tapekeeper.runtime.supervisor import Supervisor
from tapekeeper.sim.scripted_hub import Manners, ScriptedHub
from tapekeeper.sim.virtual_time import DEFAULT_START_NS, VirtualClock, run_virtual

MES = "CON.F.US.MES.H26"
FRAME = b"stands for the bytes of a frame"
PRINT = (
    b'["%b",[{"timestamp":"2026-01-05T15:00:00Z","price":6000.25,"volume":1,"type":0}]]'
    % MES.encode()
)
BUG = 7
RUDE = Manners(says_goodbye=False)
"""A hub that does not answer a Close: the farewell of its line takes seconds."""


class Tokens:
    """Gives one token for ever."""

    async def __call__(self) -> Secret:
        """The token."""
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        """Not called: the hub refuses nobody."""
        raise AssertionError(refused)


def silent(event: str, /, *, level: str = "info", **fields: object) -> None:
    """Log nothing."""
    del event, level, fields


class Bench:
    """A supervisor over two lines to a scripted hub, used the way a tape uses it."""

    def __init__(self, folder: Path, clock: VirtualClock, *manners: Manners) -> None:
        self.folder = folder
        self.clock = clock
        self.journaler = Journaler(FolderFiles(folder), created_ns=clock.now_ns())
        self.feed = Feed(
            pipeline=Pipeline(grace_ns=0),
            journaler=self.journaler,
            recent=RecentBars(10),
            dispatch=Dispatch(QueueDefaults(QueueLimits(10, 10**9))),
            clock=clock,
            limits=FeedLimits(frames=100, bytes=100_000),
            log=silent,
        )
        numbers = itertools.count(1).__next__
        self.hub = ScriptedHub(clock, *manners)
        self.pools = [
            LinePool(
                LineSpec(name=name, hub_url=f"https://hub.test/hubs/{name}", negotiate=False),
                PoolPolicy(),
                transport=self.hub,
                tokens=Tokens(),
                clock=clock,
                random=SimpleNamespace(random=lambda: 0.5),
                inbox=self.feed,
                log=silent,
                numbers=numbers,
            )
            for name in ("market", "user")
        ]
        self.supervisor = Supervisor(
            feed=self.feed, journaler=self.journaler, pools=self.pools, clock=clock
        )
        calendar = calendar_by_name("cme")
        self.feed.subscribe(
            Subscription(Instrument(MES, "MESH6"), (Timeframe.parse("1s"),), calendar)
        )

    async def __aenter__(self) -> Self:
        await self.supervisor.start()
        while self.states() != {LineState.LIVE}:  # noqa: ASYNC110 - a line has no event for it
            await asyncio.sleep(0)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        await self.supervisor.stop(error)

    async def use(self, block: Callable[[], Awaitable[None]], *, within_s: float = 3_600) -> None:
        """Enter, run a user's block, and leave."""
        async with asyncio.timeout(within_s), self:
            await block()

    def states(self) -> set[LineState]:
        """Where the lines stand."""
        return {line.state for pool in self.pools for line in pool.status().lines}

    def takes(self, arguments: object) -> None:
        """A frame with a call arrives; with arguments that are not bytes it is a played bug."""
        call = Invocation("GatewayTrade", arguments)  # type: ignore[arg-type]  # see above
        self.feed(Inbound(1, "market", self.clock.now_ns(), FRAME, (call,), ()))

    def check_over(self, *, frames: int) -> None:
        """Nothing runs, and the journal is sealed with so many of the frames in it."""
        assert asyncio.all_tasks() == {asyncio.current_task()}
        reader = JournalReader(FolderFiles(self.folder))
        assert sum(entry.payload == FRAME for entry in reader) == frames
        assert reader.problems == []
        assert self.states() == {LineState.STOPPED}
        with pytest.raises(JournalError):
            self.feed.unsubscribe(MES)


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("mine"),
        ExceptionGroup("mine", [ValueError("mine")]),
        ExceptionGroup("mine", [JournalError("mine")]),
        SystemExit(3),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
def test_what_the_block_raises_comes_out_as_it_is(raised: BaseException, tmp_path: Path) -> None:
    """The same object, whatever it is; and what had arrived is processed and journalled."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)

        async def block() -> None:
            bench.takes(PRINT)
            raise raised

        with pytest.raises(type(raised)) as caught:
            await bench.use(block)
        assert caught.value is raised
        assert bench.feed.pipeline.trade_counts().accepted == 1
        bench.check_over(frames=1)

    run_virtual(main)


def test_every_line_says_goodbye(tmp_path: Path) -> None:
    """In an orderly end no hub is left without a word."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)
        async with bench:
            pass
        assert [connection.said_goodbye for connection in bench.hub.connections] == [True, True]
        bench.check_over(frames=0)

    run_virtual(main)


def test_a_failing_journal_ends_the_block_with_its_own_error(tmp_path: Path) -> None:
    """The waiting block is cancelled, and the reason is raised from it, without a group."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)

        async def block() -> None:
            bench.journaler.close()
            bench.takes(PRINT)
            await asyncio.Event().wait()

        with pytest.raises(JournalError, match="closed"):
            await bench.use(block)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        bench.check_over(frames=0)

    run_virtual(main)


def test_one_trouble_that_several_parts_meet_is_one_error(tmp_path: Path) -> None:
    """The block met it itself, and so did the feed: still no group."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock, RUDE)

        async def block() -> None:
            bench.journaler.close()
            bench.takes(PRINT)
            bench.feed.unsubscribe(MES)

        with pytest.raises(JournalError, match="closed"):
            await bench.use(block)
        bench.check_over(frames=0)

    run_virtual(main)


def test_a_failure_while_stopping_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """The line is saying goodbye when the feed fails: it is that failure which comes out."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock, RUDE)

        async def block() -> None:
            bench.journaler.close()
            bench.takes(PRINT)

        with pytest.raises(JournalError, match="closed"):
            await bench.use(block)
        bench.check_over(frames=0)

    run_virtual(main)


@pytest.mark.parametrize("raised", [None, ValueError("mine")], ids=repr)
def test_cancelling_the_stop_leaves_nothing_behind(
    raised: Exception | None, tmp_path: Path
) -> None:
    """Impatience cuts the farewell short; tasks end and the journal is sealed all the same."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock, RUDE)

        async def block() -> None:
            bench.takes(PRINT)
            if raised is not None:
                raise raised

        # The hub leaves the Close unanswered, so without this timeout it would take seconds.
        with pytest.raises(TimeoutError if raised is None else ValueError):
            await bench.use(block, within_s=0.5)
        assert clock.monotonic_ns() == 500_000_000
        bench.check_over(frames=1)

    run_virtual(main)


def test_a_bug_comes_out_and_what_arrived_is_kept(tmp_path: Path) -> None:
    """It is no outside trouble, so it comes in its group; later frames are journalled only."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)

        async def block() -> None:
            bench.takes(BUG)
            try:
                await asyncio.Event().wait()
            finally:
                bench.takes(PRINT)

        with pytest.raises(ExceptionGroup) as caught:
            await bench.use(block)
        assert caught.group_contains(TypeError)
        assert bench.feed.pipeline.trade_counts().accepted == 0
        bench.check_over(frames=2)

    run_virtual(main)


def test_a_bug_that_the_block_swallows_stops_the_tape_nevertheless(tmp_path: Path) -> None:
    """A step that failed in the caller's own call has left the pipeline in doubt."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)

        async def block() -> None:
            bench.takes(BUG)
            with pytest.raises(TypeError):
                bench.feed.unsubscribe(MES)
            await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            await bench.use(block)
        assert caught.group_contains(TypeError)
        bench.check_over(frames=1)

    run_virtual(main)


def test_subscribers_read_what_waits_and_then_end(tmp_path: Path) -> None:
    """Streams end after the last burst, with the bars that it closed in them."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)
        async with bench:
            stream = bench.feed.dispatch.bars(MES, "1s")
            bench.takes(PRINT)
            bench.takes(PRINT.replace(b"15:00:00", b"15:00:01"))
        assert [bar.ts_open for bar in [bar async for bar in stream]] == [DEFAULT_START_NS]
        bench.check_over(frames=2)

    run_virtual(main)


def test_what_ends_by_itself_is_no_failure(tmp_path: Path) -> None:
    """It leaves the census, and the end is as orderly as without it, also where it still runs."""

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)
        async with bench:
            bench.supervisor.beside(asyncio.sleep(1), "start")  # virtual time: an instant
            assert bench.supervisor.census()["start"] == 1
            await clock.sleep_s(2)
            assert "start" not in bench.supervisor.census()
            bench.supervisor.beside(clock.sleep_s(3_600), "start")
        assert [connection.said_goodbye for connection in bench.hub.connections] == [True, True]
        bench.check_over(frames=0)
        assert clock.monotonic_ns() < 60e9

    run_virtual(main)


def test_what_fails_beside_ends_the_block_with_its_own_error(tmp_path: Path) -> None:
    """As a refused key does, that is found out while the block waits for a subscription."""
    refused = AuthError("the key was refused", status=200)

    async def main(clock: VirtualClock) -> None:
        bench = Bench(tmp_path, clock)

        async def fail() -> None:
            await clock.sleep_s(1)
            raise refused

        async def block() -> None:
            bench.supervisor.beside(fail(), "start")
            await asyncio.Event().wait()

        with pytest.raises(AuthError) as caught:
            await bench.use(block)
        assert caught.value is refused
        bench.check_over(frames=0)

    run_virtual(main)
