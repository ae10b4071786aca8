"""Depth and quotes as a program uses them, against a simulated gateway on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.config import Config, PoolConfig
from tapekeeper.app.frames import QUOTE_SCHEMA
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.app.tape import Tape
from tapekeeper.core.book import Book
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.freshness import Stream as Watched
from tapekeeper.core.journal import EntryKind
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.runlog import Rerun
from tapekeeper.errors import InvocationError, UsageError
from tapekeeper.model.depth import DepthUpdate
from tapekeeper.model.tick import Quote
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.subscriptions import Stream

START_NS = 1_767_625_200_000_000_000
"""2026-01-05 15:00 UTC, a Monday morning in Chicago."""
OPTIONS = ReplayOptions(calendar_by_name("24x7"))


@asynccontextmanager
async def gateway(*, trades_max: int | None = None, levels: int = 10) -> AsyncIterator[SimGateway]:
    """A market that waits for its subscriber and then plays as fast as it is read."""
    config = SimConfig(
        seed=7,
        speed="max",
        products=("MES", "MNQ"),
        start_ns=START_NS,
        trades_max=trades_max,
        depth_levels=levels,
    )
    calendar = calendar_by_name("cme")
    async with SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar) as running:
        yield running


def config_for(urls: SimUrls, folder: Path) -> Config:
    """A configuration that comes back quickly."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
                "user_hub": False,
            },
            "journal": {"dir": str(folder)},
            "line": {"backoff_base_ms": 10, "backoff_cap_ms": 20},
            "quotes": {"keep": 50},
        }
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0)


def digest(updates: list[DepthUpdate]) -> str:
    """A fingerprint of everything that was told of a book, in order."""
    return hashlib.sha256(repr(updates).encode()).hexdigest()


def replayed_updates(folder: Path) -> list[DepthUpdate]:
    """What a replay of the journal tells of books."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    entries = JournalReader(FolderFiles(folder))
    return [
        update for entry in entries for outputs in rerun.take(entry) for update in outputs.depth
    ]


async def gathered(stream: AsyncIterator[DepthUpdate]) -> list[DepthUpdate]:
    """Everything up to the tape's end."""
    return [update async for update in stream]


@pytest.mark.asyncio
async def test_a_replay_gives_the_book_of_the_live_run(tmp_path: Path) -> None:
    """Every update and the book at the end are the same, and equal the gateway's own ladder."""
    async with gateway(trades_max=3_000, levels=400) as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with asyncio.TaskGroup() as tasks, tape:
            instrument = await tape.subscribe("MES", ["1s"], depth=True)
            contract_id = instrument.contract_id
            told = tasks.create_task(gathered(tape.depth("MES")))
            await until(lambda: tape.status().trades.accepted == 3_000)
            await until(
                lambda: tape.status().depth.received == running.statistics().depth_sent[contract_id]
            )
            live = tape.book("MES")
            assert live is not None
            ladder = running.feed._ladders[contract_id]
            assert {price * 4: size for price, size in live.bids} == ladder.bids
            assert {price * 4: size for price, size in live.asks} == ladder.asks
            assert live.synced
            assert not live.crossed
            best = tape.book("MES", 1)
            assert best is not None
            assert (best.bids, best.asks) == (live.bids[:1], live.asks[:1])
        status = tape.status()
    assert status.depth.holds
    assert status.depth.quarantined == 0
    result = replay(tmp_path, OPTIONS)
    assert result.books == tape.result().books
    assert result.books[contract_id].bids == live.bids
    assert not result.books[contract_id].synced  # its connection has ended since
    assert result.depth == status.depth
    assert result.problems == []
    # The stream begins when it is asked for, and has everything from there to the end.
    assert len(told.result()) > 100
    assert digest(replayed_updates(tmp_path)[-len(told.result()) :]) == digest(told.result())


@pytest.mark.asyncio
async def test_depth_follows_the_trades_that_it_comes_from(tmp_path: Path) -> None:
    """On the wire a print comes first, and right behind it what it did to the book."""
    async with gateway() as running, Tape(config_for(running.urls, tmp_path)) as tape:
        await tape.subscribe("MES", ["1s"], depth=True)
        await until(lambda: tape.status().depth.accepted > 2_000)
    frames = (e for e in JournalReader(FolderFiles(tmp_path)) if e.kind is EntryKind.FRAME)
    text = b"".join(entry.payload for entry in frames)
    calls = [json.loads(record) for record in text.split(b"\x1e") if record]
    calls = [call for call in calls if call.get("target", "").startswith("Gateway")]
    checked = 0
    for before, call in itertools.pairwise(calls):
        if call["target"] == "GatewayDepth":
            prints = [row for row in call["arguments"][1] if row["type"] == 5]
            if prints:
                assert before["target"] == "GatewayTrade"
                assert [(row["price"], row["volume"], row["timestamp"]) for row in prints] == [
                    (row["price"], row["volume"], row["timestamp"])
                    for row in before["arguments"][1]
                ]
                checked += 1
    assert checked > 10


