"""Tokens: kept while they are good, renewed before they end, by one caller at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

import jwt
import msgspec

from tapekeeper.adapters.http_session import fits_header
from tapekeeper.deadline import deadline
from tapekeeper.errors import AuthError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock

DEFAULT_LIFE_S = 24 * 3600.0
"""The documented life of a token, for one that does not say when it expires."""

GIVEN_LIFE_MIN_S = 60.0
"""Least life of a token that was not issued just now. By this host's clock it may have ended, but
the gateway is the judge of that, and a wrong clock must not make its source be asked all the time.
"""

LIFE_MAX_S = 10 * 366 * 24 * 3600.0
"""A longer life is a mistake in the token, which then does not say when it expires: believed, it
would never be renewed."""

RENEWAL_TIMEOUT_S = 40.0
"""For one renewal as a whole; a waiting caller is never kept longer than this."""

RETRY_AFTER_S = 5.0
"""After a renewal failed, how long a token that is still good is given without trying again."""

REFUSED_DELAY_S = 60.0
"""The same where the credentials were refused: asking sooner would only fill the gateway's log."""

_CLAIM_CHARS_MAX = 200
_MILLISECONDS_FROM = 1e11
"""A larger time is in milliseconds, as some issuers write it: in seconds it is the year 5138."""
_NS_PER_S = 1_000_000_000


class LoginApi(Protocol):
    """What `GatewayAuth` offers."""

    async def login_key(self, user_name: str, api_key: Secret) -> Secret:
        """A token for an API key."""
        ...

    async def validate(self, held: Secret) -> Secret | None:
        """A fresh token for one that is still good, or None."""
        ...


class TokenIssuer(Protocol):
    """Where tokens come from."""

    @property
    def just_issued(self) -> bool:
        """Whether a token is new when it comes, so that its life counts from its issue."""
        ...

    async def issue(self) -> Secret:
        """A token.

        Raises:
            AuthError: the credentials were refused.
            OutsideError: there is none now.
        """
        ...

    async def extend(self, held: Secret) -> Secret | None:
        """A fresh token for one that is still good, or None where only `issue` gives any."""
        ...


class KeyLogin:
    """A `TokenIssuer` that logs in with an API key.

    Args:
        api: logs in and validates.
        user_name: of the API key.
        api_key: the key.
    """

    just_issued = True

    def __init__(self, api: LoginApi, user_name: str, api_key: Secret) -> None:
        self._api = api
        self._user_name = user_name
        self._api_key = api_key

    async def issue(self) -> Secret:
        """Log in; raises what `LoginApi` does."""
        return await self._api.login_key(self._user_name, self._api_key)

    async def extend(self, held: Secret) -> Secret | None:
        """Validate; raises what `LoginApi` does."""
        return await self._api.validate(held)


class _Held(msgspec.Struct, frozen=True):
    """A token, when it came (both clocks, ns) and how long it lives (s)."""

    token: Secret
    wall_ns: int
    monotonic_ns: int
    life_s: float


def _ignore(_: Secret) -> None:
    return


