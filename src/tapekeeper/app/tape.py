"""The tape as a program sees it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import polars as pl

from tapekeeper.adapters.given_tokens import TokenCallable
from tapekeeper.app.archive.background import Archiving
from tapekeeper.app.archive.live import LiveHistory
from tapekeeper.app.asking import (
    DEPTH_STREAM,
    MARKET_STREAMS,
    ask,
    calls,
    connect,
    follow_accounts,
    streams,
)
from tapekeeper.app.compose import Parts, compose
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.continuous import Continuous, Reading, continuous_of_feed
from tapekeeper.app.frames import bars_frame, gaps_frame, quotes_frame
from tapekeeper.app.outside import Outside, real_outside
from tapekeeper.app.queue_wishes import Latest, Lossy, Wanted, Whole, queue_policy
from tapekeeper.app.replay import ReplayResult, result_of
from tapekeeper.app.start import Patience, StartMode
from tapekeeper.app.tape_status import TapeStatus, status_of
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.core.gateway.user import UserEvent
from tapekeeper.core.hot import TradeView
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.validate import Flagged, Quarantined
from tapekeeper.errors import OutsideError, UnknownContractError, UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import BookSnapshot, DepthUpdate
from tapekeeper.model.gap import Gap
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, size_of, sizes_of
from tapekeeper.model.queue import Conflated, QueuePolicy, Shed
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.runtime.history import WarmUp
from tapekeeper.runtime.queue_kinds import TapeChange

_DEPTH_HOLDER = "depth"
"""Depth is held for a contract as a whole, because who takes a call back does not say which."""


class Tape:
    """A realtime feed of one gateway: live bars, journalled, by contract and timeframe.

    Use it as an async context manager. Entering logs in and starts the connections; leaving
    stops them in order and seals the journal. If a part fails for good, the block is cancelled
    and the reason is raised from it.

    With `start="wait"` entering starts everything and returns at once, `subscribe` takes as long
    as the gateway is away, and `status` tells what is waited for. What a retry cannot mend is
    still an error at once: a refused key, for example, ends the block.

    Args:
        config: a `Config`, the path of a TOML file, or a mapping in its shape. The environment
            (`TAPEKEEPER_...`) is laid over the latter two.
        tokens: a function that returns a valid token (text or `Secret`), instead of a login with
            a user name and an API key. A coroutine function is awaited; a plain one is called in
            a thread, so that it may block. It is asked before a token ends by its own `exp`, and
            after one was refused. It has 40 s; a call that takes longer is left behind, and is
            followed by another one, so it must bear to be called while an old call hangs.
        start: whether a start whose gateway cannot be reached fails at a deadline, as a program
            wants that somebody looks at, or waits, as one that must run unattended.
        outside: time, chance, disk, network and log, for simulations; None means the real ones.

    Raises:
        ConfigError: the configuration is wrong.
    """

    def __init__(
        self,
        config: Config | Path | str | Mapping[str, Any],
        *,
        tokens: TokenCallable | None = None,
        start: StartMode = "fail",
        outside: Outside | None = None,
    ) -> None:
        self._config = load_config(config)
        self._outside = outside
        self._given = tokens
        self._start = start
        self._patiently: Patience  # set when it starts
        self._parts: Parts | None = None
        self._entered = False
        self._wanted: dict[str, Instrument] = {}
        self._deep: set[str] = set()  # of the wanted, those whose depth is wanted, too
        self._holders: dict[str, list[str]] = {}  # of each contract that is wanted
        self._holders_made = count(1)
        self._turns: dict[str, asyncio.Lock] = {}
        self._callers: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        """Log in and connect; with `start="wait"`, begin to.

        Raises:
            UsageError: this tape is running already.
            AuthError: the credentials were refused.
            OutsideError: the gateway or its user hub cannot be reached, or refused the accounts.
                With `start="wait"` this and the one before end the block instead.
            JournalError: the journal cannot be written, or another process writes it.
        """
        if self._entered:
            raise UsageError("this tape is running already: make another one")
        self._entered = True
        self._wanted.clear()
        self._holders.clear()
        self._deep.clear()
        try:
            self._parts = await self._started()
        except BaseException:
            self._entered = False
            raise
        return self

    async def _started(self) -> Parts:
        outside = self._outside or real_outside()
        parts = await compose(self._config, self._given, outside)
        patiently = self._patiently = Patience(
            self._start, clock=outside.clock, random=outside.random, log=parts.log
        )
        waits = self._start == "wait"
        try:
            parts.recover()
            accounts = [] if waits else await parts.log_in()
            await parts.supervisor.start()
        except BaseException:
            await parts.abandon()
            raise
        if waits:
            parts.supervisor.beside(connect(parts, patiently), "start")
            return parts
        try:
            await follow_accounts(parts, accounts, patiently)
        except BaseException as error:
            await _stop(parts, error)
            raise
        return parts

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop in order and seal the journal.

        What the block ended with comes out of it as it is.

        Raises:
            TapekeeperError: what made a part fail, if that is why the block ended.
            BaseExceptionGroup: a bug in a part, or several failures at once.
        """
        parts = self._running()
        self._entered = False
        await _stop(parts, error)

    # -- what is wanted ----------------------------------------------------------------------

    async def subscribe(
        self,
        contract: str,
        timeframes: Iterable[str | BarSize] | None = None,
        *,
        depth: bool = False,
        lateness_ms: int | None = None,
    ) -> Instrument:
        """Follow a contract; when this returns, the gateway has confirmed it.

        Every call counts: several parts of a program may follow the same contract, and it is
        followed until each has taken its call back by `unsubscribe`.

        A gateway that takes the call and never answers it leaves the subscription unconfirmed
        until its first data: that is logged and part of the status, and no error. With
        `start="wait"` a gateway that is away is waited for, however long that takes.

        Args:
            contract: a contract id, a name such as `MESZ6`, or a product such as `MES` for its
                front contract.
            timeframes: such as `["1s", "1m", "500tick"]`; None means those of the configuration.
                More can be added by calling again.
            depth: whether its order book is wanted, too; see `book`. It can be added by calling
                again, and ends with the subscription.
            lateness_ms: by how much a print may be behind the latest one before its bar is closed
                without it; None means that of the configuration. The first caller decides.

        Raises:
            UnknownContractError: no contract, or more than one, matches.
            UsageError: a timeframe is unknown, or a measure needs what the gateway does not tell
                of the contract, or the lateness is negative.
            InvocationError: the gateway refused the subscription.
            DeadlineError: it did not answer in time.
        """
        parts = self._live()
        wanted = sizes_of(timeframes) or self._config.bars.timeframes
        instrument = await self._patiently(
            lambda: self._live().resolve(contract), f"looking {contract} up"
        )
        subscription = Subscription(
            instrument,
            wanted,
            parts.calendar_of(instrument.calendar),
            depth,
            self._config.bars.policy(lateness_ms),
            self._config.validation.policy(instrument),
        )
        contract_id = instrument.contract_id
        holder = f"caller {next(self._holders_made)}"
        with self._calling(contract_id) as others:
            try:
                await self._patiently(
                    partial(self._follow, subscription, holder, count()),
                    str(calls(MARKET_STREAMS[0], contract_id)[0]),
                )
            except BaseException:
                alone = contract_id not in self._wanted and not others()
                self._give_up(parts, contract_id, holder, last=alone)
                if depth and contract_id not in self._deep and self._entered and not others():
                    parts.market.forget(*calls(DEPTH_STREAM, contract_id), _DEPTH_HOLDER)
                raise
        return instrument

    async def _follow(self, wanted: Subscription, holder: str, earlier: Iterator[int]) -> None:
        """Try once to follow a contract, in turn with others; what was asked stays wanted.

        Args:
            wanted: of the contract.
            holder: who wants it.
            earlier: counts the tries.
        """
        contract_id = wanted.instrument.contract_id
        async with self._turn(contract_id):
            parts = self._live()
            # The pipeline first: a print may arrive before the completion of the call. Between two
            # tries another caller may have been the last to hold the contract, and left it.
            if not next(earlier) or not _holds(parts.feed.subscription(contract_id), wanted):
                parts.feed.subscribe(wanted)
                parts.gaps.follow(contract_id)
            for stream in streams(depth=wanted.depth):
                call, undo = calls(stream, contract_id)
                who = _DEPTH_HOLDER if stream == DEPTH_STREAM else holder
                await ask(parts.market, call, holder=who, undo=undo)
            parts.gaps.followed(contract_id)
            self._wanted[contract_id] = wanted.instrument
            self._holders.setdefault(contract_id, []).append(holder)
            if wanted.depth:
                self._deep.add(contract_id)
            parts.watch.follow(contract_id, wanted.calendar, depth=wanted.depth)

    async def unsubscribe(self, contract: str) -> None:
        """Take one `subscribe` back; with the last one the contract is followed no more.

        Its bars so far stay readable until the tape stops.

        Raises:
            UnknownContractError: it is not subscribed.
            InvocationError, DeadlineError: the gateway refused, or did not answer. The call is
                taken back nevertheless.
        """
        contract_id = self.instrument(contract).contract_id
        with self._calling(contract_id):
            await self._take_back(contract_id)

    async def _take_back(self, contract_id: str) -> None:
        async with self._turn(contract_id):
            parts = self._live()
            self.instrument(contract_id)
            holders = self._holders[contract_id]
            holder = holders.pop()
            if holders:
                # Nothing is to be undone while another one holds it.
                self._give_up(parts, contract_id, holder, last=False)
                return
            await self._leave(parts, contract_id, holder)

    async def _leave(self, parts: Parts, contract_id: str, holder: str) -> None:
        """Stop following a contract that nobody else holds."""
        failures: list[OutsideError] = []
        try:
            for stream in streams(depth=contract_id in self._deep):
                who = _DEPTH_HOLDER if stream == DEPTH_STREAM else holder
                try:
                    await parts.market.unsubscribe(*calls(stream, contract_id), who)
                except OutsideError as error:
                    failures.append(error)
            parts.unfollow(contract_id)
        except BaseException:
            self._give_up(parts, contract_id, holder, last=True)
            raise
        finally:
            del self._wanted[contract_id], self._holders[contract_id]
            self._deep.discard(contract_id)
            parts.watch.forget(contract_id)
        if failures:
            raise failures[0]

    def _give_up(self, parts: Parts, contract_id: str, holder: str, *, last: bool) -> None:
        """Forget what a caller holds of a contract, at once.

        With the `last` caller on both ends, so that no print comes that nobody asked for.
        """
        if not self._entered:
            return  # the journal is being sealed, and nothing comes any more
        for stream in MARKET_STREAMS:
            parts.market.forget(*calls(stream, contract_id), holder)
        if last:
            parts.market.forget(*calls(DEPTH_STREAM, contract_id), _DEPTH_HOLDER)
            parts.unfollow(contract_id)

    @contextmanager
    def _calling(self, contract_id: str) -> Iterator[Callable[[], bool]]:
        """Says who wants something of a contract, also while they wait for the gateway.

        Gives a function that says whether somebody else does.
        """
        self._callers[contract_id] += 1
        try:
            yield lambda: self._callers[contract_id] > 1
        finally:
            self._callers[contract_id] -= 1

    def _turn(self, contract_id: str) -> asyncio.Lock:
        """Orders what callers want of one contract, so that its streams and bars stay of one mind.

        Nothing on the way of the data takes it, and all that is awaited under it has deadlines:
        who waits for a gateway to come back takes it for each try.
        """
        # bound: contracts that the gateway has confirmed to exist
        return self._turns.setdefault(contract_id, asyncio.Lock())

    # -- what can be read ----------------------------------------------------------------------

    def instrument(self, contract: str) -> Instrument:
        """The subscribed instrument that `contract` names.

        Raises:
            UnknownContractError: it is not subscribed.
        """
        try:
            return match_contract(contract, list(self._wanted.values()))
        except UnknownContractError as error:
            raise UnknownContractError(
                f"{contract} is not subscribed: subscribe to it first"
            ) from error

    def instruments(self) -> list[Instrument]:
        """Every subscribed contract, in order of subscription."""
        return list(self._wanted.values())

    @overload
    def bars(
        self, contract: str, timeframe: str | BarSize, *, on_full: Whole | None = None
    ) -> AsyncIterator[Bar]: ...
    @overload
    def bars(
        self, contract: str, timeframe: str | BarSize, *, on_full: Lossy | QueuePolicy
    ) -> AsyncIterator[Bar | Shed]: ...
    def bars(
        self, contract: str, timeframe: str | BarSize, *, on_full: Wanted = None
    ) -> AsyncIterator[Any]:
        """Closed bars of a contract and timeframe, from this call on, until the tape stops.

        Args:
            contract: a subscribed one.
            timeframe: one that it was subscribed with.
            on_full: what becomes of bars that do not fit into the queue of this reader: the name
                of an `OnFull`, or a `QueuePolicy`; None leaves that to the configuration. With
                `shed` a `Shed` stands for what was given up.

        Raises:
            UsageError: there is no such timeframe, or no such policy for bars.
            FellBehindError: (while iterating) the reader did not keep up.
        """
        key = self._key(contract, timeframe)
        return self._running().feed.dispatch.bars(key[0], str(key[1]), queue_policy(on_full))

    @overload
    def user_events(self, *, on_full: Whole | None = None) -> AsyncIterator[UserEvent]: ...
    @overload
    def user_events(self, *, on_full: Lossy | QueuePolicy) -> AsyncIterator[UserEvent | Shed]: ...
    def user_events(self, *, on_full: Wanted = None) -> AsyncIterator[Any]:
        """Account, order, position and fill updates, from this call on, until the tape stops.

        Args:
            on_full: as in `bars`.
        """
        return self._running().feed.dispatch.user(queue_policy(on_full))

    def transitions(self) -> AsyncIterator[TapeChange]:
        """What the tape tells of itself, from this call on, until it has stopped.

        Every transition of a line (`Transition`), of the health of a hub or of the whole, which
        is called `tape` (`HealthChange`), of a stream (`StreamChange`), of a queue (`QueueChange`)
        and of limits that adapt (`LimitsChange`), in the order in which they happen, and exactly
        those that the log shows as `line_state`, `pool_health`, `tape_health`, `stream_stale`,
        `stream_fresh`, `queue_high`, `queue_low` and `limits_changed`. The last are those of the
        stop.

        Raises (while iterating):
            FellBehindError: the reader did not keep up.
        """
        return self._running().feed.dispatch.changes()

    def frame(self, contract: str, timeframe: str | BarSize) -> pl.DataFrame:
        """The recent closed bars and the forming one, built when asked; see `bars_frame`."""
        contract_id, wanted = self._key(contract, timeframe)
        feed = self._running().feed
        forming = feed.pipeline.forming(contract_id, wanted)
        closed = feed.recent.of(contract_id, str(wanted))
        rows = closed if forming is None else (*closed, forming)
        return bars_frame(rows, {contract_id: self._wanted[contract_id].name})

    @property
    def history(self) -> LiveHistory:
        """Everything there ever was of a contract, to be called; see `LiveHistory.__call__`."""
        return self._running().past

    def trades(self, contract: str) -> list[TradeView]:
        """The recent trades of a contract as columns in memory, oldest first; nothing is copied.

        The latest `trades.keep_mb` of all contracts, in order of arrival; `history` has all.

        Raises:
            UsageError: none are kept (`trades.keep_mb` is 0).
        """
        if not self._config.trades.keep_mb:
            raise UsageError("no trades are kept in memory: set trades.keep_mb, or ask `history`")
        return self._running().hot.views(self.instrument(contract).contract_id)

    @property
    def archiving(self) -> Archiving | None:
        """What archives beside the tape, to be paused and resumed; None where it is turned off."""
        return self._running().archiving

    def continuous(
        self,
        product: str,
        timeframe: str | BarSize,
        *,
        roll: str = "volume",
        adjust: str = "none",
        last_trading_days: Mapping[str, dt.date] | None = None,
    ) -> Continuous:
        """The front contracts of a product as one series, of the recent bars; see `Reading`.

        Raises:
            UnknownContractError: no contract of it was subscribed, or they do not expire.
            UsageError: what is wanted cannot be, or a roll cannot be measured.
        """
        expiries = self._config.calendar.expiry
        reading = Reading(product, timeframe, roll, adjust, last_trading_days, expiries)
        parts = self._running()
        return continuous_of_feed(parts.feed, parts.calendar_of, reading)

    def ready(self, contract: str, timeframe: str | BarSize) -> bool:
        """Whether nothing more of the past is to come into the frame of a timeframe.

        The bars before the subscription are there, as far as the gateway's history reaches and
        `history.warm_up_bars` wants them, and so is the beginning of the bar that forms; or nobody
        asks for any, because that is turned off, or because prints end its bars (`500tick`), and
        then there is nothing to ask for.
        """
        return self._warm_up(contract, timeframe) in {WarmUp.READY, WarmUp.OFF}

    async def wait_ready(self, contract: str, timeframe: str | BarSize) -> WarmUp:
        """Wait until the bars before the subscription are there, or cannot be had.

        The second is `WarmUp.SHORT`: why is in the `note` of the contract's gap of cause `start`,
        or the tape has stopped.
        """
        contract_id, wanted = self._key(contract, timeframe)
        history = self._running().history
        return WarmUp.OFF if history is None else await history.wait_warm(contract_id, str(wanted))

    def _warm_up(self, contract: str, timeframe: str | BarSize) -> WarmUp:
        contract_id, wanted = self._key(contract, timeframe)
        history = self._running().history
        return WarmUp.OFF if history is None else history.warm_up(contract_id, str(wanted))

    def gaps(self, contract: str | None = None) -> list[Gap]:
        """The gap ledger, by number: where prints may be missing, why, and what was repaired.

        It holds the gaps of earlier runs on the same journal as well.

        Args:
            contract: a subscribed one; None means all there ever were.

        Raises:
            UnknownContractError: it is not subscribed.
        """
        contract_id = None if contract is None else self.instrument(contract).contract_id
        return self._running().gaps.ledger.find(contract_id=contract_id)

    def gaps_frame(self, contract: str | None = None) -> pl.DataFrame:
        """The same as a frame; see `gaps_frame`."""
        return gaps_frame(self.gaps(contract))

    def closed_count(self, contract: str, timeframe: str | BarSize) -> int:
        """How many closed bars are kept for reading."""
        contract_id, wanted = self._key(contract, timeframe)
        return self._running().feed.recent.count(contract_id, str(wanted))

    def forming(self, contract: str, timeframe: str | BarSize) -> Bar | None:
        """The bar that is forming, or None before its first print."""
        return self._running().feed.pipeline.forming(*self._key(contract, timeframe))

    def quote(self, contract: str) -> Quote | None:
        """The latest quote, or None before the first."""
        return self._running().feed.pipeline.quote(self.instrument(contract).contract_id)

    @overload
    def quotes(self, contract: str, *, on_full: Whole | None = None) -> AsyncIterator[Quote]: ...
    @overload
    def quotes(self, contract: str, *, on_full: Latest) -> AsyncIterator[Conflated]: ...
    @overload
    def quotes(
        self, contract: str, *, on_full: Lossy | QueuePolicy
    ) -> AsyncIterator[Quote | Conflated | Shed]: ...
    def quotes(self, contract: str, *, on_full: Wanted = None) -> AsyncIterator[Any]:
        """Every accepted quote of a contract, from this call on, until the tape stops.

        One that comes while the reader is busy waits for it. What the gateway conflates before it
        sends nobody can count; of what it sends, a quote is left out only where another line has
        brought it already, which `status().quotes` counts.

        Args:
            contract: a subscribed one.
            on_full: as in `bars`. With `conflate`, and with that alone, every event is a
                `Conflated`, and the latest stands for all that do not fit;
                `QueuePolicy("conflate", events=1)` never has more than the latest.

        Raises:
            FellBehindError: (while iterating) the reader did not keep up.
        """
        contract_id = self.instrument(contract).contract_id
        return self._running().feed.dispatch.quotes(contract_id, queue_policy(on_full))

    def quotes_frame(self, contract: str) -> pl.DataFrame:
        """The recent quotes, built when asked; see `quotes_frame` of `tapekeeper.app.frames`.

        The latest `quotes.keep`, one row each; `status().feed.quotes_forgotten` counts those
        that are in the journal alone.
        """
        contract_id = self.instrument(contract).contract_id
        return quotes_frame(self._running().feed.recent_quotes.of(contract_id))

    def book(self, contract: str, depth: int | None = None) -> BookSnapshot | None:
        """The order book of a contract, or None before its first row.

        Args:
            contract: subscribed with `depth=True`.
            depth: levels of each side; None gives all.

        Raises:
            UsageError: its depth is not subscribed.
        """
        return self._running().feed.pipeline.depth.book(self._deep_id(contract), depth)

    @overload
    def depth(
        self, contract: str, *, on_full: Whole | None = None
    ) -> AsyncIterator[DepthUpdate]: ...
    @overload
    def depth(
        self, contract: str, *, on_full: Lossy | QueuePolicy
    ) -> AsyncIterator[DepthUpdate | Shed]: ...
    def depth(self, contract: str, *, on_full: Wanted = None) -> AsyncIterator[Any]:
        """What happens to the order book of a contract, from this call on, until the tape stops.

        Every row, in its order; `DepthUpdate` says how they make the book that `book` gives. To
        begin with, take `book` right after this call, before anything is awaited.

        Args:
            contract: subscribed with `depth=True`.
            on_full: as in `bars`. Behind a `Shed` the book must be taken anew.

        Raises:
            UsageError: its depth is not subscribed.
            FellBehindError: (while iterating) the reader did not keep up.
        """
        return self._running().feed.dispatch.depth(self._deep_id(contract), queue_policy(on_full))

    def _deep_id(self, contract: str) -> str:
        contract_id = self.instrument(contract).contract_id
        if contract_id not in self._deep:
            raise UsageError(
                f"the depth of {contract} is not subscribed: subscribe with depth=True"
            )
        return contract_id

    def last_trade(self, contract: str) -> Trade | None:
        """The latest accepted trade, or None before the first."""
        return self._running().feed.pipeline.last_trade(self.instrument(contract).contract_id)

    def lag_ms(self, contract: str) -> float | None:
        """How much longer the last trade took than the fastest one of the last minutes."""
        lag_ns = self._running().feed.pipeline.lag_ns(self.instrument(contract).contract_id)
        return None if lag_ns is None else lag_ns / 1e6

    def quarantined(self) -> list[Quarantined]:
        """The latest prints that were set aside and could be let back in, oldest first.

        The journal has all of them: `tapekeeper quarantine list`.
        """
        return self._running().feed.pipeline.quarantined()

    def flagged(self) -> list[Flagged]:
        """The latest ticks of each flag and contract, with what is remarkable of each."""
        return self._running().feed.pipeline.flagged()

    def readmit(self, trade: Trade) -> None:
        """Let a print in that was quarantined; its bars are revised.

        It is written into the journal, so that a replay does the same.

        Args:
            trade: of one of `quarantined()`.

        Raises:
            UsageError: it is not there any more, or its bars are too old to be revised.
        """
        self._live().feed.readmit(trade)

    def status(self) -> TapeStatus:
        """A frozen view of all counters."""
        return status_of(self._running())

    def result(self) -> ReplayResult:
        """All recent bars with the forming ones, in the shape that a replay gives them.

        Complete if no more than `bars.keep` bars per timeframe have closed.
        """
        feed = self._running().feed
        return result_of(feed.pipeline, [*feed.recent.all(), *feed.pipeline.forming_all()])

    def _key(self, contract: str, timeframe: str | BarSize) -> tuple[str, BarSize]:
        wanted = size_of(timeframe)
        contract_id = self.instrument(contract).contract_id
        available = self._running().feed.pipeline.timeframes(contract_id)
        if wanted not in available:
            raise UsageError(
                f"{contract} has no {wanted} bars: it was subscribed with "
                + ", ".join(map(str, available))
            )
        return contract_id, wanted

    def _live(self) -> Parts:
        parts = self._running()
        if not self._entered:
            raise UsageError("the tape has stopped: subscribe inside `async with Tape(...)`")
        return parts

    def _running(self) -> Parts:
        if self._parts is None:
            raise UsageError("the tape is not running: use it inside `async with Tape(...)`")
        return self._parts


def _holds(now: Subscription | None, wanted: Subscription) -> bool:
    """Whether what is followed has all that is wanted."""
    if now is None or wanted.depth > now.depth:
        return False
    return set(wanted.timeframes) <= set(now.timeframes)


async def _stop(parts: Parts, error: BaseException | None) -> None:
    try:
        await parts.supervisor.stop(error)
    finally:
        await parts.close()
