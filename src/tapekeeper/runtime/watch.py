"""Watches that data comes and that this process keeps up, and asks for mending where it does not.

Once a second it compares the newest tick of every followed stream with the one before, lets
`tapekeeper.core.freshness` judge, logs every transition, and passes on what is to be tried: a
stream is asked for again, or a hand-over to a new line is requested. Reading what the pipeline
keeps anyway costs nothing per tick, and a second is fine enough for thresholds of a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.core.freshness import (
    Change,
    Fresh,
    Freshness,
    Mend,
    MendStep,
    Sessions,
    Stream,
    StreamFreshness,
    StreamState,
)
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.line_values import HubCall

LOOK_S = 1.0
"""How often streams are looked at."""

_NAMED_MAX = 3
_NS_PER_S = 1_000_000_000

_CALLS = {
    Stream.TRADES: "SubscribeContractTrades",
    Stream.QUOTES: "SubscribeContractQuotes",
    Stream.DEPTH: "SubscribeContractMarketDepth",
}

_ALWAYS = (Stream.TRADES, Stream.QUOTES)

_Newest: TypeAlias = tuple[int | None, int | None, int | None]
"""The numbers of the newest trade, quote and depth, in the order of `Stream`."""


class Newest(Protocol):
    """What is read of the pipeline."""

    def last_trade(self, contract_id: str) -> Trade | None:
        """The trade that was accepted last."""
        ...

    def quote(self, contract_id: str) -> Quote | None:
        """The quote that was accepted last."""
        ...

    def depth_seq(self, contract_id: str) -> int | None:
        """A number that is another one when depth has come."""
        ...


class Mender(Protocol):
    """What can be done about a stale stream: the pool of the market hub."""

    def any_live(self) -> bool:
        """Whether any line is live, so that data is due."""
        ...

    def ask_again(self, call: HubCall) -> None:
        """Ask the hub for this subscription once more; returns at once."""
        ...

    def request_handover(self, reason: str) -> None:
        """Replace the line, make before break; returns at once."""
        ...

    def data_returned(self, reason: str) -> None:
        """Take note that every stream is fresh again; returns at once."""
        ...


class WatchStatus(msgspec.Struct, frozen=True):
    """What the watch sees.

    Attributes:
        streams: every followed stream.
        resubscribed: how often a stream was asked for again.
        handovers: how often a new line was asked for.
    """

    streams: tuple[StreamFreshness, ...] = ()
    resubscribed: int = 0
    handovers: int = 0


class Watch:
    """See the module's text.

    Args:
        freshness: judges; nobody else calls it.
        newest: the pipeline.
        mender: the pool of the market hub.
        clock: time.
        log: events for people.
    """

    def __init__(
        self, *, freshness: Freshness, newest: Newest, mender: Mender, clock: Clock, log: Log
    ) -> None:
        self._freshness = freshness
        self._newest = newest
        self._mender = mender
        self._clock = clock
        self._log = log
        self._seen: dict[str, _Newest] = {}  # by contract
        self._resubscribed = 0
        self._handovers = 0

    def follow(self, contract_id: str, sessions: Sessions, *, depth: bool = False) -> None:
        """Expect trades and quotes of this contract while its market is open, and its depth too.

        Depth is judged only where it was asked for; to follow again without it changes nothing.
        """
        self._seen.setdefault(contract_id, (None, None, None))
        streams = (*_ALWAYS, Stream.DEPTH) if depth else _ALWAYS
        self._freshness.follow(contract_id, streams, sessions)

    def forget(self, contract_id: str) -> None:
        """Expect nothing of this contract any more."""
        self._seen.pop(contract_id, None)
        self._freshness.forget(contract_id)

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await self._clock.sleep_s(LOOK_S)
            self.look()

    def look(self) -> None:
        """Judge every stream now, and ask for what can be done."""
        self._freshness.connected(live=self._mender.any_live())
        now_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        look = self._freshness.look(now_ns, mono_ns, self._came())
        for change in look.changes:
            self._tell(change)
        returned = any(isinstance(change, Fresh) for change in look.changes)
        verdicts = {each.state for each in self._freshness.streams(mono_ns)} if returned else set()
        if returned and StreamState.STALE not in verdicts:
            self._mender.data_returned("every stream brings data again")
        self._mend(look.mends)

    def status(self) -> WatchStatus:
        """A frozen view."""
        return WatchStatus(
            streams=self._freshness.streams(self._clock.monotonic_ns()),
            resubscribed=self._resubscribed,
            handovers=self._handovers,
        )

    def _came(self) -> set[tuple[str, Stream]]:
        """The streams whose newest tick is another one than at the look before."""
        came: set[tuple[str, Stream]] = set()
        for contract_id, before in self._seen.items():
            trade, quote = self._newest.last_trade(contract_id), self._newest.quote(contract_id)
            now = (
                None if trade is None else trade.seq,
                None if quote is None else quote.seq,
                self._newest.depth_seq(contract_id),
            )
            self._seen[contract_id] = now
            for stream, old, new in zip(Stream, before, now, strict=True):
                if new is not None and new != old:
                    came.add((contract_id, stream))
        return came

    def _tell(self, change: Change) -> None:
        if isinstance(change, Fresh):
            self._log(
                "stream_fresh",
                contract=change.contract_id,
                stream=change.stream.value,
                silent_s=change.silent_ns / _NS_PER_S,
                reason=change.cause.value,
            )
            return
        self._log(
            "stream_stale",
            level="warning",
            contract=change.contract_id,
            stream=change.stream.value,
            since_ns=change.since_ns,
            threshold_s=change.threshold_ns / _NS_PER_S,
            rate_known=change.rate_known,
        )

    def _mend(self, mends: Sequence[Mend]) -> None:
        for mend in mends:
            if mend.step is MendStep.RESUBSCRIBE:
                self._resubscribed += 1
                self._mender.ask_again(HubCall(_CALLS[mend.stream], (mend.contract_id,)))
        frozen = [
            f"{mend.stream.value} of {mend.contract_id}"
            for mend in mends
            if mend.step is MendStep.REPLACE_LINE
        ]
        if frozen:
            # One new line mends them all.
            self._handovers += 1
            more = "" if len(frozen) <= _NAMED_MAX else f" and {len(frozen) - _NAMED_MAX} more"
            self._mender.request_handover(f"no {', '.join(frozen[:_NAMED_MAX])}{more}")
