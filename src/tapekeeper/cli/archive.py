"""`tapekeeper archive`: a journal's settled segments as verified Parquet files."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.archive.compaction import Archived, archive_journal, default_archive
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.journal_options import (
    ArchiveOption,
    ConfigOption,
    JournalOption,
    archive_folder,
    journal_folder,
)
from tapekeeper.cli.progress import ReadingProgress
from tapekeeper.cli.terminal import console

BACKGROUND_NICE = 10
"""Niceness, where the system knows it: a tenth of what a busy tape gets of the same core."""


def archive_command(
    journal: JournalOption = None,
    config: ConfigOption = None,
    archive: ArchiveOption = None,
    *,
    accept_damage: Annotated[
        bool,
        typer.Option(
            "--accept-damage",
            help="Let the journal's damaged segments go as well, with what can be read of them.",
        ),
    ] = False,
    background: Annotated[
        bool,
        typer.Option("--background", help="Give way to everything else on this computer."),
    ] = False,
) -> None:
    """Bring what is settled in a journal into its archive (also while it is being written).

    Trades and closed bars become Parquet files by contract and trade date, are read back, and
    only then may the segments that they came of be removed. Safe to be repeated, also after it
    was killed. Exits with 1 if a part of the journal is damaged; the rest is archived.
    """
    if background and hasattr(os, "nice"):
        os.nice(BACKGROUND_NICE)
    folder = journal_folder(journal, config)
    place = archive_folder(archive, config)
    with ReadingProgress(
        console(stderr=True), f"archiving {folder.name}", SystemClock().monotonic_ns
    ) as progress:
        done = archive_journal(folder, place, accept_damage=accept_damage, progress=progress)
    typer.echo(_told(done))
    typer.echo(f"archive: {place or default_archive(folder)}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    for problem in done.problems:
        typer.echo(f"error: {problem}", err=True)
    if done.problems and not accept_damage:
        typer.echo(
            f"error: no segment above {done.confirmed} may be removed, because damaged ones are "
            "evidence: --accept-damage lets them go",
            err=True,
        )
    if done.problems:
        raise typer.Exit(UNTRUE)


def _told(done: Archived) -> str:
    if not done.files and done.merged:
        return f"nothing new, but {done.merged:,} files were merged into fewer"
    if not done.files:
        return f"nothing new: all is archived up to segment {done.through_segment}"
    each = f", {done.size_bytes / done.trades:.1f} bytes a trade with its bars" * bool(done.trades)
    return (
        f"archived up to segment {done.through_segment}: {done.trades:,} trades and "
        f"{done.bars:,} bars in {done.files:,} files, {done.size_bytes:,} bytes{each}"
    )
