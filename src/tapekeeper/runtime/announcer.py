"""Tells whoever listens of every transition, and judges the health of the whole tape.

The tape is as well as what is worst off: a hub, a stream, or the token. A stream that has stopped
is part of the health of its hub (`tapekeeper.runtime.pool_values.judge_health`), the token is
added here: while it cannot be renewed the lines go on, but nobody can say for how long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tapekeeper.core.limits import LimitsChange
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.pool_values import HealthChange, PoolHealth
from tapekeeper.runtime.queue_kinds import TapeChange
from tapekeeper.runtime.token_keeper import TokenStatus

TAPE = "tape"
"""The name under which the health of the whole is told."""

_ORDER = tuple(PoolHealth)


class Judged(Protocol):
    """What has a health: a pool, or its status."""

    @property
    def name(self) -> str:
        """Of the hub."""
        ...

    @property
    def health(self) -> PoolHealth:
        """How it is."""
        ...

    @property
    def reason(self) -> str:
        """Why, one clause for a person."""
        ...


def judge_tape(
    pools: Iterable[Judged], token: TokenStatus, troubles: Iterable[str] = ()
) -> tuple[PoolHealth, tuple[str, ...]]:
    """The health of what is worst off, and a reason for all that is not well.

    Args:
        pools: the hubs.
        token: whether it can be renewed.
        troubles: what else makes the tape less safe than wanted, a sentence each.
    """
    found = [(pool.health, f"{pool.name}: {pool.reason}") for pool in pools]
    if not found:
        return PoolHealth.DOWN, ("there is no hub",)
    if token.failing:
        found.append((PoolHealth.DEGRADED, f"the token cannot be renewed: {token.failing}"))
    found += [(PoolHealth.DEGRADED, trouble) for trouble in troubles]
    health = max((each for each, _ in found), key=_ORDER.index)
    reasons = [reason for each, reason in found if each is not PoolHealth.UP]
    return health, tuple(reasons)


class Announcer:
    """See the module's text. Call it with an event right after the log was told the same.

    Args:
        dispatch: the subscribers.
        clock: time.
        log: events for people.
    """

    def __init__(self, dispatch: Dispatch, *, clock: Clock, log: Log) -> None:
        self._dispatch = dispatch
        self._clock = clock
        self._log = log
        self._pools: Sequence[Judged] = ()
        self._token: Callable[[], TokenStatus] | None = None
        self._troubles: Callable[[], Sequence[str]] = tuple
        self._health = PoolHealth.STARTING

    def judge(
        self,
        pools: Sequence[Judged],
        token: Callable[[], TokenStatus],
        troubles: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Judge the tape by these from now on; see `judge_tape`."""
        self._pools, self._token, self._troubles = pools, token, troubles

    def __call__(self, event: TapeChange, /) -> None:
        """Tell of `event`, and of what it makes of the tape."""
        self._dispatch.publish_change(event)
        if isinstance(event, HealthChange | LimitsChange):
            self.look()

    def look(self) -> None:
        """Judge the tape now, and tell if its health is another one."""
        if self._token is None:
            return
        health, reasons = judge_tape(self._pools, self._token(), self._troubles())
        if health is self._health:
            return
        before, self._health = self._health, health
        reason = "; ".join(reasons) or "everything is well"
        self._log(
            "tape_health",
            level="info" if health in {PoolHealth.UP, PoolHealth.STARTING} else "warning",
            health=health.value,
            reason=reason,
        )
        self._dispatch.publish_change(
            HealthChange(TAPE, before, health, self._clock.now_ns(), reason)
        )
