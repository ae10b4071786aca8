"""`tapekeeper endurance`: days of reconnects in minutes, and what they leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.verify.endurance import Endured, Plan, Sample, endure

HEAD = (
    f"{'hour':>6} {'connections':>11} {'tasks':>6} {'sockets':>7} {'websockets':>10} "
    f"{'waiting':>7} {'queue B':>9} {'futures':>7} {'handles':>7} {'OS sockets':>10} "
    f"{'objects':>9} {'memory MB':>9} {'traced MB':>9} {'trades':>9}"
)


def endurance_command(
    hours: Annotated[float, typer.Option(metavar="H", help="Virtual hours to run.")] = 48.0,
    every_s: Annotated[
        float, typer.Option(metavar="S", help="Cut every connection so often, virtual seconds.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of market and network.")] = 1,
    *,
    trace: Annotated[
        bool, typer.Option("--trace", help="Name what grew; takes three times as long.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run the real system for days of virtual time, with a reconnect a minute.

    Counts once an hour what it holds: tasks, sockets, files, objects, memory. The first part is
    shown and not judged, because kept history fills up in it. Exits with 1 if anything grows then.
    """
    plan = Plan(hours=hours, cut_every_s=every_s, seed=seed, trace=trace)
    if not json:
        typer.echo(HEAD)
    endured = endure(plan, lambda sample: None if json else typer.echo(row(sample)))
    if json:
        typer.echo(msgspec.json.encode(endured).decode())
    else:
        for line in lines(endured):
            typer.echo(line)
    if endured.problems:
        raise typer.Exit(UNTRUE)


def row(sample: Sample) -> str:
    """One sample for a person."""
    return (
        f"{sample.hour:>6.1f} {sample.connections:>11,} {sample.tasks:>6} {sample.sockets:>7} "
        f"{sample.websockets:>10} {sample.waiting:>7} {sample.queue_bytes:>9,} "
        f"{sample.futures:>7} {sample.handles:>7} {sample.os_sockets:>10} "
        f"{sample.objects:>9,} {sample.resident_mb:>9,.2f} "
        f"{_megabytes(sample.traced_mb):>9} {sample.accepted:>9,}"
    )


def _megabytes(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def lines(endured: Endured) -> Iterator[str]:
    """Slopes and verdict for a person."""
    for one in endured.trends:
        yield (
            f"{one.figure}: {one.median:,.2f}, slope {one.per_hour:+,.4f} an hour, growth "
            f"{one.growth:+,.2f} of {one.limit:,.2f}: {'flat' if one.flat else 'GROWS'}"
        )
    for site in endured.sites:
        yield f"  grew: {site}"
    for problem in endured.problems:
        yield f"WRONG: {problem}"
