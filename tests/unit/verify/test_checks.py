"""The judges of a simulated run: each of them finds what it is for."""

from __future__ import annotations

import copy
from collections.abc import Callable

import msgspec
import pytest

from tapekeeper.model.snapshot import TickCounts
from tapekeeper.sim.fault_menu import Drop
from tapekeeper.verify.checks import judge
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import Evidence, Made, simulate

SCHEDULE = (Drop(at_s=10, hub="market"), Drop(at_s=20, hub="market"))


@pytest.fixture(scope="module")
def good() -> Evidence:
    """A run with two drops."""
    return simulate(scenario(8, SCHEDULE))


def test_a_good_run_has_no_problem(good: Evidence) -> None:
    """It made prints, lost a few while it was away, and reported when."""
    findings = judge(good)
    assert findings.problems == ()
    assert findings.made > 100
    assert 0 < findings.lost < findings.made // 2
    assert len(findings.spans) >= 2


def _spoil_failure(evidence: Evidence) -> None:
    evidence.failure = "deadlock: planted"


def _spoil_recovery(evidence: Evidence) -> None:
    evidence.recovered_s = None


def _spoil_stop(evidence: Evidence) -> None:
    evidence.stop_s = 61.0


def _spoil_tasks(evidence: Evidence) -> None:
    evidence.leftovers = ("line market",)


def _spoil_ends(evidence: Evidence) -> None:
    evidence.open_ends = 2


def _spoil_lock(evidence: Evidence) -> None:
    evidence.files.is_locked = True


def _spoil_subscription(evidence: Evidence) -> None:
    evidence.subscribed_ns = None


def _spoil_counts(evidence: Evidence) -> None:
    assert evidence.status is not None
    evidence.status = msgspec.structs.replace(evidence.status, trades=TickCounts(received=1))


def _spoil_pool(evidence: Evidence) -> None:
    assert evidence.status is not None
    pools = tuple(msgspec.structs.replace(one, lines_most=9) for one in evidence.status.pools)
    evidence.status = msgspec.structs.replace(evidence.status, pools=pools)


def _spoil_bar(evidence: Evidence) -> None:
    assert evidence.result is not None
    bars = evidence.result.bars["1s"]
    bars[3] = msgspec.structs.replace(bars[3], volume=bars[3].volume + 1)


def _spoil_bar_missing(evidence: Evidence) -> None:
    assert evidence.result is not None
    del evidence.result.bars["5s"][2]


def _spoil_report(evidence: Evidence) -> None:
    assert evidence.status is not None
    pools = tuple(msgspec.structs.replace(one, uncovered=()) for one in evidence.status.pools)
    pools = tuple(msgspec.structs.replace(one, uncovered_count=0) for one in pools)
    evidence.status = msgspec.structs.replace(evidence.status, pools=pools)


def _spoil_print(evidence: Evidence) -> None:
    one = evidence.made[len(evidence.made) // 2]
    evidence.made.insert(0, Made(evidence.stopping_ns - 20_000_000_000, one.prints * 50))


def _spoil_market(evidence: Evidence) -> None:
    evidence.made = [one for n, one in enumerate(evidence.made) if n % 7]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_spoil_failure, "deadlock: planted"),
        (_spoil_recovery, "not recovered 240 s after the last fault"),
        (_spoil_stop, "stopping took 61.0 s"),
        (_spoil_tasks, "tasks were left over: line market"),
        (_spoil_ends, "2 ends of connections"),
        (_spoil_lock, "left locked"),
        (_spoil_subscription, "never subscribed"),
        (_spoil_counts, "an identity does not hold"),
        (_spoil_pool, "had 9 lines, more than"),
        (_spoil_bar, "bars differ from the oracle's"),
        (_spoil_bar_missing, "a replay of the journal makes other bars"),
        (_spoil_report, "lost in intervals that nothing reports"),
        (_spoil_print, "lost in intervals that nothing reports"),
        (_spoil_market, "are on the tape that nobody made"),
    ],
)
def test_what_is_wrong_is_found(
    good: Evidence, spoil: Callable[[Evidence], None], sentence: str
) -> None:
    """Evidence that was spoilt in one way is told in one sentence that says which."""
    spoilt = copy.deepcopy(good)
    spoil(spoilt)
    assert any(sentence in problem for problem in judge(spoilt).problems)
