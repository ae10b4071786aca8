"""The gateway's REST operations over aiohttp.

Three objects, so that nothing depends in a circle: `RestCaller` sends one request within its
deadline, the gateway's rate limits and a circuit breaker; `GatewayAuth` logs in and is what a
token source is made from; `GatewayRest` does the rest with a token source, and asks again for what
only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import aiohttp
import msgspec

from tapekeeper.adapters.dates import GatewayDates
from tapekeeper.adapters.http_session import (
    LIBRARY_ERRORS,
    describe,
    place,
    read_body,
    require_private_way,
    require_token,
    retry_after_s,
)
from tapekeeper.adapters.window_limit import WindowLimit
from tapekeeper.core.backoff import Backoff
from tapekeeper.core.breaker import Breaker, BreakerPolicy, BreakerTally
from tapekeeper.core.gateway.rest_payloads import (
    BARS_MAX,
    CONTRACT_NOT_FOUND,
    EMPTY_BODY,
    Account,
    Answer,
    BarUnit,
    HistoryBar,
    Operation,
    account_search_body,
    accounts,
    contract_available_body,
    contract_by_id_body,
    contract_search_body,
    decode_answer,
    history_bars,
    instruments,
    login_key_body,
    new_token,
    retrieve_bars_body,
    token,
)
from tapekeeper.deadline import deadline
from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    GatewayError,
    OutsideError,
)
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Random

ANSWER_BYTES_MAX = 32 * 1024 * 1024
"""20,000 bars are about 2 MB; a larger answer than this is a fault of the gateway."""

_PING_PATH = "/api/Status/ping"
_NS_PER_S = 1_000_000_000
_OK = 200
_UNAUTHORIZED = 401
_SERVER_ERRORS = 500

REST_BREAKER = BreakerPolicy(
    failures_max=5,
    cool_down_ns=5 * _NS_PER_S,
    cool_down_cap_ns=30 * _NS_PER_S,
    healthy_after_ns=60 * _NS_PER_S,
)
"""A gateway that is away is asked at least every half minute, as often as a line reconnects."""

READS = frozenset(
    {
        Operation.ACCOUNT_SEARCH,
        Operation.CONTRACT_SEARCH,
        Operation.CONTRACT_BY_ID,
        Operation.CONTRACT_AVAILABLE,
        Operation.RETRIEVE_BARS,
    }
)
"""What may be asked again, because asking changes nothing. A login is not among them: it makes a
session, and gateways limit those. An operation that is not named here is never repeated."""

URGENT = frozenset({Operation.LOGIN_KEY, Operation.VALIDATE})
"""What is not kept waiting for its turn by others: without a token no hub can be connected to."""

URGENT_SHARE = 0.05
"""Part of the requests that is kept for what is urgent: whoever uses up all others at once would
otherwise shut out a login for the rest of the window."""

RENEW_TOKEN_AFTER_S = 900.0
"""An operation that was refused with a fresh token, too, renews none for so long: it is not the
token that is wrong, and each renewal is a login and has every connection replaced."""


class RestLimits(msgspec.Struct, frozen=True):
    """Requests allowed in any window. Defaults are the gateway's documented limits.

    Attributes:
        history: retrieveBars requests per `history_window_s`.
        others: all other requests per `others_window_s`.
        history_window_s, others_window_s: seconds.
    """

    history: int = 50
    history_window_s: float = 30.0
    others: int = 200
    others_window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Retry:
    """How what only reads is asked again when a retry can help.

    Attributes:
        clock: for the delays.
        random: for their jitter.
        attempts_max: the first one included.
        base_ms, cap_ms: bounds of the delay, which is drawn at random (see `Backoff`).
        wait_max_s: a gateway that asks to wait longer is not waited for: the caller is told.
    """

    clock: Clock
    random: Random
    attempts_max: int = 3
    base_ms: int = 500
    cap_ms: int = 5_000
    wait_max_s: float = 15.0

    def delay_s(self, error: OutsideError, backoff: Backoff) -> float | None:
        """Seconds to wait before the next attempt, or None to give up."""
        asked_s = error.retry_after_s
        tried = backoff.attempts + 1
        if not error.retryable or tried >= self.attempts_max or (asked_s or 0) > self.wait_max_s:
            return None
        return backoff.next_delay_ms(self.random.random(), asked_s) / 1_000


class RestCaller:
    """Sends requests to one gateway.

    Args:
        session: from `http_session.open_session`; not owned.
        base_url: such as `https://api.example.test`, with or without a closing slash.
        clock: for the rate limits.
        timeout_s: for one request, waiting for the rate limit not included.
        limits: see `RestLimits`.
        breaker: when to leave the gateway alone for a while.
        dates: learns from answers what time it is at the gateway.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        clock: Clock,
        *,
        timeout_s: float = 15.0,
        limits: RestLimits | None = None,
        breaker: BreakerPolicy = REST_BREAKER,
        dates: GatewayDates | None = None,
    ) -> None:
        limits = limits or RestLimits()
        self._clock = clock
        self._dates = dates
        self._breaker = Breaker(breaker)
        self._session = session
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._history = WindowLimit(limits.history, limits.history_window_s, clock)
        self._others = WindowLimit(
            limits.others,
            limits.others_window_s,
            clock,
            reserved=round(limits.others * URGENT_SHARE),
        )

    async def call(
        self, operation: Operation, body: bytes | Secret, *, bearer: Secret | None
    ) -> Answer:
        """Do `operation` once. A body that holds a key is a Secret, so that no frame shows it.

        Raises:
            AuthError, RateLimitError, GatewayError: the gateway refused; see `decode_answer`.
            ConnectFailedError: there was no answer, or the way there is not encrypted; or the
                breaker is open and nothing was sent, then `retry_after_s` says for how long yet.
            DeadlineError: there was none in time.
            ProtocolError: the answer is larger than any that makes sense.
        """
        await self.wait_turn(operation)
        self._ask_breaker(operation)
        status, answer, wait_s = await self._watched("POST", operation.path, body, bearer)
        return decode_answer(answer, status, operation, retry_after_s=wait_s)

    async def wait_turn(self, operation: Operation) -> None:
        """Wait until the rate limit allows `operation`."""
        if operation is Operation.RETRIEVE_BARS:
            await self._history.wait()
        else:
            await self._others.wait(urgent=operation in URGENT)

    def monotonic_ns(self) -> int:
        """The clock of the rate limits."""
        return self._clock.monotonic_ns()

    async def ping(self) -> None:
        """Ask whether the gateway is there; needs no token.

        Raises:
            GatewayError: it answered another status than 200.
            ConnectFailedError, DeadlineError: it did not answer.
        """
        await self._others.wait()
        # Not held back by the breaker: it is how one finds out whether the gateway is back.
        status, _, _ = await self._watched("GET", _PING_PATH, b"", None)
        if status != _OK:
            raise GatewayError(
                f"Status/ping: the gateway answered status {status}", status=status, retryable=True
            )

    def health(self) -> BreakerTally:
        """How the gateway has answered so far."""
        return self._breaker.tally()

    def _ask_breaker(self, operation: Operation) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._breaker.admit(now_ns):
            return
        tally = self._breaker.tally()
        wait_s = self._breaker.wait_ns(now_ns) / _NS_PER_S
        raise ConnectFailedError(
            f"{operation.value}: not sent, because the gateway failed {tally.failures_in_row} "
            f"times in a row (the last time: {tally.why}); it is tried again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    async def _watched(
        self, method: str, path: str, body: bytes | Secret, bearer: Secret | None
    ) -> tuple[int, bytes, float | None]:
        """One exchange whose outcome the breaker is told. A refusal is an answer, too."""
        try:
            status, answer, wait_s = await self._exchange(method, path, body, bearer)
        except OutsideError as error:
            self._breaker.failed(self._clock.monotonic_ns(), str(error))
            raise
        if status >= _SERVER_ERRORS:
            self._breaker.failed(self._clock.monotonic_ns(), f"it answered status {status}")
        else:
            self._breaker.succeeded(self._clock.monotonic_ns())
        return status, answer, wait_s

    async def _exchange(
        self, method: str, path: str, body: bytes | Secret, bearer: Secret | None
    ) -> tuple[int, bytes, float | None]:
        """Status, body and `Retry-After` (s) of one answer. Redirects are not followed."""
        url = self._base_url + path
        require_private_way(url)
        require_token(bearer)
        what = f"the request to {place(url)}"
        async with deadline(self._timeout_s, what):
            asked_ns = self._clock.now_ns()
            try:
                async with self._session.request(
                    method,
                    url,
                    data=_bytes(body),
                    headers=_headers(bearer),
                    allow_redirects=False,
                ) as response:
                    if self._dates is not None:
                        self._dates.learn(asked_ns, response.headers)
                    answer = await read_body(response, bytes_max=ANSWER_BYTES_MAX)
                    return response.status, answer, retry_after_s(response.headers)
            except LIBRARY_ERRORS as error:
                failure = ConnectFailedError(f"{what} failed: {describe(error)}")
        raise failure


