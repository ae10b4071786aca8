"""`tapekeeper bars`: bars of one contract out of a journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from tapekeeper.app.config import load_config
from tapekeeper.app.continuous import continuous_of
from tapekeeper.app.frames import bars_frame
from tapekeeper.app.replay import ReplayOptions
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.front import (
    Adjust,
    Expiry,
    Front,
    LastTradingDays,
    RollRule,
    Rolls,
    reading_of,
    write_continuous,
)
from tapekeeper.cli.journal_options import (
    ConfigOption,
    FormatOption,
    JournalOption,
    LastOption,
    OutOption,
    journal_source,
)
from tapekeeper.cli.output import Format, require_place, write_frame
from tapekeeper.cli.replay import name_faults, replay_with_progress
from tapekeeper.cli.terminal import console, price_text, print_table, time_text
from tapekeeper.core.calendar import DEFAULT_NAME, calendar_by_name
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size


def bars_command(
    contract: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONTRACT]", help="A contract id, a name (MESZ6) or a product (MES)."
        ),
    ] = None,
    timeframe: Annotated[
        str, typer.Option(metavar="TF", help="Which bars, such as 1m or 500tick.")
    ] = "1m",
    last: LastOption = 20,
    form: FormatOption = Format.TABLE,
    journal: JournalOption = None,
    config: ConfigOption = None,
    out: OutOption = None,
    front: Front = None,
    roll: RollRule = None,
    adjust: Adjust = None,
    last_trading_day: LastTradingDays = None,
    expiry: Expiry = None,
    *,
    rolls: Rolls = False,
) -> None:
    """Print bars of one contract, made from a journal (also while it is being written).

    With --front, those of a product's front contract, each row of one contract, and the rolls.
    The last bar may be forming. Exits with 1 if a part of the journal is damaged; the bars of
    the rest are printed all the same.
    """
    require_place(form, out)
    wanted = parse_size(timeframe)
    if (contract is None) == (front is None):
        raise UsageError("give a CONTRACT, or --front PRODUCT instead of it")
    source = journal_source(journal, config)
    reading = reading_of(
        front,
        timeframe,
        roll,
        adjust,
        last_trading_day,
        expiry,
        rolls=rolls,
        expiries=load_config(config).calendar.expiry if journal is None else None,
    )
    # A journal brings the calendars it was recorded with; of a file each product has its own.
    timeframes = (wanted,) if reading is None else reading.timeframes
    options = ReplayOptions(calendar_by_name(DEFAULT_NAME), timeframes, by_product=True)
    result = replay_with_progress(source, options)
    # First, because damage may be the reason why a contract is not found.
    faulty = name_faults(result)
    if reading is not None:
        write_continuous(continuous_of(result, reading), last, form, out, rolls=rolls)
    elif contract is not None:
        contract_id = find_contract(contract, result.symbols)
        rows = [bar for bar in result.bars.get(str(wanted), []) if bar.contract_id == contract_id]
        _write(rows[-last:] if last else rows, result.symbols, form, out)
    if faulty:
        raise typer.Exit(UNTRUE)


def find_contract(text: str, symbols: Mapping[str, str]) -> str:
    """The id that `text` names among `symbols` (short name by contract id).

    Raises:
        UnknownContractError: none, or more than one.
    """
    found = [Instrument(contract_id, name) for contract_id, name in symbols.items()]
    return match_contract(text, found).contract_id


def bars_table(bars: Sequence[Bar]) -> Table:
    """Bars for people: opens as UTC date and time, prices with every digit."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("open time (UTC)", no_wrap=True)
    for heading in ("open", "high", "low", "close", "volume", "prints"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    table.add_column("worth")
    for bar in bars:
        table.add_row(
            time_text(bar.ts_open),
            *(price_text(price) for price in (bar.open, bar.high, bar.low, bar.close)),
            f"{bar.volume:,}",
            f"{bar.n:,}",
            str(bar.state),
            _worth_text(bar),
        )
    return table


def _worth_text(bar: Bar) -> str:
    """How true a bar is, and the numbers of the gaps that touch it in the ledger."""
    return " ".join([bar.completeness, *(f"#{gap_id}" for gap_id in bar.gap_ids)])


def _write(bars: Sequence[Bar], symbols: Mapping[str, str], form: Format, out: Path | None) -> None:
    if form is Format.TABLE:
        print_table(console(), bars_table(bars))
        return
    write_frame(bars_frame(bars, symbols), form, out)
