"""Prints that the gateway loses inside: its quotes and its bars count them, nobody is sent them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.wire import Print, Trades


@dataclass(frozen=True, slots=True)
class Loss:
    """What is lost while it lasts.

    Attributes:
        share: of the prints that it may meet, each by itself, 0 to 1.
        size_min: it meets prints of at least so many contracts.
    """

    share: float = 1.0
    size_min: int = 1


class PrintLosses:
    """The present losses of a gateway, and what they have cost so far.

    Args:
        numbers: draws which prints are lost.
    """

    def __init__(self, numbers: Seeded | None = None) -> None:
        self._numbers = numbers or Seeded(1, "prints that are lost")
        self._present: list[Loss] = []
        self.volume: Counter[str] = Counter()
        """Contracts that were lost, by contract id."""
        self.taps: list[Callable[[str, int, Print], None]] = []
        """Called with the contract id, the exchange time (ns UTC) and the print of every loss."""

    def begin(self, loss: Loss) -> None:
        """Lose prints from now on."""
        self._present.append(loss)

    def end(self, loss: Loss) -> None:
        """Lose no more of them; without effect if it is over already."""
        if loss in self._present:
            self._present.remove(loss)

    def clear(self) -> None:
        """Lose nothing any more."""
        self._present.clear()

    def left_of(self, event: Trades) -> Trades | None:
        """What is left of a record; None if that is nothing."""
        if not self._present:
            return event
        kept = tuple(one for one in event.prints if not self._is_lost(event, one))
        if len(kept) == len(event.prints):
            return event
        return Trades(event.contract_id, event.ts_ns, kept) if kept else None

    def _is_lost(self, event: Trades, one: Print) -> bool:
        lost = any(
            one.size >= loss.size_min and self._numbers.random() < loss.share
            for loss in self._present
        )
        if lost:
            self.volume[event.contract_id] += one.size
            for tap in self.taps:
                tap(event.contract_id, event.ts_ns, one)
        return lost