def _bytes(body: bytes | Secret) -> bytes:
    return body.reveal().encode() if isinstance(body, Secret) else body


def _headers(bearer: Secret | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer.reveal()}"
    return headers


class GatewayAuth:
    """Logs in and out. All methods raise what `RestCaller.call` raises."""

    def __init__(self, caller: RestCaller) -> None:
        self._caller = caller

    async def login_key(self, user_name: str, api_key: Secret) -> Secret:
        """A token for an API key."""
        body = Secret(login_key_body(user_name, api_key).decode())
        return token(await self._caller.call(Operation.LOGIN_KEY, body, bearer=None))

    async def validate(self, held: Secret) -> Secret | None:
        """A fresh token for one that is still good, or None where the gateway gives none."""
        return new_token(await self._caller.call(Operation.VALIDATE, EMPTY_BODY, bearer=held))

    async def logout(self, held: Secret) -> None:
        """Revoke a token."""
        await self._caller.call(Operation.LOGOUT, EMPTY_BODY, bearer=held)


class RestTokens(Protocol):
    """A `ports.TokenSource` that can be told that its token does not work."""

    async def __call__(self) -> Secret:
        """A token that is valid now."""
        ...

    def invalidate(self, refused: Secret) -> None:
        """The gateway refused this token; forget it unless another one is held by now."""
        ...


