"""The circuit breaker keeps its table."""

from __future__ import annotations

import pytest

from tapekeeper.core.breaker import Breaker, BreakerPolicy, BreakerState

S = 1_000_000_000
POLICY = BreakerPolicy(
    failures_max=3, cool_down_ns=10 * S, cool_down_cap_ns=35 * S, healthy_after_ns=60 * S
)


def opened(at_ns: int = 0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker(POLICY)
    for _ in range(POLICY.failures_max):
        assert breaker.admit(at_ns)
        breaker.failed(at_ns, "no answer")
    assert breaker.state is BreakerState.OPEN
    return breaker


def test_failures_open_it_only_in_a_row() -> None:
    """One success among them and the row begins anew."""
    breaker = Breaker(POLICY)
    for outcome in "ffsffsff":
        assert breaker.admit(0)
        if outcome == "f":
            breaker.failed(0, "no answer")
        else:
            breaker.succeeded(0)
    assert breaker.tally().opened == 0
    breaker.failed(0, "no answer")
    assert breaker.state is BreakerState.OPEN


def test_an_open_one_refuses_until_its_cool_down_is_over() -> None:
    """Asked before, it says how long yet; asked after, one probe passes."""
    breaker = opened(at_ns=5 * S)
    assert breaker.wait_ns(6 * S) == 9 * S
    assert not breaker.admit(15 * S - 1)
    assert breaker.admit(15 * S)
    assert breaker.state is BreakerState.HALF_OPEN


def test_one_probe_is_out_at_a_time() -> None:
    """The others are refused until its outcome is known."""
    breaker = opened()
    assert breaker.admit(10 * S)
    assert not breaker.admit(10 * S)
    breaker.succeeded(11 * S)
    assert breaker.state is BreakerState.CLOSED
    assert breaker.admit(11 * S)


def test_a_probe_that_never_says_how_it_ended_keeps_nobody_out_for_good() -> None:
    """After the length of a cool-down the next one is let through."""
    breaker = opened()
    assert breaker.admit(10 * S)
    assert not breaker.admit(20 * S - 1)
    assert breaker.admit(20 * S)


def test_each_failed_probe_doubles_the_cool_down_up_to_its_cap() -> None:
    """10, 20, then 35 s for ever."""
    breaker = opened()
    now_ns = 0
    for cool_down_s in (10, 20, 35, 35):
        assert breaker.wait_ns(now_ns) == cool_down_s * S
        now_ns += cool_down_s * S
        assert breaker.admit(now_ns)
        breaker.failed(now_ns, "still no answer")


@pytest.mark.parametrize(("closed_s", "cool_down_s"), [(59, 20), (60, 10)])
def test_only_a_healthy_spell_makes_the_cool_down_small_again(
    closed_s: int, cool_down_s: int
) -> None:
    """What fails again soon after it came back is left alone for longer."""
    breaker = opened()
    assert breaker.admit(10 * S)
    breaker.succeeded(10 * S)
    again_ns = (10 + closed_s) * S
    for _ in range(3):
        breaker.failed(again_ns, "no answer")
    assert breaker.wait_ns(again_ns) == cool_down_s * S


def test_late_outcomes_count_as_what_they_show() -> None:
    """A late failure does not lengthen the cool-down; a success ends it."""
    breaker = opened()
    breaker.failed(9 * S, "late")
    assert breaker.wait_ns(9 * S) == S
    breaker.succeeded(9 * S)
    assert breaker.state is BreakerState.CLOSED


def test_the_tally_counts_everything() -> None:
    """Who asked, what became of it, and where it stands since when."""
    breaker = opened(at_ns=S)
    assert not breaker.admit(2 * S)
    tally = breaker.tally()
    assert (tally.admitted, tally.refused, tally.failed, tally.succeeded) == (3, 1, 3, 0)
    assert (tally.state, tally.since_ns, tally.until_ns) == (BreakerState.OPEN, S, 11 * S)
    assert (tally.opened, tally.failures_in_row, tally.why) == (1, 3, "no answer")
    assert Breaker(POLICY).tally().until_ns is None


@pytest.mark.parametrize(
    "bad",
    [
        {"failures_max": 0},
        {"cool_down_ns": 0},
        {"cool_down_ns": 2, "cool_down_cap_ns": 1},
    ],
)
def test_a_policy_that_cannot_work_is_refused(bad: dict[str, int]) -> None:
    """A breaker that never opens, or never cools down, is a mistake."""
    with pytest.raises(ValueError, match=r"failure|cool-down"):
        BreakerPolicy(**bad)
