"""The REST side: login, accounts, contracts, history.

A business failure is HTTP 200 with `success: false`; 401 is a token that is missing, expired or
revoked; 429 is too many requests. Operations that this gateway does not have answer 404.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiohttp import hdrs, web

from tapekeeper.core.gateway.times import format_ns, parse_ns
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import DAY_NS, Timeframe, Unit
from tapekeeper.ports import Clock
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.contracts import ContractBook
from tapekeeper.sim.door import Doorkeeper
from tapekeeper.sim.faults import Door
from tapekeeper.sim.feed import Feed
from tapekeeper.sim.history import HistoryBar
from tapekeeper.sim.limits import RateLimit
from tapekeeper.sim.tokens import Caller, TokenOffice

BARS_MAX = 20_000
"""Most bars in one answer."""

UNIT_NUMBER_MAX = 9_999

INVALID_CREDENTIALS = 3
NOT_FOUND = 1
UNIT_INVALID = 2
UNIT_NUMBER_INVALID = 3
LIMIT_INVALID = 4

_UNITS = {
    1: Unit.SECOND,
    2: Unit.MINUTE,
    3: Unit.HOUR,
    4: Unit.DAY,
    5: Unit.WEEK,
    6: Unit.MONTH,
}


class _Login(msgspec.Struct, rename="camel"):
    user_name: str
    api_key: str


class _AccountSearch(msgspec.Struct, rename="camel"):
    only_active_accounts: bool = False


class _ContractSearch(msgspec.Struct, rename="camel"):
    search_text: str = ""
    live: bool = False


class _ContractById(msgspec.Struct, rename="camel"):
    contract_id: str


class _Available(msgspec.Struct, rename="camel"):
    live: bool = False


class _Bars(msgspec.Struct, rename="camel"):
    contract_id: str
    start_time: str
    end_time: str
    unit: int
    unit_number: int
    limit: int
    live: bool = False
    include_partial_bar: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """The one account of the simulated user."""

    id: int = 1001
    name: str = "SIM-TEST-1001"
    balance: float = 50_000.0

    def wire(self) -> dict[str, object]:
        """Its members as REST and the user hub write them."""
        return {
            "id": self.id,
            "name": self.name,
            "balance": self.balance,
            "canTrade": True,
            "isVisible": True,
            "simulated": True,
        }


def contract_wire(one: Instrument) -> dict[str, object]:
    """A contract's members as REST writes them."""
    return {
        "id": one.contract_id,
        "name": one.name,
        "description": one.description,
        "tickSize": one.tick_size,
        "tickValue": one.tick_value,
        "activeContract": one.active,
        "symbolId": one.symbol_id,
    }


def bar_wire(bar: HistoryBar) -> dict[str, object]:
    """A bar's members as REST writes them; `t` is its start."""
    return {
        "t": format_ns(bar.start_ns),
        "o": bar.open,
        "h": bar.high,
        "l": bar.low,
        "c": bar.close,
        "v": bar.volume,
    }


def success(**payload: object) -> dict[str, Any]:
    """An answer without a failure."""
    return {**payload, "success": True, "errorCode": 0, "errorMessage": None}


def failure(code: int, message: str | None = None, **payload: object) -> dict[str, Any]:
    """A business failure; what a code means depends on the operation."""
    return {**payload, "success": False, "errorCode": code, "errorMessage": message}


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Operation = Callable[[Caller, bytes], dict[str, Any]]


