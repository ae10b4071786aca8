"""`tapekeeper demo`: live bars against the simulated gateway, without an account or a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from tapekeeper.app.demo import SHOWN, DemoOptions, DemoSummary, DemoView, run_demo
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.heap import settled_heap
from tapekeeper.cli.live_table import live_table, plain_line
from tapekeeper.cli.report import identity_lines
from tapekeeper.cli.stopping import stop_signals
from tapekeeper.cli.terminal import console
from tapekeeper.model.snapshot import VolumeCheck

PLAIN_EVERY_S = 5.0
"""How often lines are printed where nobody watches a screen."""

TABLE_WIDTH = 80
"""Columns in which the table shows every price whole."""


def demo_command(
    seconds: Annotated[
        float, typer.Option(metavar="S", help="How long to run; Ctrl-C ends it earlier.")
    ] = 30.0,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same market.")
    ] = 1,
    contracts: Annotated[
        str, typer.Option(metavar="A,B,...", help="Products to follow.")
    ] = "MES,MNQ,MGC",
    speed: Annotated[float, typer.Option(metavar="X", help="Exchange seconds per second.")] = 4.0,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the journal here; it is thrown away otherwise."),
    ] = None,
) -> None:
    """Show live bars of a simulated gateway on this machine.

    It does the whole job over real sockets: logs in, connects to both hubs, subscribes, writes
    the journal, makes bars, and at the end shows that no print is missing.
    """
    options = DemoOptions(
        seconds=seconds,
        seed=seed,
        products=tuple(name.strip().upper() for name in contracts.split(",") if name.strip()),
        speed=speed,
        keep=keep,
    )
    with settled_heap():
        summary = asyncio.run(_demo(options))
    for line in summary_lines(summary):
        typer.echo(line)
    if not summary.result.holds:
        raise typer.Exit(UNTRUE)


async def _demo(options: DemoOptions) -> DemoSummary:
    with stop_signals() as stop, _view(console(), options.seconds) as show:
        return await run_demo(options, show, stop)


@contextmanager
def _view(screen: Console, seconds: float) -> Iterator[Callable[[DemoView], None]]:
    """What to do with each view: redraw a table on a terminal, else print a line now and then.

    A table that is redrawn cannot be folded, so a narrow terminal gets lines with whole prices.
    """
    if not screen.is_terminal or screen.width < TABLE_WIDTH:
        yield PlainView(screen)
        return
    # Refreshed by hand: the table changes when there is something new and not otherwise.
    with Live(console=screen, auto_refresh=False) as live:

        def draw(view: DemoView) -> None:
            left_s = max(0.0, seconds - view.elapsed_s)
            live.update(live_table(view.rows, title(left_s)), refresh=True)

        yield draw


def title(left_s: float) -> str:
    """What stands above the table."""
    return f"forming {SHOWN} bars of a simulated market; {left_s:.0f} s left, Ctrl-C ends it"


class PlainView:
    """Prints a line for each contract every `PLAIN_EVERY_S` seconds."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._next_s = 0.0

    def __call__(self, view: DemoView) -> None:
        """Take one view; print it if it is time."""
        if view.elapsed_s < self._next_s:
            return
        self._next_s = view.elapsed_s + PLAIN_EVERY_S
        for row in view.rows:
            line = f"{view.elapsed_s:5.1f} s {plain_line(row)}"
            self._screen.print(line, markup=False, soft_wrap=True)


def summary_lines(summary: DemoSummary) -> list[str]:
    """What the demonstration came to, and both identities."""
    result = summary.result
    lines = [
        made_line(len(result.symbols), sum(summary.sent.values()), result.checks),
        *identity_lines(result),
    ]
    if summary.journal is not None:
        lines.append(f"the journal is in {summary.journal}: try tapekeeper replay on it")
    return lines


def made_line(contracts: int, sent: int, checks: Iterable[VolumeCheck]) -> str:
    """How many bars were made of prints; those that history told of are named apart."""
    bars = history = 0
    for check in checks:
        bars += check.bars
        history += check.backfilled_bars
    earlier = f", and {history:,} earlier bars from its history" if history else ""
    return (
        f"{contracts} contracts, {sent:,} prints sent by the gateway, "
        f"{bars - history:,} bars made of them{earlier}"
    )
