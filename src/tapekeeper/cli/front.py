"""`tapekeeper bars --front`: the continuous series of a product, and its rolls."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from tapekeeper.app.continuous import Continuous, Reading
from tapekeeper.cli.output import Format, write_frame
from tapekeeper.cli.terminal import console, price_text, print_table, time_text
from tapekeeper.errors import UsageError
from tapekeeper.model.continuous import Roll

Front = Annotated[
    str | None,
    typer.Option(
        metavar="PRODUCT", help="Instead of CONTRACT: the front contracts of a product (MES)."
    ),
]
RollRule = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="With --front: volume (default), calendar:N (trading days before the last one), "
        "or dates:YYYY-MM-DD=CONTRACT,...",
    ),
]
Adjust = Annotated[
    str | None,
    typer.Option(
        metavar="HOW",
        help="With --front, of the prices before a roll: none (default), difference or ratio.",
    ),
]
LastTradingDays = Annotated[
    list[str] | None,
    typer.Option(
        "--last-trading-day",
        metavar="CONTRACT=YYYY-MM-DD",
        help="With --roll calendar:N, where it is not what the product's rule says; may be "
        "repeated.",
    ),
]
Expiry = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="With --roll calendar:N, the product's rule of last trading days, such as 'third "
        "last business day'; those of CME, COMEX, NYMEX, Eurex and Osaka are known.",
    ),
]
Rolls = Annotated[
    bool, typer.Option("--rolls", help="With --front: write the rolls instead of the bars.")
]


def reading_of(
    front: str | None,
    timeframe: str,
    roll: str | None,
    adjust: str | None,
    last_trading_days: Iterable[str] | None,
    expiry: str | None = None,
    *,
    rolls: bool,
    expiries: Mapping[str, str] | None = None,
) -> Reading | None:
    """What the options of the command ask for; None where it is a single contract.

    Rules of last trading days that a configuration has are `expiries`.

    Raises:
        UsageError: one of them is none of what is allowed, or is for a product only.
    """
    if front is None:
        given = (roll, adjust, last_trading_days or None, expiry, rolls or None)
        if any(each is not None for each in given):
            raise UsageError(
                "--roll, --adjust, --last-trading-day, --expiry and --rolls go with --front PRODUCT"
            )
        return None
    days: dict[str, dt.date] = {}
    for item in last_trading_days or ():
        contract, equals, text = (part.strip() for part in item.partition("="))
        try:
            days[contract] = dt.date.fromisoformat(text)
        except ValueError:
            equals = ""
        if not equals or not contract:
            raise UsageError(
                f"{item!r} is no last trading day: write the contract and its date, such as "
                "MESH6=2026-03-20"
            )
    rules = {**(expiries or {}), **({} if expiry is None else {front: expiry})}
    return Reading(front, timeframe, roll or "volume", adjust or "none", days, rules)


def write_continuous(
    series: Continuous, last: int, form: Format, out: Path | None, *, rolls: bool
) -> None:
    """Write the latest rows, or the rolls instead; a table has both.

    Raises:
        UsageError: the file cannot be written.
    """
    if form is not Format.TABLE:
        write_frame(series.rolls_frame() if rolls else series.frame(last), form, out)
        return
    screen = console()
    if not rolls:
        print_table(screen, series_table(series, last))
    if series.rolls or rolls:
        print_table(screen, rolls_table(series))
    for roll in series.rolls:
        typer.echo(f"{series.symbols[roll.contract_to]} from {roll.session} on: {roll.reason}")


def series_table(series: Continuous, last: int) -> Table:
    """Rows for people: opens as UTC date and time, prices with every digit."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("open time (UTC)", no_wrap=True)
    table.add_column("contract", no_wrap=True)
    for heading in ("open", "high", "low", "close", "volume"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    table.add_column("completeness")
    for bar in series.bars[-last:] if last else series.bars:
        table.add_row(
            time_text(bar.ts_open),
            series.symbols[bar.contract_id],
            *(price_text(price) for price in (bar.open, bar.high, bar.low, bar.close)),
            f"{bar.volume:,}",
            str(bar.state),
            str(bar.completeness),
        )
    return table


def rolls_table(series: Continuous) -> Table:
    """Rolls for people: what lies between two contracts, and by which bars that is known."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("roll (UTC)", no_wrap=True)
    table.add_column("from")
    table.add_column("to")
    table.add_column("difference", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("measured at (UTC)")
    for roll in series.rolls:
        table.add_row(
            time_text(roll.ts_roll),
            series.symbols[roll.contract_from],
            series.symbols[roll.contract_to],
            price_text(roll.difference),
            price_text(roll.ratio),
            _evidence(roll),
        )
    return table


def _evidence(roll: Roll) -> str:
    found = roll.measured
    if found is None:
        return "no bar before it in which both traded"
    closes = f"{price_text(found.close_from)} and {price_text(found.close_to)}"
    return f"{time_text(found.ts_open)}, closes of {found.timeframe}: {closes}"