@pytest.mark.asyncio
async def test_a_killed_line_hands_its_book_over_to_the_other(tmp_path: Path) -> None:
    """Of two lines one is killed again and again; the book is whole, and its followers have it."""
    async with gateway() as running:
        config = config_for(running.urls, tmp_path)
        tape = Tape(config.model_copy(update={"pool": PoolConfig(redundancy=2)}))
        async with asyncio.TaskGroup() as tasks, tape:
            await until(lambda: [line.state for line in tape.status().lines[:2]] == ["live"] * 2)
            await tape.subscribe("MES", ["1s"], depth=True)
            told = tasks.create_task(gathered(tape.depth("MES")))
            for _ in range(2):
                await until(lambda: [book.lines for book in tape.status().books] == [2])
                await until(lambda: tape.status().books[0].synced)
                assert running.faults.drop_all("market", "oldest") == 1
                await until(lambda: [book.lines for book in tape.status().books] == [1])
                # Whichever was published, there is a whole book at once.
                assert tape.status().books[0].synced
        status = tape.status()
    assert status.depth.holds
    assert status.depth.duplicate > 0
    # The first to be killed may not have been the published one; each later one was.
    assert status.books[0].restarts >= 2
    follower = Book()
    synced = False
    for update in told.result():
        follower.apply(update.rows)
        synced = update.synced
    (last,) = tape.result().books.values()
    if told.result()[0].restart:
        assert (follower.bids.levels(), follower.asks.levels()) == (last.bids, last.asks)
    assert synced == last.synced
    assert replay(tmp_path, OPTIONS).books == tape.result().books
    assert digest(replayed_updates(tmp_path)[-len(told.result()) :]) == digest(told.result())


@pytest.mark.asyncio
async def test_a_reset_in_the_middle_leaves_the_book_whole(tmp_path: Path) -> None:
    """The gateway clears and sends anew; the book goes on from there."""
    async with gateway() as running, Tape(config_for(running.urls, tmp_path)) as tape:
        instrument = await tape.subscribe("MES", ["1s"], depth=True)
        await until(lambda: [book.resets for book in tape.status().books] == [1])
        running.feed.reset_depth(instrument.contract_id)
        await until(lambda: [book.resets for book in tape.status().books] == [2])
        book = tape.book("MES")
        assert book is not None
        assert book.synced
        assert len(book.bids) > 0
        assert tape.status().books[0].restarts == 1


@pytest.mark.asyncio
async def test_depth_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    """Without it nothing is subscribed or expected; it can be added, and ends with the contract."""
    async with gateway() as running, Tape(config_for(running.urls, tmp_path)) as tape:
        instrument = await tape.subscribe("MES", ["1s"])
        contract_id = instrument.contract_id
        for ask in (tape.book, tape.depth):
            with pytest.raises(UsageError, match="depth=True"):
                ask("MES")
        assert not running.delivers(Stream.DEPTH, contract_id)
        assert Watched.DEPTH not in {each.stream for each in tape.status().watch.streams}
        await tape.subscribe("MES", depth=True)
        assert running.delivers(Stream.DEPTH, contract_id)
        assert Watched.DEPTH in {each.stream for each in tape.status().watch.streams}
        await until(lambda: tape.book("MES") is not None)
        await tape.subscribe("MES", ["1m"])
        assert tape.book("MES") is not None
        for _ in range(3):
            assert running.delivers(Stream.DEPTH, contract_id)
            await tape.unsubscribe("MES")
        assert not running.delivers(Stream.DEPTH, contract_id)
        await tape.subscribe("MES", ["1s"])
        with pytest.raises(UsageError, match="depth=True"):
            tape.book("MES")


@pytest.mark.asyncio
async def test_depth_that_is_refused_takes_nothing_else_away(tmp_path: Path) -> None:
    """An entitlement may be missing: the caller hears of it, and what was followed goes on."""
    async with gateway() as running, Tape(config_for(running.urls, tmp_path)) as tape:
        instrument = await tape.subscribe("MES", ["1s"])
        running.faults.spoil_calls(1, "No market data entitlement.")
        with pytest.raises(InvocationError, match="entitlement"):
            await tape.subscribe("MES", depth=True)
        with pytest.raises(UsageError, match="depth=True"):
            tape.book("MES")
        assert running.delivers(Stream.TRADES, instrument.contract_id)
        before = tape.status().trades.accepted
        await until(lambda: tape.status().trades.accepted > before)
        await tape.subscribe("MES", depth=True)
        await until(lambda: tape.book("MES") is not None)


@pytest.mark.asyncio
async def test_every_quote_is_told_and_the_recent_ones_are_a_frame(tmp_path: Path) -> None:
    """The stream has each accepted quote; the frame the latest, and what it has not is counted."""

    async def read(stream: AsyncIterator[Quote]) -> list[Quote]:
        return [quote async for quote in stream]

    async with gateway(trades_max=2_000) as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with asyncio.TaskGroup() as tasks, tape:
            await tape.subscribe("MES", ["1s"])
            before = tape.status().quotes.accepted
            told = tasks.create_task(read(tape.quotes("MES")))
            await until(lambda: tape.status().trades.accepted == 2_000)
            await until(
                lambda: (
                    tape.status().quotes.received == sum(running.statistics().quotes_sent.values())
                )
            )
            frame = tape.quotes_frame("MES")
        status = tape.status()
    quotes = told.result()
    assert len(quotes) == status.quotes.accepted - before
    assert frame.schema == pl.Schema(QUOTE_SCHEMA)
    assert frame.height == 50
    latest = quotes[-50:]
    assert frame["bid"].to_list() == [quote.bid for quote in latest]
    assert frame["seq"].to_list() == [quote.seq for quote in latest]
    assert frame["volume"].to_list() == [quote.volume for quote in latest]
    assert status.feed.quotes_forgotten == status.quotes.accepted - 50
    kept = replay(tmp_path, ReplayOptions(calendar_by_name("24x7"), keep_quotes=True)).quote_rows
    assert kept is not None
    assert len(kept) == status.quotes.accepted
    assert kept.frame().select(list(QUOTE_SCHEMA)).tail(50).equals(frame)
