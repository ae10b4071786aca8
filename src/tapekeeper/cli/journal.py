"""`tapekeeper journal`: is it whole, what is there, and what may go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.config import load_config
from tapekeeper.app.config_journal import retention
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.journal_options import ConfigOption, JournalOption, journal_folder
from tapekeeper.cli.terminal import time_text
from tapekeeper.core.journal import HEADER_BYTES, SegmentScanner, segment_name
from tapekeeper.core.journal.retention import Retention, retired_through
from tapekeeper.errors import UsageError
from tapekeeper.runtime.caretaker import confirmed, prune
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers

MEGABYTE = 1_000_000

journal = typer.Typer(
    help="Check, describe and shorten a journal; all of it also while it is written.",
    no_args_is_help=True,
)


@journal.command("verify")
def verify_command(folder: JournalOption = None, config: ConfigOption = None) -> None:
    """Read the whole journal: every checksum, every block, every place in the chain.

    Exits with 1 if anything is damaged or missing. What a killed process leaves at the end of its
    run is named, and is no damage.
    """
    reader = JournalReader(FolderFiles(journal_folder(folder, config)))
    kinds: Counter[str] = Counter()
    payload_bytes = 0
    for entry in reader:
        kinds[entry.kind.name] += 1
        payload_bytes += len(entry.payload)
    total_bytes = reader.progress.bytes_total
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    share = f", {total_bytes / payload_bytes:.1%} of what they hold" if payload_bytes else ""
    typer.echo(f"{kinds.total():,} entries ({told or 'none'})")
    typer.echo(f"{total_bytes / MEGABYTE:,.1f} MB{share}")
    for problem in reader.problems:
        typer.echo(f"{'left by a crash' if problem.expected else 'damaged'}: {problem}", err=True)
    if not all(problem.expected for problem in reader.problems):
        raise typer.Exit(UNTRUE)
    typer.echo("all that was written is there")


@journal.command("status")
def status_command(folder: JournalOption = None, config: ConfigOption = None) -> None:
    """Tell what is there, without reading all of it."""
    files = FolderFiles(journal_folder(folder, config))
    for line in _status_lines(files):
        typer.echo(line)


def _status_lines(files: FolderFiles) -> Iterator[str]:
    numbers = segment_numbers(files)
    if not numbers:
        yield f"there is no segment in {files}"
        return
    size = sum(files.size(segment_name(number)) for number in numbers)
    yield (
        f"segments {numbers[0]} to {numbers[-1]}: {len(numbers):,} of them, "
        f"{size / MEGABYTE:,.1f} MB"
    )
    for what, number in (("first", numbers[0]), ("last", numbers[-1])):
        scanner = SegmentScanner(files.head(segment_name(number), HEADER_BYTES))
        if scanner.header is None:
            yield f"the {what} one cannot be read: {scanner.detail}"
            continue
        yield (
            f"the {what} one was begun {time_text(scanner.header.created_ns)}Z, in the run of "
            f"segment {scanner.header.run_first}, in format version {scanner.version}"
        )
    removed, through = retired_through(files.names()), confirmed(files)
    yield f"removed: {f'up to segment {removed}' if removed else 'nothing'}"
    yield f"confirmed by the archive: {f'up to segment {through}' if through else 'nothing'}"


@journal.command("prune")
def prune_command(
    folder: JournalOption = None,
    config: ConfigOption = None,
    retain_days: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Remove what is older.")
    ] = None,
    retain_gb: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="Remove the oldest beyond this size.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove old segments that the archive has, as the configuration says or the options here.

    Nothing is ever removed that the archive has not confirmed (`tapekeeper archive`), nor the
    latest eight segments, which a start may read.
    """
    policy = _policy(config, retain_days, retain_gb)
    files = FolderFiles(journal_folder(folder, config))
    done = prune(files, policy, now_ns=SystemClock().now_ns(), dry_run=dry_run)
    if not done.confirmed_through:
        typer.echo("nothing is removed: the archive has confirmed nothing (tapekeeper archive)")
        return
    if not done.segments:
        typer.echo(f"nothing to remove; confirmed up to segment {done.confirmed_through}")
        return
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} segments {done.segments[0]} to "
        f"{done.segments[-1]}, {done.bytes / MEGABYTE:,.1f} MB"
    )


def _policy(config: Path | None, retain_days: float | None, retain_gb: float | None) -> Retention:
    if retain_days is not None or retain_gb is not None:
        return retention(retain_days, retain_gb)
    policy = load_config(config).journal.retention()
    if policy.keeps_all:
        raise UsageError(
            "say what is to be kept: --retain-days or --retain-gb, or journal.retain_days or "
            "retain_gb in the configuration"
        )
    return policy
