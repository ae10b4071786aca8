"""Many seeds in a row, in one process or in several, and what is said of each and of all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from tapekeeper.sim.fault_menu import Fault, kind_of
from tapekeeper.verify.checks import Findings, judge
from tapekeeper.verify.evidence import Evidence
from tapekeeper.verify.leaks import Held, held
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import simulate

FAILED_MAX = 100
"""Failed seeds that are remembered with their problems; more are counted."""

AHEAD = 4
"""Seeds per worker that are handed out in advance, so that none waits for the next."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One seed.

    Attributes:
        seed: which.
        findings: what its run proved.
        kinds: how many faults of each kind happened.
        recovered_s: how long recovery took after the last fault, virtual seconds; None if it
            did not come.
        digest: fingerprint of everything that happened; the same in every run of the seed.
        lives: processes that it took, the first included.
    """

    seed: int
    findings: Findings
    kinds: Counter[str]
    recovered_s: float | None
    digest: str
    lives: int = 1

    @property
    def faults(self) -> int:
        """How many faults happened."""
        return self.kinds.total()

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings.problems

    @property
    def replay(self) -> str:
        """The command that runs it again and tells what happened."""
        return f"tapekeeper simulate --first {self.seed} --seeds 1 --trace"


HELD_MAX = 200
"""Of so many seeds it is remembered what was held after each."""


@dataclass(slots=True)
class Tally:
    """Sums over all seeds so far; as large for a million as for a hundred.

    Attributes:
        seeds: how many.
        kinds: faults that happened, by kind.
        made, lost: as in `Findings`.
        lives: processes, restarted ones included.
        recovery_s_max, slowest: the longest recovery, virtual seconds, and the seed that took it.
        failed_count: how many seeds failed.
        failed: the first `FAILED_MAX` of them.
        held: what this process held after each of the latest seeds, where it ran them itself.
    """

    seeds: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    made: int = 0
    lost: int = 0
    lives: int = 0
    recovery_s_max: float = 0.0
    slowest: int | None = None
    failed_count: int = 0
    failed: list[Verdict] = field(default_factory=list)
    held: deque[Held] = field(default_factory=lambda: deque(maxlen=HELD_MAX))

    def add(self, verdict: Verdict) -> None:
        """Count one more."""
        self.seeds += 1
        self.kinds.update(verdict.kinds)
        self.made += verdict.findings.made
        self.lost += verdict.findings.lost
        self.lives += verdict.lives
        if verdict.recovered_s is not None and verdict.recovered_s > self.recovery_s_max:
            self.recovery_s_max, self.slowest = verdict.recovered_s, verdict.seed
        if not verdict.holds:
            self.failed_count += 1
            if len(self.failed) < FAILED_MAX:
                self.failed.append(verdict)


def run_seed(seed: int, schedule: Sequence[Fault] | None = None) -> tuple[Evidence, Verdict]:
    """Run one seed; a `schedule` replaces the one that the seed draws."""
    evidence = simulate(scenario(seed, schedule))
    begun = Counter(kind_of(one.fault) for one in evidence.happened if not one.ended)
    verdict = Verdict(
        seed,
        judge(evidence),
        begun,
        evidence.recovered_s,
        evidence.digest(),
        len(evidence.lives),
    )
    return evidence, verdict


def run_seeds(
    seeds: Iterable[int],
    schedule: Sequence[Fault] | None,
    done: Callable[[Tally], None],
    *,
    jobs: int = 1,
) -> Tally:
    """Run all `seeds`, calling `done` after each; what became of them.

    Args:
        seeds: in the order in which they are counted.
        schedule: replaces the ones that they draw, if given.
        done: called with the sums so far.
        jobs: processes to use; each seed is the same run in any of them.
    """
    tally = Tally()
    verdicts = (
        (_verdict(seed, schedule) for seed in seeds)
        if jobs == 1
        else _in_processes(seeds, schedule, jobs)
    )
    for verdict in verdicts:
        tally.add(verdict)
        if jobs == 1:
            tally.held.append(held())
        done(tally)
    return tally


def _verdict(seed: int, schedule: Sequence[Fault] | None) -> Verdict:
    return run_seed(seed, schedule)[1]


def _in_processes(
    seeds: Iterable[int], schedule: Sequence[Fault] | None, jobs: int
) -> Iterator[Verdict]:
    # Started anew and not forked: a fork copies whatever threads of this process hold.
    context = multiprocessing.get_context("spawn")
    left = iter(seeds)
    # aside: the seeds are played by processes, which end with this block
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_belong_to_parent) as pool:
        # bound: AHEAD seeds per worker
        running: deque[Future[Verdict]] = deque(
            pool.submit(_verdict, seed, schedule) for seed in islice(left, jobs * AHEAD)
        )
        try:
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(_verdict, seed, schedule) for seed in islice(left, 1))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _belong_to_parent() -> None:
    """End with the parent, however it ends, and leave Ctrl-C to it: it reaches the whole group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # aside: a worker's only look at its parent; it ends with the process
    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()


def _end_with_parent() -> None:
    # A worker waits for work on a pipe that it holds open itself, so it never hears of the end.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
