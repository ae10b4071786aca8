"""The tape as a program sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl

from tapekeeper.app.compose import Parts, compose
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.frames import bars_frame
from tapekeeper.app.replay import ReplayResult, result_of
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.core.gateway.user import UserEvent
from tapekeeper.core.pipeline import Subscription
from tapekeeper.errors import UnknownContractError, UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts, VolumeCheck
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.feed import FeedStatistics
from tapekeeper.runtime.journaler import JournalStatistics
from tapekeeper.runtime.line_values import HubCall, LineStatus

MARKET_STREAMS = ("Trades", "Quotes")
"""What is subscribed for a contract; depth makes no bar and is left out."""
USER_STREAMS = ("Orders", "Positions", "Trades")


class TapeStatus(msgspec.Struct, frozen=True):
    """What a person wants to know of a running tape, all at one moment.

    Attributes:
        lines: one per hub connection.
        trades, quotes: what became of the ticks; each holds the first identity of the design.
        checks: the second identity, for every contract and timeframe.
        rejected: quarantined ticks by reason.
        journal, feed: counters of the journal and of the hand-over.
    """

    lines: tuple[LineStatus, ...]
    trades: TickCounts
    quotes: TickCounts
    checks: tuple[VolumeCheck, ...]
    rejected: dict[str, int]
    journal: JournalStatistics
    feed: FeedStatistics

    @property
    def holds(self) -> bool:
        """Whether both identities of the design hold."""
        return self.trades.holds and self.quotes.holds and all(check.holds for check in self.checks)


class Tape:
    """A realtime feed of one gateway: live bars, journalled, by contract and timeframe.

    Use it as an async context manager. Entering logs in and starts the connections; leaving
    stops them in order and seals the journal. If a part fails for good, the block is cancelled
    and the reason is raised from it.

    Args:
        config: a `Config`, the path of a TOML file, or a mapping in its shape. The environment
            (`TAPEKEEPER_...`) is laid over the latter two.

    Raises:
        ConfigError: the configuration is wrong.
    """

    def __init__(self, config: Config | Path | str | Mapping[str, Any]) -> None:
        self._config = load_config(config)
        self._parts: Parts | None = None
        self._wanted: dict[str, Instrument] = {}

    async def __aenter__(self) -> Self:
        """Log in and connect.

        Raises:
            AuthError: the credentials were refused.
            ConnectFailedError: the gateway cannot be reached.
            JournalError: the journal cannot be written, or another process writes it.
        """
        parts = await compose(self._config)
        try:
            accounts = await parts.log_in()
            await parts.supervisor.start()
        except BaseException:
            await parts.abandon()
            raise
        self._parts = parts
        try:
            if parts.user_line is not None:
                await parts.user_line.subscribe(HubCall("SubscribeAccounts", ()))
                for account_id in accounts:
                    for stream in USER_STREAMS:
                        await parts.user_line.subscribe(
                            HubCall(f"Subscribe{stream}", (account_id,))
                        )
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop in order and seal the journal."""
        parts = self._running()
        try:
            await parts.supervisor.stop(error)
        finally:
            await parts.close()

    # -- what is wanted ----------------------------------------------------------------------

    async def subscribe(
        self, contract: str, timeframes: Iterable[str | Timeframe] | None = None
    ) -> Instrument:
        """Follow a contract; when this returns, the gateway has confirmed it.

        Args:
            contract: a contract id, a name such as `MESZ6`, or a product such as `MES` for its
                front contract.
            timeframes: such as `["1s", "1m"]`; None means those of the configuration. More can
                be added by calling again.

        Raises:
            UnknownContractError: no contract, or more than one, matches.
            UsageError: a timeframe is unknown.
            InvocationError: the gateway refused the subscription.
            DeadlineError: it did not answer in time.
        """
        parts = self._running()
        wanted = _timeframes(timeframes) or self._config.bars.timeframes
        instrument = await parts.resolve(contract)
        subscription = Subscription(instrument, wanted, parts.calendar_of(instrument.calendar))
        # The pipeline first: a print may arrive before the completion of the call.
        parts.feed.subscribe(subscription)
        try:
            for stream in MARKET_STREAMS:
                call = HubCall(f"SubscribeContract{stream}", (instrument.contract_id,))
                await parts.market_line.subscribe(call)
        except BaseException:
            if instrument.contract_id not in self._wanted:
                parts.feed.unsubscribe(instrument.contract_id)
            raise
        self._wanted[instrument.contract_id] = instrument
        return instrument

    async def unsubscribe(self, contract: str) -> None:
        """Stop following a contract; its bars so far stay readable."""
        parts = self._running()
        instrument = self.instrument(contract)
        for stream in MARKET_STREAMS:
            arguments = (instrument.contract_id,)
            await parts.market_line.unsubscribe(
                HubCall(f"SubscribeContract{stream}", arguments),
                HubCall(f"UnsubscribeContract{stream}", arguments),
            )
        parts.feed.unsubscribe(instrument.contract_id)
        del self._wanted[instrument.contract_id]

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

    def bars(self, contract: str, timeframe: str | Timeframe) -> AsyncIterator[Bar]:
        """Closed bars of a contract and timeframe, from this call on, until the tape stops.

        Raises (while iterating):
            FellBehindError: the reader did not keep up.
        """
        key = self._key(contract, timeframe)
        return self._running().feed.dispatch.bars(key[0], str(key[1]))

    def user_events(self) -> AsyncIterator[UserEvent]:
        """Account, order, position and fill updates, from this call on, until the tape stops."""
        return self._running().feed.dispatch.user()

    def frame(self, contract: str, timeframe: str | Timeframe) -> pl.DataFrame:
        """The recent closed bars and the forming one, built when asked; see `bars_frame`."""
        contract_id, wanted = self._key(contract, timeframe)
        feed = self._running().feed
        forming = feed.pipeline.forming(contract_id, wanted)
        closed = feed.recent.of(contract_id, str(wanted))
        rows = closed if forming is None else (*closed, forming)
        return bars_frame(rows, {contract_id: self._wanted[contract_id].name})

    def closed_count(self, contract: str, timeframe: str | Timeframe) -> int:
        """How many closed bars are kept for reading."""
        contract_id, wanted = self._key(contract, timeframe)
        return len(self._running().feed.recent.of(contract_id, str(wanted)))

    def forming(self, contract: str, timeframe: str | Timeframe) -> Bar | None:
        """The bar that is forming, or None before its first print."""
        return self._running().feed.pipeline.forming(*self._key(contract, timeframe))

    def quote(self, contract: str) -> Quote | None:
        """The latest quote, or None before the first."""
        return self._running().feed.pipeline.quote(self.instrument(contract).contract_id)

    def last_trade(self, contract: str) -> Trade | None:
        """The latest accepted trade, or None before the first."""
        return self._running().feed.pipeline.last_trade(self.instrument(contract).contract_id)

    def lag_ms(self, contract: str) -> float | None:
        """How much longer the last trade took than the fastest one of the last minutes."""
        lag_ns = self._running().feed.pipeline.lag_ns(self.instrument(contract).contract_id)
        return None if lag_ns is None else lag_ns / 1e6

    def status(self) -> TapeStatus:
        """A frozen view of all counters."""
        parts = self._running()
        pipeline = parts.feed.pipeline
        return TapeStatus(
            lines=tuple(line.status() for line in parts.lines),
            trades=pipeline.trade_counts(),
            quotes=pipeline.quote_counts(),
            checks=tuple(pipeline.checks()),
            rejected=pipeline.reasons(),
            journal=parts.journaler.statistics(),
            feed=parts.feed.statistics(),
        )

    def result(self) -> ReplayResult:
        """All recent bars with the forming ones, in the shape that a replay gives them.

        Complete if no more than `bars.keep` bars per timeframe have closed.
        """
        feed = self._running().feed
        return result_of(feed.pipeline, [*feed.recent.all(), *feed.pipeline.forming_all()])

    def _key(self, contract: str, timeframe: str | Timeframe) -> tuple[str, Timeframe]:
        wanted = _timeframe(timeframe)
        contract_id = self.instrument(contract).contract_id
        available = self._running().feed.pipeline.timeframes(contract_id)
        if wanted not in available:
            raise UsageError(
                f"{contract} has no {wanted} bars: it was subscribed with "
                + ", ".join(map(str, available))
            )
        return contract_id, wanted

    def _running(self) -> Parts:
        if self._parts is None:
            raise UsageError("the tape is not running: use it inside `async with Tape(...)`")
        return self._parts


def _timeframe(value: str | Timeframe) -> Timeframe:
    return value if isinstance(value, Timeframe) else Timeframe.parse(value)


def _timeframes(values: Iterable[str | Timeframe] | None) -> tuple[Timeframe, ...]:
    if isinstance(values, str):
        raise UsageError(f'timeframes are a list: write ["{values}"]')
    return tuple(dict.fromkeys(_timeframe(value) for value in values or ()))