class GatewayRest:
    """The operations that need a token. Fills `ports.ContractDirectory`.

    A token that is refused is renewed once within the call, unless that was in vain lately, and
    what only reads is asked again where that can help. All methods raise what `RestCaller.call`
    and the token source raise.

    Args:
        caller: sends the requests.
        tokens: gives the tokens.
        live: the data tier; the wrong one answers empty lists.
        retry: how to ask again; None asks once.
    """

    def __init__(
        self,
        caller: RestCaller,
        tokens: RestTokens,
        *,
        live: bool = False,
        retry: Retry | None = None,
    ) -> None:
        self._caller = caller
        self._tokens = tokens
        self._live = live
        self._retry = retry
        self._in_vain_ns: dict[Operation, int] = {}  # when renewing did not help it, monotonic

    async def ping(self) -> None:
        """Ask whether the gateway is there."""
        await self._caller.ping()

    def health(self) -> BreakerTally:
        """How the gateway has answered so far, logins included."""
        return self._caller.health()

    async def accounts(self, *, only_active: bool = True) -> list[Account]:
        """The user's accounts."""
        body = account_search_body(only_active=only_active)
        return accounts(await self._call(Operation.ACCOUNT_SEARCH, body))

    async def search(self, text: str) -> list[Instrument]:
        """Contracts that match `text`; fuzzy, at most 20, so the caller filters."""
        body = contract_search_body(text, live=self._live)
        return instruments(await self._call(Operation.CONTRACT_SEARCH, body))

    async def by_id(self, contract_id: str) -> Instrument | None:
        """The contract of this id, expired ones included, or None."""
        try:
            answer = await self._call(Operation.CONTRACT_BY_ID, contract_by_id_body(contract_id))
        except GatewayError as error:
            if error.status == _OK and error.code == CONTRACT_NOT_FOUND:
                return None
            raise
        found = instruments(answer)
        return found[0] if found else None

    async def available(self) -> list[Instrument]:
        """All contracts of the data tier."""
        body = contract_available_body(live=self._live)
        return instruments(await self._call(Operation.CONTRACT_AVAILABLE, body))

    async def retrieve_bars(
        self,
        contract_id: str,
        *,
        start_ns: int,
        end_ns: int,
        unit: BarUnit,
        unit_number: int = 1,
        limit: int = BARS_MAX,
        include_partial: bool = False,
    ) -> list[HistoryBar]:
        """One page of bars that start in [start_ns, end_ns] (ns UTC), oldest first.

        The gateway gives the newest `limit` of them: a full page means that there may be older
        ones, to be asked for with an earlier end.
        """
        body = retrieve_bars_body(
            contract_id,
            live=self._live,
            start_ns=start_ns,
            end_ns=end_ns,
            unit=unit,
            unit_number=unit_number,
            limit=limit,
            include_partial=include_partial,
        )
        return history_bars(await self._call(Operation.RETRIEVE_BARS, body))

    async def _call(self, operation: Operation, body: bytes) -> Answer:
        retry = self._retry if operation in READS else None
        backoff = None if retry is None else Backoff(retry.base_ms, retry.cap_ms)
        renewed = False
        while True:
            held = await self._tokens()
            try:
                answer = await self._caller.call(operation, body, bearer=held)
            except AuthError as error:
                if error.status != _UNAUTHORIZED or not self._may_renew(operation, renewed=renewed):
                    raise
                renewed = True
                self._tokens.invalidate(held)
            except OutsideError as error:
                if retry is None or backoff is None:
                    raise
                delay_s = retry.delay_s(error, backoff)
                if delay_s is None:
                    raise
                await retry.clock.sleep_s(delay_s)
            else:
                self._in_vain_ns.pop(operation, None)
                return answer

    def _may_renew(self, operation: Operation, *, renewed: bool) -> bool:
        """Whether a 401 is answered with a fresh token; `renewed` if this call had one already."""
        now_ns = self._caller.monotonic_ns()
        if renewed:
            self._in_vain_ns[operation] = now_ns
            return False
        in_vain_ns = self._in_vain_ns.get(operation)
        return in_vain_ns is None or now_ns - in_vain_ns >= RENEW_TOKEN_AFTER_S * _NS_PER_S
