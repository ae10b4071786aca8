"""The token is renewed before it ends, every follower hears of it, and failures are no storm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tapekeeper.errors import AuthError, ConnectFailedError, OutsideError, RateLimitError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.token_keeper import TokenKeeper
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_NS = 1_000_000_000


class _Tokens:
    """Tokens of a thousand seconds, due after eight hundred."""

    def __init__(self, clock: VirtualClock) -> None:
        self.on_renewed: Callable[[Secret], None] = lambda _: None
        self.errors: list[OutsideError] = []
        self.asked_ns: list[int] = []
        self.hangs = False
        self._clock = clock
        self._came_ns: int | None = None

    def take(self) -> None:
        """A new token comes, whoever asked for it."""
        self._came_ns = self._clock.monotonic_ns()
        self.on_renewed(Secret(f"test-token-{self._came_ns}-not-a-secret"))

    async def renew(self) -> Secret:
        self.asked_ns.append(self._clock.monotonic_ns())
        if self.hangs:
            await asyncio.Event().wait()
        if self.errors:
            raise self.errors.pop(0)
        self.take()
        return Secret("test-token-not-a-secret")

    def due_in_s(self) -> float | None:
        if self._came_ns is None:
            return None
        return 800 - (self._clock.monotonic_ns() - self._came_ns) / _NS


class _Follower:
    def __init__(self) -> None:
        self.told: list[Secret] = []

    def token_renewed(self, token: Secret) -> None:
        self.told.append(token)


class _Half:
    def random(self) -> float:
        return 0.5


class Rig:
    """A keeper in virtual time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.tokens = _Tokens(clock)
        self.followers = [_Follower(), _Follower()]
        self.events: list[str] = []
        self.keeper = TokenKeeper(
            self.tokens, self.followers, clock=clock, random=_Half(), log=self._log
        )

    def _log(self, event: str, /, **_fields: object) -> None:
        self.events.append(event)


def _play(scenario: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def main(clock: VirtualClock) -> Rig:
        rig = Rig(clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(rig.keeper.run())
            await scenario(rig)
            task.cancel()
        return rig

    return run_virtual(main)


def test_a_token_is_renewed_when_it_is_due_and_all_followers_hear_it() -> None:
    """Every eight hundred seconds, without anybody asking."""

    async def scenario(rig: Rig) -> None:
        await rig.clock.sleep_s(100)
        assert rig.tokens.asked_ns == []  # nobody has logged in yet
        rig.tokens.take()
        await rig.clock.sleep_s(2500)
        assert rig.keeper.status().tokens == 4

    rig = _play(scenario)
    assert [round(at / _NS) for at in rig.tokens.asked_ns] == [900, 1700, 2500]
    assert [len(follower.told) for follower in rig.followers] == [4, 4]
    assert rig.events == ["token_renewed"] * 3


def test_a_token_that_a_line_renewed_is_followed_too() -> None:
    """A new token counts from when it came, and is told once."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.take()
        await rig.clock.sleep_s(500)
        rig.tokens.take()
        await rig.clock.sleep_s(700)
        assert rig.tokens.asked_ns == []
        assert len(rig.followers[0].told) == 2

    _play(scenario)


def test_a_failed_renewal_is_said_and_tried_again_with_growing_delays() -> None:
    """Nobody is told of a token that did not come, and the gateway is not hammered."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.take()
        rig.tokens.errors = [ConnectFailedError("away")] * 5
        await rig.clock.sleep_s(805)
        status = rig.keeper.status()
        assert status.failing == "away"
        assert status.failures >= 2
        assert len(rig.followers[0].told) == 1
        await rig.clock.sleep_s(200)
        assert (rig.keeper.status().failures, rig.keeper.status().failing) == (0, "")

    rig = _play(scenario)
    gaps_s = [
        (b - a) / _NS for a, b in zip(rig.tokens.asked_ns, rig.tokens.asked_ns[1:], strict=False)
    ]
    assert gaps_s == [1, 2, 4, 8, 16]
    assert rig.events == ["token_refresh_failed"] * 5 + ["token_renewed"]


@pytest.mark.parametrize(
    "error", [AuthError("refused", status=200), RateLimitError("busy", retry_after_s=60)]
)
def test_haste_is_of_no_use_where_the_gateway_refuses(error: OutsideError) -> None:
    """Refused credentials and a Retry-After set the least delay."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.take()
        rig.tokens.errors = [error]
        await rig.clock.sleep_s(900)

    rig = _play(scenario)
    first, second = rig.tokens.asked_ns
    assert second - first >= 60 * _NS


def test_a_renewal_that_hangs_has_a_deadline() -> None:
    """The next one is tried; nothing waits for ever."""

    async def scenario(rig: Rig) -> None:
        rig.tokens.take()
        rig.tokens.hangs = True
        await rig.clock.sleep_s(845.5)
        rig.tokens.hangs = False
        await rig.clock.sleep_s(10)
        assert rig.keeper.status().tokens == 2

    _play(scenario)


def test_a_remainder_below_the_clock_s_resolution_does_not_spin() -> None:
    """A token that is due in less than can be slept is looked at a thousand times a second."""

    async def scenario(rig: Rig) -> None:
        looks: list[float] = []

        def almost_due() -> float:
            looks.append(1e-12)
            return looks[-1]

        rig.tokens.due_in_s = almost_due  # type: ignore[method-assign]  # a clock that rounds
        rig.tokens.take()
        await rig.clock.sleep_s(1)
        assert len(looks) <= 1_010

    _play(scenario)
