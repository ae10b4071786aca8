"""Whether the disk answers in time: what a person is told of it, once per change."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Literal

import msgspec

from tapekeeper.ports import Clock, Log

CALM_S = 30.0
"""After so long without anything slow a disk is called fine again."""

_NS_PER_S = 1_000_000_000


class DiskState(StrEnum):
    """How a disk answers."""

    FINE = "fine"
    SLOW = "slow"  # something took longer than `slow_after_ms`, within the last half minute
    STUCK = "stuck"  # something has not been answered for `stuck_after_s`


_LEVELS: dict[DiskState, Literal["info", "warning", "error"]] = {
    DiskState.FINE: "info",
    DiskState.SLOW: "warning",
    DiskState.STUCK: "error",
}


class DiskLimits(msgspec.Struct, frozen=True):
    """How long the disk may take.

    Attributes:
        slow_s: what takes longer is told of.
        stuck_s: what takes longer is waited for no more, and counts as failed.
    """

    slow_s: float = 1.0
    stuck_s: float = 10.0


class DiskStatistics(msgspec.Struct, frozen=True):
    """How a disk has answered.

    Attributes:
        state: how it does now.
        reason: what took or takes so long, one clause; "" while it is fine.
        since_ns: wall clock of the last change of state, ns UTC; 0 before the first.
        slow: how often it became slow.
        stuck: how often it became stuck.
        slowest_ms: the longest answer of those that were slow; 0 if none was.
    """

    state: DiskState = DiskState.FINE
    reason: str = ""
    since_ns: int = 0
    slow: int = 0
    stuck: int = 0
    slowest_ms: float = 0.0


def _nobody() -> None:
    """Nobody listens."""


class Slowness:
    """Follows how a disk answers, and tells of changes.

    Args:
        name: of what is asked of the disk: a word for the log.
        limits: what is slow.
        clock: time.
        log: told of every change, once.
    """

    def __init__(self, name: str, limits: DiskLimits, *, clock: Clock, log: Log) -> None:
        self.limits = limits
        self._name = name
        self._clock = clock
        self._log = log
        self._changed: Callable[[], None] = _nobody
        self._now = DiskStatistics()
        self._answered_ns: int | None = None  # monotonic; the last that was slow

    def on_change(self, listener: Callable[[], None]) -> None:
        """Let somebody know of every change, in the thread of the event loop."""
        self._changed = listener

    def statistics(self) -> DiskStatistics:
        """How it has answered so far."""
        return self._now

    @property
    def is_fine(self) -> bool:
        """Whether there is nothing to tell of."""
        return self._now.state is DiskState.FINE

    def takes_long(self, what: str) -> None:
        """Something is not answered within `slow_s`, and is waited for."""
        self._answered_ns = None
        if self._now.state is DiskState.FINE:
            self._go(DiskState.SLOW, f"to {what} takes more than {self.limits.slow_s:g} s")

    def gave_up(self, what: str) -> None:
        """It is not answered within `stuck_s` either, and is waited for no more."""
        if self._now.state is not DiskState.STUCK:
            self._go(DiskState.STUCK, f"to {what} takes more than {self.limits.stuck_s:g} s")

    def answered(self, what: str, took_ns: int) -> None:
        """What took long is over, in whatever way."""
        self._answered_ns = self._clock.monotonic_ns()
        took_ms = took_ns / 1e6
        self._now = msgspec.structs.replace(
            self._now, slowest_ms=max(self._now.slowest_ms, took_ms)
        )
        if self._now.state is DiskState.STUCK:
            self._go(DiskState.SLOW, f"to {what} took {took_ns / 1e9:,.1f} s")

    def look(self) -> None:
        """Call it fine again, if nothing was slow for long enough."""
        if self._now.state is not DiskState.SLOW or self._answered_ns is None:
            return
        if self._clock.monotonic_ns() - self._answered_ns >= CALM_S * _NS_PER_S:
            self._go(DiskState.FINE, "")

    def _go(self, state: DiskState, reason: str) -> None:
        now = self._now
        self._now = msgspec.structs.replace(
            now,
            state=state,
            reason=reason,
            since_ns=self._clock.now_ns(),
            # Not where it answers after all: that is the same trouble.
            slow=now.slow + (state is DiskState.SLOW and now.state is DiskState.FINE),
            stuck=now.stuck + (state is DiskState.STUCK),
        )
        self._log(
            "disk_state",
            level=_LEVELS[state],
            of=self._name,
            state=state.value,
            reason=reason or "it answers in time again",
        )
        self._changed()
