"""`tapekeeper kills`: kill -9 at seeded moments of a loaded run, and what is left is true."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.errors import UsageError
from tapekeeper.verify.kills import Killing, KillPlan, kill_often


def kills_command(
    moments: Annotated[int, typer.Option(metavar="N", help="How often to kill.", min=1)] = 300,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the moments and the market.")] = 1,
    rate: Annotated[
        float, typer.Option(metavar="R", help="Prints a second of each of two contracts.")
    ] = 300.0,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="An empty folder that keeps what is left.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Kill real processes over real files, again and again, and judge what they leave.

    What subscribers were given is in the journal, bars are what sorting makes of it, and the gap
    ledger names each end. About three seconds a moment. Exits with 1 if anything is not so.
    """
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise UsageError(f"{keep} is not empty")
    plan = KillPlan(moments, seed, rate)

    def tell(one: Killing) -> None:
        if not json and one.number % 10 == 0:
            typer.echo(f"{one.number} of {moments} killed", err=True)

    with tempfile.TemporaryDirectory() as made:
        folder = keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        killed = kill_often(plan, folder, tell)
    if json:
        typer.echo(msgspec.json.encode(killed).decode())
    else:
        typer.echo(
            f"{killed.kills} processes killed, {killed.up} of them while data flowed; "
            f"{killed.torn} ends with an unfinished write"
        )
        typer.echo(
            f"{killed.bars:,} bars and {killed.quotes:,} quotes were given out; "
            f"{killed.gaps} gaps between processes in the ledger"
        )
        for problem in killed.problems:
            typer.echo(f"WRONG: {problem}")
    if killed.problems:
        raise typer.Exit(UNTRUE)
