"""`tapekeeper sitting`: days at a thousand ticks a second, and memory that stays where it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from tapekeeper.cli.endurance import HEAD, row
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.verify.sitting import Sat, SittingPlan, sit


def sitting_command(
    hours: Annotated[float, typer.Option(metavar="H", help="Market time.")] = 48.0,
    ticks_per_s: Annotated[
        int, typer.Option(metavar="N", help="Trades and quotes a second, on average.")
    ] = 1_000,
    burst_per_s: Annotated[
        int, typer.Option(metavar="N", help="The same in a burst of one second every 100 s.")
    ] = 20_000,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="End after so much real time, wherever the market is."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of market and network.")] = 1,
    *,
    real: Annotated[
        bool,
        typer.Option(
            "--real/--accelerated", help="Real time and sockets; or virtual time, in memory."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run the real system for days of a busy market without a restart.

    Counts every ten minutes what it holds. Resident memory may grow by 1 % after the first hour,
    every tick must be in bars, and both identities hold; else it exits with 1.
    """
    plan = SittingPlan(hours, ticks_per_s, burst_per_s, real, seed, minutes)
    if not json:
        typer.echo(HEAD)
    sat = sit(plan, lambda sample: None if json else typer.echo(row(sample)))
    if json:
        typer.echo(msgspec.json.encode(sat).decode())
    else:
        for line in lines(sat):
            typer.echo(line)
    if sat.problems:
        raise typer.Exit(UNTRUE)


def lines(sat: Sat) -> Iterator[str]:
    """Figures and verdict for a person."""
    yield (
        f"{sat.hours:g} hours of market: {sat.made:,} prints and {sat.quotes:,} quotes made, "
        f"{sat.ticks_per_s:,.0f} a second, {sat.peak_per_s:,} in bursts"
    )
    yield (
        f"{sat.accepted:,} prints in bars of {sat.received:,} received, {sat.handovers:,} "
        f"hand-overs, {sat.bursts:,} bursts"
    )
    yield (
        f"journal (process): {sat.journal_bytes / 1e6:,.0f} MB written, "
        f"{sat.removed_bytes / 1e6:,.0f} MB removed once confirmed"
    )
    yield (
        f"{sat.cpu_s:,.0f} s of a processor, {sat.wall_s:,.0f} s "
        f"{'of real time' if sat.real else 'for it'}"
    )
    first, most, last = sat.resident_mb
    yield (
        f"resident memory: {first:,.1f} MB where judging begins, {most:,.1f} MB at most after it, "
        f"{last:,.1f} MB at the end"
    )
    for one in sat.trends:
        yield (
            f"{one.figure}: {one.median:,.2f}, growth {one.growth:+,.2f} of {one.limit:,.2f}: "
            f"{'flat' if one.flat else 'GROWS'}"
        )
    for problem in sat.problems:
        yield f"WRONG: {problem}"
