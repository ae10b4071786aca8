"""The address of every life of a line is the one that the endpoints choose."""

from __future__ import annotations

from tapekeeper.core.endpoints import Endpoints
from tapekeeper.runtime.handover_pace import HandoverPace
from tapekeeper.runtime.line_values import LineSpec, LineState
from tapekeeper.runtime.pool_member import Member, Route
from tapekeeper.runtime.pool_values import PoolPolicy
from tapekeeper.sim.manual_clock import ManualClock

FIRST, OTHER = "http://127.0.0.1:1/hub", "http://127.0.0.1:2/hub"


def test_a_route_leaves_an_address_that_fails_and_says_where_it_is() -> None:
    """What it is told counts for the address that it chose."""
    endpoints = Endpoints((FIRST, OTHER))
    route = Route(endpoints, ManualClock())
    chosen = []
    for _ in range(10):
        chosen.append(url := route.begin())
        assert url == (FIRST, OTHER)[route.index]
        if url == OTHER:
            break
        route.failed(url, "refused")
    assert chosen[0] == FIRST
    assert chosen[-1] == OTHER
    route.succeeded(OTHER)
    assert route.begin() == OTHER


def test_a_member_begins_with_nothing() -> None:
    """It has confirmed nothing, and nobody has dismissed it."""
    member = Member(
        3,
        None,
        HandoverPace(
            PoolPolicy(), LineSpec(name="market", hub_url="https://hub.test", negotiate=False)
        ),
        joining=True,
    )
    assert (member.number, member.joining, member.state) == (3, True, LineState.STOPPED)
    assert (member.confirmed, member.dismissed, member.over, member.due) == (
        set(),
        False,
        False,
        None,
    )
