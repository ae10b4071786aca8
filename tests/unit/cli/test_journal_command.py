"""`journal`: verify, status and prune (`tapekeeper.cli.journal`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.cli.main import main
from tapekeeper.core.journal import Entry, EntryKind, segment_name
from tapekeeper.runtime.journaler import Journaler

START = 1_780_000_020 * 10**9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of some twenty segments, of 60 frames of 3 bytes."""
    journaler = Journaler(
        FolderFiles(tmp_path / "journal"), segment_bytes_max=300, created_ns=START
    )
    for number in range(60):
        journaler.append([Entry(EntryKind.FRAME, 1, START + number, b"x%02d" % number)])
    journaler.close()
    return tmp_path / "journal"


def run(*arguments: str) -> int:
    """The exit code of a command."""
    return main(["journal", *arguments])


def test_a_whole_journal_is_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is there, and that it is all."""
    assert run("verify", "--journal", str(folder)) == 0
    out = capsys.readouterr().out
    assert "60 entries (60 FRAME)" in out
    assert out.endswith("all that was written is there\n")


def test_damage_is_named_and_costs_the_zero(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which segment, from which byte, and what; the rest is counted all the same."""
    path = folder / segment_name(2)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    assert run("verify", "--journal", str(folder)) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("damaged: segment-000002.tkj: corrupt from byte ")
    assert "all that was written" not in captured.out


def test_what_a_crash_left_is_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named, and the journal is whole without it."""
    path = max(folder.glob("*.tkj"))
    path.write_bytes(path.read_bytes()[:-3])
    assert run("verify", "--journal", str(folder)) == 0
    assert "left by a crash: segment-" in capsys.readouterr().err


def test_the_status_says_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which segments, since when, and how far the archive and the retention are."""
    assert run("status", "--journal", str(folder)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("segments 1 to ")
    assert "begun 2026-05-28" in lines[1]
    assert "format version 2" in lines[1]
    assert lines[-2:] == ["removed: nothing", "confirmed by the archive: nothing"]


def test_a_status_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder and a segment that cannot be read are said to be so."""
    assert run("status", "--journal", str(tmp_path)) == 0
    assert "there is no segment in" in capsys.readouterr().out
    (tmp_path / segment_name(1)).write_bytes(b"nothing of the kind")
    assert run("status", "--journal", str(tmp_path)) == 0
    assert "the first one cannot be read: not a journal segment" in capsys.readouterr().out


def test_only_what_is_confirmed_is_pruned(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing without a word of the archive; then the oldest, and a dry run removes none."""
    arguments = ("prune", "--retain-gb", "0", "--journal", str(folder))
    before = sorted(folder.glob("*.tkj"))
    assert run(*arguments) == 0
    assert "the archive has confirmed nothing" in capsys.readouterr().out
    (folder / "archived.jsonl").write_text('{"through_segment": 3}\n')
    assert run(*arguments, "--dry-run") == 0
    assert capsys.readouterr().out.startswith("would remove segments 1 to 3, ")
    assert sorted(folder.glob("*.tkj")) == before
    assert run(*arguments) == 0
    assert capsys.readouterr().out.startswith("removed segments 1 to 3, ")
    assert sorted(folder.glob("*.tkj")) == before[3:]
    assert run(*arguments) == 0
    assert "nothing to remove; confirmed up to segment 3" in capsys.readouterr().out
    assert run("verify", "--journal", str(folder)) == 0
    assert run("status", "--journal", str(folder)) == 0
    assert "removed: up to segment 3" in capsys.readouterr().out


def test_a_configuration_says_what_is_kept(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no option does."""
    (folder / "archived.jsonl").write_text('{"through_segment": 3}\n')
    config = tmp_path / "tapekeeper.toml"
    config.write_text('[journal]\ndir = "journal"\nretain_days = 0.001\n')
    assert run("prune", "--config", str(config)) == 0
    assert "removed segments 1 to 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("prune",), "say what is to be kept: --retain-days or --retain-gb"),
        (("verify", "--journal", "absent"), "there is no journal in absent"),
        (("prune", "--retain-days", "1", "--journal", "absent"), "there is no journal in absent"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the exit code of wrong usage."""
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_an_empty_folder_cannot_be_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing of which it could be said that it is whole."""
    assert run("verify", "--journal", str(tmp_path)) != 0
    assert "there is no journal in" in capsys.readouterr().err
