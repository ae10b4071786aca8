"""The whole system while its own computer fails: clock, disk, addresses, and sudden death."""

from __future__ import annotations

import dataclasses

import pytest

from tapekeeper.core.journal import Ending, Position, scan, segment_name, segment_number
from tapekeeper.model.bar import Bar
from tapekeeper.runtime.syncer import Durability
from tapekeeper.sim.fault_host import (
    ClockStep,
    DiskError,
    DiskFull,
    EndpointDown,
    Kill,
    SlowDisk,
    SyncError,
)
from tapekeeper.sim.fault_menu import Drop, Fault
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import End, Evidence
from tapekeeper.verify.runs import runs_of
from tapekeeper.verify.scenario import RESTART_S, scenario
from tapekeeper.verify.simulation import simulate

PLAN = dataclasses.replace(
    scenario(3, ()),
    redundancy=1,
    endpoints=1,
    token_life_s=50.0,
    trades_per_s=20.0,
    negotiate=True,
    guest=False,
    stateful=False,
    durability="process",
)
HOUR_S = 3_600.0


def _ran(*schedule: Fault, endpoints: int = 1) -> Evidence:
    evidence = simulate(dataclasses.replace(PLAN, schedule=schedule, endpoints=endpoints))
    assert judge(evidence).problems == ()
    return evidence


def _segments(evidence: Evidence) -> list[str]:
    return [name for name in evidence.files.names() if segment_number(name) is not None]


def _bars(evidence: Evidence) -> list[Bar]:
    result = evidence.last.result
    assert result is not None
    return [bar for bars in result.bars.values() for bar in bars]


@pytest.mark.parametrize("by_s", [-12 * HOUR_S, -2.5, -0.02, 0.02, 2.5, 12 * HOUR_S])
def test_a_step_of_the_wall_clock_moves_no_bar(by_s: float) -> None:
    """Small or large, forward or back, twice: every bar is what it is with a good clock."""
    stepped = _ran(ClockStep(at_s=20, by_s=by_s), ClockStep(at_s=40, by_s=by_s / 2))
    steady = _ran(ClockStep(at_s=20, by_s=0), ClockStep(at_s=40, by_s=0))
    assert [step.by_ns for step in stepped.steps] == [by_s * 1e9, by_s * 5e8]
    assert [_told(bar) for bar in _bars(stepped)] == [_told(bar) for bar in _bars(steady)]
    assert stepped.last.status is not None
    assert stepped.last.status.rejected == {}


def _told(bar: Bar) -> tuple[object, ...]:
    return bar.contract_id, bar.timeframe, bar.ts_open, bar.open, bar.high, bar.low, bar.volume


def test_a_token_is_judged_sensibly_by_a_clock_that_is_wrong() -> None:
    """A clock that is hours ahead renews it once more, and then as often as any other clock."""
    counts = {}
    for by_s in (-12 * HOUR_S, 0.0, 12 * HOUR_S):
        status = _ran(ClockStep(at_s=20, by_s=by_s)).last.status
        assert status is not None
        assert status.token.failures == 0
        counts[by_s] = status.token.tokens
    assert counts[-12 * HOUR_S] == counts[0.0]
    assert counts[0.0] <= counts[12 * HOUR_S] <= counts[0.0] + 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (DiskFull(at_s=20, room_bytes=100, for_s=8), "No space left on device"),
        (DiskError(at_s=20, for_s=8), "Input/output error"),
    ],
    ids=["full", "broken"],
)
def test_a_journal_that_cannot_accept_stops_the_tape_loudly(fault: Fault, reason: str) -> None:
    """It says why, nothing leaves it that is not journalled, and a restart goes on behind it."""
    evidence = _ran(fault)
    first, *waiting, last = evidence.lives
    assert first.end is End.FAILED
    assert first.why.startswith("JournalError: cannot write segment-000001.tkj")
    assert first.why.endswith(reason)
    assert 20 <= (first.ended_ns - evidence.start_ns) / 1e9 < 21
    # It is not started on a disk that takes nothing, and is as soon as the disk does.
    assert [life.end for life in waiting] == [End.FAILED]
    assert all(life.subscribed_ns is None and reason in life.why for life in waiting)
    assert last.end is End.STOPPED
    assert last.started_ns - evidence.start_ns < (28 + 2 * RESTART_S) * 1e9
    assert len(first.left) > 10
    assert len(last.left) > 10
    runs, problems = runs_of(evidence.files)
    assert list(runs) == [1, 2]
    assert all(problem.expected for problem in problems)


