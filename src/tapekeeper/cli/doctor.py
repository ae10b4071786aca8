"""`tapekeeper doctor`: whether a configuration works, and what to do where it does not."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tapekeeper.app.doctor import DoctorOptions, examine
from tapekeeper.app.doctor_values import Check, Report
from tapekeeper.app.outside import real_outside
from tapekeeper.cli.exit_codes import OUTSIDE, USAGE
from tapekeeper.errors import UsageError

_VERDICT_WIDTH = 8


def doctor_command(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The configuration file.")],
    contract: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Wait for data of this contract; default: the first."),
    ] = None,
    wait_s: Annotated[
        float, typer.Option(metavar="S", help="Seconds to wait for first data.")
    ] = 15.0,
    *,
    try_query: Annotated[
        bool,
        typer.Option(
            "--try-query",
            help="Also try the token in the query string of the hubs, where proxies log it.",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Check a configuration step by step, from its key to the first data, and say what to do.

    Logs in and opens connections, one at a time; nothing is written. Exits with 0 if the tape
    can be expected to work, with 2 if the configuration is at fault, and else with 3.
    """
    if not (math.isfinite(wait_s) and wait_s > 0):
        raise UsageError(f"seconds to wait are a number greater than 0, and {wait_s} is not")
    options = DoctorOptions(try_query=try_query, contract=contract, data_timeout_s=wait_s)

    def show(check: Check) -> None:
        if not json:
            typer.echo(check_line(check))

    report = asyncio.run(examine(config, options, real_outside(), show))
    typer.echo(report_json(report) if json else summary_line(report))
    if not report.usable:
        raise typer.Exit(OUTSIDE if report.configured else USAGE)


def check_line(check: Check) -> str:
    """One check for a person, advice included."""
    advice = f" -> {check.advice}" if check.advice else ""
    return f"{check.verdict.value:<{_VERDICT_WIDTH}}{check.name}: {check.detail}{advice}"


def summary_line(report: Report) -> str:
    """What it all comes to."""
    failed = [check.name for check in report.checks if check.verdict.value == "failed"]
    return f"not usable: {', '.join(failed)}" if failed else "usable"


def report_json(report: Report) -> str:
    """The report as one JSON object: `usable`, and `checks` with the members of `Check`."""
    return msgspec.json.encode({"usable": report.usable, "checks": report.checks}).decode()
