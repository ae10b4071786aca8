"""Where commands write, and how a timeframe, a price or a time is written and read there."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from rich.console import Console, ConsoleDimensions
from rich.measure import Measurement
from rich.table import Table

from tapekeeper.errors import UsageError
from tapekeeper.model.measure import BarSize, parse_size
from tapekeeper.model.timeframe import SECOND_NS

PLAIN_WIDTH = 160
"""Columns where there is no terminal to ask: wide enough that no row is folded."""

UNFOLDED_WIDTH = 1_000
"""Columns that no table of ours needs: the measure of one is what it needs and not this."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; without a terminal it writes plain, unfolded text."""
    found = Console(stderr=stderr, highlight=False)
    if found.is_terminal:
        return found
    return Console(stderr=stderr, highlight=False, width=PLAIN_WIDTH, color_system=None)


def print_table(screen: Console, table: Table) -> None:
    """Print `table` with every digit, however narrow the terminal is.

    The library shortens what does not fit, and half a price is a wrong price; rows that are too
    long are folded by the terminal instead.
    """
    room = screen.options.update(max_width=UNFOLDED_WIDTH)
    needed = Measurement.get(screen, room, table).maximum
    # Set and not passed: the width that `print` is given is cut to that of the screen. Both
    # dimensions, because TERM=dumb is taken for 80 columns as long as one of them is open.
    screen.size = ConsoleDimensions(max(screen.width, needed), screen.height)
    screen.print(table)


def parse_timeframes(text: str | None) -> tuple[BarSize, ...] | None:
    """Read `1s,1m,500tick`; None stays None.

    Raises:
        UsageError: one of them is no timeframe.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError("no timeframe is given: write for example 1s,1m,4h")
    return tuple(dict.fromkeys(parse_size(name) for name in names))


def price_text(price: float | None) -> str:
    """The shortest text that reads back as `price`, without a trailing `.0`; "" for None."""
    return "" if price is None else f"{Decimal(repr(price)):f}".removesuffix(".0")


def time_text(ts_ns: int) -> str:
    """`ts_ns` (UTC) as date and time, to the second."""
    return f"{dt.datetime.fromtimestamp(ts_ns // SECOND_NS, dt.UTC):%Y-%m-%d %H:%M:%S}"
