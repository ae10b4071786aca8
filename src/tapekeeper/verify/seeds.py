"""Many seeds in a row, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tapekeeper.sim.fault_menu import Fault
from tapekeeper.verify.checks import Findings, judge
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.evidence import Evidence
from tapekeeper.verify.simulation import simulate


@dataclass(frozen=True, slots=True)
class Verdict:
    """One seed.

    Attributes:
        seed: which.
        findings: what its run proved.
        faults: how many faults happened.
        recovered_s: how long recovery took after the last fault, virtual seconds; None if it
            did not come.
        digest: fingerprint of everything that happened; the same in every run of the seed.
    """

    seed: int
    findings: Findings
    faults: int
    recovered_s: float | None
    digest: str

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings.problems

    @property
    def replay(self) -> str:
        """The command that runs it again and tells what happened."""
        return f"tapekeeper simulate --first {self.seed} --seeds 1 --trace"


def run_seed(seed: int, schedule: Sequence[Fault] | None = None) -> tuple[Evidence, Verdict]:
    """Run one seed; a `schedule` replaces the one that the seed draws."""
    evidence = simulate(scenario(seed, schedule))
    begun = sum(not one.ended for one in evidence.happened)
    verdict = Verdict(seed, judge(evidence), begun, evidence.recovered_s, evidence.digest())
    return evidence, verdict


def run_seeds(
    seeds: Iterable[int],
    schedule: Sequence[Fault] | None,
    done: Callable[[Verdict], None],
) -> list[Verdict]:
    """Run all `seeds`, calling `done` after each; those that fail."""
    failed = []
    for seed in seeds:
        _, verdict = run_seed(seed, schedule)
        done(verdict)
        if not verdict.holds:
            failed.append(verdict)
    return failed