class Rest:
    """The REST operations.

    Args:
        config: users, tier, limits.
        clock: for the limits.
        office, door: tokens, and who may come in.
        book, feed: contracts and their past.
    """

    def __init__(
        self,
        config: SimConfig,
        clock: Clock,
        office: TokenOffice,
        door: Doorkeeper,
        book: ContractBook,
        feed: Feed,
    ) -> None:
        self._config = config
        self._office = office
        self._door = door
        self._book = book
        self._feed = feed
        self.account = Account()
        rates = config.rates
        self._history_limit = RateLimit(rates.history_requests, rates.history_window_s, clock)
        self._rest_limit = RateLimit(rates.rest_requests, rates.rest_window_s, clock)
        self.counts: Counter[str] = Counter()
        """Requests by outcome: `logins`, `logins_refused`, `requests`, `rate_limited`."""

    def add_routes(self, app: web.Application) -> None:
        """Serve the operations in `app`."""
        app.router.add_get("/api/Status/ping", self._ping)
        app.router.add_post("/api/Auth/loginKey", self._login)
        rest, history = self._rest_limit, self._history_limit
        for path, operation, limit in (
            ("Auth/validate", self._validate, rest),
            ("Auth/logout", self._logout, rest),
            ("Account/search", self._accounts, rest),
            ("Contract/search", self._search, rest),
            ("Contract/searchById", self._by_id, rest),
            ("Contract/available", self._available, rest),
            ("History/retrieveBars", self._bars, history),
        ):
            app.router.add_post(f"/api/{path}", self._handler(operation, limit))

    @staticmethod
    async def _ping(_: web.Request) -> web.StreamResponse:
        return web.Response(text="pong")

    async def _login(self, request: web.Request) -> web.StreamResponse:
        refusal = await self._door.turned_away(request, Door.LOGIN)
        if refusal is None:
            refusal = self._too_many(self._rest_limit, f"login from {request.remote}")
        if refusal is not None:
            self.counts["logins_refused"] += 1
            return refusal
        try:
            asked = msgspec.json.decode(await request.read(), type=_Login)
        except msgspec.DecodeError as error:
            return _bad_request(error)
        # Compared in full whatever differs: how long it takes says nothing about the key.
        key_fits = hmac.compare_digest(
            asked.api_key.encode(), self._config.api_key.reveal().encode()
        )
        if asked.user_name != self._config.user_name or not key_fits:
            self.counts["logins_refused"] += 1
            return web.json_response(failure(INVALID_CREDENTIALS, token=None))
        self.counts["logins"] += 1
        return web.json_response(success(token=self._office.issue(asked.user_name)))

    def _handler(self, operation: Operation, limit: RateLimit) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            refusal = await self._door.turned_away(request, Door.REST)
            if refusal is not None:
                return refusal
            caller = self._door.caller(request, is_hub=False)
            refusal = self._too_many(limit, caller.user_name)
            if refusal is not None:
                return refusal
            self.counts["requests"] += 1
            try:
                answer = operation(caller, await request.read())
            except (msgspec.DecodeError, _BadRequestError) as error:
                return _bad_request(error)
            return web.json_response(answer)

        return handle

    def _too_many(self, limit: RateLimit, caller: str) -> web.Response | None:
        wait_s = limit.admit(caller)
        if wait_s is None:
            return None
        self.counts["rate_limited"] += 1
        return web.Response(status=429, headers={hdrs.RETRY_AFTER: str(wait_s)})

    def _validate(self, caller: Caller, _: bytes) -> dict[str, Any]:
        return success(newToken=self._office.renew(caller))

    def _logout(self, caller: Caller, _: bytes) -> dict[str, Any]:
        self._office.revoke(caller)
        return success()

    def _accounts(self, _: Caller, body: bytes) -> dict[str, Any]:
        _decode(body, _AccountSearch)
        return success(accounts=[self.account.wire()])

    def _search(self, _: Caller, body: bytes) -> dict[str, Any]:
        asked = _decode(body, _ContractSearch)
        found = self._book.search(asked.search_text) if self._serves(live=asked.live) else []
        return success(contracts=[contract_wire(one) for one in found])

    def _by_id(self, _: Caller, body: bytes) -> dict[str, Any]:
        found = self._book.by_id(_decode(body, _ContractById).contract_id)
        if found is None:
            return failure(NOT_FOUND, contract=None)
        return success(contract=contract_wire(found))

    def _available(self, _: Caller, body: bytes) -> dict[str, Any]:
        asked = _decode(body, _Available)
        found = self._book.active() if self._serves(live=asked.live) else []
        return success(contracts=[contract_wire(one) for one in found])

    def _bars(self, _: Caller, body: bytes) -> dict[str, Any]:
        asked = _decode(body, _Bars)
        try:
            start_ns, end_ns = parse_ns(asked.start_time), parse_ns(asked.end_time)
        except ValueError as error:
            raise _BadRequestError(str(error)) from error
        if self._book.by_id(asked.contract_id) is None:
            return failure(NOT_FOUND, bars=None)
        timeframe = _timeframe(asked)
        if not isinstance(timeframe, Timeframe):
            return failure(timeframe, bars=None)
        history = self._feed.history(asked.contract_id)
        if history is None or not self._serves(live=asked.live):
            return success(bars=[])
        until_ns = None if asked.include_partial_bar else self._feed.now_ns(asked.contract_id)
        bars = history.bars(timeframe, start_ns, end_ns, limit=asked.limit, until_ns=until_ns)
        return success(bars=[bar_wire(bar) for bar in bars])

    def _serves(self, *, live: bool) -> bool:
        return self._config.live_tier is None or self._config.live_tier is live


def _timeframe(asked: _Bars) -> Timeframe | int:
    """What length of bars is asked for, or the error code of what is wrong with the request."""
    unit = _UNITS.get(asked.unit)
    if unit is None:
        return UNIT_INVALID
    timeframe = Timeframe(asked.unit_number, unit)
    # A fixed length of a day or more is not a bar of sessions, which are not 24 hours.
    is_too_long = timeframe.is_fixed and timeframe.length_ns >= DAY_NS
    if not 1 <= asked.unit_number <= UNIT_NUMBER_MAX or is_too_long:
        return UNIT_NUMBER_INVALID
    if not 1 <= asked.limit <= BARS_MAX:
        return LIMIT_INVALID
    return timeframe


class _BadRequestError(Exception):
    """A request that is well-formed JSON and still unreadable."""


_T = TypeVar("_T")


def _decode(body: bytes, kind: type[_T]) -> _T:
    return msgspec.json.decode(body or b"{}", type=kind)


def _bad_request(error: Exception) -> web.Response:
    return web.json_response(
        {"title": "One or more validation errors occurred.", "status": 400, "detail": str(error)},
        status=400,
    )
