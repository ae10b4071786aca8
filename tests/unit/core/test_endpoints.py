"""The preferred endpoint is used while it works, left while it does not, and returned to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.breaker import BreakerPolicy, BreakerState
from tapekeeper.core.endpoints import Endpoints

S = 1_000_000_000
POLICY = BreakerPolicy(
    failures_max=2, cool_down_ns=30 * S, cool_down_cap_ns=120 * S, healthy_after_ns=300 * S
)
A, B, C = (f"https://{name}.test/hub" for name in "abc")


def endpoints(*urls: str) -> Endpoints:
    """Endpoints with a short patience."""
    return Endpoints(urls or (A, B, C), POLICY)


def attempt(them: Endpoints, now_ns: int, *, works: bool) -> int:
    """One attempt at what they choose."""
    choice = them.choose(now_ns)
    them.begin(choice.index, now_ns)
    if works:
        them.succeeded(choice.index, now_ns)
    else:
        them.failed(choice.index, now_ns, "refused")
    return choice.index


def test_the_preferred_one_is_chosen_while_it_works() -> None:
    """A single failure changes nothing."""
    them = endpoints()
    assert [attempt(them, 0, works=works) for works in (True, False, True, False)] == [0] * 4
    assert them.choose(0).url == A


def test_failures_in_a_row_lead_to_the_next_one() -> None:
    """And from there to the one after it."""
    them = endpoints()
    assert [attempt(them, 0, works=False) for _ in range(5)] == [0, 0, 1, 1, 2]


def test_when_all_cool_down_the_first_to_be_ready_is_chosen_at_once() -> None:
    """There is always a choice: a recorder never gives up, and its own delays are its pace."""
    them = endpoints(A, B)
    for now_s in (0, 0, 5, 5):
        attempt(them, now_s * S, works=False)
    choice = them.choose(10 * S)
    assert (choice.index, choice.wait_ns) == (0, 0)


def test_what_one_endpoint_asks_for_keeps_nobody_from_another() -> None:
    """`Retry-After` is owed to the address it came from; where all ask, the soonest is waited for.

    A success shows that it need not be left alone any more.
    """
    them = endpoints(A, B)
    them.begin(0, 0)
    them.failed(0, 0, "busy", leave_ns=600 * S)
    choice = them.choose(S)
    assert (choice.index, choice.wait_ns) == (1, 0)
    them.begin(1, S)
    them.failed(1, S, "refused")
    them.failed(1, S, "refused")
    assert them.choose(2 * S).index == 1, "one that cools down is tried before one that asked"
    them.failed(1, 2 * S, "busy", leave_ns=60 * S)
    choice = them.choose(12 * S)
    assert (choice.index, choice.wait_ns) == (1, 50 * S)
    assert them.better(1, 599 * S) is None
    assert them.better(1, 600 * S) == them.choose(600 * S)
    them.failed(0, 600 * S, "busy", leave_ns=600 * S)
    them.succeeded(0, 601 * S)
    assert them.choose(601 * S).index == 0


def test_a_single_endpoint_is_chosen_for_ever() -> None:
    """With nowhere else to go, only its cool-down grows; a success ends that whenever it comes."""
    them = endpoints(A)
    assert [attempt(them, 0, works=False) for _ in range(9)] == [0] * 9
    assert them.health()[0].until_ns == 30 * S
    attempt(them, 5 * S, works=True)
    assert them.choose(5 * S).wait_ns == 0
    assert them.health()[0].until_ns is None


def test_the_preferred_one_is_offered_again_after_its_cool_down() -> None:
    """While connected to another, `better` says when to return, and to the best one first."""
    them = endpoints()
    for _ in range(4):
        attempt(them, 0, works=False)
    assert attempt(them, 0, works=True) == 2
    assert them.better(2, 30 * S - 1) is None
    back = them.better(2, 30 * S)
    assert back is not None
    assert back.index == 0
    assert them.better(0, 30 * S) is None, "nothing is better than the preferred one"


def test_one_probe_at_a_time_returns_to_an_endpoint() -> None:
    """While it is out, the next in order is the choice; its success brings all back."""
    them = endpoints(A, B)
    for _ in range(2):
        attempt(them, 0, works=False)
    them.begin(0, 30 * S)
    assert them.choose(30 * S).index == 1
    assert them.better(1, 30 * S) is None
    them.succeeded(0, 31 * S)
    assert them.choose(31 * S).index == 0


def test_an_endpoint_that_flaps_is_left_alone_for_longer_each_time() -> None:
    """Each return that fails doubles the wait, up to the cap."""
    them = endpoints(A, B)
    for _ in range(2):
        attempt(them, 0, works=False)
    now_ns, waits_s = 0, []
    for _ in range(4):
        wait_ns = next(w for w in range(0, 200 * S, S) if them.better(1, now_ns + w))
        waits_s.append(wait_ns // S)
        now_ns += wait_ns
        them.begin(0, now_ns)
        them.failed(0, now_ns, "refused")
    assert waits_s == [30, 60, 120, 120]


def test_health_says_what_happened_to_each() -> None:
    """In their order, with the last reason."""
    them = endpoints(A, B)
    for _ in range(3):
        attempt(them, 7 * S, works=False)
    first, second = them.health()
    assert (first.url, first.state, first.until_ns) == (A, BreakerState.OPEN, 37 * S)
    assert (first.attempts, first.failed, first.opened, first.why) == (2, 2, 1, "refused")
    assert (second.url, second.attempts, second.failures_in_row) == (B, 1, 1)
    assert second.until_ns is None
    assert (len(them), them.url(1)) == (2, B)


@pytest.mark.parametrize("urls", [(), (A, A)])
def test_no_endpoint_and_the_same_twice_are_refused(urls: tuple[str, ...]) -> None:
    """Two of one address would be one with two opinions."""
    with pytest.raises(ValueError, match="at least one and each only once"):
        Endpoints(urls)


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 7), st.integers(0, 99)), max_size=60))
def test_the_choice_is_never_worse_than_one_that_is_ready(
    steps: list[tuple[int, int, int]],
) -> None:
    """Whatever fails: none before the choice is ready, and it waits only if all asked for it."""
    them = endpoints()
    now_ns = 0
    left_ns = [0, 0, 0]
    for step_s, works, leave_s in steps:
        now_ns += step_s * S
        choice = them.choose(now_ns)
        assert choice == them.choose(now_ns), "choosing changes nothing"
        assert them.better(choice.index, now_ns) is None
        if choice.wait_ns:
            assert min(left_ns) == now_ns + choice.wait_ns
        # Bit i of `works` says whether endpoint i is up.
        them.begin(choice.index, now_ns)
        if works >> choice.index & 1:
            them.succeeded(choice.index, now_ns)
            left_ns[choice.index] = 0
        else:
            them.failed(choice.index, now_ns, "down", leave_ns=leave_s * S)
            left_ns[choice.index] = max(left_ns[choice.index], now_ns + leave_s * S)
