"""In which order the contracts of a gateway speak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.test_utils import make_mocked_request

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.feed import Feed
from tapekeeper.sim.history import History
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.pace import Pacer
from tapekeeper.sim.subscriptions import Stream, Subscriptions
from tapekeeper.sim.wire import MarketEvent, Print, Trades

PRINTS = (Print("1.00", 1, 0),)


def events(contract_id: str, *stamps: int) -> Iterator[MarketEvent]:
    """One print at each of these times."""
    return iter([Trades(contract_id, ts_ns, PRINTS) for ts_ns in stamps])


class Bench:
    """A feed at full speed with one listener that never reads, and what was sent to it."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.subscriptions = Subscriptions()
        self.listener = HubConnection(
            make_mocked_request("GET", "/"),
            HubLimits(),
            clock,
            lambda _connection, _call: None,
            self.subscriptions.remove_all,
        )
        self.feed = Feed(self.subscriptions)
        self.sent: list[tuple[str, int]] = []
        self.feed.taps.append(lambda event: self.sent.append((event.contract_id, event.ts_ns)))
        pacer = Pacer(clock, "max")
        for contract_id in ("a", "b", "c"):
            self.feed.open(contract_id, History(calendar_by_name("24x7")), pacer)

    def subscribe(self, contract_id: str) -> None:
        """The listener wants this contract's trades."""
        self.subscriptions.add(Stream.TRADES, contract_id, self.listener)


@pytest.mark.asyncio
async def test_contracts_share_one_order_of_time() -> None:
    """Without pauses no contract runs ahead of another, however few its ticks are."""
    bench = Bench()
    bench.subscribe("a")
    bench.subscribe("b")
    sources = {"a": events("a", 1, 2, 5, 6, 9), "b": events("b", 3, 6, 100)}
    await bench.feed.run_together(sources)
    assert bench.sent == [
        ("a", 1),
        ("a", 2),
        ("b", 3),
        ("a", 5),
        ("a", 6),
        ("b", 6),
        ("a", 9),
        ("b", 100),
    ]


@pytest.mark.asyncio
async def test_a_late_subscriber_catches_up_while_the_others_wait() -> None:
    """It gets its contract from the first tick on; a contract nobody wants stops nobody."""
    bench = Bench()
    bench.subscribe("a")

    def subscribe_in_the_middle(event: MarketEvent) -> None:
        if event.ts_ns == 20:
            bench.subscribe("b")

    bench.feed.taps.append(subscribe_in_the_middle)
    sources = {
        "a": events("a", 10, 20, 30),
        "b": events("b", 1, 2, 25, 40),
        "c": events("c", 5),
    }
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bench.feed.run_together(sources))
        while len(bench.sent) < 7:  # noqa: ASYNC110 - a tap is no event
            await asyncio.sleep(0)
        assert not running.done()
        assert bench.feed.trades_made["c"] == 0
        bench.subscribe("c")
    assert bench.sent == [
        ("a", 10),
        ("a", 20),
        ("b", 1),
        ("b", 2),
        ("b", 25),
        ("a", 30),
        ("b", 40),
        ("c", 5),
    ]


@pytest.mark.asyncio
async def test_ticks_wait_while_their_listener_is_away() -> None:
    """After a reconnection the feed goes on where it stopped."""
    bench = Bench()
    bench.subscribe("a")

    def go_away(event: MarketEvent) -> None:
        if event.ts_ns == 2:
            bench.subscriptions.remove_all(bench.listener)

    bench.feed.taps.append(go_away)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.feed.run_together({"a": events("a", 1, 2, 3)}))
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.sent == [("a", 1), ("a", 2)]
        bench.subscribe("a")
    assert bench.sent == [("a", 1), ("a", 2), ("a", 3)]
    assert bench.feed.trades_sent["a"] == 3
