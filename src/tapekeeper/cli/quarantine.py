"""`tapekeeper quarantine`: what was set aside or flagged, why, and letting prints in after all."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich import box
from rich.table import Table

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.quarantine import QuarantineList, SetAside, flagged_of, quarantine_of
from tapekeeper.app.quarantine import readmit as readmit_into
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.journal_options import (
    ConfigOption,
    JournalOption,
    LastOption,
    journal_folder,
)
from tapekeeper.cli.report import rejected_line
from tapekeeper.cli.terminal import console, print_table, time_text
from tapekeeper.model.tick import Flag, Reason

quarantine = typer.Typer(
    name="quarantine",
    help="List what a journal's runs have set aside or flagged, and let prints in after all.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

RAW_SHOWN = 160
"""Bytes of an input that a table shows."""


@quarantine.command("list")
def list_command(
    journal: JournalOption = None,
    config: ConfigOption = None,
    reason: Annotated[
        Reason | None, typer.Option(metavar="REASON", help="Only what broke this rule.")
    ] = None,
    contract: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what is of this contract id.")
    ] = None,
    last: LastOption = 50,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line, with the whole input.")
    ] = False,
) -> None:
    """List what was set aside, with its reason and the input itself.

    The whole journal is replayed for it. An input that has an id is a print and can be let in.
    Exits with 1 if a part of the journal is damaged.
    """
    listed = quarantine_of(
        journal_folder(journal, config),
        lambda item: (
            (reason is None or item.reason is reason)
            and (contract is None or item.contract_id == contract)
        ),
        last=last or None,
    )
    if as_json:
        for item in listed.items:
            typer.echo(_json_line(item))
    else:
        _show(listed)
    for problem in listed.problems:
        typer.echo(f"error: {problem}", err=True)
    if listed.problems:
        raise typer.Exit(UNTRUE)


@quarantine.command("flagged")
def flagged_command(
    journal: JournalOption = None,
    config: ConfigOption = None,
    flag: Annotated[Flag | None, typer.Option(metavar="FLAG", help="Only this one.")] = None,
) -> None:
    """List ticks that were accepted and are remarkable, each with what is.

    The latest of each flag, contract and run. The whole journal is replayed for it.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("run", "received (UTC)", "flag"):
        table.add_column(heading, no_wrap=True)
    table.add_column("contract", overflow="fold")
    table.add_column("what is remarkable", overflow="fold")
    for run, each in flagged_of(journal_folder(journal, config)):
        if flag is None or each.flag is flag:
            tick = each.tick
            received = _time_text(tick.ts_recv)
            table.add_row(str(run), received, str(each.flag), tick.contract_id, each.detail)
    if table.row_count:
        print_table(console(), table)
    else:
        typer.echo("flagged: nothing")


@quarantine.command("readmit")
def readmit_command(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="As `quarantine list` shows them.")
    ],
    journal: JournalOption = None,
    config: ConfigOption = None,
) -> None:
    """Let prints in that were set aside: every replay from now on makes its bars with them.

    It is written into the journal, so no tape may be writing there; in a program that is running,
    use `Tape.readmit`.
    """
    chosen = readmit_into(journal_folder(journal, config), ids, SystemClock().now_ns())
    for item in chosen:
        typer.echo(f"let in: {item.id} {item.rejected.contract_id} ({item.rejected.detail})")


def _show(listed: QuarantineList) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("received (UTC)", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("why", overflow="fold")
    table.add_column("input", overflow="fold")
    for item in listed.items:
        rejected = item.rejected
        table.add_row(
            item.id or "-",
            _time_text(rejected.ts_recv),
            str(rejected.reason),
            rejected.detail,
            _text(rejected.raw[:RAW_SHOWN]),
        )
    if listed.items:
        print_table(console(), table)
    typer.echo(rejected_line(listed.reasons))


def _time_text(ts_ns: int) -> str:
    try:
        return time_text(ts_ns)
    except (OverflowError, ValueError, OSError):
        return str(ts_ns)


def _json_line(item: SetAside) -> str:
    rejected = item.rejected
    return msgspec.json.encode(
        {
            "id": item.id or None,
            "run": item.run,
            "reason": str(rejected.reason),
            "why": rejected.detail,
            "contract_id": rejected.contract_id,
            "ts_recv": rejected.ts_recv,
            "ticks": rejected.ticks,
            "input": _text(rejected.raw),
        }
    ).decode()


def _text(raw: bytes) -> str:
    """Bytes as a text that no terminal takes for a command; undecodable ones are escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
