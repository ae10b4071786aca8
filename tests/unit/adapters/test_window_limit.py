"""No window ever holds more requests than allowed, and what is urgent waits for no others."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.rest import RestCaller, RestLimits
from tapekeeper.adapters.window_limit import WindowLimit
from tapekeeper.core.gateway.rest_payloads import Operation
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000


def test_the_limit_spreads_requests_over_windows() -> None:
    """Never more than the limit in any window, and later comers get later windows."""

    async def main(clock: VirtualClock) -> list[tuple[int, float]]:
        limit = WindowLimit(3, 10.0, clock)
        done: list[tuple[int, float]] = []

        async def request(number: int) -> None:
            await limit.wait()
            done.append((number, clock.monotonic_ns() / _NS))

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(request(number))
        await clock.sleep_s(100)
        await request(8)
        return done

    done = run_virtual(main)
    assert sorted(done[:8]) == [(n, float(n // 3 * 10)) for n in range(8)]
    assert done[8] == (8, 120.0)


def test_a_cancelled_request_takes_no_place() -> None:
    """Nobody waits for one that will not be sent, and nobody is let through early."""

    async def main(clock: VirtualClock) -> float:
        limit = WindowLimit(1, 10.0, clock)
        await limit.wait()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(limit.wait()) for _ in range(5)]
            await clock.sleep_s(1)
            for task in waiting:
                task.cancel()
        await limit.wait()
        return clock.monotonic_ns() / _NS

    assert run_virtual(main) == 10.0


def test_what_is_urgent_is_next() -> None:
    """It overtakes all who wait, takes its place in the window, and they go on in their order."""

    async def main(clock: VirtualClock) -> list[tuple[str, float]]:
        limit = WindowLimit(2, 10.0, clock)
        done: list[tuple[str, float]] = []

        async def request(name: str, *, urgent: bool = False) -> None:
            await limit.wait(urgent=urgent)
            done.append((name, clock.monotonic_ns() / _NS))

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(request(str(number)))
            await clock.sleep_s(1)
            for name in ("first", "second", "third"):
                group.create_task(request(name, urgent=True))
        return done

    order = ["0", "1", "first", "second", "third", "2", "3", "4", "5"]
    assert run_virtual(main) == [(name, 10.0 * (at // 2)) for at, name in enumerate(order)]


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.booleans(), st.booleans()), max_size=40),
    st.integers(1, 5),
)
def test_no_window_is_ever_too_full(requests: list[tuple[int, bool, bool]], limit: int) -> None:
    """Whoever comes when, urgent or not, staying or not: and everybody who stays gets through."""

    async def main(clock: VirtualClock) -> list[int]:
        window = WindowLimit(limit, 1.0, clock, reserved=(limit - 1) // 2)
        sent_ns: list[int] = []

        async def request(*, urgent: bool) -> None:
            await window.wait(urgent=urgent)
            sent_ns.append(clock.monotonic_ns())

        async with asyncio.TaskGroup() as group:
            for wait_ms, urgent, leaves in requests:
                task = group.create_task(request(urgent=urgent))
                await clock.sleep_s(wait_ms / 1000)
                if leaves:
                    task.cancel()
        assert len(sent_ns) >= sum(not leaves for _, _, leaves in requests)
        return sent_ns

    sent_ns = run_virtual(main)
    for first, after in zip(sent_ns, sent_ns[limit:], strict=False):
        assert after - first >= _NS


def test_history_and_the_rest_have_limits_of_their_own() -> None:
    """Bars do not wait for searches, nor the other way round."""

    async def main(clock: VirtualClock) -> list[float]:
        async with open_session() as session:
            limits = RestLimits(history=1, others=2)
            caller = RestCaller(session, "http://127.0.0.1:1", clock, limits=limits)
            moments = []
            for operation in (
                Operation.RETRIEVE_BARS,
                Operation.CONTRACT_SEARCH,
                Operation.LOGIN_KEY,
                Operation.RETRIEVE_BARS,
                Operation.ACCOUNT_SEARCH,
            ):
                await caller.wait_turn(operation)
                moments.append(clock.monotonic_ns() / _NS)
        return moments

    assert run_virtual(main) == [0.0, 0.0, 0.0, 30.0, 60.0]


@pytest.mark.parametrize(
    ("operation", "requests", "window_s"),
    [
        (Operation.RETRIEVE_BARS, 50, 30.0),
        (Operation.CONTRACT_SEARCH, 190, 60.0),
        (Operation.LOGIN_KEY, 200, 60.0),
    ],
)
def test_the_limits_are_the_gateway_s_own(
    operation: Operation, requests: int, window_s: float
) -> None:
    """As documented: 50 in 30 s for bars, 200 in 60 s for the rest; the next one waits.

    Ten of the 200 are kept for logins.
    """

    async def main(clock: VirtualClock) -> list[float]:
        async with open_session() as session:
            caller = RestCaller(session, "http://127.0.0.1:1", clock)
            moments = []
            for _ in range(requests + 1):
                await caller.wait_turn(operation)
                moments.append(clock.monotonic_ns() / _NS)
        return moments

    assert run_virtual(main) == [0.0] * requests + [window_s]


def test_a_login_does_not_wait_behind_look_ups() -> None:
    """With 1,500 of them asked for, it is sent at once."""

    async def main(clock: VirtualClock) -> float:
        async with open_session() as session, asyncio.TaskGroup() as group:
            caller = RestCaller(session, "http://127.0.0.1:1", clock)
            reads = [
                group.create_task(caller.wait_turn(Operation.CONTRACT_SEARCH)) for _ in range(1_500)
            ]
            await clock.sleep_s(1)
            await caller.wait_turn(Operation.LOGIN_KEY)
            at_s = clock.monotonic_ns() / _NS
            for read in reads:
                read.cancel()
        return at_s

    assert run_virtual(main) == 1.0