class KeptTokens:
    """A `ports.TokenSource` that keeps the token of an issuer while it is good.

    Callers that come while a renewal is under way share its outcome. The first of them does the
    work in its own task; if it is cancelled, the next takes over, so that nobody's cancellation
    is felt by another.

    Args:
        issuer: gives tokens.
        clock: measures ages.
        refresh_at_share: part of a token's life after which it is renewed, 0 to 1.

    Attributes:
        on_renewed: called synchronously with every new token, whoever asked for it.
    """

    def __init__(
        self,
        issuer: TokenIssuer,
        clock: Clock,
        *,
        refresh_at_share: float = 0.8,
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._refresh_at_share = refresh_at_share
        self._held: _Held | None = None
        # Its result is the token, or None where the renewing caller was cancelled.
        self._flight: asyncio.Future[Secret | None] | None = None
        self._renewals = 0
        self._calm_until_ns = 0  # monotonic; till then a good token is given without renewing it
        self.on_renewed: Callable[[Secret], None] = _ignore

    @property
    def renewals(self) -> int:
        """How often a renewal was begun."""
        return self._renewals

    async def __call__(self) -> Secret:
        """A token that is valid now.

        Raises:
            AuthError: the credentials were refused, and no token that is held is still good.
            OutsideError: the gateway did not give one, and none that is held is still good.
        """
        while True:
            held = self._held
            if held is not None and self._serves(held):
                return held.token
            try:
                token = await self._join()
            except OutsideError:
                if held is not None and self._held is held and self._age_s(held) < held.life_s:
                    # The gateway may be away, or take no new login; what is held serves until its
                    # own end, or until somebody says that it does not.
                    return held.token
                raise
            if token is not None:
                return token

    async def renew(self) -> Secret:
        """A token that is new, or the outcome of the renewal that is under way.

        What was held stays held if this fails.

        Raises:
            AuthError: the credentials were refused.
            OutsideError: the gateway did not give one.
        """
        while True:
            token = await self._join()
            if token is not None:
                return token

    def due_in_s(self) -> float | None:
        """Seconds until the held token should be renewed, at most 0 if it should now.

        None if none is held.
        """
        held = self._held
        return None if held is None else held.life_s * self._refresh_at_share - self._age_s(held)

    def invalidate(self, refused: Secret) -> None:
        """`refused` did not work; forget it unless another one is held by now."""
        if self._held is not None and self._held.token == refused:
            self._held = None

    def _serves(self, held: _Held) -> bool:
        """Whether `held` is given without asking the gateway first."""
        age_s = self._age_s(held)
        if age_s < held.life_s * self._refresh_at_share:
            return True
        return age_s < held.life_s and self._clock.monotonic_ns() < self._calm_until_ns

    async def _join(self) -> Secret | None:
        """Renew, or wait for who does; None if that one was cancelled."""
        if self._flight is None:
            return await self._lead()
        # Shielded, because cancelling one waiter would otherwise cancel the shared future.
        return await asyncio.shield(self._flight)

    async def _lead(self) -> Secret:
        """Renew on behalf of all who ask meanwhile."""
        flight: asyncio.Future[Secret | None] = asyncio.get_running_loop().create_future()
        self._flight = flight
        try:
            async with deadline(RENEWAL_TIMEOUT_S, "renewing the token"):
                token = await self._renew()
        except OutsideError as error:
            self._calm_until_ns = self._clock.monotonic_ns() + round(_calm_s(error) * _NS_PER_S)
            flight.set_exception(error)
            flight.exception()  # nobody may be waiting, and that is no mistake
            raise
        else:
            self._calm_until_ns = 0
            flight.set_result(token)
        finally:
            self._flight = None
            if not flight.done():
                flight.set_result(None)
        self.on_renewed(token)
        return token

    async def _renew(self) -> Secret:
        self._renewals += 1
        held = self._held
        if held is not None and self._age_s(held) < held.life_s:
            return await self._extend(held)
        return self._keep(await self._issuer.issue())

    async def _extend(self, held: _Held) -> Secret:
        """Exchange a token that is still good for a fresh one."""
        try:
            fresh = await self._issuer.extend(held.token)
        except AuthError:
            fresh = None  # revoked meanwhile
        if fresh is None or fresh == held.token:
            fresh = await self._issuer.issue()
        return self._keep(fresh)

    def _keep(self, token: Secret) -> Secret:
        if not fits_header(token):
            raise OutsideError("the token holds characters that no header can carry")
        now_ns = self._clock.now_ns()
        life_s = _life_s(token, now_ns, just_issued=self._issuer.just_issued)
        self._held = _Held(token, now_ns, self._clock.monotonic_ns(), life_s)
        return token

    def _age_s(self, held: _Held) -> float:
        # The monotonic clock may stand still while the machine sleeps, and the wall clock may
        # step back: the token is as old as the one that says more.
        wall_ns = self._clock.now_ns() - held.wall_ns
        return max(wall_ns, self._clock.monotonic_ns() - held.monotonic_ns) / _NS_PER_S


def market_data_claim(token: Secret) -> str | None:
    """What the token says of the market data its user is entitled to, for a person; or None.

    The claim is `msd`, as seen in published tokens of the gateway; a text such as a level of an
    exchange's data. Its words are the gateway's own and mean nothing to anybody here.
    """
    try:
        claim = jwt.decode(token.reveal(), options={"verify_signature": False}).get("msd")
        words = [str(word) for word in (claim if isinstance(claim, list) else [claim]) if word]
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    text = "".join(one if one.isprintable() else "?" for one in ", ".join(words))
    return text[:_CLAIM_CHARS_MAX] or None


def _calm_s(error: OutsideError) -> float:
    """How long a good token is given without trying again, after a renewal failed like this."""
    least_s = REFUSED_DELAY_S if isinstance(error, AuthError) else RETRY_AFTER_S
    return max(least_s, error.retry_after_s or 0.0)


def _life_s(token: Secret, now_ns: int, *, just_issued: bool) -> float:
    """How long a token that just came is good, s.

    One that was just issued lives from its own issue time where it names one, so that a wrong
    clock of this host does not matter; any other one lives from now. The signature is the
    gateway's to check; nothing here trusts the content.
    """
    now_s = now_ns / _NS_PER_S
    try:
        claims = jwt.decode(token.reveal(), options={"verify_signature": False})
        ends_s = _in_seconds(claims["exp"])
        begin_s = _in_seconds(claims.get("iat", now_s)) if just_issued else now_s
    except (
        jwt.InvalidTokenError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,  # JSON has integers that no float holds
        RecursionError,  # and lists of any depth
    ):
        return DEFAULT_LIFE_S
    life_s = ends_s - begin_s
    if not math.isfinite(life_s) or life_s > LIFE_MAX_S:
        return DEFAULT_LIFE_S
    if not just_issued:
        return max(life_s, GIVEN_LIFE_MIN_S)
    return life_s if life_s > 0 else DEFAULT_LIFE_S


def _in_seconds(claim: float) -> float:
    """A time that a token names, in seconds since 1970 whatever unit its issuer took.

    Raises:
        TypeError, ValueError, OverflowError: it is no number, whatever its type says.
    """
    time = float(claim)
    return time / 1_000 if time >= _MILLISECONDS_FROM else time
