"""`tapekeeper run`: the service, until it is told to stop."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.frames import require_folder, write_bars
from tapekeeper.app.service import RunSummary, run_service
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.cli.beginning import begin_anew, can_begin_anew
from tapekeeper.cli.exit_codes import INTERRUPTED, RESTART, UNTRUE
from tapekeeper.cli.heap import settled_heap
from tapekeeper.cli.report import identity_lines
from tapekeeper.cli.stopping import stop_signals
from tapekeeper.cli.terminal import time_text
from tapekeeper.core.limits import Load
from tapekeeper.errors import UsageError
from tapekeeper.model.timeframe import SECOND_NS
from tapekeeper.runtime.journaler import JournalStatistics
from tapekeeper.runtime.pool_values import PoolStatus

MEGABYTE = 1_000_000


def run_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration file.")],
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Stop after this long; without it, never.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write bars_<timeframe>.parquet here at the end."),
    ] = None,
) -> None:
    """Follow the contracts of CONFIG until Ctrl-C or SIGTERM, and journal what arrives.

    A gateway that cannot be reached is waited for, unless [service] start says "fail". Prints a
    status line every ten seconds, and at the end what no connection covered. A stop that is asked
    for seals the journal and exits with 0; a second Ctrl-C does not wait. Where memory stays
    critical it stops in the same way and begins anew, as [limits] restart says.
    """
    if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"seconds are a number greater than 0, and {seconds} is not")
    settings = load_config(config)
    if out is not None:
        require_folder(out)
    with settled_heap():
        summary = asyncio.run(_run(settings, seconds))
    if summary is None:
        typer.echo("stopped before it was connected", err=True)
        raise typer.Exit(INTERRUPTED)
    result = summary.result
    uncovered = uncovered_lines(summary.status.pools, SystemClock().now_ns())
    for line in (*identity_lines(result), *uncovered):
        typer.echo(line)
    if summary.restart:
        in_place = settings.limits.restart == "in_place" and seconds is None and out is None
        if result.holds and in_place and can_begin_anew():
            typer.echo(f"beginning anew: {summary.restart}")
            begin_anew()
    if out is not None:
        for path in write_bars(result.bars, result.symbols, out):
            typer.echo(f"wrote {path}")
    if not result.holds:
        raise typer.Exit(UNTRUE)
    if summary.restart:
        typer.echo(f"stopped to be started again: {summary.restart}", err=True)
        raise typer.Exit(RESTART)


async def _run(config: Config, seconds: float | None) -> RunSummary | None:
    clock = SystemClock()

    def show(status: TapeStatus) -> None:
        typer.echo(status_line(status, clock.now_ns()))

    with stop_signals() as stop:
        return await run_service(config, stop=stop, on_status=show, seconds=seconds)


def status_line(status: TapeStatus, now_ns: int) -> str:
    """One line for a log that people read: when, connections, health, ticks, journal."""
    lines = ", ".join(f"{line.name} {line.state}" for line in status.lines) or "no line"
    health = ", ".join(f"{pool.name} {pool.health}" for pool in status.pools) or "no pool"
    health += ", token failing" if status.token.failing else ""
    health += "".join(
        f", {each.gauge} {each.load}"
        for each in status.limits.gauges
        if each.load is not Load.NORMAL
    )
    return (
        f"{time_text(now_ns)}Z {lines}; health {health}; "
        f"uncovered {sum(pool.uncovered_count for pool in status.pools):,}; "
        f"trades {status.trades.accepted:,}, quotes {status.quotes.accepted:,}, "
        f"quarantined {status.trades.quarantined + status.quotes.quarantined:,}; "
        f"waiting {status.feed.waiting_frames:,} frames; "
        f"journal {status.journal.bytes / MEGABYTE:,.1f} MB in {status.journal.segments} segments, "
        f"survives {_survives(status.journal)}"
    )


def _survives(journal: JournalStatistics) -> str:
    if journal.sync_every_ms is None:
        return "the process"
    return f"a power cut but for the last {journal.sync_every_ms:,} ms"


def uncovered_lines(pools: Iterable[PoolStatus], now_ns: int) -> list[str]:
    """The intervals that no line covered, a line for each hub that has any; times are UTC.

    One that lasts is counted to `now_ns`. Of many a pool keeps the last ones only, and how many
    there were.
    """
    lines = []
    for pool in pools:
        if not pool.uncovered:
            continue
        spans = [
            (each.from_ns, now_ns if each.to_ns is None else each.to_ns) for each in pool.uncovered
        ]
        longest_s = max(to_ns - from_ns for from_ns, to_ns in spans) / SECOND_NS
        first_ns, last_ns = min(from_ns for from_ns, _ in spans), max(to_ns for _, to_ns in spans)
        kept = f"of the last {len(spans):,} " if len(spans) < pool.uncovered_count else ""
        lines.append(
            f"uncovered: {pool.name} {pool.uncovered_count:,}, {kept}the longest "
            f"{longest_s:,.3f} s, from {time_text(first_ns)}Z to {time_text(last_ns)}Z"
        )
    return lines
