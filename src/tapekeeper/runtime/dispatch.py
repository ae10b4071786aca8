"""Hands outputs to each subscriber's own mailbox, so that a slow one hurts only itself."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from tapekeeper.core.gateway.user import UserEvent
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import DepthUpdate
from tapekeeper.model.queue import (
    Conflated,
    OnFull,
    QueueChange,
    QueueDefaults,
    QueuePolicy,
    QueueStatistics,
)
from tapekeeper.model.tick import Quote
from tapekeeper.ports import Clock, Log, Scratch
from tapekeeper.runtime.mailbox import Mailbox
from tapekeeper.runtime.queue_kinds import (
    BARS,
    CHANGES,
    CONFLATED,
    DEPTH,
    QUOTES,
    USER,
    QueueKind,
    QueueWish,
    TapeChange,
    wish_of,
)
from tapekeeper.runtime.spill import Spill

T = TypeVar("T")

_AS_CONFIGURED = QueuePolicy()


class _Register(Generic[T]):
    """The mailboxes of those who still hold one.

    Held weakly: a subscriber that leaves its loop, or never begins it, says nothing. It lets go
    of its stream, and with that the mailbox must not go on filling up. (An async generator that
    takes itself off the register at its end was rejected: one that never began has no end.)
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: list[weakref.ref[Mailbox[T]]] = []  # bound: forgotten with their holders

    def add(self, mailbox: Mailbox[T]) -> None:
        self._known = [*(known for known in self._known if _is_held(known)), weakref.ref(mailbox)]

    def __iter__(self) -> Iterator[Mailbox[T]]:
        for known in self._known:
            mailbox = known()
            if mailbox is not None and not mailbox.ended:
                yield mailbox


def _is_held(known: weakref.ref[Mailbox[T]]) -> bool:
    mailbox = known()
    return mailbox is not None and not mailbox.ended


_AnyMailbox: TypeAlias = (
    Mailbox[Bar]
    | Mailbox[Quote]
    | Mailbox[Conflated]
    | Mailbox[DepthUpdate]
    | Mailbox[UserEvent]
    | Mailbox[TapeChange]
)


def _unheard(
    _event: str,
    /,
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",  # noqa: ARG001 - as `ports.Log` has it
    **_fields: object,
) -> None:
    return


