"""Hands outputs to each subscriber's own mailbox, so that a slow one hurts only itself."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Generic, TypeAlias, TypeVar

from tapekeeper.core.gateway.user import UserEvent
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import DepthUpdate
from tapekeeper.model.tick import Quote
from tapekeeper.runtime.line_values import Transition
from tapekeeper.runtime.mailbox import Mailbox, MailboxStatistics
from tapekeeper.runtime.pool_values import HealthChange
from tapekeeper.runtime.watch_values import StreamChange

T = TypeVar("T")


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


TapeChange: TypeAlias = Transition | HealthChange | StreamChange
"""What a tape tells of itself: of a line, of the health, of a stream."""

_AnyMailbox: TypeAlias = (
    Mailbox[Bar] | Mailbox[Quote] | Mailbox[DepthUpdate] | Mailbox[UserEvent] | Mailbox[TapeChange]
)


class Dispatch:
    """The register of subscribers.

    Args:
        mailbox_limit: events that may wait for one subscriber.
    """

    def __init__(self, mailbox_limit: int) -> None:
        self._limit = mailbox_limit
        self._bars: dict[tuple[str, str], _Register[Bar]] = {}
        self._quotes: dict[str, _Register[Quote]] = {}
        self._depth: dict[str, _Register[DepthUpdate]] = {}
        self._user: _Register[UserEvent] = _Register()
        self._changes: _Register[TapeChange] = _Register()
        self._closed = False

    def publish_bars(self, bars: Iterable[Bar]) -> None:
        """Offer closed bars to whoever listens to their contract and timeframe."""
        for bar in bars:
            for mailbox in self._bars.get((bar.contract_id, bar.timeframe), ()):
                mailbox.put(bar)

    def publish_quotes(self, quotes: Iterable[Quote]) -> None:
        """Offer quotes to whoever listens to their contract; each one, however fast they come."""
        if not self._quotes:
            return
        for quote in quotes:
            for mailbox in self._quotes.get(quote.contract_id, ()):
                mailbox.put(quote)

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

    def bars(self, contract_id: str, timeframe: str) -> AsyncIterator[Bar]:
        """A stream of closed bars from now on. It ends when the tape stops.

        Registered by this call, not by the first `async for` step, so nothing that closes in
        between is missed; until the last reference to what it returns is gone.
        """
        register = self._bars.setdefault((contract_id, timeframe), _Register())
        return self._stream(f"the {timeframe} bars of {contract_id}", register)

    def quotes(self, contract_id: str) -> AsyncIterator[Quote]:
        """A stream of accepted quotes from now on; see `bars`."""
        register = self._quotes.setdefault(contract_id, _Register())
        return self._stream(f"the quotes of {contract_id}", register)

    def depth(self, contract_id: str) -> AsyncIterator[DepthUpdate]:
        """A stream of what happens to an order book from now on; see `bars`."""
        register = self._depth.setdefault(contract_id, _Register())
        return self._stream(f"the depth of {contract_id}", register)

    def user(self) -> AsyncIterator[UserEvent]:
        """A stream of user events from now on. It ends when the tape stops."""
        return self._stream("the user events", self._user)

    def changes(self) -> AsyncIterator[TapeChange]:
        """A stream of what the tape tells of itself from now on; see `bars`."""
        return self._stream("the transitions", self._changes)

    def _stream(self, name: str, register: _Register[T]) -> AsyncIterator[T]:
        mailbox: Mailbox[T] = Mailbox(name, self._limit)
        register.add(mailbox)
        if self._closed:
            mailbox.close()
        return mailbox

    def close(self) -> None:
        """End every stream after what waits in it."""
        self._closed = True
        for mailbox in self._all():
            mailbox.close()

    def statistics(self) -> tuple[MailboxStatistics, ...]:
        """One frozen view per subscriber."""
        return tuple(mailbox.statistics() for mailbox in self._all())

    def _all(self) -> Iterator[_AnyMailbox]:
        for bars in self._bars.values():
            yield from bars
        for quotes in self._quotes.values():
            yield from quotes
        for depth in self._depth.values():
            yield from depth
        yield from self._user
        yield from self._changes
