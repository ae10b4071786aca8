"""Spaces outbound calls, so that a reconnect with many subscriptions is not a flood."""

from __future__ import annotations

_NS_PER_S = 1_000_000_000


class Pacer:
    """Gives turns: a burst at once, then a steady rate (the generic cell rate algorithm).

    Args:
        per_s: turns per second in the long run, above 0.
        burst: turns that may be taken at once after a quiet spell, at least 1.
    """

    __slots__ = ("_ahead_ns", "_interval_ns", "_next_ns")

    def __init__(self, per_s: float, burst: int) -> None:
        if per_s <= 0 or burst < 1:
            raise ValueError(f"a pace is above 0 per second and at least 1: {per_s}, {burst}")
        self._interval_ns = round(_NS_PER_S / per_s)
        self._ahead_ns = (burst - 1) * self._interval_ns
        self._next_ns: int | None = None

    def take_turn(self, now_ns: int) -> float:
        """Take the next turn; how long to wait for it, s.

        Args:
            now_ns: monotonic.
        """
        earliest_ns = now_ns - self._ahead_ns
        turn_ns = earliest_ns if self._next_ns is None else max(self._next_ns, earliest_ns)
        self._next_ns = turn_ns + self._interval_ns
        return max(turn_ns - now_ns, 0) / _NS_PER_S
