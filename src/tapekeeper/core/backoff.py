"""How long to wait before the next attempt: capped exponential growth with full jitter.

The n-th delay is drawn evenly from 0 to min(cap, base * 2**n). Full jitter spreads clients that
lost the same server better than a fixed share of jitter does, at the price of some short waits
(Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

RETRY_AFTER_MAX_S = 600.0
"""The longest wait a peer can ask for; a wrong `Retry-After` must not silence a recorder."""

_DOUBLINGS_MAX = 63  # beyond any cap, and the shift stays small however long an outage lasts


class Backoff:
    """Delays between attempts. The caller resets it after a healthy spell.

    A reset at every success would hammer a server that accepts and drops.

    Args:
        base_ms: upper bound of the first delay, at least 1.
        cap_ms: upper bound of every delay, at least `base_ms`.
    """

    __slots__ = ("_attempts", "_base_ms", "_cap_ms")

    def __init__(self, base_ms: int, cap_ms: int) -> None:
        if not 1 <= base_ms <= cap_ms:
            raise ValueError(f"the base is 1 to the cap: {base_ms} ms, {cap_ms} ms")
        self._base_ms = base_ms
        self._cap_ms = cap_ms
        self._attempts = 0

    @property
    def attempts(self) -> int:
        """Delays given since the start or the last reset."""
        return self._attempts

    def next_delay_ms(self, random: float, retry_after_s: float | None = None) -> int:
        """The delay before the next attempt, ms.

        Args:
            random: a number in [0, 1).
            retry_after_s: what the peer asked to wait, s. The jitter comes on top of it, so that
                clients that were told the same do not return together; it is bounded by
                `RETRY_AFTER_MAX_S`, and ignored where it is not a number above 0.
        """
        bound_ms = min(self._cap_ms, self._base_ms << min(self._attempts, _DOUBLINGS_MAX))
        self._attempts += 1
        delay_ms = int(random * bound_ms)
        if retry_after_s is not None and retry_after_s > 0:
            delay_ms += int(min(retry_after_s, RETRY_AFTER_MAX_S) * 1000)
        return delay_ms

    def reset(self) -> None:
        """Begin again with the base."""
        self._attempts = 0
