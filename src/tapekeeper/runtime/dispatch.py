"""Hands outputs to each subscriber's own mailbox, so that a slow one hurts only itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

from tapekeeper.core.gateway.user import UserEvent
from tapekeeper.model.bar import Bar
from tapekeeper.runtime.mailbox import Mailbox, MailboxStatistics

T = TypeVar("T")


class Dispatch:
    """The register of subscribers.

    Args:
        mailbox_limit: events that may wait for one subscriber.
    """

    def __init__(self, mailbox_limit: int) -> None:
        self._limit = mailbox_limit
        self._bars: dict[tuple[str, str], list[Mailbox[Bar]]] = {}
        self._user: list[Mailbox[UserEvent]] = []
        self._closed = False

    def publish_bars(self, bars: Iterable[Bar]) -> None:
        """Offer closed bars to whoever listens to their contract and timeframe."""
        for bar in bars:
            for mailbox in self._bars.get((bar.contract_id, bar.timeframe), ()):
                mailbox.put(bar)

    def publish_user(self, events: Iterable[UserEvent]) -> None:
        """Offer user events to whoever listens."""
        for event in events:
            for mailbox in self._user:
                mailbox.put(event)

    def bars(self, contract_id: str, timeframe: str) -> AsyncIterator[Bar]:
        """A stream of closed bars from now on. It ends when the tape stops.

        Registered by this call, not by the first `async for` step, so nothing that closes in
        between is missed.
        """
        mailbox: Mailbox[Bar] = Mailbox(f"the {timeframe} bars of {contract_id}", self._limit)
        return self._stream(mailbox, self._bars.setdefault((contract_id, timeframe), []))

    def user(self) -> AsyncIterator[UserEvent]:
        """A stream of user events from now on. It ends when the tape stops."""
        return self._stream(Mailbox("the user events", self._limit), self._user)

    def _stream(self, mailbox: Mailbox[T], register: list[Mailbox[T]]) -> AsyncIterator[T]:
        register.append(mailbox)
        if self._closed:
            mailbox.close()
        return _read(mailbox, register)

    def close(self) -> None:
        """End every stream after what waits in it."""
        self._closed = True
        for mailbox in self._all():
            mailbox.close()

    def statistics(self) -> tuple[MailboxStatistics, ...]:
        """One frozen view per subscriber."""
        return tuple(mailbox.statistics() for mailbox in self._all())

    def _all(self) -> list[Mailbox[Bar] | Mailbox[UserEvent]]:
        bars = [mailbox for mailboxes in self._bars.values() for mailbox in mailboxes]
        return [*bars, *self._user]


async def _read(mailbox: Mailbox[T], register: list[Mailbox[T]]) -> AsyncIterator[T]:
    try:
        async for item in mailbox:
            yield item
    finally:
        register.remove(mailbox)
