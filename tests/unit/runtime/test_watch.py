"""The watch tells what froze, asks for what can mend it, and measures the loop, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from tapekeeper.core.brought import Brought
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.freshness import FreshnessPolicy, Stream, StreamState
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.runtime.watch import Watch
from tapekeeper.runtime.watch_values import LineLack, StreamChange
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

MES, MNQ = "CON.F.US.MES.H26", "CON.F.US.MNQ.H26"
_TRADES = HubCall("SubscribeContractTrades", (MES,))


class _Setting:
    """A watch on two contracts, the pipeline it reads and the pool it asks."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.live = True
        self.brought = Brought()
        self.lines: tuple[int, ...] = (1,)
        self.volumes = False  # whether quotes carry a volume that grows
        self.told: list[StreamChange] = []
        self.stopped: dict[tuple[HubCall, int | None], str] = {}
        self.asked: list[HubCall] = []
        self.asked_on: list[int | None] = []
        self.replaced: list[int | None] = []
        self.returns: list[str] = []
        self.handovers: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._seq = 0
        self._trades: dict[str, Trade] = {}
        self._quotes: dict[str, Quote] = {}
        self._depths: dict[str, int] = {}
        self.watch = Watch(
            policy=FreshnessPolicy(),
            newest=self,
            brought=self.brought,
            mender=self,
            clock=clock,
            log=self.log,
            tell=self.told.append,
        )
        for contract_id in (MES, MNQ):
            self.watch.follow(contract_id, calendar_by_name("cme"))

    def log(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def last_trade(self, contract_id: str) -> Trade | None:
        return self._trades.get(contract_id)

    def quote(self, contract_id: str) -> Quote | None:
        return self._quotes.get(contract_id)

    def depth_seq(self, contract_id: str) -> int | None:
        return self._depths.get(contract_id)

    def delivering(self) -> tuple[int, ...]:
        return self.lines if self.live else ()

    def stream_stopped(
        self, call: HubCall, *, since_ns: int, why: str, connection: int | None = None
    ) -> None:
        assert since_ns < self.clock.now_ns()
        self.stopped[call, connection] = why

    def stream_flows(self, call: HubCall, connection: int | None = None) -> None:
        self.stopped.pop((call, connection), None)

    def ask_again(self, call: HubCall, connection: int | None = None) -> None:
        self.asked.append(call)
        self.asked_on.append(connection)

    def request_handover(self, reason: str, *, connection: int | None = None) -> None:
        self.handovers.append(reason)
        self.replaced.append(connection)

    def data_returned(self, reason: str) -> None:
        self.returns.append(reason)

    async def pass_time(
        self,
        length_s: int,
        *,
        frozen: frozenset[tuple[str, Stream]],
        lacking: frozenset[int] = frozenset(),
    ) -> None:
        """Let time pass; every stream that is not frozen has a tick each second.

        The lines that are `lacking` do not bring the trades of MES.
        """
        for _ in range(length_s):
            await self.clock.sleep_s(1.0)
            self._seq += 1
            now_ns = self.clock.now_ns()
            for line in self.lines:
                trades = {c for c in (MES, MNQ) if (c, Stream.TRADES) not in frozen}
                if line in lacking:
                    trades -= {MES}
                quotes = [c for c in (MES, MNQ) if (c, Stream.QUOTES) not in frozen]
                self.brought.note(line, trades, quotes)
            for contract_id in (MES, MNQ):
                if (contract_id, Stream.TRADES) not in frozen:
                    trade = Trade(contract_id, now_ns, 1.0, 1, 0, now_ns, self._seq)
                    self._trades[contract_id] = trade
                if (contract_id, Stream.DEPTH) not in frozen:
                    self._depths[contract_id] = self._seq
                if (contract_id, Stream.QUOTES) not in frozen:
                    volume = self._seq if self.volumes else None
                    self._quotes[contract_id] = Quote(
                        contract_id, now_ns, now_ns, self._seq, volume=volume
                    )


def _watched(work: Any) -> _Setting:
    async def main(clock: VirtualClock) -> _Setting:
        setting = _Setting(clock)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(setting.watch.run())
            await work(setting)
            watching.cancel()
        return setting

    return run_virtual(main)


def test_one_frozen_stream_is_told_asked_again_and_then_its_line_replaced() -> None:
    """The quotes of one contract stop; the other three streams are left alone."""

    async def work(setting: _Setting) -> None:
        await setting.pass_time(1_800, frozen=frozenset())
        assert setting.events == []
        await setting.pass_time(70, frozen=frozenset({(MES, Stream.QUOTES)}))
        assert setting.asked == [HubCall("SubscribeContractQuotes", (MES,))]
        assert setting.handovers == []
        await setting.pass_time(30, frozen=frozenset({(MES, Stream.QUOTES)}))
        assert setting.handovers == [f"no quotes of {MES}"]
        await setting.pass_time(10, frozen=frozenset())

    setting = _watched(work)
    assert [event for event, _ in setting.events] == ["stream_stale", "stream_fresh"]
    (_, stale), (_, fresh) = setting.events
    assert (stale["contract"], stale["stream"], stale["level"]) == (MES, "quotes", "warning")
    assert stale["threshold_s"] == 60
    assert fresh["reason"] == "data"
    assert setting.returns == ["every stream brings data again"]
    status = setting.watch.status()
    assert (status.resubscribed, status.handovers) == (1, 1)
    assert [stream.stales for stream in status.streams] == [0, 1, 0, 0]


def test_depth_is_judged_only_where_it_is_followed() -> None:
    """Its silence is asked about like any other's; a contract without it is not expected to."""

    async def work(setting: _Setting) -> None:
        setting.watch.follow(MES, calendar_by_name("cme"), depth=True)
        await setting.pass_time(1_800, frozen=frozenset())
        assert setting.events == []
        await setting.pass_time(110, frozen=frozenset({(MES, Stream.DEPTH), (MNQ, Stream.DEPTH)}))

    setting = _watched(work)
    assert setting.asked == [HubCall("SubscribeContractMarketDepth", (MES,))]
    assert setting.handovers == [f"no depth of {MES}"]
    streams = [(each.contract_id, each.stream) for each in setting.watch.status().streams]
    assert (MES, Stream.DEPTH) in streams
    assert (MNQ, Stream.DEPTH) not in streams


def test_many_frozen_streams_ask_for_one_new_line() -> None:
    """Each is asked again; one hand-over is requested for all of them, with some of their names."""
    everything = frozenset((c, s) for c in (MES, MNQ) for s in Stream)

    async def work(setting: _Setting) -> None:
        await setting.pass_time(1_800, frozen=frozenset())
        await setting.pass_time(110, frozen=everything)

    setting = _watched(work)
    assert len(setting.asked) == 4
    assert setting.handovers == [f"no trades of {MES}, quotes of {MES}, trades of {MNQ} and 1 more"]


def test_without_a_live_line_nothing_is_asked_for() -> None:
    """A pool that is down knows it."""

    async def work(setting: _Setting) -> None:
        await setting.pass_time(1_800, frozen=frozenset())
        setting.live = False
        await setting.pass_time(3_600, frozen=frozenset((c, s) for c in (MES, MNQ) for s in Stream))

    setting = _watched(work)
    assert (setting.events, setting.asked, setting.handovers) == ([], [], [])
    assert {stream.state for stream in setting.watch.status().streams} == {StreamState.RESTING}


def test_what_is_forgotten_may_be_silent() -> None:
    """An unsubscribed contract is not looked at any more."""

    async def work(setting: _Setting) -> None:
        await setting.pass_time(1_800, frozen=frozenset())
        setting.watch.forget(MNQ)
        await setting.pass_time(200, frozen=frozenset({(MNQ, Stream.TRADES), (MNQ, Stream.QUOTES)}))

    setting = _watched(work)
    assert setting.events == []
    assert {stream.contract_id for stream in setting.watch.status().streams} == {MES}


def test_what_one_of_two_lines_lacks_is_told_and_mended_on_that_line() -> None:
    """The tape has all of it, so nothing else would show that one line is of no use."""

    async def work(setting: _Setting) -> None:
        setting.lines = (1, 2)
        await setting.pass_time(1_800, frozen=frozenset())
        await setting.pass_time(65, frozen=frozenset(), lacking=frozenset({2}))
        assert setting.asked_on == [2]
        assert list(setting.stopped) == [(_TRADES, 2)]
        assert setting.watch.status().lacking == (LineLack(2, MES, Stream.TRADES),)
        assert setting.handovers == []
        await setting.pass_time(30, frozen=frozenset(), lacking=frozenset({2}))
        assert setting.handovers == [f"no trades of {MES} by connection 2"]
        assert setting.replaced == [2]
        await setting.pass_time(3, frozen=frozenset())
        assert (setting.stopped, setting.watch.status().lacking) == ({}, ())

    setting = _watched(work)
    assert [event for event, _ in setting.events] == ["stream_stale", "stream_fresh"]
    assert [fields["connection"] for _, fields in setting.events] == [2, 2]
    assert [(change.after.value, change.connection) for change in setting.told] == [
        ("stale", 2),
        ("fresh", 2),
    ]


def test_trades_that_are_dead_from_the_start_are_found_by_the_volume() -> None:
    """Their rate was never known; within two minutes they are asked for, and their line goes."""
    frozen = frozenset({(MES, Stream.TRADES)})

    async def work(setting: _Setting) -> None:
        setting.volumes = True
        await setting.pass_time(75, frozen=frozen)
        assert setting.asked == [_TRADES]
        assert list(setting.stopped) == [(_TRADES, None)]
        await setting.pass_time(30, frozen=frozen)

    setting = _watched(work)
    assert setting.handovers == [f"no trades of {MES}"]
    (stale,) = setting.told
    assert stale.reason == f"no trades of {MES}, although its volume grows"


def test_a_contract_that_nobody_trades_is_shown_and_nothing_else() -> None:
    """Half an hour without a trade or a volume is no proof of anything."""
    frozen = frozenset((c, Stream.TRADES) for c in (MES, MNQ))

    async def work(setting: _Setting) -> None:
        await setting.pass_time(3_600, frozen=frozen)

    setting = _watched(work)
    assert [change.after for change in setting.told] == [StreamState.STALE] * 2
    assert (setting.stopped, setting.handovers) == ({}, [])
