"""Connections that are cut again and again, and resumed: nothing is lost, and no gap reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.runtime.line_values import ResumeTally
from tapekeeper.sim.fault_menu import (
    Close,
    CloseCode,
    Drop,
    Fault,
    HalfOpen,
    HangUp,
    Reset,
    Silence,
    Trickle,
)
from tapekeeper.sim.faults import Door
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import Evidence
from tapekeeper.verify.scenario import Scenario
from tapekeeper.verify.simulation import simulate

CUTS = (Drop(at_s=6.0, every_s=1.7, until_s=60.0),)
STORM = (Drop(at_s=6.0, every_s=0.11, until_s=40.0),)
CUTS_IN_RECORDS = (
    Trickle(at_s=5.0, every_s=5.0, for_s=5.0, bytes=37, pause_ms=0, until_s=30.0),
    Drop(at_s=6.0, every_s=1.3, until_s=30.0),
)
BACK_LATE = (
    *(Drop(at_s=at_s, hub="market") for at_s in (12.3, 33.1, 55.5)),
    *(HangUp(at_s=at_s, door=Door.UPGRADE, count=6) for at_s in (12.29, 33.09, 55.49)),
)
HALF_OPEN = (Silence(at_s=10.0), Silence(at_s=70.0, hub="market"))
HARD_ENDS = (
    *(CloseCode(at_s=5.0 + n, code=code) for n, code in enumerate((1000, 1006, 1009, 1011, 1012))),
    Reset(at_s=12.0, every_s=1.0, until_s=20.0),
    HalfOpen(at_s=25.0),
)


def plan(schedule: tuple[Fault, ...], **changes: Any) -> Scenario:
    """A busy market, a token that is renewed every ten seconds and then refused, and faults."""
    usual = Scenario(
        seed=5,
        schedule=schedule,
        negotiate=True,
        token_life_s=12.5,
        trades_per_s=100.0,
        redundancy=1,
        single_token=True,
        guest=False,
        stateful=True,
    )
    return replace(usual, **changes)


def status_of(evidence: Evidence) -> TapeStatus:
    """The last status."""
    status = evidence.last.status
    assert status is not None
    return status


def resumes_of(evidence: Evidence) -> ResumeTally:
    """What became of lost transports on both hubs."""
    return sum((pool.resumes for pool in status_of(evidence).pools), ResumeTally())


@pytest.mark.parametrize(
    ("schedule", "changes", "least"),
    [
        (CUTS, {}, 50),
        (CUTS, {"redundancy": 2}, 100),
        (STORM, {"token_life_s": 86_400.0}, 50),
        (CUTS_IN_RECORDS, {}, 30),
        (BACK_LATE, {"token_life_s": 86_400.0, "trades_per_s": 4.0}, 3),
        (HALF_OPEN, {"token_life_s": 86_400.0, "trades_per_s": 4.0}, 3),
        (HARD_ENDS, {"token_life_s": 86_400.0, "trades_per_s": 4.0}, 20),
    ],
    ids=[
        "cuts and refreshes",
        "two lines",
        "a storm",
        "within records",
        "back late",
        "half open",
        "hard ends",
    ],
)
def test_cuts_lose_nothing_and_no_gap_is_reported(
    schedule: tuple[Fault, ...], changes: dict[str, Any], least: int
) -> None:
    """Every print once, in bars that a replay repeats; connections stay, transports change."""
    evidence = simulate(plan(schedule, **changes))
    findings = judge(evidence)
    assert findings.problems == ()
    assert findings.lost == 0
    assert findings.made > 500
    status = status_of(evidence)
    # A cut is known at once, and bars wait for what comes behind it. They cannot wait for what
    # is unknown yet (a silence), nor for long where another line goes on meanwhile.
    assert set(status.rejected) <= {"late"}
    assert status.rejected == {} or schedule is HALF_OPEN or "token_life_s" not in changes
    assert [pool.uncovered_count for pool in status.pools] == [0, 0]
    resumes = resumes_of(evidence)
    assert resumes.tried >= resumes.succeeded >= least
    states = {one.fields["state"] for one in evidence.log if one.event == "line_state"}
    assert "resuming" in states
    assert not states & {"backing_off", "down"}
    assert sum(pool.handovers for pool in status.pools) > 0 or "token_life_s" in changes


def test_what_came_twice_for_it_was_dropped_once() -> None:
    """Acknowledgements lag by up to a second, so some records come again, and are counted."""
    evidence = simulate(plan(CUTS))
    assert resumes_of(evidence).repeated > 100
    assert status_of(evidence).trades.duplicate == sum(
        tally.duplicates for tally in status_of(evidence).tallies
    )


def test_a_server_that_forgets_leaves_the_gap_it_makes() -> None:
    """Then it is a reconnection as ever, and what was lost lies in what is reported."""
    forgetful = (Drop(at_s=10.0, forget=True), Drop(at_s=20.0, forget=True), Close(at_s=30.0))
    evidence = simulate(plan(forgetful, token_life_s=86_400.0))
    findings = judge(evidence)
    assert findings.problems == ()
    assert all(pool.uncovered_count >= 3 for pool in status_of(evidence).pools)
    resumes = resumes_of(evidence)
    assert (resumes.tried, resumes.succeeded) == (4, 0)


def test_without_it_the_same_cuts_are_gaps() -> None:
    """So the difference is this, and not the kindness of the simulation."""
    evidence = simulate(plan(CUTS, stateful=False))
    assert judge(evidence).problems == ()
    assert all(pool.uncovered_count > 10 for pool in status_of(evidence).pools)
    assert resumes_of(evidence) == ResumeTally()
