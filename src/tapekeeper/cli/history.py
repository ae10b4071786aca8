"""`tapekeeper history`: trades or bars of one contract out of archive and journal together."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

import typer

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import default_archive
from tapekeeper.app.archive.history import Archive, HistoryQuery
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.journal_options import (
    ArchiveOption,
    ConfigOption,
    JournalOption,
    OutOption,
    archive_folder,
    journal_folder,
)
from tapekeeper.cli.output import Format, require_place, write_frame
from tapekeeper.errors import UsageError

_WHOLE = re.compile(r"-?[0-9]+")


def history_command(
    contract: Annotated[
        str, typer.Argument(help="A contract id, a name (MESZ6) or a product (MES).")
    ],
    timeframe: Annotated[
        str, typer.Argument(metavar="TIMEFRAME", help="Which bars, such as 1m; or trades.")
    ] = "1m",
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="The first: a date or time (UTC), or ns."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The first one not wanted any more.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Only these columns, in this order.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="csv, json or parquet; times are ns UTC.")
    ] = Format.CSV,
    journal: JournalOption = None,
    config: ConfigOption = None,
    archive: ArchiveOption = None,
    out: OutOption = None,
) -> None:
    """Write all there is of a contract: what is archived, and what the journal has behind it.

    Without seam, twice or gap between the two, also while both are being written. Of bars the
    closed ones, in their latest revision. Exits with 1 if a part of the journal is damaged; the
    rest is written all the same.
    """
    if form is Format.TABLE:
        raise UsageError("a history is no table for reading: give --format csv, json or parquet")
    if out is not None and out.suffix == ".parquet" and form is Format.CSV:
        form = Format.PARQUET
    require_place(form, out)
    chosen = None if columns is None else [name.strip() for name in columns.split(",")]
    wanted = HistoryQuery.of(timeframe, _time(start), _time(end), chosen)
    folder = journal_folder(journal, config)
    place = archive_folder(archive, config) or default_archive(folder)
    source = Archive(FolderFiles(folder), place)
    write_frame(source.read(contract, wanted), form, out)
    for problem in source.problems:
        typer.echo(f"error: {problem}", err=True)
    if source.problems:
        raise typer.Exit(UNTRUE)


def _time(text: str | None) -> int | dt.datetime | None:
    """A time of an option: whole ns since 1970, or ISO 8601, in UTC where it names no zone.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time: give 2026-01-05, 2026-01-05T14:30 or ns since 1970, in UTC"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
