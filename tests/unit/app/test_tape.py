"""The tape as a program uses it, against a simulated gateway on loopback."""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.files import FolderSegmentFile
from tapekeeper.app.config import Config, PoolConfig
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import (
    AuthError,
    InvocationError,
    JournalError,
    UnknownContractError,
    UsageError,
)
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.subscriptions import Stream

START_NS = 1_767_625_200_000_000_000
"""2026-01-05 15:00 UTC, a Monday morning in Chicago."""
CANARY = "test-canary-key-not-a-secret"


@asynccontextmanager
async def gateway(
    *, trades_max: int | None = None, trades_per_s: float = 4.0, api_key: str = TEST_API_KEY
) -> AsyncIterator[SimGateway]:
    """A market that waits for its subscriber and then plays as fast as it is read."""
    config = SimConfig(
        seed=7,
        speed="max",
        products=("MES", "MNQ"),
        start_ns=START_NS,
        trades_max=trades_max,
        trades_per_s=trades_per_s,
        api_key=Secret(api_key),
    )
    calendar = calendar_by_name("cme")
    async with SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar) as running:
        yield running


def config_for(urls: SimUrls, folder: Path, *, api_key: str = TEST_API_KEY) -> Config:
    """A configuration that comes back quickly and keeps every bar."""
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": TEST_USER,
                "api_key": api_key,
            },
            "journal": {"dir": str(folder)},
            "line": {"backoff_base_ms": 10, "backoff_cap_ms": 20},
            "bars": {"keep": 1_000_000},
            "log": {"level": "debug"},
        }
    )


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, at most a minute."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - counters have no event
            await asyncio.sleep(0)


def repeated(folder: Path, tape: Tape) -> None:
    """The journal is whole, and gives the bars and counts of the tape that wrote it."""
    again = replay(folder, ReplayOptions(calendar_by_name("24x7")))
    assert again.problems == []
    assert again.harmless == []
    assert again.bars == tape.result().bars
    assert again.trades == tape.status().trades
    assert tape.status().holds


@pytest.mark.asyncio
async def test_the_status_says_what_each_line_brought(tmp_path: Path) -> None:
    """Two lines bring the same prints; the tallies tell by connection what the totals hold."""
    async with gateway(trades_max=1_000) as running:
        config = config_for(running.urls, tmp_path)
        tape = Tape(config.model_copy(update={"pool": PoolConfig(redundancy=2)}))
        async with tape:
            await until(lambda: [line.state for line in tape.status().lines[:2]] == ["live"] * 2)
            await tape.subscribe("MES", ["1s"])
            await until(lambda: tape.status().trades.accepted == 1_000)
            await until(lambda: tape.status().trades.duplicate > 0)
        status = tape.status()
    assert {tally.line for tally in status.tallies} == {
        line.connection for line in status.lines if line.name == "market"
    }
    assert sum(tally.rows for tally in status.tallies) == status.trades.received
    assert sum(tally.first for tally in status.tallies) == status.trades.accepted
    assert sum(tally.duplicates for tally in status.tallies) == status.trades.duplicate
    assert status.arbiter.contracts_counted == 1
    assert status.arbiter.keys > 0


# -- one wish after another -----------------------------------------------------------------------


@pytest.mark.asyncio
async def test_callers_who_want_the_same_contract_all_get_it(tmp_path: Path) -> None:
    """At the same time, with other timeframes each: the contract has them all."""
    async with gateway(trades_max=100) as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            wanted = [["1s"], ["1m"], ["1s", "5s"]]
            got = await asyncio.gather(*(tape.subscribe("MES", each) for each in wanted))
            assert len({each.contract_id for each in got}) == 1
            for timeframe in ("1s", "5s", "1m"):
                tape.bars("MES", timeframe)
            await until(lambda: tape.status().trades.received == 100)
        repeated(tmp_path, tape)
        assert tape.status().rejected == {}


@pytest.mark.asyncio
async def test_giving_up_takes_nothing_from_another_caller(tmp_path: Path) -> None:
    """One of two callers is cancelled at every moment of its call; the other one has its data."""
    async with gateway(trades_max=100_000) as running:
        for turns in itertools.count():
            tape = Tape(config_for(running.urls, tmp_path / str(turns)))
            async with tape:
                tasks = await _both(tape, turns)
                was_cancelled = tasks[0].cancelled()
                await until(lambda: tape.last_trade("MES") is not None)  # noqa: B023 - at once
                assert tape.status().rejected == {}
            if not was_cancelled:
                break
        assert turns > 10  # the call has so many moments that the loop above means something


