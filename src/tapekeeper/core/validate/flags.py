"""What is remarkable of ticks that were accepted: how much of it, and the latest as evidence."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from operator import eq
from typing import TypeAlias

import msgspec

from tapekeeper.model.tick import Flag, Quote, Side, Trade, TradeBatch

KEPT_EACH = 16
"""Ticks that are kept of each flag and contract; the oldest go first. All are in the journal."""

_UNKNOWN = Side.UNKNOWN.value

CodeOf: TypeAlias = Callable[[Trade], int | str | None]


class Flagged(msgspec.Struct, frozen=True):
    """A tick that was accepted, and what is remarkable of it.

    Attributes:
        tick: as it was accepted.
        flag: what kind of thing it is.
        detail: one clause for a person.
    """

    tick: Trade | Quote
    flag: Flag
    detail: str


class PrintFlags:
    """Flags the accepted prints of one contract; constant memory.

    Nothing is put into words before somebody reads it: of some feeds every print is flagged.

    Attributes:
        counts: prints by flag.
    """

    __slots__ = ("_latest", "_previous", "counts")

    def __init__(self) -> None:
        self.counts: Counter[Flag] = Counter()
        self._previous: TradeBatch | None = None  # its last row is the print before
        # With the number of the print that it repeats.
        self._latest: dict[Flag, deque[tuple[Trade, int]]] = {}

    def take(self, batch: TradeBatch) -> None:
        """Look at prints in their order.

        Args:
            batch: at least one; kept until the next one comes, and not changed.
        """
        sides, sizes = batch.side, batch.size
        if _UNKNOWN in sides:
            self._note(Flag.UNKNOWN_SIDE, batch, [side == _UNKNOWN for side in sides])
        if 0 in sizes:
            self._note(Flag.ZERO_SIZE, batch, [not size for size in sizes])
        repeats = _repeats(self._previous, batch)
        if repeats is not None:
            self._note(Flag.REPEATED, batch, repeats)
        self._previous = batch

    def _note(self, flag: Flag, batch: TradeBatch, rows: list[bool]) -> None:
        count = sum(rows)
        self.counts[flag] += count
        latest = self._latest.get(flag)
        if latest is None:
            latest = self._latest[flag] = deque(maxlen=KEPT_EACH)
        skipped = count - KEPT_EACH
        for row, is_flagged in enumerate(rows):
            if is_flagged:
                skipped -= 1
                if skipped < 0:
                    latest.append((batch.row(row), self._before(batch, row)))

    def _before(self, batch: TradeBatch, row: int) -> int:
        """The number of the print before a row."""
        if row:
            return batch.seq[row - 1]
        return -1 if self._previous is None else self._previous.seq[-1]

    def latest(self, code_of: CodeOf | None = None) -> list[Flagged]:
        """The latest flagged prints, by flag, oldest first.

        Args:
            code_of: tells the code that a print of unknown side came with; None if it had none,
                or that is kept no more.
        """
        return [
            Flagged(trade, flag, _detail(flag, trade, before, code_of))
            for flag, kept in self._latest.items()
            for trade, before in kept
        ]


def _detail(flag: Flag, trade: Trade, before: int, code_of: CodeOf | None) -> str:
    if flag is Flag.UNKNOWN_SIDE:
        code = None if code_of is None else code_of(trade)
        if code is not None:
            return f"its aggressor is {code}, a code that nobody knows"
        return "its aggressor is absent, or a code that nobody knows"
    what = f"{trade.size} at {trade.price!r}"
    if flag is Flag.ZERO_SIZE:
        return f"its size is 0: {what}"
    return f"equals print {before} before it in time, price, size and side: {what}"


def _repeats(previous: TradeBatch | None, batch: TradeBatch) -> list[bool] | None:
    """Which rows equal the one before them in time, price, size and side; None if none does."""
    times = batch.ts_event
    first = (
        previous is not None
        and previous.ts_event[-1] == times[0]
        and previous.price[-1] == batch.price[0]
        and previous.size[-1] == batch.size[0]
        and previous.side[-1] == batch.side[0]
    )
    if len(times) == 1:
        return [True] if first else None
    if not any(map(eq, times, times[1:])):
        return [first, *[False] * (len(times) - 1)] if first else None
    rows = list(zip(times, batch.price, batch.size, batch.side, strict=True))
    repeats = [first, *map(eq, rows, rows[1:])]
    return repeats if any(repeats) else None
