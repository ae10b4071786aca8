"""How soon a line that has just taken over may be replaced in its turn.

A hand-over for what a gateway does, rather than for what we want, may be answered by the same
again: a gateway that ends the login session of every new connection would be given a new login
and a new connection per second, and each hand-over would succeed. So the first one is at once, and
each further one that follows it within `calm_s` waits longer, up to a cap. Renewed tokens and the
age of a session come at a pace of their own and are never held back.

A pace belongs to a line and to those that replace it, so that two lines that serve beside each
other and meet the same do not hold each other up.
"""

from __future__ import annotations

from tapekeeper.core.backoff import Backoff
from tapekeeper.ports import Random
from tapekeeper.runtime.line_values import LineSpec
from tapekeeper.runtime.pool_values import HandoverReason, PoolPolicy

DAMPED = frozenset({HandoverReason.LOGOUT, HandoverReason.STALE, HandoverReason.ENDPOINT})

_NS_PER_S = 1_000_000_000


class HandoverPace:
    """See the module's text. Times are monotonic.

    Args:
        policy: bounds of the delay, and how long it takes to be forgotten.
        spec: of the lines.

    Attributes:
        reconnects: the delays of the lines themselves, which a line goes on with where the one
            that it replaced has stopped.
    """

    def __init__(self, policy: PoolPolicy, spec: LineSpec) -> None:
        self._policy = policy
        self.reconnects = Backoff(spec.backoff_base_ms, spec.backoff_cap_ms)
        self._backoff = Backoff(policy.retry_base_ms, policy.retry_cap_ms)
        self._last_ns: int | None = None
        self._not_before_ns = 0

    @property
    def in_row(self) -> int:
        """Hand-overs that followed each other closely, so far."""
        return self._backoff.attempts

    def happened(self, reason: HandoverReason, now_ns: int, random: Random) -> None:
        """A hand-over is complete; `random` is for the jitter of the delay."""
        if reason not in DAMPED:
            return
        calm_ns = round(self._policy.calm_s * _NS_PER_S)
        if self._last_ns is not None and now_ns - self._last_ns >= calm_ns:
            self._backoff.reset()
        self._last_ns = now_ns
        delay_ms = max(self._backoff.next_delay_ms(random.random()), self._policy.retry_base_ms)
        self._not_before_ns = now_ns + delay_ms * 1_000_000

    def not_before_ns(self, reason: HandoverReason | None) -> int:
        """When a line may be replaced for this reason; 0 for at any time."""
        return self._not_before_ns if reason in DAMPED else 0