async def _both(tape: Tape, turns: int) -> list[asyncio.Task[Instrument]]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(tape.subscribe("MES", [name])) for name in ("1s", "1m")]
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks[0].cancel()
    return tasks


@pytest.mark.asyncio
async def test_a_subscription_that_was_given_up_is_undone(tmp_path: Path) -> None:
    """Neither the gateway sends for it, nor does the pipeline refuse what was sent."""
    async with gateway() as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            async with asyncio.TaskGroup() as group:
                call = group.create_task(tape.subscribe("MES"))
                await until(lambda: bool(tape.status().lines[0].subscriptions))
                call.cancel()
            assert call.cancelled()
            assert tape.status().lines[0].subscriptions == 0
            with pytest.raises(UnknownContractError, match="not subscribed"):
                tape.bars("MES", "1s")
            # An answer to a later call says that all calls before it were dealt with.
            await tape.subscribe("MNQ")
            sent = running.statistics().trades_sent.get("CON.F.US.MES.H26", 0)
            await until(lambda: tape.last_trade("MNQ") is not None)
            assert running.statistics().trades_sent.get("CON.F.US.MES.H26", 0) == sent


@pytest.mark.asyncio
async def test_what_is_unsubscribed_is_gone_and_can_come_back(tmp_path: Path) -> None:
    """Nothing is counted against it meanwhile, and its bars go on where they were."""
    async with gateway() as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            for wish in range(3):
                await tape.subscribe("MES", ["1s", "1m"][: 1 + wish])
                before = tape.status().trades.accepted
                await until(lambda: tape.status().trades.accepted > before + 50)  # noqa: B023 - called within the round
                await tape.unsubscribe("MES")
                with pytest.raises(UnknownContractError):
                    await tape.unsubscribe("MES")
        repeated(tmp_path, tape)
        assert tape.status().rejected == {}


@pytest.mark.asyncio
async def test_who_leaves_takes_nothing_from_who_stays(tmp_path: Path) -> None:
    """Two parts of a program follow one contract: it is undone when the second one has left."""
    async with gateway() as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            contract_id = (await tape.subscribe("MES", ["1s"])).contract_id
            await tape.subscribe("MES", ["1m"])
            await tape.unsubscribe("MES")
            before = tape.status().trades.accepted
            await until(lambda: tape.status().trades.accepted > before + 50)
            assert [each.contract_id for each in tape.instruments()] == [contract_id]
            await tape.unsubscribe("MES")
            assert not running.delivers(Stream.TRADES, contract_id)
            assert tape.instruments() == []
            with pytest.raises(UnknownContractError, match="not subscribed"):
                await tape.unsubscribe("MES")
        repeated(tmp_path, tape)
        assert tape.status().rejected == {}


@pytest.mark.asyncio
async def test_a_refused_unsubscription_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway's answer is told, and the contract is not followed any more nevertheless."""
    async with gateway() as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            await tape.subscribe("MES")
            line = tape._running().market
            unsubscribe = line.unsubscribe

            async def refuse(call: HubCall, undo: HubCall, holder: str) -> None:
                await unsubscribe(call, undo, holder)
                raise InvocationError(f"the hub refused {undo}")

            monkeypatch.setattr(line, "unsubscribe", refuse)
            with pytest.raises(InvocationError, match="UnsubscribeContractTrades"):
                await tape.unsubscribe("MES")
            assert tape.instruments() == []
            assert tape.status().lines[0].subscriptions == 0


# -- beginning and end ----------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_stopped_tape_can_be_read_but_not_used(tmp_path: Path) -> None:
    """Its bars and counters stay; what would act on it is refused with a reason."""
    async with gateway(trades_max=200) as running:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            await tape.subscribe("MES", ["1s"])
            await until(lambda: tape.status().trades.received == 200)
        assert tape.frame("MES", "1s")["n"].sum() == 200
        assert tape.forming("MES", "1s") is not None
        assert [bar async for bar in tape.bars("MES", "1s")] == []
        with pytest.raises(UsageError, match="has stopped"):
            await tape.subscribe("MNQ")
        with pytest.raises(UsageError, match="has stopped"):
            await tape.unsubscribe("MES")


