"""`endurance` prints a table, slopes and a verdict, and exits accordingly."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tapekeeper.cli import endurance
from tapekeeper.cli.endurance import HEAD, row
from tapekeeper.cli.main import main
from tapekeeper.verify.endurance import Endured, Plan, Sample, Trend

SAMPLE = Sample(
    hour=1.0,
    connections=122,
    tasks=32,
    sockets=3,
    websockets=2,
    waiting=0,
    queue_bytes=0,
    futures=41,
    handles=12,
    objects=90_245,
    resident_mb=89.95,
    traced_mb=None,
    accepted=392,
    holds=True,
    full=True,
)
FLAT = Trend("tasks", 32.0, 0.0, 0.0, 0.5)
STEEP = Trend("objects", 90_000.0, 120.0, 3_480.0, 300.0)


def _planted(monkeypatch: pytest.MonkeyPatch, endured: Endured) -> list[Plan]:
    """Let a run give this; the plans it was asked for."""
    plans = []

    def endure(plan: Plan, on_sample: Callable[[Sample], None]) -> Endured:
        plans.append(plan)
        on_sample(SAMPLE)
        return endured

    monkeypatch.setattr(endurance, "endure", endure)
    return plans


def test_a_flat_run_is_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table, then each slope with what it may be."""
    plans = _planted(monkeypatch, Endured((SAMPLE,), (FLAT,), (), ()))
    assert main(["endurance", "--hours", "24", "--every-s", "30", "--seed", "7"]) == 0
    assert plans == [Plan(hours=24.0, cut_every_s=30.0, seed=7)]
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [HEAD, row(SAMPLE)]
    assert len(out[0]) == len(out[1])
    assert out[2].endswith("growth +0.00 of 0.50: flat")


def test_growth_is_1_and_says_of_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the places where it was allocated, if they were traced."""
    _planted(monkeypatch, Endured((SAMPLE,), (FLAT, STEEP), ("line.py:7: +9 KiB",), ("grew",)))
    assert main(["endurance", "--trace"]) == 1
    out = capsys.readouterr().out
    assert "GROWS" in out
    assert "  grew: line.py:7" in out
    assert "WRONG: grew" in out


def test_json_is_the_whole_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing else."""
    endured = Endured((SAMPLE,), (STEEP,), (), ("grew",))
    _planted(monkeypatch, endured)
    assert main(["endurance", "--json"]) == 1
    assert msgspec.json.decode(capsys.readouterr().out, type=Endured) == endured


def test_a_run_that_is_too_short_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence says what is needed."""
    assert main(["endurance", "--hours", "2"]) == 2
    assert "show no slope" in capsys.readouterr().err
