"""Who waits for a hub's first answer to a subscribing call."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from tapekeeper.errors import DeadlineError, OutsideError
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.runtime.pool_values import Acknowledgement


class Waiters:
    """Callers by what they wait for; the first answer of any line is theirs."""

    def __init__(self) -> None:
        # bound: one entry per waiting caller
        self._of: dict[HubCall, list[asyncio.Future[Acknowledgement]]] = {}

    @property
    def calls(self) -> Collection[HubCall]:
        """What is waited for."""
        return self._of.keys()

    @contextmanager
    def waiting(self, call: HubCall) -> Iterator[asyncio.Future[Acknowledgement]]:
        """Wait for `call` inside: the future has the answer."""
        waiter: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
        waiters = self._of.setdefault(call, [])
        waiters.append(waiter)
        try:
            yield waiter
        finally:
            waiters.remove(waiter)
            if not waiters and self._of.get(call) is waiters:
                del self._of[call]

    def tell(self, call: HubCall, error: OutsideError | None) -> None:
        """The hub confirmed `call`, refused it, or did not answer in time."""
        for waiter in self._of.get(call, ()):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(Acknowledgement.CONFIRMED)
            elif isinstance(error, DeadlineError):
                waiter.set_result(Acknowledgement.UNCONFIRMED)
            else:
                waiter.set_exception(error)

    def fail(self, error: OutsideError) -> None:
        """Nobody will answer any more."""
        for waiters in self._of.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
