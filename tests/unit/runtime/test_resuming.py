"""Another transport for a connection: how soon, how often, and when it is given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    DeadlineError,
    OutsideError,
    ProtocolError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import LineSpec, ResumeTally
from tapekeeper.runtime.resuming import STEADY_S, Resuming
from tapekeeper.runtime.way import Way
from tapekeeper.sim.scripted_hub import Manners, ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

NS = 1_000_000_000


class _Rig:
    """What opens transports again, on a scripted hub."""

    def __init__(self, clock: VirtualClock, plan: tuple[Manners | OutsideError, ...]) -> None:
        self.clock = clock
        self.hub = ScriptedHub(clock, *plan)
        self.said: list[str] = []
        self.may_renew = True
        self.token_errors: list[OutsideError] = []
        self.resuming = Resuming(
            LineSpec(name="market", hub_url="https://hub.test", negotiate=False),
            transport=self.hub,
            tokens=self,
            renew=lambda _token: self.may_renew,
            clock=clock,
            random=self,
            log=self._log,
        )
        self.way = Way("wss://hub.test?id=t", Secret("old"), is_given=False, stateful=True)

    async def __call__(self) -> Secret:
        if self.token_errors:
            raise self.token_errors.pop(0)
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        raise AssertionError("that is the line's to do")

    def random(self) -> float:
        return 0.5

    def _log(self, event: str, /, **_fields: object) -> None:
        self.said.append(event)

    @property
    def attempts_s(self) -> list[float]:
        """When each attempt was made, after the first."""
        first_ns = self.hub.attempts[0].at_ns
        return [(one.at_ns - first_ns) / NS for one in self.hub.attempts]


def play(scenario: Callable[[_Rig], Awaitable[None]], *plan: Manners | OutsideError) -> None:
    """Run a scenario in virtual time."""

    async def main(clock: VirtualClock) -> None:
        await scenario(_Rig(clock, plan))

    run_virtual(main)


def test_the_first_attempt_is_made_at_once_and_the_next_ones_wait_longer() -> None:
    """Half of 50, 100 and 200 ms, since chance gives the middle here."""

    async def scenario(rig: _Rig) -> None:
        await rig.resuming.reopen(rig.way)
        assert rig.attempts_s == pytest.approx([0.0, 0.025, 0.075, 0.175], abs=1e-6)
        assert rig.said == ["resume_failed"] * 3
        assert rig.resuming.tally(4) == ResumeTally(tried=1, succeeded=0, repeated=4)

    play(scenario, ConnectFailedError("refused"), DeadlineError("late"), ConnectFailedError("x"))


def test_retry_after_is_kept() -> None:
    """Not before the seconds that the server names."""

    async def scenario(rig: _Rig) -> None:
        await rig.resuming.reopen(rig.way)
        assert rig.attempts_s[1] == pytest.approx(3.025, abs=1e-6)

    play(scenario, ConnectFailedError("busy", status=429, retry_after_s=3.0))


def test_only_a_resumption_that_lasted_lets_the_next_one_be_made_at_once() -> None:
    """Otherwise the delays go on growing."""

    async def scenario(rig: _Rig) -> None:
        for _ in range(3):
            await rig.resuming.reopen(rig.way)
            rig.resuming.succeeded()
        assert rig.attempts_s == pytest.approx([0.0, 0.025, 0.075], abs=1e-6)
        await rig.clock.sleep_s(STEADY_S)
        before_ns = rig.clock.monotonic_ns()
        await rig.resuming.reopen(rig.way)
        assert rig.hub.attempts[-1].at_ns == before_ns
        assert rig.resuming.tally(0) == ResumeTally(tried=4, succeeded=3)

    play(scenario)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410])
def test_a_server_that_wants_nobody_back_is_believed(status: int) -> None:
    """Another attempt could not end otherwise."""

    async def scenario(rig: _Rig) -> None:
        with pytest.raises(ConnectFailedError, match="no"):
            await rig.resuming.reopen(rig.way)
        assert len(rig.hub.attempts) == 1

    play(scenario, ConnectFailedError("no", status=status))


@pytest.mark.parametrize("may_renew", [True, False])
def test_a_refused_token_is_renewed_or_it_is_over(*, may_renew: bool) -> None:
    """A fresh one is tried at once; one that was fresh is not renewed again."""

    async def scenario(rig: _Rig) -> None:
        rig.may_renew = may_renew
        if may_renew:
            await rig.resuming.reopen(rig.way)
            assert rig.attempts_s == [0.0, 0.0]
        else:
            with pytest.raises(ConnectFailedError, match="401"):
                await rig.resuming.reopen(rig.way)

    play(scenario, ConnectFailedError("401", status=401))


def test_a_given_token_that_is_refused_cannot_be_renewed() -> None:
    """It was for this connection, and nobody has another one."""

    async def scenario(rig: _Rig) -> None:
        way = Way("wss://hub.test?id=t", Secret("given"), is_given=True, stateful=True)
        with pytest.raises(ConnectFailedError, match="401"):
            await rig.resuming.reopen(way)
        assert rig.hub.attempts[0].token == Secret("given")

    play(scenario, ConnectFailedError("401", status=401))


def test_a_token_source_that_fails_is_asked_again_unless_it_is_for_good() -> None:
    """Its trouble costs an attempt; refused credentials end it."""

    async def scenario(rig: _Rig) -> None:
        rig.token_errors = [DeadlineError("the login took too long")]
        await rig.resuming.reopen(rig.way)
        assert rig.said == ["resume_failed"]
        rig.token_errors = [AuthError("wrong key", status=401)]
        with pytest.raises(AuthError):
            await rig.resuming.reopen(rig.way)

    play(scenario)


def test_a_server_that_breaks_the_protocol_is_left() -> None:
    """There is nothing to go on with."""

    async def scenario(rig: _Rig) -> None:
        with pytest.raises(ProtocolError):
            await rig.resuming.reopen(rig.way)

    play(scenario, ProtocolError("nonsense"))
