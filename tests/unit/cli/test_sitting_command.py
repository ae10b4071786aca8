"""`sitting` prints a table, what the run came to and a verdict, and exits accordingly."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tapekeeper.cli import sitting
from tapekeeper.cli.main import main
from tapekeeper.verify.endurance import Sample, Trend
from tapekeeper.verify.sitting import Sat, SittingPlan

FLAT = Trend("tasks", 30.0, 0.0, 0.0, 0.5)
SAT = Sat(
    hours=48.0,
    real=False,
    made=1_000,
    received=1_100,
    accepted=1_000,
    quotes=10,
    ticks_per_s=1_000.0,
    peak_per_s=20_000,
    bursts=7,
    read_bars=1,
    read_volume=2,
    read_quotes=10,
    handovers=3,
    journal_bytes=5_000_000,
    removed_bytes=0,
    cpu_s=9.0,
    wall_s=10.0,
    resident_mb=(100.0, 100.5, 100.2),
    samples=(),
    trends=(FLAT,),
    problems=(),
)


def _planted(monkeypatch: pytest.MonkeyPatch, sat: Sat) -> list[SittingPlan]:
    plans = []

    def sit(plan: SittingPlan, _on_sample: Callable[[Sample], None]) -> Sat:
        plans.append(plan)
        return sat

    monkeypatch.setattr(sitting, "sit", sit)
    return plans


def test_a_flat_run_is_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it came to, with the level of durability, and each slope; options make the plan."""
    plans = _planted(monkeypatch, SAT)
    assert main(["sitting", "--hours", "6", "--real", "--minutes", "5", "--seed", "4"]) == 0
    assert plans == [SittingPlan(hours=6.0, real=True, seed=4, minutes_max=5.0)]
    out = capsys.readouterr().out
    assert "1,000 prints in bars of 1,100 received" in out
    assert "journal (process): 5 MB" in out
    assert "growth +0.00 of 0.50: flat" in out


def test_a_problem_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a person and as JSON."""
    wrong = msgspec.structs.replace(SAT, problems=("memory grew",))
    _planted(monkeypatch, wrong)
    assert main(["sitting"]) == 1
    assert "WRONG: memory grew" in capsys.readouterr().out
    assert main(["sitting", "--json"]) == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Sat) == wrong


def test_a_plan_that_shows_nothing_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence says what can be."""
    assert main(["sitting", "--hours", "0"]) == 2
    assert "hours are not between" in capsys.readouterr().err
