"""Starting while the outside is not there yet, as after a power cut at night.

A computer is up before its router, and a gateway may be away when a service starts. What a retry
can mend is waited for, and said each time; what it cannot mend (a wrong key, a subscription that
is refused, a contract that does not exist) is an error at once, however long was waited before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from tapekeeper.core.backoff import Backoff
from tapekeeper.errors import OutsideError
from tapekeeper.ports import Clock, Log, Random

StartMode = Literal["wait", "fail"]
"""What becomes of a start that meets trouble outside: it waits for its end, or fails."""

BASE_MS = 1_000
CAP_MS = 30_000
"""As often as a line reconnects: a gateway that comes back is noticed within half a minute."""

_T = TypeVar("_T")


class Patience:
    """Takes the steps of a start.

    Args:
        mode: `fail` takes each step once.
        clock: for the delays.
        random: for their jitter.
        log: is told of every step that has to wait.
    """

    def __init__(self, mode: StartMode, *, clock: Clock, random: Random, log: Log) -> None:
        self._mode = mode
        self._clock = clock
        self._random = random
        self._log = log

    async def __call__(self, step: Callable[[], Awaitable[_T]], what: str) -> _T:
        """Take `step` until it succeeds; each attempt has its own deadline.

        Raises:
            OutsideError: a retry cannot help, or the mode is `fail`.
            TapekeeperError: whatever else the step raises.
        """
        backoff = Backoff(BASE_MS, CAP_MS)
        while True:
            try:
                return await step()
            except OutsideError as error:
                if self._mode == "fail" or not error.retryable:
                    raise
                delay_s = backoff.next_delay_ms(self._random.random(), error.retry_after_s) / 1_000
                self._log(
                    "start_waits",
                    level="warning",
                    step=what,
                    reason=str(error),
                    attempts=backoff.attempts,
                    retry_in_s=delay_s,
                )
            await self._clock.sleep_s(delay_s)
