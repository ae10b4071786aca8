"""Tokens of the simulated gateway: real HS256 JWTs that only this process can sign."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Random
from tapekeeper.sim.ids import new_id, random_bytes
from tapekeeper.sim.session import SECOND_NS

REVOKED_MAX = 10_000
"""Sessions remembered as logged out; the oldest is forgotten first."""

SESSIONS_MAX = 10_000
"""Sessions whose newest token is known; the token of an older one is refused."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid token belongs to."""

    user_name: str
    session_id: str


class TokenOffice:
    """Issues, renews, checks and revokes tokens.

    Expiry is judged by the injected clock, so that a test can let a day pass.

    Args:
        life_s: life of a token.
        clock: wall clock.
        random: for the signing key and the session ids.
        single: whether a session's older tokens are refused from the moment of a renewal.
        market_data: the `msd` claim of every token, or None for none.
    """

    def __init__(
        self,
        life_s: float,
        clock: Clock,
        random: Random,
        *,
        single: bool = False,
        market_data: str | None = None,
    ) -> None:
        self._single = single
        self._market_data = market_data
        self._newest: dict[str, str] = {}  # bound: SESSIONS_MAX; session id to token id
        self._life_s = life_s
        self._clock = clock
        self._random = random
        self._key = random_bytes(random, 32)
        self._revoked: dict[str, None] = {}  # bound: REVOKED_MAX

    def issue(self, user_name: str) -> str:
        """A token of a new session."""
        return self._sign(user_name, new_id(self._random))

    def renew(self, caller: Caller) -> str:
        """A fresh token of the same session; the old one lives on until it expires."""
        return self._sign(caller.user_name, caller.session_id)

    def revoke(self, caller: Caller) -> None:
        """End a session: none of its tokens is valid any more."""
        if len(self._revoked) >= REVOKED_MAX:
            del self._revoked[next(iter(self._revoked))]
        self._revoked[caller.session_id] = None

    def change_key(self) -> None:
        """Refuse every token issued so far, as a server does that came back with a new key."""
        self._key = random_bytes(self._random, 32)

    def check(self, token: Secret) -> Caller | str:
        """Whose token it is, or why it is refused (in the words of a bearer challenge)."""
        try:
            claims = jwt.decode(
                token.reveal(), self._key, algorithms=["HS256"], options={"verify_exp": False}
            )
        except jwt.InvalidTokenError:
            return "The signature is invalid"
        if claims["exp"] * SECOND_NS <= self._clock.now_ns():
            return "The token is expired"
        if claims["sid"] in self._revoked:
            return "The session has ended"
        if self._single and claims["jti"] != self._newest.get(claims["sid"]):
            return "The token was replaced"
        return Caller(claims["unique_name"], claims["sid"])

    def _sign(self, user_name: str, session_id: str) -> str:
        now_s = self._clock.now_ns() / SECOND_NS
        token_id = new_id(self._random)
        if self._single:
            self._newest.pop(session_id, None)
            self._newest[session_id] = token_id
            if len(self._newest) > SESSIONS_MAX:
                del self._newest[next(iter(self._newest))]
        claims = {
            "unique_name": user_name,
            "sid": session_id,
            "jti": token_id,
            "role": "user",
            "iat": int(now_s),
            "exp": int(now_s + self._life_s),
        }
        if self._market_data is not None:
            claims["msd"] = self._market_data
        return jwt.encode(claims, self._key, algorithm="HS256")
