"""`tapekeeper gaps`: the gap ledger of a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.frames import gaps_frame
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.journal_options import (
    ConfigOption,
    FormatOption,
    JournalOption,
    LastOption,
    OutOption,
    journal_folder,
)
from tapekeeper.cli.output import Format, require_place, write_frame
from tapekeeper.cli.terminal import console, print_table, time_text
from tapekeeper.errors import UnknownContractError
from tapekeeper.model.gap import Gap, GapCause, GapState
from tapekeeper.model.timeframe import SECOND_NS
from tapekeeper.runtime.gap_files import read_ledger


def gaps_command(
    contract: Annotated[
        str | None,
        typer.Argument(metavar="[CONTRACT]", help="A contract id, or a product such as MES."),
    ] = None,
    cause: Annotated[
        list[GapCause] | None, typer.Option(help="Only gaps of this cause; may be repeated.")
    ] = None,
    state: Annotated[
        list[GapState] | None, typer.Option(help="Only gaps in this state; may be repeated.")
    ] = None,
    last: LastOption = 20,
    form: FormatOption = Format.TABLE,
    journal: JournalOption = None,
    config: ConfigOption = None,
    out: OutOption = None,
) -> None:
    """Print where prints may be missing, why, and what was repaired (also while running).

    Exits with 1 if a part of the ledger is damaged; the rest is printed all the same.
    """
    require_place(form, out)
    ledger, problems = read_ledger(FolderFiles(journal_folder(journal, config)))
    if contract is not None:
        _require_known(contract, sorted({gap.contract_id for gap in ledger.find()}))
    found = [
        gap
        for gap in ledger.find(causes=cause or (), states=state or ())
        if contract is None or _names(contract, gap.contract_id)
    ]
    shown = found[-last:] if last else found
    if form is Format.TABLE:
        print_table(console(), gaps_table(shown))
        if len(shown) < len(found):
            console().print(f"{len(found) - len(shown):,} older ones: --last 0 shows all")
    else:
        write_frame(gaps_frame(shown), form, out)
    for problem in problems:
        typer.echo(f"damaged: {problem}", err=True)
    if problems:
        raise typer.Exit(UNTRUE)


def _require_known(contract: str, known: Sequence[str]) -> None:
    """Refuse a contract that was never followed: of every other the ledger has the start.

    Raises:
        UnknownContractError: it has nothing of this one.
    """
    if not any(_names(contract, each) for each in known):
        listed = ", ".join(known) or "no contract at all"
        raise UnknownContractError(f"the ledger has nothing of {contract!r}; it has {listed}")


def _names(text: str, contract_id: str) -> bool:
    """Whether `text` is the id, or one of its parts, such as the product."""
    return text == contract_id or text.upper() in contract_id.upper().split(".")


def gaps_table(gaps: Sequence[Gap]) -> Table:
    """Gaps for people: event times as UTC date and time."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("gap", justify="right")
    table.add_column("contract", no_wrap=True)
    table.add_column("from (UTC)", no_wrap=True)
    table.add_column("seconds", justify="right")
    for heading in ("cause", "state", "evidence"):
        table.add_column(heading)
    for gap in gaps:
        table.add_row(
            str(gap.gap_id),
            gap.contract_id,
            "ever" if gap.from_ns is None else time_text(gap.from_ns),
            _length(gap),
            gap.cause.value,
            gap.state.value,
            gap.note or gap.evidence,
        )
    return table


def _length(gap: Gap) -> str:
    if gap.to_ns is None:
        return "lasts"
    return "" if gap.from_ns is None else f"{(gap.to_ns - gap.from_ns) / SECOND_NS:,.1f}"
