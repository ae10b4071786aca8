"""How long something held the event loop: a short timer, and how late it fires.

A timer sees of a stall what is left of it when it is due, so it sees at least all but one of its
own periods. The period is therefore short: a stall of 50 ms is at least 40 ms late here, whenever
it begins, and is counted. It costs about a quarter of a per cent of one processor.
"""

from __future__ import annotations

import msgspec

from tapekeeper.ports import Clock, Log

LOOK_S = 0.01
"""The period of the timer in a program."""

STALL_MS = 50.0
"""From here on a stall is counted: the bound that the design sets for everything it does."""

WARNING_MS = 1_000.0
"""A loop that was held for a second has delayed every bar and every answer by as much."""

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_MINUTE_NS = 60 * _NS_PER_S


class LoopLag(msgspec.Struct, frozen=True):
    """How late a timer of the event loop fired.

    Attributes:
        measured: how often it fired.
        last_ms, max_ms: lateness, ms; `max_ms` since the start.
        minute_ms: the most in the last one to two minutes.
        over_50_ms: how often the loop may have been held for 50 ms: none that was is left out,
            and one of at least 50 ms less a period of the timer may be among them.
    """

    measured: int = 0
    last_ms: float = 0.0
    max_ms: float = 0.0
    minute_ms: float = 0.0
    over_50_ms: int = 0


class LoopWatch:
    """Measures until it is cancelled.

    Args:
        clock: time.
        log: is told of a loop that was held for long.
        look_s: period of the timer.
    """

    def __init__(self, clock: Clock, log: Log, look_s: float = LOOK_S) -> None:
        self._clock = clock
        self._log = log
        self._look_ns = round(look_s * _NS_PER_S)
        # Counted in plain numbers: a frozen value a hundred times a second would be garbage.
        self._measured = self._over = 0
        self._last_ms = self._max_ms = self._worst_ms = 0.0
        self._minute_ms = self._minute_before_ms = 0.0
        self._minute_ends_ns = 0

    async def run(self) -> None:
        """Look again and again."""
        look_s = self._look_ns / _NS_PER_S
        now_ns = self._clock.monotonic_ns()
        self._minute_ends_ns = now_ns + _MINUTE_NS
        while True:
            due_ns = now_ns + self._look_ns
            await self._clock.sleep_s(look_s)
            now_ns = self._clock.monotonic_ns()
            self._note(now_ns, max(0, now_ns - due_ns) / _NS_PER_MS)

    def _note(self, now_ns: int, lag_ms: float) -> None:
        if now_ns >= self._minute_ends_ns:
            gone = now_ns >= self._minute_ends_ns + _MINUTE_NS
            self._minute_before_ms = 0.0 if gone else self._minute_ms
            self._minute_ms = 0.0
            self._minute_ends_ns = now_ns + _MINUTE_NS
        self._measured += 1
        self._last_ms = lag_ms
        self._max_ms = max(self._max_ms, lag_ms)
        self._worst_ms = max(self._worst_ms, lag_ms)
        self._minute_ms = max(self._minute_ms, lag_ms)
        self._over += lag_ms + self._look_ns / _NS_PER_MS >= STALL_MS
        if lag_ms >= WARNING_MS:
            self._log("event_loop_held", level="warning", lag_ms=round(lag_ms))

    def take_worst_ms(self) -> float:
        """The most since this was asked last, ms. For one who asks, and nobody else."""
        worst_ms, self._worst_ms = self._worst_ms, 0.0
        return worst_ms

    def lag(self) -> LoopLag:
        """A frozen view."""
        return LoopLag(
            measured=self._measured,
            last_ms=self._last_ms,
            max_ms=self._max_ms,
            minute_ms=max(self._minute_ms, self._minute_before_ms),
            over_50_ms=self._over,
        )
