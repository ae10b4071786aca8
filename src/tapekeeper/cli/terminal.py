"""Where commands write, and how a timeframe or a price is written and read there."""

from __future__ import annotations

from decimal import Decimal

from rich.console import Console

from tapekeeper.errors import UsageError
from tapekeeper.model.timeframe import Timeframe

PLAIN_WIDTH = 160
"""Columns where there is no terminal to ask: wide enough that no row is folded."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; without a terminal it writes plain, unfolded text."""
    found = Console(stderr=stderr, highlight=False)
    if found.is_terminal:
        return found
    return Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH, color_system=None)


def parse_timeframes(text: str | None) -> tuple[Timeframe, ...] | None:
    """Read `1s,1m,4h`; None stays None.

    Raises:
        UsageError: one of them is no timeframe.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("no timeframe is given: write for example 1s,1m,4h")
    return tuple(dict.fromkeys(Timeframe.parse(name) for name in names))


def price_text(price: float | None) -> str:
    """The shortest text that reads back as `price`, without a trailing `.0`; "" for None."""
    return "" if price is None else f"{Decimal(repr(price)):f}".removesuffix(".0")
