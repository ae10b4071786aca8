"""`kills` says what was killed and what is left of it, and exits accordingly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tapekeeper.cli import kills
from tapekeeper.cli.main import main
from tapekeeper.verify.kills import Killed, Killing, KillPlan


def _planted(monkeypatch: pytest.MonkeyPatch, problems: tuple[str, ...]) -> list[KillPlan]:
    """Let a run end like this; the plans it was asked for."""
    plans = []

    def kill_often(plan: KillPlan, folder: Path, on_kill: Callable[[Killing], None]) -> Killed:
        assert folder.is_dir()
        plans.append(plan)
        on_kill(Killing(10, 10))
        return Killed(problems, kills=12, up=9, torn=2, bars=1_234, quotes=5_678, gaps=18)

    monkeypatch.setattr(kills, "kill_often", kill_often)
    return plans


def test_what_holds_is_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With the figures; the folder is made where it is to be kept."""
    plans = _planted(monkeypatch, ())
    keep = tmp_path / "new" / "kept"
    asked = ["kills", "--moments", "12", "--seed", "5", "--rate", "50", "--keep", str(keep)]
    assert main(asked) == 0
    assert plans == [KillPlan(12, 5, 50.0)]
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "12 processes killed, 9 of them while data flowed; 2 ends with an unfinished write",
        "1,234 bars and 5,678 quotes were given out; 18 gaps between processes in the ledger",
    ]
    assert err == "10 of 12 killed\n"


def test_what_does_not_hold_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With every sentence."""
    _planted(monkeypatch, ("the ledger does not name the end of run 3",))
    assert main(["kills"]) == 1
    assert "WRONG: the ledger does not name the end of run 3" in capsys.readouterr().out


def test_json_is_the_whole_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else."""
    _planted(monkeypatch, ())
    assert main(["kills", "--json"]) == 0
    out, err = capsys.readouterr()
    assert msgspec.json.decode(out, type=Killed).kills == 12
    assert err == ""


def test_a_folder_in_use_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Nothing of it is touched."""
    (tmp_path / "mine").touch()
    assert main(["kills", "--keep", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
