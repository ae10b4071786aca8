"""`tapekeeper replay`: what was recorded, through the same stages as live."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.frames import require_folder, write_bars, write_quotes
from tapekeeper.app.replay import ReplayOptions, ReplayResult, replay
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.progress import ReadingProgress
from tapekeeper.cli.report import checks_table, identity_lines
from tapekeeper.cli.terminal import console, parse_timeframes, print_table
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError


def replay_command(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A journal folder, a .parquet file of trades, or a .jsonl.gz file of frames.",
        ),
    ],
    timeframes: Annotated[
        str | None,
        typer.Option(
            metavar="1s,500tick,...",
            help="Timeframes and measures to make; without it those a journal was recorded with, "
            "else 1s 5s 15s 1m 5m 15m 1h 4h 1d.",
        ),
    ] = None,
    session: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Session calendar where SOURCE names none, such as cme, comex or 24x7.",
        ),
    ] = "cme",
    tick_size: Annotated[
        float | None,
        typer.Option(
            metavar="STEP", help="Quarantine prices off this grid where SOURCE knows no tick size."
        ),
    ] = None,
    tick_value: Annotated[
        float | None,
        typer.Option(
            metavar="MONEY", help="What a tick is worth, for dollar bars of such a SOURCE."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write bars_<timeframe>.parquet into this folder."),
    ] = None,
    *,
    quotes: Annotated[
        bool,
        typer.Option("--quotes", help="With --out, write every quote into quotes.parquet, too."),
    ] = False,
) -> None:
    """Make the bars of what was recorded, and check that none of it is missing.

    Exits with 1 if an identity does not hold or a part of SOURCE is damaged; what can be read
    is read and written, and the rest is named.
    """
    for name, number in (("size", tick_size), ("value", tick_value)):
        if number is not None and not (math.isfinite(number) and number > 0):
            raise UsageError(f"a tick {name} is a number greater than 0, and {number} is not")
    if quotes and out is None:
        raise UsageError("--quotes needs --out DIR: quotes are written into a file")
    options = ReplayOptions(
        calendar=calendar_by_name(session),
        timeframes=parse_timeframes(timeframes),
        tick_size=tick_size,
        tick_value=tick_value,
        keep_quotes=quotes,
    )
    if out is not None:
        require_folder(out)
    result = replay_with_progress(source, options)
    _show(result)
    if out is not None:
        for path in write_bars(result.bars, result.symbols, out):
            typer.echo(f"wrote {path}")
        if result.quote_rows is not None:
            typer.echo(f"wrote {write_quotes(result.quote_rows, out)}")
    if name_faults(result):
        raise typer.Exit(UNTRUE)


def replay_with_progress(source: Path, options: ReplayOptions) -> ReplayResult:
    """Replay `source`, with a bar on stderr if it takes long and somebody is watching."""
    label = f"replaying {source.name}"
    with ReadingProgress(console(stderr=True), label, SystemClock().monotonic_ns) as progress:
        return replay(source, options, progress)


def name_faults(result: ReplayResult) -> bool:
    """Say on stderr what is not whole.

    Returns:
        Whether the command must fail: an identity is broken, or a part of the source could not
        be read. What is normal after a crash is said, too, but is no fault.
    """
    for note in result.harmless:
        typer.echo(f"note: {note}", err=True)
    for problem in result.problems:
        typer.echo(f"error: {problem}", err=True)
    if not result.holds:
        typer.echo("error: an identity does not hold: these bars are not whole", err=True)
    return bool(result.problems) or not result.holds


def _show(result: ReplayResult) -> None:
    screen = console()
    if result.checks:
        print_table(screen, checks_table(result.checks, result.symbols))
    for line in identity_lines(result):
        typer.echo(line)
