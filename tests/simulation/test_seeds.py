"""The whole system under seeded faults, in virtual time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tapekeeper.sim.fault_file import parse_faults
from tapekeeper.sim.fault_host import ALL_KINDS
from tapekeeper.sim.fault_menu import Fault, kind_of
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.seeds import run_seed
from tapekeeper.verify.simulation import simulate

SEEDS = 200
AT_ONCE = 10
"""Seeds of one test, so that each test stays well below its time limit."""

REQUIRED = {
    "refuse": 'door = "negotiate"\nstatus = 503\n',
    "hang_up": 'door = "upgrade"\n',
    "no_answer": 'door = "negotiate"\n',
}


@pytest.mark.parametrize("first", range(1, SEEDS + 1, AT_ONCE))
def test_every_seed_holds(first: int) -> None:
    """Whatever goes wrong: no deadlock, recovery in time, true bars, no unreported loss."""
    failed = []
    for seed in range(first, first + AT_ONCE):
        _, verdict = run_seed(seed)
        if not verdict.holds:
            failed.append((verdict.replay, verdict.findings.problems))
    assert failed == []


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_every_kind_of_fault_alone_is_survived(kind: str) -> None:
    """Twice the fault, and a drop behind each, so that those at the doors are met."""
    text = "".join(
        f'[[fault]]\nkind = "{kind}"\nat_s = {at_s}\n{REQUIRED.get(kind, "")}'
        f'[[fault]]\nkind = "drop"\nat_s = {at_s + 1}\n'
        for at_s in (5, 20)
    )
    evidence, verdict = run_seed(11, parse_faults(text, kinds=ALL_KINDS))
    assert verdict.findings.problems == ()
    assert verdict.faults == 4
    assert len(evidence.log) > 10


def _table() -> list[Fault]:
    """The faults of the table in the documentation, as a file would have them."""
    page = (Path(__file__).parents[2] / "docs" / "verification.md").read_text(encoding="utf-8")
    part = page.split("### Every fault")[1].split("\n## ")[0]
    rows = [line.split("|")[3] for line in part.splitlines() if line.startswith("| ")][1:]
    faults: list[Fault] = []
    for row in rows:
        kind, *options = re.findall(r"`([^`]+)`", row)
        text = f'[[fault]]\nkind = "{kind}"\nat_s = 1\n' + "\n".join(options)
        if not options:
            text += REQUIRED.get(kind, "")
        faults += parse_faults(text, kinds=ALL_KINDS)
    return faults


def test_the_menu_and_the_documented_table_agree() -> None:
    """Every kind is in the table, and whatever is there can be written in a file."""
    assert {kind_of(fault) for fault in _table()} == set(ALL_KINDS)


def test_the_seeds_of_ci_draw_every_fault_of_the_table() -> None:
    """With the options that the table shows, each at least once; and 1 to 3 lines and addresses."""
    plans = [scenario(seed) for seed in range(1, SEEDS + 1)]
    drawn = [fault for plan in plans for fault in plan.schedule]
    options = ("door", "status", "allow_reconnect", "drop", "type", "code")

    def told(fault: Fault, names: list[str]) -> tuple[object, ...]:
        return (kind_of(fault), *(getattr(fault, name) for name in names))

    for wanted in _table():
        names = [name for name in options if hasattr(wanted, name)]
        if kind_of(wanted) in {"hang_up", "no_answer", "failure"}:
            names = []
        assert told(wanted, names) in {
            told(one, names) for one in drawn if type(one) is type(wanted)
        }
    assert {plan.redundancy for plan in plans} == {1, 2, 3}
    assert {plan.endpoints for plan in plans} == {1, 2, 3}


def test_a_program_that_fails_again_behind_the_last_fault_is_waited_for() -> None:
    """Its pools are asked when it is up again: in seed 1266 it dies while the return is awaited."""
    _, verdict = run_seed(1266)
    assert verdict.findings.problems == ()


@pytest.mark.parametrize("seed", [2127, 2523])
def test_what_a_slow_line_brings_long_afterwards_is_known(seed: int) -> None:
    """2127: its contract was left and followed again meanwhile; 2523: another line began there."""
    _, verdict = run_seed(seed)
    assert verdict.findings.problems == ()


@pytest.mark.parametrize("seed", [1171, 1253])
def test_an_outage_that_a_dying_process_did_not_tell_is_in_the_ledger(seed: int) -> None:
    """1171: its end was to be put anew; 1253: it was to be written in the very burst."""
    _, verdict = run_seed(seed)
    assert verdict.findings.problems == ()


@pytest.mark.parametrize("seed", [3, 42])
def test_the_same_seed_is_the_same_run(seed: int) -> None:
    """Every event at its time, every counter and every byte of the journal are equal."""
    first, second = simulate(scenario(seed)), simulate(scenario(seed))
    assert first.log == second.log
    assert first.happened == second.happened
    assert [first.files.read(name) for name in first.files.names()] == [
        second.files.read(name) for name in second.files.names()
    ]
    assert first.digest() == second.digest()
    assert first.digest() != simulate(scenario(seed + 1)).digest()


def test_a_seed_is_the_same_run_in_another_process() -> None:
    """The command repeats what another machine saw: no order depends on addresses or hashes."""
    heads = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tapekeeper", "simulate", "--first", "42"]
        done = subprocess.run(
            [*command, "--seeds", "1", "--trace"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        heads.add(done.stdout.splitlines()[0])
    assert len(heads) == 1
