"""`simulate`: what it prints, what it refuses, and its exit codes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tapekeeper.cli.main import main
from tapekeeper.cli.simulate import Summary, lines, summary_of
from tapekeeper.verify.checks import Findings
from tapekeeper.verify.seeds import FAILED_MAX, Tally, Verdict


def test_a_good_seed_exits_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    """The last lines say how many seeds, faults and prints there were."""
    assert main(["simulate", "--seeds", "1", "--first", "5"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("1 seeds, 0 failed: ")
    assert "prints made" in shown


def test_the_result_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object with the counts, here of two seeds whose faults cost prints."""
    assert main(["simulate", "--first", "5", "--seeds", "2", "--json"]) == 0
    summary = msgspec.json.decode(capsys.readouterr().out, type=Summary)
    assert (summary.seeds, summary.first, summary.failed) == (2, 5, {})
    assert summary.made > summary.lost > 0
    assert sum(summary.kinds.values()) == summary.faults > 0
    assert summary.processes >= summary.seeds


def test_several_processes_find_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Each seed is the same run in any of them, and they are counted in order."""
    results = []
    for jobs in ("1", "2"):
        assert main(["simulate", "--seeds", "5", "--jobs", jobs, "--json"]) == 0
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]


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
    [
        (["--seeds", "0"], "seeds are 1 to"),
        (["--jobs", "0"], "jobs are 1 to"),
        (["--faults", "no-such.toml"], "no-such.toml"),
    ],
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


MADE_AND_LOST = (
    "9 prints made, 1 of them lost in intervals that were reported (but not all of them: see "
    "the failed seeds)"
)


def _bad(seed: int) -> Verdict:
    findings = Findings(("it is stuck",), made=9, lost=1)
    return Verdict(seed, findings, Counter({"drop": 2, "kill": 1}), None, "x", lives=2)


def test_a_failing_seed_names_the_command_that_repeats_it() -> None:
    """Its problems and one command line, then the sums: faults by kind, and restarts."""
    tally = Tally()
    tally.add(_bad(17))
    assert list(lines(summary_of(tally, 17))) == [
        "seed 17 fails:",
        "  it is stuck",
        "  again: tapekeeper simulate --first 17 --seeds 1 --trace",
        "1 seeds, 1 failed: 3 faults, longest recovery 0.0 s",
        MADE_AND_LOST,
        "2 processes: 1 restarts",
        "faults by kind: drop 2, kill 1",
    ]


def test_a_summary_is_bounded_however_many_seeds_fail() -> None:
    """The first hundred are named, the others counted."""
    tally = Tally()
    for seed in range(FAILED_MAX + 5):
        tally.add(_bad(seed))
    summary = summary_of(tally, 0)
    assert (summary.failed_count, len(summary.failed)) == (FAILED_MAX + 5, FAILED_MAX)
    assert "and 5 more seeds fail" in list(lines(summary))


def test_a_fault_of_the_host_can_be_scripted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed process is started again; the trace tells of both."""
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nkind = "kill"\nat_s = 4\nrestart_s = 3\n')
    assert main(["simulate", "--seeds", "1", "--faults", str(file), "--trace"]) == 0
    shown = capsys.readouterr().out
    assert "4.000  process 1 is killed: as told" in shown
    assert "7.000  process 2 is started" in shown
    assert "2 processes: 1 restarts" in shown
