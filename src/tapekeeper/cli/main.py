"""The program: finds the command, and turns what ends it into a sentence and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from tapekeeper.cli.archive import archive_command
from tapekeeper.cli.bars import bars_command
from tapekeeper.cli.config import config
from tapekeeper.cli.demo import demo_command
from tapekeeper.cli.doctor import doctor_command
from tapekeeper.cli.endurance import endurance_command
from tapekeeper.cli.exit_codes import INTERRUPTED, OK, exit_code, expected_errors
from tapekeeper.cli.gaps import gaps_command
from tapekeeper.cli.gateway import gateway_command
from tapekeeper.cli.history import history_command
from tapekeeper.cli.journal import journal
from tapekeeper.cli.kills import kills_command
from tapekeeper.cli.quarantine import quarantine
from tapekeeper.cli.replay import replay_command
from tapekeeper.cli.run import run_command
from tapekeeper.cli.simulate import simulate_command
from tapekeeper.cli.sitting import sitting_command
from tapekeeper.errors import OutsideError, TapekeeperError

HELP = """Holds a realtime futures feed and turns every print into journalled bars.

Try `tapekeeper demo` first: it needs no account and no network. Exit codes: 0 all is well,
1 what was shown is not whole, 2 wrong usage or configuration, 3 something outside failed,
4 the journal failed, 75 start me again (memory), 130 interrupted.
"""

OUTPUT_REFUSED = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO") if hasattr(errno, name)
)
"""What standard output answers on a full or broken disk. Whatever else is written or read turns
such an error into one of ours where it happens, so only the output can still raise it here."""

# Without markup, help is plain text: it reads the same in a pipe and on any terminal. Pretty
# exceptions are off because the traceback of a bug must be the one Python gives.
app = typer.Typer(
    name="tapekeeper",
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the flag
    if value:
        typer.echo(f"tapekeeper {version('tapekeeper')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options that come before a command."""


app.command("demo")(demo_command)
app.command("run")(run_command)
app.command("doctor")(doctor_command)
app.command("gateway")(gateway_command)
app.command("simulate")(simulate_command)
app.command("endurance")(endurance_command)
app.command("sitting")(sitting_command)
app.command("kills")(kills_command)
app.command("replay")(replay_command)
app.command("bars")(bars_command)
app.command("gaps")(gaps_command)
app.command("archive")(archive_command)
app.command("history")(history_command)
app.add_typer(journal, name="journal")
app.add_typer(quarantine, name="quarantine")
app.command("config")(config)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the process) name.

    Returns:
        The exit code. Errors of Tapekeeper become one line each on stderr; a bug escapes.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name="tapekeeper")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except TapekeeperError as error:
        return _report([error])
    except OSError as error:
        if error.errno not in OUTPUT_REFUSED:
            raise
        return _report([OutsideError(f"cannot write the output: {error.strerror}")])
    except BaseExceptionGroup as group:
        errors = expected_errors(group)
        if errors is None:
            raise
        return _report(errors)
    return OK


def _report(errors: list[TapekeeperError]) -> int:
    lines = dict.fromkeys(line for error in errors for line in str(error).splitlines())
    for line in lines:
        typer.echo(f"error: {line}", err=True)
    return exit_code(errors[0])


if __name__ == "__main__":
    sys.exit(main())
