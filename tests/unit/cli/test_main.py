"""The program as a whole: exit codes, sentences, and who shows a traceback."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import pytest
import typer

from tapekeeper.app.config_example import example
from tapekeeper.cli import main as program
from tapekeeper.cli.exit_codes import exit_code, expected_errors
from tapekeeper.cli.main import main
from tapekeeper.errors import (
    AuthError,
    ConfigError,
    ConnectFailedError,
    JournalError,
    TapekeeperError,
    UnknownContractError,
    UnreadableSourceError,
)


def _command_that_raises(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program with one command in the place of ours; everything around it is real."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> NoReturn:
        """Fail."""
        raise error

    monkeypatch.setattr(program, "app", app)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (UnknownContractError("x"), 2),
        (UnreadableSourceError("x"), 2),
        (ConnectFailedError("x"), 3),
        (AuthError("x", status=401), 3),
        (JournalError("x"), 4),
        (TapekeeperError("x"), 1),
    ],
)
def test_kind_of_error_is_the_exit_code(error: TapekeeperError, code: int) -> None:
    """A script can tell a typing error from an outage from a full disk."""
    assert exit_code(error) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("one sentence"), 2),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [JournalError("one sentence")])]), 4),
    ],
)
def test_an_expected_error_is_one_line(
    error: Exception,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Errors of ours are a sentence on stderr, also when they come out of a task group."""
    _command_that_raises(error, monkeypatch)
    assert main([]) == code
    captured = capsys.readouterr()
    assert captured.err == "error: one sentence\n"
    assert captured.out == ""


def test_each_line_of_an_error_is_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Several faults are several lines, each of which says that it is an error."""
    _command_that_raises(ConfigError("a\nb"), monkeypatch)
    main([])
    assert capsys.readouterr().err == "error: a\nerror: b\n"


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("bug"), ExceptionGroup("t", [JournalError("x"), ZeroDivisionError("bug")])],
)
def test_a_bug_escapes(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is never dressed up as an error of the user's, also not beside one."""
    _command_that_raises(error, monkeypatch)
    with pytest.raises(type(error)):
        main([])


def test_a_group_with_a_bug_is_not_expected() -> None:
    """One bug among expected errors makes the whole group a bug."""
    group = ExceptionGroup("t", [JournalError("x"), ExceptionGroup("u", [KeyError("bug")])])
    assert expected_errors(group) is None


def test_a_full_disk_behind_the_output_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tapekeeper ... > file` on a full disk is trouble outside, and no bug."""
    _command_that_raises(OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    assert main([]) == 3
    assert capsys.readouterr().err == "error: cannot write the output: No space left on device\n"


def test_other_errors_of_the_system_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody expected keeps its traceback."""
    _command_that_raises(OSError(errno.EBADF, "Bad file descriptor"), monkeypatch)
    with pytest.raises(OSError, match="Bad file"):
        main([])


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C has the exit code that shells give it."""
    _command_that_raises(KeyboardInterrupt(), monkeypatch)
    assert main([]) == 130


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says what is installed."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"tapekeeper {version('tapekeeper')}\n"


@pytest.mark.parametrize("arguments", [["--nonsense"], ["nonsense"], ["config", "--nonsense"], []])
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be understood is answered on stderr with how to use the command."""
    assert main(arguments) == 2
    assert "Usage: tapekeeper" in capsys.readouterr().err


def test_config_prints_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    """`tapekeeper config` can be redirected into a file as it is."""
    assert main(["config"]) == 0
    assert capsys.readouterr().out == example()


def test_config_check_accepts_the_example(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed example passes its own check."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text(example(), encoding="utf-8")
    assert main(["config", "--check", str(path)]) == 0
    assert capsys.readouterr().out.startswith(f"{path} is valid; contracts: none; journal: ")


def test_config_check_names_a_typo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one sentence with the nearest valid name, and exit code 2."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text("[journal]\nsegment_mv = 3\n", encoding="utf-8")
    assert main(["config", "--check", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {path}: unknown setting journal.segment_mv: "
        "the nearest valid name is journal.segment_mb\n"
    )


def test_the_module_can_be_run() -> None:
    """`python -m tapekeeper` is the same program, exit code included."""
    command = [sys.executable, "-m", "tapekeeper", "config", "--check", "no-such-file.toml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "error: there is no configuration file no-such-file.toml\n"
