"""Live bars for the eye: a table on a terminal, lines without one. Pure: values in, text out."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table

from tapekeeper.app.demo import DemoRow
from tapekeeper.cli.terminal import price_text

HEADINGS = ("last", "spread", "open", "high", "low", "close", "volume", "closed", "lag ms")


def live_table(rows: Iterable[DemoRow], title: str) -> Table:
    """One row for each contract, with its forming bar.

    Args:
        rows: in the order to show.
        title: what is above the table, such as the time that is left.
    """
    # No padding: with prices of eight characters all columns fit a terminal of 80.
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0
    )
    table.add_column("symbol", no_wrap=True)
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.symbol, *_cells(row))
    return table


def plain_line(row: DemoRow) -> str:
    """The same as one line that a program can split at blanks; `-` is what has not come yet."""
    cells = (
        f"{heading.replace(' ', '_')}={cell or '-'}"
        for heading, cell in zip(HEADINGS, _cells(row), strict=True)
    )
    return " ".join((row.symbol, *cells))


def _cells(row: DemoRow) -> tuple[str, ...]:
    bar = row.forming
    prices = (None,) * 4 if bar is None else (bar.open, bar.high, bar.low, bar.close)
    return (
        price_text(row.last),
        _spread(row.bid, row.ask),
        *(price_text(price) for price in prices),
        "" if bar is None else str(bar.volume),
        str(row.closed),
        "" if row.lag_ms is None else f"{row.lag_ms:.1f}",
    )


def _spread(bid: float | None, ask: float | None) -> str:
    # A difference of two prices is only for the eye, and rounded so that it looks like one.
    return "" if bid is None or ask is None else price_text(round(ask - bid, 9))
