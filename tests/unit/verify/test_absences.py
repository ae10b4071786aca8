"""The judge of the ledger across processes, on runs of the whole system."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.sim.fault_host import DiskFull, Kill
from tapekeeper.sim.fault_menu import Fault
from tapekeeper.verify.absences import unnamed
from tapekeeper.verify.checks import judge
from tapekeeper.verify.runs import runs_of
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import simulate


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Kill(at_s=20, restart_s=4), "which is whole but for its seal"),
        (Kill(at_s=20, restart_s=4, share=0.5), "bytes of an unfinished write were cut"),
        (DiskFull(at_s=20, for_s=3), "ended without order behind segment"),
    ],
)
def test_every_sudden_end_is_in_the_ledger_and_is_healed(fault: Fault, told: str) -> None:
    """With what was found of it; history stands for the time in which nobody was there."""
    plan = replace(scenario(8, (fault,)), trades_per_s=20.0, guest=False, calm_s=60.0)
    evidence = simulate(plan)
    assert judge(evidence).problems == ()
    runs, _ = runs_of(evidence.files)
    assert list(unnamed(evidence, runs)) == []
    crashes = read_ledger(evidence.files)[0].find(causes=[GapCause.CRASH])
    assert {gap.contract_id for gap in crashes} == set(evidence.contracts.values())
    assert {gap.state for gap in crashes} == {GapState.REPAIRED}
    assert all(told in gap.evidence for gap in crashes)
