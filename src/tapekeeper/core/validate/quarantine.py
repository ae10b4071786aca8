"""The prints that were set aside and could be read, so that they can be let back in."""

from __future__ import annotations

import math

import msgspec

from tapekeeper.core.validate.ticks import EARLIEST_NS, LATEST_NS, SIZE_MAX
from tapekeeper.model.tick import Reason, Trade

KEPT_MAX = 4_096
"""Prints kept for re-admission; the oldest go first. All of them are in the journal."""


class Quarantined(msgspec.Struct, frozen=True):
    """A print that was set aside.

    Attributes:
        trade: as it came.
        reason: the rule that it broke.
        detail: one clause for a person.
    """

    trade: Trade
    reason: Reason
    detail: str


class Quarantine:
    """Keeps the latest quarantined prints of a run; bounded.

    What could not be read as a print, or would spoil a bar (a price that is no number, a size
    that is none, a time outside of 2000 to 2100), is not in it: it can never be let back in.
    """

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, Quarantined] = {}  # by arrival number, oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, trade: Trade, reason: Reason, detail: str) -> None:
        """Keep a print, if it could be let back in at all."""
        if not is_admissible(trade):
            return
        self._kept[trade.seq] = Quarantined(trade, reason, detail)
        if len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    def find(self, trade: Trade) -> Quarantined | None:
        """The oldest that equals `trade`; its number need not, because it depends on the run."""
        exact = self._kept.get(trade.seq)
        if exact is not None and exact.trade == trade:
            return exact
        wanted = msgspec.structs.replace(trade, seq=0)
        return next(
            (
                each
                for each in self._kept.values()
                if msgspec.structs.replace(each.trade, seq=0) == wanted
            ),
            None,
        )

    def remove(self, seq: int) -> None:
        """Take a print out, if it is there."""
        self._kept.pop(seq, None)

    def all(self) -> list[Quarantined]:
        """What is kept, oldest first."""
        return list(self._kept.values())


def is_admissible(trade: Trade) -> bool:
    """Whether a bar could hold this print."""
    return (
        EARLIEST_NS <= trade.ts_event < LATEST_NS
        and math.isfinite(trade.price)
        and 0 <= trade.size <= SIZE_MAX
    )
