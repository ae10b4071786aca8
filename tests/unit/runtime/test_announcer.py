"""The tape is as well as what is worst off, and says each change of it once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tapekeeper.core.freshness import Stream, StreamState
from tapekeeper.errors import FellBehindError
from tapekeeper.model.queue import QueueDefaults, QueueLimits
from tapekeeper.runtime.announcer import TAPE, Announcer, judge_tape
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.pool_values import HealthChange, PoolHealth
from tapekeeper.runtime.queue_kinds import TapeChange
from tapekeeper.runtime.token_keeper import TokenStatus
from tapekeeper.runtime.watch_values import StreamChange
from tapekeeper.sim.manual_clock import ManualClock

UP, STARTING, DEGRADED, DOWN = PoolHealth


@dataclass
class _Pool:
    name: str
    health: PoolHealth
    reason: str = "why"


def _token(failing: str = "") -> TokenStatus:
    return TokenStatus(tokens=1, failures=bool(failing), failing=failing, renewed_ns=0, due_in_s=1)


@pytest.mark.parametrize(
    ("market", "user", "failing", "health", "reasons"),
    [
        (UP, UP, "", UP, 0),
        (UP, STARTING, "", STARTING, 1),
        (DEGRADED, STARTING, "", DEGRADED, 2),
        (UP, DOWN, "", DOWN, 1),
        (UP, UP, "busy", DEGRADED, 1),
        (DOWN, UP, "busy", DOWN, 2),
    ],
)
def test_the_worst_counts_and_all_that_is_not_well_is_named(
    market: PoolHealth, user: PoolHealth, failing: str, health: PoolHealth, reasons: int
) -> None:
    """Of the hubs and the token."""
    judged = judge_tape([_Pool("market", market), _Pool("user", user)], _token(failing))
    assert judged[0] is health
    assert len(judged[1]) == reasons


def test_without_a_hub_there_is_nothing() -> None:
    """Nothing that could deliver is no health."""
    assert judge_tape([], _token())[0] is DOWN


def test_a_trouble_beside_the_hubs_degrades_the_tape() -> None:
    """As that of the journal does; its sentence is among the reasons."""
    assert judge_tape([_Pool("market", UP)], _token(), ["journal: full"]) == (
        DEGRADED,
        ("journal: full",),
    )


@pytest.mark.asyncio
async def test_a_change_is_told_before_what_it_makes_of_the_tape() -> None:
    """And the tape's own only if it is another one than before."""
    dispatch, pool, token = (
        Dispatch(QueueDefaults(QueueLimits(100, 10**9))),
        _Pool("market", UP),
        _token(),
    )
    logged: list[tuple[str, dict[str, Any]]] = []
    clock = ManualClock()
    announcer = Announcer(
        dispatch, clock=clock, log=lambda event, /, **fields: logged.append((event, fields))
    )
    stream = StreamChange("MES", Stream.TRADES, StreamState.STALE, 1, "no trades")
    change = HealthChange("market", UP, DEGRADED, 2, "no trades")
    told = dispatch.changes()
    announcer(change)  # nothing is judged before it is known by what
    announcer.judge([pool], lambda: token)
    announcer.look()
    announcer(stream)
    pool.health = DEGRADED
    announcer(change)
    announcer.look()
    token = _token("busy")
    announcer.look()
    dispatch.close()
    seen: list[TapeChange] = [each async for each in told]
    assert seen[0] == change
    assert seen[2:4] == [stream, change]
    ours = [each for each in seen if isinstance(each, HealthChange) and each.name == TAPE]
    assert [(each.before, each.after) for each in ours] == [(STARTING, UP), (UP, DEGRADED)]
    assert [fields["reason"] for _, fields in logged] == [each.reason for each in ours]
    assert len(seen) == 5


@pytest.mark.asyncio
async def test_a_reader_that_does_not_keep_up_is_told() -> None:
    """Its mailbox is bounded like every other one."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(2, 10**9)))
    told = dispatch.changes()
    for at_ns in range(5):
        dispatch.publish_change(HealthChange("market", UP, DEGRADED, at_ns, "why"))
    assert [(await anext(told)).at_ns for _ in range(2)] == [0, 1]
    with pytest.raises(FellBehindError, match="the transitions"):
        await anext(told)
