"""The whole system over hours without faults, in virtual time: renewals, a weekend, a break."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from tapekeeper.app.config import FeedConfig
from tapekeeper.runtime.line_values import LineState
from tapekeeper.runtime.pool_values import PoolHealth
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import Evidence
from tapekeeper.verify.scenario import Scenario, scenario
from tapekeeper.verify.simulation import simulate

QUIET = dataclasses.replace(
    scenario(1, ()),
    guest=False,
    redundancy=1,
    negotiate=True,
    on_full="spill",
    room_frames=FeedConfig().max_frames,
)
"""What a seed draws is set to the defaults."""


def _ran(plan: Scenario) -> Evidence:
    evidence = simulate(plan)
    findings = judge(evidence)
    assert findings.problems == ()
    assert findings.lost == 0
    return evidence


def test_a_token_renewed_every_two_seconds_costs_no_print() -> None:
    """Five minutes under load, each old token refused at once: none lost, none twice, two lines."""
    plan = dataclasses.replace(
        QUIET,
        token_life_s=2.5,
        single_token=True,
        overlap_s=0.2,
        trades_per_s=100.0,
        calm_s=300.0,
    )
    evidence = _ran(plan)
    assert evidence.last.status is not None
    market = evidence.last.status.pools[0]
    assert market.handovers > 100
    assert market.uncovered_count == 0
    assert market.lines_most == 2
    assert evidence.last.status.trades.accepted > 20_000
    assert evidence.last.status.trades.duplicate > 0
    assert evidence.last.status.trades.quarantined == 0


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (
            dt.datetime(2026, 1, 9, 21, 45, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 11, 23, 30, tzinfo=dt.UTC),
        ),
        (
            dt.datetime(2026, 1, 12, 21, 30, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 12, 23, 30, tzinfo=dt.UTC),
        ),
    ],
    ids=["weekend", "daily break"],
)
def test_a_closed_market_raises_no_alarm(start: dt.datetime, end: dt.datetime) -> None:
    """With default settings there is no reconnect and no warning, however quiet it gets."""
    plan = dataclasses.replace(
        QUIET,
        token_life_s=30 * 86_400.0,
        trades_per_s=0.1,
        start_ns=int(start.timestamp()) * 1_000_000_000,
        calm_s=(end - start).total_seconds(),
        calendar="cme",
    )
    evidence = _ran(plan)
    loud = [one for one in evidence.log if one.fields["level"] != "info"]
    assert loud == []
    told = [one.fields["health"] for one in evidence.log if one.event == "pool_health"]
    assert told == [PoolHealth.UP] * 2
    states = [one.fields["state"] for one in evidence.log if one.event == "line_state"]
    assert states.count(LineState.LIVE) == 2
    assert states.count(LineState.BACKING_OFF) == 0
    assert len(evidence.made) > 100