@pytest.mark.asyncio
async def test_a_tape_begins_anew_after_its_end_but_not_within(tmp_path: Path) -> None:
    """Entered twice at once it refuses; entered again it knows nothing of the first time."""
    async with gateway() as running, AsyncExitStack() as again:
        tape = Tape(config_for(running.urls, tmp_path))
        async with tape:
            await tape.subscribe("MES")
            with pytest.raises(UsageError, match="running already"):
                await again.enter_async_context(tape)
        async with tape:
            with pytest.raises(UnknownContractError, match="not subscribed"):
                tape.frame("MES", "1s")


@pytest.mark.asyncio
async def test_cancelled_at_any_moment_it_leaves_nothing_behind(tmp_path: Path) -> None:
    """While it logs in, connects, subscribes or stops: tasks end and the journal is sealed."""
    async with gateway() as running:
        reached = ""

        async def use(tape: Tape) -> None:
            nonlocal reached
            reached = "entering"
            async with tape:
                reached = "subscribing"
                await tape.subscribe("MES", ["1s"])
                reached = "leaving"
            reached = "left"

        seen = set()
        for turns in itertools.count(1, 3):
            folder = tmp_path / str(turns)
            tape = Tape(config_for(running.urls, folder))
            await _cancelled_after(turns, use(tape))
            seen.add(reached)
            if any(folder.glob("*.tkj")):
                again = replay(folder, ReplayOptions(calendar_by_name("24x7")))
                assert (again.problems, again.harmless) == ([], [])
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert not names & {"feed", "timer", "line market", "line user"}
            if reached == "left":
                break
        assert seen == {"entering", "subscribing", "leaving", "left"}


async def _cancelled_after(turns: int, work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()


@pytest.mark.asyncio
async def test_a_disk_that_refuses_ends_the_block_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits in the block learns it, as the error itself; what was read is on the disk."""

    def refuse(file: FolderSegmentFile, data: bytes) -> None:
        raise JournalError(f"cannot write {len(data)} bytes: no space left on the device")

    async with gateway() as running:
        tape = Tape(config_for(running.urls, tmp_path))

        async def use() -> None:
            async with tape:
                await tape.subscribe("MES", ["1s"])
                async for _ in tape.bars("MES", "1s"):
                    monkeypatch.setattr(FolderSegmentFile, "append", refuse)

        with pytest.raises(JournalError, match="no space left"):
            await use()
        monkeypatch.undo()
        again = replay(tmp_path, ReplayOptions(calendar_by_name("24x7")))
        assert again.trades == tape.status().trades
        assert again.problems == []


# -- secrets --------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_no_failure_shows_the_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in errors, tracebacks, representations, logs or the journal."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    async with gateway(api_key=CANARY) as running:
        config = config_for(running.urls, tmp_path / "good", api_key=CANARY)
        tape = Tape(config)
        async with tape:
            await tape.subscribe("MES")
            running.faults.refuse(Door.UPGRADE, 1, 401)
            running.faults.drop_all()
            await until(lambda: tape.status().token.tokens == 2)
            await until(lambda: all(line.state == "live" for line in tape.status().lines))
            shown += [repr(tape.__dict__), repr(tape.status()), repr(config), repr(tape)]
        for door in (Door.LOGIN, Door.REST):
            running.faults.refuse(door, 2, 401)
            shown.append(await _failure(Tape(config)))
        wrong = config_for(running.urls, tmp_path / "wrong", api_key=f"{CANARY}-2")
        shown.append(await _failure(Tape(wrong)))
    output = capfd.readouterr()
    shown += [caplog.text, output.out, output.err]
    shown += _contents(tmp_path)
    assert "the gateway refused" in "".join(shown)
    assert not any(CANARY in text for text in shown)


def _contents(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


async def _failure(tape: Tape) -> str:
    """What a program prints of a tape that cannot be entered."""
    async with AsyncExitStack() as stack:
        with pytest.raises(AuthError) as caught:
            await stack.enter_async_context(tape)
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value)