def test_a_write_that_was_cut_short_leaves_a_torn_tail() -> None:
    """The part that still fitted stays as it is; the next run begins a segment of its own."""
    evidence = _ran(DiskFull(at_s=20, room_bytes=100, for_s=2))
    ends = [scan(evidence.files.read(name)).end for name in _segments(evidence)]
    assert ends == [Ending.TORN, Ending.SEALED]


def test_a_seal_that_is_not_confirmed_ends_a_run_loudly() -> None:
    """Stopping fails and says so; the journal reads all the same, and a new run seals its own."""
    evidence = _ran(SyncError(at_s=20))
    assert [life.end for life in evidence.lives] == [End.FAILED, End.STOPPED]
    assert "cannot sync segment-000001.tkj" in evidence.lives[0].why
    runs, problems = runs_of(evidence.files)
    assert (list(runs), problems) == ([1, 2], [])


def test_at_power_a_disk_that_confirms_no_more_stops_the_tape_loudly() -> None:
    """Within an interval, and not only where a segment ends; nothing is sealed behind it."""
    plan = dataclasses.replace(PLAN, durability="power", schedule=(SyncError(at_s=20),))
    evidence = simulate(plan)
    assert judge(evidence).problems == ()
    first, last = evidence.lives
    assert (first.end, last.end) == (End.FAILED, End.STOPPED)
    assert "cannot sync segment-000001.tkj" in first.why
    assert 20 <= (first.ended_ns - evidence.start_ns) / 1e9 < 21
    assert scan(evidence.files.read(segment_name(1))).end is Ending.OPEN
    assert last.status is not None
    journal = last.status.journal
    assert (journal.durability, journal.sync_every_ms) == (Durability.POWER, 100)
    # Many more than segments, and all of it in the end.
    assert journal.synced.syncs > 10 * journal.segments
    assert journal.synced.durable == Position(2, journal.entries)


def test_a_slow_disk_delays_and_loses_nothing() -> None:
    """Writes of seconds hold the process up; every print is there, and every bar is true."""
    evidence = _ran(SlowDisk(at_s=10, delay_ms=3_000, for_s=10))
    assert evidence.held_s > 9
    assert [life.end for life in evidence.lives] == [End.STOPPED]
    assert judge(evidence).lost == 0


@pytest.mark.parametrize("share", [None, 0.0, 0.4, 1.0])
def test_a_killed_process_goes_on_where_its_journal_ends(share: float | None) -> None:
    """Killed between two writes or in one: what left it is in the journal, and no lock stays."""
    evidence = _ran(Kill(at_s=20, share=share, restart_s=3))
    first, last = evidence.lives
    assert (first.end, last.end) == (End.KILLED, End.STOPPED)
    assert first.result is None
    assert len(first.left) > 10
    runs, problems = runs_of(evidence.files)
    assert list(runs) == [1, 2]
    torn = scan(evidence.files.read(_segments(evidence)[0])).end
    assert torn is (Ending.TORN if share == 0.4 else Ending.OPEN)
    assert len(problems) == (share == 0.4)


def test_a_process_may_die_again_and_again() -> None:
    """In its start, too, and while it stops because of the disk."""
    schedule = [Kill(at_s=10 + n * 0.4, restart_s=0.3) for n in range(20)]
    evidence = _ran(*schedule, DiskError(at_s=30, for_s=4), Kill(at_s=30.001, restart_s=1))
    assert len(evidence.lives) > 15
    assert evidence.last.end is End.STOPPED


@pytest.mark.parametrize("endpoints", [1, 2, 3])
def test_an_endpoint_that_fails_is_left_and_returned_to(endpoints: int) -> None:
    """A fallback takes over within seconds where there is one; the preferred one is used again."""
    evidence = _ran(
        EndpointDown(at_s=10, endpoint=0, for_s=25),
        EndpointDown(at_s=20, endpoint=1 % endpoints, for_s=10),
        Drop(at_s=25),
        endpoints=endpoints,
    )
    assert evidence.last.status is not None
    market = evidence.last.status.pools[0]
    assert evidence.returned_s is not None
    connected = [endpoint.succeeded for endpoint in market.endpoints]
    assert len(connected) == (0 if endpoints == 1 else endpoints)
    assert all(connected)
