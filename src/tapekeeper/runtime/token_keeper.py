"""Renews the token well before it ends, and tells the pools, so that no line ever finds out.

    the token         what happens
    ----------------  ------------------------------------------------------------------
    none yet          nothing: whoever connects first logs in
    young             sleep until its share of life is over, at most LOOK_EVERY_S at a time
    due               one renewal, with a deadline
    renewed           every pool replaces the lines that were opened with another token
    renewal failed    the old lines go on, a warning says so, and it is tried again after a
                      capped, jittered delay, however long that takes

A token that a hub refuses is not this task's: the line that met the refusal renews it once, and
the pools hear of the new token here all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from tapekeeper.core.backoff import Backoff
from tapekeeper.deadline import deadline
from tapekeeper.errors import AuthError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Log, Random

SOON_S = 0.001
"""The shortest wait, where rounding leaves less than that of a token's time."""
LOOK_EVERY_S = 60.0
"""A timer may stand still while the machine sleeps; the token does not, so it is looked at."""

RENEW_TIMEOUT_S = 45.0
"""For one renewal, whatever its source has for deadlines of its own."""

REFUSED_DELAY_S = 60.0
"""Least delay after credentials were refused: asking sooner would only fill the gateway's log."""

LEAST_S = 1.0
"""Between two renewals, so that a token that is old when it comes cannot make this spin."""

_BASE_MS = 2_000
_CAP_MS = 60_000
_NS_PER_S = 1_000_000_000


class KeptTokens(Protocol):
    """A source that knows how old its token is; see `tapekeeper.adapters.tokens`."""

    on_renewed: Callable[[Secret], None]

    async def renew(self) -> Secret:
        """A new token; what was held stays held if this fails."""
        ...

    def due_in_s(self) -> float | None:
        """Seconds until it should be renewed; None if none is held."""
        ...


class TokenFollower(Protocol):
    """Somebody whose connections were opened with a token."""

    def token_renewed(self, token: Secret) -> None:
        """From now on `token` is the one to have."""
        ...


class TokenStatus(msgspec.Struct, frozen=True):
    """What became of the token so far.

    Attributes:
        tokens: how many came, the first included.
        failures: renewals that failed since the last token came.
        failing: why the last one failed; empty if it did not.
        renewed_ns: wall clock of the last new token, ns UTC; None before the first.
        due_in_s: seconds until it is renewed; None if there is none.
    """

    tokens: int
    failures: int
    failing: str
    renewed_ns: int | None
    due_in_s: float | None


class TokenKeeper:
    """See the module's text.

    Args:
        tokens: its `on_renewed` is taken over.
        followers: told of every new token.
        clock: time.
        random: for the jitter of delays.
        log: events for people; a token is in none of them.
    """

    def __init__(
        self,
        tokens: KeptTokens,
        followers: Sequence[TokenFollower],
        *,
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._tokens = tokens
        self._followers = followers
        self._clock = clock
        self._random = random
        self._log = log
        self._backoff = Backoff(_BASE_MS, _CAP_MS)
        self._news = asyncio.Event()
        self._came = 0
        self._failing = ""
        self._renewed_ns: int | None = None
        tokens.on_renewed = self._renewed

    async def run(self) -> None:
        """Keep the token young, until cancelled."""
        while True:
            due_in_s = self._tokens.due_in_s()
            if due_in_s is not None and due_in_s <= 0:
                await self._clock.sleep_s(await self._renew())
                continue
            wait_s = LOOK_EVERY_S if due_in_s is None else min(due_in_s, LOOK_EVERY_S)
            with suppress(TimeoutError):
                # A remainder below the clock's resolution would spin until time has moved.
                async with asyncio.timeout(max(wait_s, SOON_S)):
                    await self._news.wait()
            self._news.clear()

    def status(self) -> TokenStatus:
        """A frozen view."""
        return TokenStatus(
            tokens=self._came,
            failures=self._backoff.attempts,
            failing=self._failing,
            renewed_ns=self._renewed_ns,
            due_in_s=self._tokens.due_in_s(),
        )

    async def _renew(self) -> float:
        """Try once; how long to wait at least before looking again, s."""
        try:
            async with deadline(RENEW_TIMEOUT_S, "renewing the token"):
                await self._tokens.renew()
        except OutsideError as error:
            least_s = error.retry_after_s
            if isinstance(error, AuthError):
                least_s = max(REFUSED_DELAY_S, least_s or 0.0)
            delay_s = self._backoff.next_delay_ms(self._random.random(), least_s) / 1_000
            delay_s = max(delay_s, LEAST_S)
            self._failing = str(error)
            self._log(
                "token_refresh_failed",
                level="warning",
                reason=f"{error}; the present lines go on",
                failures=self._backoff.attempts,
                retry_in_s=delay_s,
            )
            return delay_s
        return LEAST_S

    def _renewed(self, token: Secret) -> None:
        self._came += 1
        self._failing = ""
        self._backoff.reset()
        self._renewed_ns = self._clock.now_ns()
        self._news.set()
        if self._came > 1:
            self._log("token_renewed", due_in_s=self._tokens.due_in_s())
        for follower in self._followers:
            follower.token_renewed(token)
