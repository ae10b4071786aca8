"""Watches that data comes and that this process keeps up, and asks for mending where it does not.

Once a second it compares the newest tick of every followed stream with the one before, lets
`tapekeeper.core.freshness` judge, logs every transition, and passes on what is to be tried: a
stream is asked for again, or a hand-over to a new line is requested. Reading what the pipeline
keeps anyway costs nothing per tick, and a second is fine enough for thresholds of a minute.

Where several lines deliver, what each of them brings is compared as well, since the tape as a
whole goes on when a stream of one line has frozen (`tapekeeper.core.line_freshness`).

A stream that has stopped is told to the pool: it is uncovered from its last data on, and the hub is
degraded. Where neither a rate nor its volume says that there should be data, it may be a contract
that nobody trades, so that is logged and shown, and does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeAlias

from tapekeeper.core.brought import Brought
from tapekeeper.core.freshness import (
    Change,
    Fresh,
    Freshness,
    FreshnessPolicy,
    Mend,
    MendStep,
    Sessions,
    Stream,
    StreamState,
)
from tapekeeper.core.line_freshness import (
    LineFresh,
    LineFreshness,
    LineMend,
    LineStale,
    StreamKey,
)
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.runtime.watch_values import LineLack, StreamChange, WatchStatus

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

    def delivering(self) -> Collection[int]:
        """The connections from which data are due."""
        ...

    def stream_stopped(
        self, call: HubCall, *, since_ns: int, why: str, connection: int | None = None
    ) -> None:
        """Take note that data have stopped, on one connection or on all; returns at once."""
        ...

    def stream_flows(self, call: HubCall, connection: int | None = None) -> None:
        """Take note that it is so no more; returns at once."""
        ...

    def ask_again(self, call: HubCall, connection: int | None = None) -> None:
        """Ask the hub for this subscription once more; returns at once."""
        ...

    def request_handover(self, reason: str, *, connection: int | None = None) -> None:
        """Replace the line, or all, make before break; returns at once."""
        ...

    def data_returned(self, reason: str) -> None:
        """Take note that every stream is fresh again; returns at once."""
        ...


def _unheard(_change: StreamChange) -> None:
    return


def _nothing() -> None:
    return


class Watch:
    """See the module's text.

    Args:
        policy: how patient to be.
        newest: the pipeline.
        since_seq: number of the first tick that is of this process.
        brought: what each line brought; nobody else takes it.
        mender: the pool of the market hub.
        clock: time.
        log: events for people.
        tell: told of every change, right after the log.
        looked: called after every look.
    """

    def __init__(
        self,
        *,
        policy: FreshnessPolicy,
        newest: Newest,
        brought: Brought,
        mender: Mender,
        clock: Clock,
        log: Log,
        tell: Callable[[StreamChange], None] = _unheard,
        looked: Callable[[], None] = _nothing,
        since_seq: int = 0,
    ) -> None:
        self._since_seq = since_seq
        self._freshness = Freshness(policy)
        self._lines = LineFreshness(policy)
        self._brought = brought
        self._hear = tell
        self._looked = looked
        self._newest = newest
        self._mender = mender
        self._clock = clock
        self._log = log
        self._seen: dict[str, _Newest] = {}  # by contract, as is the next
        self._volumes: dict[str, int] = {}  # the session's, as the last quote had it
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
        self._volumes.pop(contract_id, None)
        self._freshness.forget(contract_id)
        self._lines.forget(contract_id)

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await self._clock.sleep_s(LOOK_S)
            self.look()

    def look(self) -> None:
        """Judge every stream now, and ask for what can be done."""
        now_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        connections = self._mender.delivering()
        self._freshness.connected(live=bool(connections))
        # Before what the newest ticks are, so that no news of a line are later than theirs.
        brought = self._came_by()
        look = self._freshness.look(now_ns, mono_ns, self._came(), self._grew())
        for change in look.changes:
            self._tell(change, now_ns)
        returned = any(isinstance(change, Fresh) for change in look.changes)
        verdicts = {each.state for each in self._freshness.streams(mono_ns)} if returned else set()
        if returned and StreamState.STALE not in verdicts:
            self._mender.data_returned("every stream brings data again")
        self._mend(look.mends)
        by_line = self._lines.look(now_ns, mono_ns, lines=connections, came=brought)
        for each in by_line.changes:
            self._tell_of_line(each, now_ns)
        self._mend_lines(by_line.mends)
        self._looked()

    def status(self) -> WatchStatus:
        """A frozen view."""
        return WatchStatus(
            streams=self._freshness.streams(self._clock.monotonic_ns()),
            lacking=tuple(LineLack(*each) for each in self._lines.stale()),
            resubscribed=self._resubscribed,
            handovers=self._handovers,
        )

    def _came_by(self) -> list[tuple[StreamKey, set[int]]]:
        """Which lines brought each followed stream since the look before."""
        bringers: dict[StreamKey, set[int]] = {}
        for line, news in self._brought.take().items():
            for stream, contracts in ((Stream.TRADES, news.trades), (Stream.QUOTES, news.quotes)):
                for contract_id in contracts:
                    if contract_id in self._seen:
                        bringers.setdefault((contract_id, stream), set()).add(line)
        return sorted(bringers.items())

    def _grew(self) -> set[str]:
        """The contracts whose volume is larger than at the look before."""
        grew: set[str] = set()
        for contract_id in self._seen:
            quote = self._newest.quote(contract_id)
            if quote is None or quote.volume is None or quote.seq < self._since_seq:
                continue
            if quote.volume > self._volumes.get(contract_id, quote.volume):
                grew.add(contract_id)
            self._volumes[contract_id] = quote.volume
        return grew

    def _came(self) -> set[tuple[str, Stream]]:
        """The streams whose newest tick is another one than at the look before."""
        came: set[tuple[str, Stream]] = set()
        for contract_id, before in self._seen.items():
            trade, quote = self._newest.last_trade(contract_id), self._newest.quote(contract_id)
            now = (
                None if trade is None or trade.seq < self._since_seq else trade.seq,
                None if quote is None or quote.seq < self._since_seq else quote.seq,
                self._newest.depth_seq(contract_id),
            )
            self._seen[contract_id] = now
            for stream, old, new in zip(Stream, before, now, strict=True):
                if new is not None and new != old:
                    came.add((contract_id, stream))
        return came

    def _tell(self, change: Change, now_ns: int) -> None:
        contract_id, stream = change.contract_id, change.stream
        call = HubCall(_CALLS[stream], (contract_id,))
        if isinstance(change, Fresh):
            self._mender.stream_flows(call)
            reason = change.cause.value
            self._log(
                "stream_fresh",
                contract=contract_id,
                stream=stream.value,
                silent_s=change.silent_ns / _NS_PER_S,
                reason=reason,
            )
            self._hear(StreamChange(contract_id, stream, StreamState.FRESH, now_ns, reason))
            return
        reason = f"no {stream.value} of {contract_id}"
        if change.evident:
            reason += ", although its volume grows"
        self._log(
            "stream_stale",
            level="warning",
            contract=contract_id,
            stream=stream.value,
            since_ns=change.since_ns,
            threshold_s=change.threshold_ns / _NS_PER_S,
            rate_known=change.rate_known,
            reason=reason,
        )
        since_ns = change.since_ns
        self._hear(
            StreamChange(contract_id, stream, StreamState.STALE, now_ns, reason, since_ns=since_ns)
        )
        if change.certain:
            self._mender.stream_stopped(call, since_ns=since_ns, why=reason)

    def _tell_of_line(self, change: LineStale | LineFresh, now_ns: int) -> None:
        contract_id, stream, line = change.contract_id, change.stream, change.line
        call = HubCall(_CALLS[stream], (contract_id,))
        if isinstance(change, LineFresh):
            reason = change.cause.value
            self._log(
                "stream_fresh",
                contract=contract_id,
                stream=stream.value,
                silent_s=change.silent_ns / _NS_PER_S,
                reason=reason,
                connection=line,
            )
            self._hear(StreamChange(contract_id, stream, StreamState.FRESH, now_ns, reason, line))
            self._mender.stream_flows(call, line)
            return
        reason = f"no {stream.value} of {contract_id} by connection {line}, and by others there are"
        since_ns = change.since_ns
        self._log(
            "stream_stale",
            level="warning",
            contract=contract_id,
            stream=stream.value,
            since_ns=since_ns,
            reason=reason,
            connection=line,
        )
        self._hear(
            StreamChange(contract_id, stream, StreamState.STALE, now_ns, reason, line, since_ns)
        )
        self._mender.stream_stopped(call, since_ns=since_ns, why=reason, connection=line)

    def _mend_lines(self, mends: Sequence[LineMend]) -> None:
        for mend in mends:
            if mend.step is MendStep.RESUBSCRIBE:
                self._resubscribed += 1
                call = HubCall(_CALLS[mend.stream], (mend.contract_id,))
                self._mender.ask_again(call, mend.line)
        for line in dict.fromkeys(m.line for m in mends if m.step is MendStep.REPLACE_LINE):
            frozen = [
                f"{mend.stream.value} of {mend.contract_id}"
                for mend in mends
                if mend.line == line and mend.step is MendStep.REPLACE_LINE
            ]
            self._handovers += 1
            self._mender.request_handover(
                f"no {_some(frozen)} by connection {line}", connection=line
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
            self._mender.request_handover(f"no {_some(frozen)}")


def _some(names: Sequence[str]) -> str:
    more = "" if len(names) <= _NAMED_MAX else f" and {len(names) - _NAMED_MAX} more"
    return f"{', '.join(names[:_NAMED_MAX])}{more}"