class Dispatch:
    """The register of subscribers.

    Args:
        defaults: of their queues.
        log: told of what happens to queues.
        scratch: where events are spilled to; None refuses who wants that.
        clock: measures how long they wait, and stamps what is told of queues; None does neither.
    """

    def __init__(
        self,
        defaults: QueueDefaults,
        *,
        log: Log = _unheard,
        scratch: Scratch | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._defaults = defaults
        self._clock = clock
        self._log = log
        self._scratch = scratch
        self._bars: dict[tuple[str, str], _Register[Bar]] = {}
        self._quotes: dict[str, _Register[Quote]] = {}
        self._conflated: dict[str, _Register[Conflated]] = {}
        self._depth: dict[str, _Register[DepthUpdate]] = {}
        self._user: _Register[UserEvent] = _Register()
        self._changes: _Register[TapeChange] = _Register()
        self._closed = False
        self._share = 1.0  # of the memory of queues that spill
        self._pause = ""  # why optional subscribers are paused

    def limit_memory(self, share: float) -> None:
        """Let queues that spill hold so much of their limits in memory, later ones as well."""
        self._share = share
        for mailbox in self._all():
            mailbox.limit_memory(share)

    def move_surplus(self) -> bool:
        """Put some of what exceeds that to the disk; whether more does."""
        moved = [mailbox.move_surplus() for mailbox in self._all()]
        return any(moved)

    def pause(self, reason: str) -> None:
        """Offer optional subscribers nothing more, later ones as well; "" goes on with it."""
        self._pause = reason
        for mailbox in self._all():
            mailbox.pause(reason)

    def publish_bars(self, bars: Iterable[Bar]) -> None:
        """Offer closed bars to whoever listens to their contract and timeframe."""
        for bar in bars:
            for mailbox in self._bars.get((bar.contract_id, bar.timeframe), ()):
                mailbox.put(bar)

    def publish_quotes(self, quotes: Iterable[Quote]) -> None:
        """Offer quotes to whoever listens to their contract; each one, however fast they come."""
        if not self._quotes and not self._conflated:
            return
        for quote in quotes:
            for mailbox in self._quotes.get(quote.contract_id, ()):
                mailbox.put(quote)
            for conflating in self._conflated.get(quote.contract_id, ()):
                conflating.put(Conflated(quote))

    def publish_depth(self, updates: Iterable[DepthUpdate]) -> None:
        """Offer what happened to order books to whoever listens to their contract."""
        for update in updates:
            for mailbox in self._depth.get(update.contract_id, ()):
                mailbox.put(update)

    def publish_user(self, events: Iterable[UserEvent]) -> None:
        """Offer user events to whoever listens."""
        for event in events:
            for mailbox in self._user:
                mailbox.put(event)

    def publish_change(self, change: TapeChange) -> None:
        """Offer what the tape tells of itself to whoever listens."""
        for mailbox in self._changes:
            mailbox.put(change)

    def publish_level(self, name: str, reason: str, on_full: OnFull, /, *, is_high: bool) -> None:
        """Tell whoever listens that a queue has crossed a watermark."""
        now_ns = 0 if self._clock is None else self._clock.now_ns()
        self.publish_change(QueueChange(name, is_high, now_ns, reason, on_full))

    def bars(
        self, contract_id: str, timeframe: str, policy: QueuePolicy = _AS_CONFIGURED
    ) -> AsyncIterator[Bar]:
        """A stream of closed bars from now on. It ends when the tape stops.

        Registered by this call, not by the first `async for` step, so nothing that closes in
        between is missed; until the last reference to what it returns is gone. Where it sheds,
        it has a `Shed` in place of what was given up.

        Raises:
            UsageError: such a queue cannot be.
        """
        wanted = self._wanted(policy, self._defaults.bars, BARS)
        register = self._bars.setdefault((contract_id, timeframe), _Register())
        return self._stream(f"the {timeframe} bars of {contract_id}", register, BARS, wanted)

    def quotes(self, contract_id: str, policy: QueuePolicy = _AS_CONFIGURED) -> AsyncIterator[Any]:
        """A stream of accepted quotes from now on; see `bars`. Conflated it has `Conflated`."""
        wanted = self._wanted(policy, self._defaults.quotes, QUOTES)
        name = f"the quotes of {contract_id}"
        if wanted.on_full is OnFull.CONFLATE:
            conflated = self._conflated.setdefault(contract_id, _Register())
            return self._stream(name, conflated, CONFLATED, wanted)
        register = self._quotes.setdefault(contract_id, _Register())
        return self._stream(name, register, QUOTES, wanted)

    def depth(
        self, contract_id: str, policy: QueuePolicy = _AS_CONFIGURED
    ) -> AsyncIterator[DepthUpdate]:
        """A stream of what happens to an order book from now on; see `bars`."""
        wanted = self._wanted(policy, self._defaults.depth, DEPTH)
        register = self._depth.setdefault(contract_id, _Register())
        return self._stream(f"the depth of {contract_id}", register, DEPTH, wanted)

    def user(self, policy: QueuePolicy = _AS_CONFIGURED) -> AsyncIterator[UserEvent]:
        """A stream of user events from now on. It ends when the tape stops; see `bars`."""
        wanted = self._wanted(policy, self._defaults.user, USER)
        return self._stream("the user events", self._user, USER, wanted)

    def changes(self, policy: QueuePolicy = _AS_CONFIGURED) -> AsyncIterator[TapeChange]:
        """A stream of what the tape tells of itself from now on; see `bars`."""
        wanted = self._wanted(policy, self._defaults.changes, CHANGES)
        return self._stream("the transitions", self._changes, CHANGES, wanted)

    def _wanted(self, policy: QueuePolicy, default: OnFull, kind: QueueKind[T]) -> QueueWish:
        return wish_of(policy, default, self._defaults.limits, kind)

    def _stream(
        self, name: str, register: _Register[T], kind: QueueKind[T], wish: QueueWish
    ) -> AsyncIterator[T]:
        spill: Spill[T] | None = None
        if wish.on_full is OnFull.SPILL:
            if self._scratch is None:
                raise UsageError(f"{name} cannot be spilled: there is no disk")
            spill = Spill(
                self._scratch,
                kind.codec,
                kind.size_of,
                bytes_max=self._defaults.spill_bytes,
                limits=wish.limits,
            )
        mailbox: Mailbox[T] = Mailbox(
            name,
            wish.limits,
            self._log,
            wish.on_full,
            size_of=kind.size_of,
            spill=spill,
            merge=kind.merge,
            clock=self._clock,
            tell=self.publish_level,
            optional=wish.optional,
        )
        mailbox.limit_memory(self._share)
        mailbox.pause(self._pause)
        register.add(mailbox)
        if self._closed:
            mailbox.close()
        return mailbox

    def close(self) -> None:
        """End every stream after what waits in it."""
        self._closed = True
        for mailbox in self._all():
            mailbox.close()

    def statistics(self) -> tuple[QueueStatistics, ...]:
        """One frozen view per subscriber."""
        return tuple(mailbox.statistics() for mailbox in self._all())

    def _all(self) -> Iterator[_AnyMailbox]:
        for bars in self._bars.values():
            yield from bars
        for quotes in self._quotes.values():
            yield from quotes
        for conflated in self._conflated.values():
            yield from conflated
        for depth in self._depth.values():
            yield from depth
        yield from self._user
        yield from self._changes
