"""`tapekeeper config`: the annotated example, or a check of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.app.config import load_config
from tapekeeper.app.config_example import example


def config(
    check: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check this file (and the environment) instead."),
    ] = None,
) -> None:
    """Print an annotated example of the configuration file.

    Save it with `tapekeeper config > tapekeeper.toml`, edit it, and check it with
    `tapekeeper config --check tapekeeper.toml`.
    """
    if check is None:
        typer.echo(example(), nl=False)
        return
    settings = load_config(check)
    contracts = ", ".join(entry.contract for entry in settings.subscribe) or "none"
    typer.echo(f"{check} is valid; contracts: {contracts}; journal: {settings.journal.dir}")
