"""The decisions of a pool, row by row of their tables."""

from __future__ import annotations

from functools import partial

import pytest

from tapekeeper.runtime.line_values import HubCall, LineState
from tapekeeper.runtime.pool_values import (
    Add,
    HandoverReason,
    LineView,
    PoolHealth,
    PoolPolicy,
    Remove,
    Replace,
    Step,
    Wait,
    judge_health,
    may_take_over,
    next_step,
    without,
)

_NS = 1_000_000_000
_S = LineState
_A = HubCall("SubscribeContractTrades", ("A",))
_TOKEN = HandoverReason.TOKEN_RENEWED
_HOURLY = PoolPolicy(max_session_s=3600)


def _line(number: int = 1, state: LineState = _S.LIVE, **more: object) -> LineView:
    return LineView(number, state, **more)  # type: ignore[arg-type]  # fields by name, as given


@pytest.mark.parametrize(
    ("lines", "wanted", "retry_s", "step"),
    [
        ([], 1, 0, Add()),
        ([_line()], 2, 0, Add()),
        ([_line()], 1, 0, Wait(None)),
        ([_line(1), _line(2)], 1, 0, Remove(2)),
        ([_line(1, _S.BACKING_OFF), _line(2)], 1, 0, Remove(1)),
        ([_line(due=_TOKEN)], 1, 0, Replace(1, _TOKEN)),
        ([_line(due=_TOKEN)], 1, 5000, Wait(5000 * _NS)),
        ([_line(1, due=_TOKEN), _line(2, _S.DOWN, due=_TOKEN)], 2, 0, Replace(2, _TOKEN)),
        ([_line(opened_ns=400 * _NS)], 1, 0, Replace(1, HandoverReason.SESSION_AGE)),
        ([_line(opened_ns=900 * _NS)], 1, 0, Wait(4500 * _NS)),
        ([_line(1, opened_ns=950 * _NS), _line(2, opened_ns=900 * _NS)], 2, 0, Wait(4500 * _NS)),
        ([_line(1, _S.CONNECTING)], 1, 0, Wait(None)),
    ],
)
def test_the_next_step(lines: list[LineView], wanted: int, retry_s: int, step: Step) -> None:
    """At 4000 s, with sessions of an hour."""
    assert (
        next_step(lines, wanted=wanted, policy=_HOURLY, retry_ns=retry_s * _NS, now_ns=4000 * _NS)
        == step
    )


def test_without_a_limit_a_session_never_gets_too_old() -> None:
    """The default replaces nothing by age."""
    lines = [_line(opened_ns=0)]
    step = next_step(lines, wanted=1, policy=PoolPolicy(), retry_ns=0, now_ns=10**18)
    assert step == Wait(None)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (_line(), _line(), True),
        (_line(state=_S.SUBSCRIBING), _line(), False),
        (_line(unconfirmed=(_A,)), _line(), False),
        (_line(unconfirmed=(_A,)), _line(unconfirmed=(_A,)), True),
        (_line(unconfirmed=(_A,)), _line(state=_S.BACKING_OFF), True),
    ],
)
def test_a_new_line_takes_over_when_nothing_is_lost(
    new: LineView, old: LineView, *, expected: bool
) -> None:
    """It is live and has whatever the old one delivers."""
    assert may_take_over(new, old) is expected


@pytest.mark.parametrize(
    ("lines", "failing", "dark_s", "health"),
    [
        ([_line(1), _line(2)], "", 0, PoolHealth.UP),
        ([_line(1), _line(2)], "x", 0, PoolHealth.DEGRADED),
        ([_line(1), _line(2, _S.CONNECTING)], "", 0, PoolHealth.DEGRADED),
        ([_line(1), _line(2, _S.STALE)], "", 0, PoolHealth.DEGRADED),
        ([_line(1, unconfirmed=(_A,)), _line(2)], "", 0, PoolHealth.UP),
        ([_line(1, unconfirmed=(_A,)), _line(2, unconfirmed=(_A,))], "", 0, PoolHealth.DEGRADED),
        ([_line(1, _S.BACKING_OFF)], "", 59, PoolHealth.DEGRADED),
        ([_line(1, _S.DOWN)], "", 60, PoolHealth.DOWN),
        ([], "", 60, PoolHealth.DOWN),
    ],
)
def test_the_health_of_a_pool_of_two(
    lines: list[LineView], failing: str, dark_s: float, health: PoolHealth
) -> None:
    """The worst that is the case decides, and it has a reason."""
    judged, reason = judge_health(
        lines, redundancy=2, failing=failing, dark_s=dark_s, policy=PoolPolicy()
    )
    assert judged is health
    assert reason
    starting, _ = judge_health(
        lines, redundancy=2, failing=failing, dark_s=dark_s, policy=PoolPolicy(), starting=True
    )
    assert starting is (PoolHealth.STARTING if health is PoolHealth.DEGRADED else health)


def test_what_has_just_been_asked_is_no_lack() -> None:
    """Only that; what was asked before and is not in force stays one."""
    line = _line(unconfirmed=(_A, HubCall("B")))
    assert without(line, {_A}).unconfirmed == (HubCall("B"),)


def test_a_line_that_was_replaced_only_just_waits_and_holds_up_no_other() -> None:
    """Its own delay counts for it alone; the failure of a hand-over counts for all."""
    waiting = _line(1, due=HandoverReason.LOGOUT, not_before_ns=30 * _NS)
    ready = _line(2, due=HandoverReason.LOGOUT)

    def step(*lines: LineView, retry_ns: int = 0) -> Step:
        return next_step(
            lines, wanted=len(lines), policy=PoolPolicy(), retry_ns=retry_ns, now_ns=10 * _NS
        )

    assert step(waiting) == Wait(30 * _NS)
    assert step(waiting, ready) == Replace(2, HandoverReason.LOGOUT)
    assert step(waiting, ready, retry_ns=20 * _NS) == Wait(20 * _NS)
    assert step(waiting, retry_ns=40 * _NS) == Wait(40 * _NS)


def test_lines_that_are_replaced_again_and_again_are_no_good_health() -> None:
    """Although every hand-over succeeds; anything worse is said first."""
    judge = partial(
        judge_health, redundancy=1, failing="", dark_s=0.0, policy=PoolPolicy(), restless="again"
    )
    assert judge([_line()]) == (PoolHealth.DEGRADED, "again")
    assert judge([]) == (PoolHealth.DEGRADED, "no line is live")
