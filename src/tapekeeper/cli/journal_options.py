"""Which journal a command reads, and how it writes rows: the options that several of them have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.app.config import load_config
from tapekeeper.cli.output import Format
from tapekeeper.errors import UsageError

JournalOption = Annotated[
    Path | None, typer.Option("--journal", metavar="DIR", help="The journal to read.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="A configuration that says where the journal is."
    ),
]
LastOption = Annotated[
    int, typer.Option("--last", metavar="N", min=0, help="How many of the latest; 0 for all.")
]
FormatOption = Annotated[
    Format,
    typer.Option("--format", help="How to write them; times are ns UTC except in a table."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write to this file instead of stdout."),
]


ArchiveOption = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        metavar="DIR",
        help="Folder of the archive; without it that of the configuration, or `archive` in the "
        "journal's.",
    ),
]


def archive_folder(archive: Path | None, config: Path | None) -> Path | None:
    """The folder of the archive that is meant: by its name, or by a configuration, if at all."""
    if archive is not None or config is None:
        return archive
    return load_config(config).archive.dir


def journal_folder(journal: Path | None, config: Path | None) -> Path:
    """The folder of the journal that is meant: by its name, or by a configuration.

    Raises:
        UsageError: both are given, there is no such folder, or the configuration is wrong.
    """
    if journal is not None and config is not None:
        raise UsageError("give --journal or --config, not both")
    folder = journal if journal is not None else load_config(config).journal.dir
    if not folder.is_dir():
        raise UsageError(
            f"there is no journal in {folder}: say where it is with --journal DIR or --config FILE"
        )
    return folder


def journal_source(journal: Path | None, config: Path | None) -> Path:
    """The same for a command that replays: by its name it may be a recorded file as well.

    Raises:
        UsageError: as `journal_folder`; a name alone is not looked at here.
    """
    if journal is not None and config is None:
        return journal
    return journal_folder(journal, config)
