"""`simulate`: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tapekeeper.cli.main import main
from tapekeeper.cli.simulate import Summary, lines, summary_of
from tapekeeper.verify.checks import Findings
from tapekeeper.verify.seeds import Verdict


def test_a_good_seed_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """The last lines say how many seeds, faults and prints there were."""
    assert main(["simulate", "--seeds", "1", "--first", "5"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 seeds, 0 failed: ")
    assert "prints made" in shown


def test_the_result_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the counts."""
    assert main(["simulate", "--seeds", "2", "--json"]) == 0
    summary = msgspec.json.decode(capsys.readouterr().out, type=Summary)
    assert (summary.seeds, summary.first, summary.failed) == (2, 1, {})
    assert summary.made > summary.lost > 0


def test_a_file_of_faults_replaces_the_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is traced is what the file schedules."""
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nkind = "close"\nat_s = 4\nallow_reconnect = true\n')
    assert main(["simulate", "--seeds", "1", "--faults", str(file), "--trace"]) == 0
    shown = capsys.readouterr().out
    assert "4.000  fault is close: Close(" in shown
    assert "1 faults" in shown


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [(["--seeds", "0"], "seeds are 1 to"), (["--faults", "no-such.toml"], "no-such.toml")],
)
def test_a_wrong_option_of_simulate_is_refused(
    arguments: list[str], clause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and exit code 2."""
    assert main(["simulate", *arguments]) == 2
    assert clause in capsys.readouterr().err


def test_an_endless_schedule_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recovery is judged behind the last fault, so there must be one."""
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nkind = "drop"\nevery_s = 10\n')
    assert main(["simulate", "--seeds", "1", "--faults", str(file)]) == 2
    assert "a drop of" in capsys.readouterr().err


def test_a_failing_seed_names_the_command_that_repeats_it() -> None:
    """Its problems and one command line."""
    bad = Verdict(17, Findings(("it is stuck",), made=9, lost=1), 3, None, "x")
    shown = list(lines(summary_of([bad], 17), [bad]))
    assert shown[:3] == [
        "seed 17 fails:",
        "  it is stuck",
        "  again: tapekeeper simulate --first 17 --seeds 1 --trace",
    ]
    assert "1 failed" in shown[3]
