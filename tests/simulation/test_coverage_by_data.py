"""The whole system: what a line covered is judged by what it brought, and quiet is no backlog."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tapekeeper.sim.fault_menu import Burst, Close
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import NS_PER_S
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import simulate

PLAN = replace(scenario(8, ()), guest=False, redundancy=1, token_life_s=86_400.0)


def test_a_line_that_ends_behind_a_backlog_leaves_the_interval_from_its_data_on() -> None:
    """A hub that is held up for 7 s closes after two: bytes come to the end, and no data."""
    schedule = (
        Burst(at_s=20, for_s=7, hub="market"),
        Close(at_s=22, hub="market", allow_reconnect=True),
    )
    evidence = simulate(replace(PLAN, schedule=schedule, trades_per_s=20.0))
    assert judge(evidence).problems == ()
    assert evidence.last.status is not None
    intervals = evidence.last.status.pools[0].uncovered
    assert {call.target for each in intervals for call in each.calls} == {
        "SubscribeContractTrades",
        "SubscribeContractQuotes",
    }
    for each in intervals:
        assert 21 < (each.from_ns - evidence.start_ns) / NS_PER_S < 22.1
        assert each.to_ns is not None
        assert 27 < (each.to_ns - evidence.start_ns) / NS_PER_S < 30


@pytest.mark.parametrize("redundancy", [1, 2])
@pytest.mark.parametrize("trades_per_s", [0.02, 0.5, 20.0])
def test_hand_overs_without_faults_leave_no_interval(redundancy: int, trades_per_s: float) -> None:
    """However quiet the market: a token that lives 20 s, for two minutes."""
    plan = replace(
        PLAN,
        redundancy=redundancy,
        trades_per_s=trades_per_s,
        token_life_s=20.0,
        calm_s=120.0,
    )
    evidence = simulate(plan)
    assert judge(evidence).problems == ()
    assert evidence.last.status is not None
    for pool in evidence.last.status.pools:
        assert pool.handovers >= 5
        assert pool.uncovered == ()


def test_a_hand_over_behind_a_stall_in_a_quiet_market_leaves_no_interval() -> None:
    """The old line has been late, and brought nothing since; its goodbye is answered."""
    schedule = (Burst(at_s=9, for_s=4, hub="market"),)
    plan = replace(PLAN, schedule=schedule, trades_per_s=0.5, token_life_s=20.0, calm_s=60.0)
    evidence = simulate(plan)
    assert judge(evidence).problems == ()
    assert evidence.last.status is not None
    assert evidence.last.status.pools[0].handovers >= 3
    assert evidence.last.status.pools[0].uncovered == ()
