"""REST of the gateway without I/O: request bodies, answers, and which contract was meant.

Every operation is a POST with a JSON body. A refusal in business terms comes as status 200 with
`success: false` and an `errorCode` whose meaning depends on the operation.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tapekeeper.core.gateway.times import format_ns, parse_ns
from tapekeeper.errors import AuthError, GatewayError, RateLimitError, UnknownContractError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.secret import Secret

BARS_MAX = 20_000
"""Bars that one retrieveBars request can answer with, at most."""

CONTRACT_NOT_FOUND = 1
"""`errorCode` of searchById and retrieveBars for an id the gateway does not know."""

_CANDIDATES_MAX = 5
_MESSAGE_CHARS_MAX = 300
_OK = 200
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_REQUEST_TIMEOUT = 408
_TOO_MANY = 429
_SERVER_ERRORS = 500


class Operation(StrEnum):
    """The operations we use, by their place under `/api/`."""

    LOGIN_KEY = "Auth/loginKey"
    VALIDATE = "Auth/validate"
    LOGOUT = "Auth/logout"
    ACCOUNT_SEARCH = "Account/search"
    CONTRACT_SEARCH = "Contract/search"
    CONTRACT_BY_ID = "Contract/searchById"
    CONTRACT_AVAILABLE = "Contract/available"
    RETRIEVE_BARS = "History/retrieveBars"

    @property
    def path(self) -> str:
        """The path of the URL."""
        return f"/api/{self.value}"


class BarUnit(StrEnum):
    """Units of retrieveBars by name; `code` is what the gateway wants."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def code(self) -> int:
        """The gateway's number, 1 to 6."""
        return list(BarUnit).index(self) + 1


class Account(msgspec.Struct, frozen=True, rename="camel"):
    """An account as Account/search gives it; `balance` is money of the account."""

    id: int
    name: str = ""
    balance: float = 0.0
    can_trade: bool = False
    is_visible: bool = False
    simulated: bool | None = None


class HistoryBar(msgspec.Struct, frozen=True, gc=False):
    """A bar of the gateway.

    Attributes:
        ts_open: start of its interval, ns UTC; of day bars the session's open.
        o, h, l, c: in the contract's quotation.
        v: contracts.
    """

    ts_open: int
    o: float
    h: float
    l: float  # noqa: E741 - o, h, l, c are the field's names
    c: float
    v: int


class _Contract(msgspec.Struct, rename="camel"):
    id: str
    name: str = ""
    description: str | None = None
    tick_size: float | None = None
    tick_value: float | None = None
    active_contract: bool | None = None
    symbol_id: str | None = None


class _Bar(msgspec.Struct, gc=False):
    t: str
    o: float
    h: float
    l: float  # noqa: E741 - the gateway's names
    c: float
    v: int | float


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """A successful answer: the members of all operations, those that did not come None.

    Tokens are `Secret`, so the repr of an answer shows none.
    """

    success: bool = False
    error_code: int | None = None
    error_message: str | None = None
    token: Secret | None = None
    new_token: Secret | None = None
    accounts: list[Account] | None = None
    contracts: list[_Contract] | None = None
    contract: _Contract | None = None
    bars: list[_Bar] | None = None


def _secret(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError("not a text")


_decode = msgspec.json.Decoder(Answer, dec_hook=_secret).decode
_encode = msgspec.json.Encoder().encode

_LOGIN_CODES = {
    1: "UserNotFound",
    2: "PasswordVerificationFailed",
    3: "InvalidCredentials",
    4: "AppNotFound",
    5: "AppVerificationFailed",
    6: "InvalidDevice",
    7: "AgreementsNotSigned",
    8: "UnknownError",
    9: "ApiSubscriptionNotFound",
    10: "ApiKeyAuthenticationDisabled",
}
_CODES: dict[Operation, dict[int, str]] = {
    Operation.LOGIN_KEY: _LOGIN_CODES,
    Operation.LOGOUT: {1: "InvalidSession", 2: "UnknownError"},
    Operation.VALIDATE: {
        1: "InvalidSession",
        2: "SessionNotFound",
        3: "ExpiredToken",
        4: "UnknownError",
    },
    Operation.CONTRACT_BY_ID: {1: "ContractNotFound"},
    Operation.RETRIEVE_BARS: {
        1: "ContractNotFound",
        2: "UnitInvalid",
        3: "UnitNumberInvalid",
        4: "LimitInvalid",
    },
}
_AUTH = {Operation.LOGIN_KEY, Operation.VALIDATE, Operation.LOGOUT}


# --- requests -------------------------------------------------------------------------------


def login_key_body(user_name: str, api_key: Secret) -> bytes:
    """Body of loginKey. It holds the key: to be sent, never to be shown."""
    return _encode({"userName": user_name, "apiKey": api_key.reveal()})


def account_search_body(*, only_active: bool) -> bytes:
    """Body of Account/search."""
    return _encode({"onlyActiveAccounts": only_active})


def contract_search_body(text: str, *, live: bool) -> bytes:
    """Body of Contract/search; `live` is the data tier (a wrong one answers an empty list)."""
    return _encode({"searchText": text, "live": live})


def contract_by_id_body(contract_id: str) -> bytes:
    """Body of Contract/searchById."""
    return _encode({"contractId": contract_id})


def contract_available_body(*, live: bool) -> bytes:
    """Body of Contract/available."""
    return _encode({"live": live})


def retrieve_bars_body(
    contract_id: str,
    *,
    live: bool,
    start_ns: int,
    end_ns: int,
    unit: BarUnit,
    unit_number: int = 1,
    limit: int = BARS_MAX,
    include_partial: bool = False,
) -> bytes:
    """Body of History/retrieveBars for bars that start in [start_ns, end_ns], ns UTC."""
    body: dict[str, Any] = {
        "contractId": contract_id,
        "live": live,
        "startTime": format_ns(start_ns),
        "endTime": format_ns(end_ns),
        "unit": unit.code,
        "unitNumber": unit_number,
        "limit": limit,
        "includePartialBar": include_partial,
    }
    return _encode(body)


EMPTY_BODY = b""
"""Body of validate and logout."""


# --- answers --------------------------------------------------------------------------------


def decode_answer(
    body: bytes, status: int, operation: Operation, *, retry_after_s: float | None = None
) -> Answer:
    """The answer to `operation`, or the refusal as an exception of one sentence.

    Args:
        body: of the HTTP answer.
        status: of the HTTP answer.
        operation: what was asked.
        retry_after_s: the answer's `Retry-After`, s, or None.

    Raises:
        AuthError: status 401 or 403, or a refused login, validation or logout.
        RateLimitError: status 429.
        GatewayError: any other refusal, or an answer that cannot be read.
    """
    if status != _OK:
        raise _refused_by_status(status, operation, retry_after_s)
    try:
        answer = _decode(body)
    except (ValueError, RecursionError) as error:
        # The reason names a member and its type, never its value.
        reason = str(error)[:_MESSAGE_CHARS_MAX]
        raise GatewayError(
            f"{operation.value}: the answer cannot be read ({reason})",
            status=status,
            retryable=True,
        ) from None
    if not answer.success or answer.error_code:
        raise _refused(answer, operation)
    return answer


def token(answer: Answer) -> Secret:
    """The token of a loginKey answer.

    Raises:
        GatewayError: there is none, although the login succeeded.
    """
    if not answer.token:
        raise _incomplete(Operation.LOGIN_KEY, "token")
    return answer.token


def new_token(answer: Answer) -> Secret | None:
    """The fresh token of a validate answer, or None: go on with the old one."""
    return answer.new_token or None


def accounts(answer: Answer) -> list[Account]:
    """The accounts of an Account/search answer."""
    return answer.accounts or []


def instruments(answer: Answer) -> list[Instrument]:
    """The contracts of a Contract/search, available or searchById answer, in its order."""
    found = answer.contracts or []
    if answer.contract is not None:
        found = [answer.contract, *found]
    return [
        Instrument(
            contract_id=item.id,
            name=item.name,
            symbol_id=item.symbol_id or "",
            description=item.description or "",
            tick_size=item.tick_size or 0.0,
            tick_value=item.tick_value or 0.0,
            active=bool(item.active_contract),
        )
        for item in found
    ]


def history_bars(answer: Answer) -> list[HistoryBar]:
    """The bars of a retrieveBars answer, oldest first (the gateway sends the newest first).

    Raises:
        GatewayError: a bar's time or volume cannot be read.
    """
    bars: list[HistoryBar] = []
    for item in answer.bars or []:
        try:
            ts_open = parse_ns(item.t)
        except ValueError:
            raise _incomplete(Operation.RETRIEVE_BARS, "readable time in a bar") from None
        volume = int(item.v)
        if volume != item.v:
            raise _incomplete(Operation.RETRIEVE_BARS, "whole volume in a bar")
        bars.append(HistoryBar(ts_open, item.o, item.h, item.l, item.c, volume))
    bars.sort(key=lambda bar: bar.ts_open)
    return bars


def _refused_by_status(
    status: int, operation: Operation, retry_after_s: float | None
) -> GatewayError:
    name = operation.value
    if status == _TOO_MANY:
        asked = "" if retry_after_s is None else f"; it asks to wait {retry_after_s:g} s"
        return RateLimitError(
            f"{name}: too many requests (status 429){asked}", retry_after_s=retry_after_s
        )
    if status == _UNAUTHORIZED:
        text = f"{name}: the gateway refused the credentials or the token (status 401)"
        return AuthError(text, status=status, retry_after_s=retry_after_s)
    if status == _FORBIDDEN:
        return AuthError(
            f"{name}: the gateway forbids this to the user (status 403)",
            status=status,
            retry_after_s=retry_after_s,
        )
    retryable = status >= _SERVER_ERRORS or status == _REQUEST_TIMEOUT
    return GatewayError(
        f"{name}: the gateway answered status {status}",
        status=status,
        retryable=retryable,
        retry_after_s=retry_after_s,
    )


def _refused(answer: Answer, operation: Operation) -> GatewayError:
    code = answer.error_code or None
    name = "no errorCode" if code is None else _code_name(operation, code)
    what = "the gateway refused"
    if operation is Operation.LOGIN_KEY:
        what = "the gateway refused the user name or the API key"
    text = f"{operation.value}: {what} ({name})"
    if answer.error_message:
        text += f": {answer.error_message[:_MESSAGE_CHARS_MAX]}"
    retryable = name.endswith("UnknownError")
    kind = AuthError if operation in _AUTH else GatewayError
    return kind(text, status=_OK, code=code, retryable=retryable)


def _code_name(operation: Operation, code: int) -> str:
    known = _CODES.get(operation, {}).get(code)
    return f"errorCode {code}" if known is None else f"errorCode {code} {known}"


def _incomplete(operation: Operation, what: str) -> GatewayError:
    return GatewayError(f"{operation.value}: the answer has no {what}", status=_OK, retryable=True)


# --- which contract is meant ----------------------------------------------------------------


def match_contract(text: str, found: list[Instrument]) -> Instrument:
    """The one contract of `found` that `text` names. The gateway's search is fuzzy; this is not.

    In this order: the id; the name; the product, by the exchange's symbol (`ES`) or by the
    gateway's code (`EP`), which means its front contract. Case is ignored. Names have a one-digit
    year, so they come again after ten years: the active contract is preferred among equal names.

    Raises:
        UnknownContractError: none or several match; the sentence lists up to five of `found`.
    """
    wanted = text.strip().casefold()
    by_id = [item for item in found if item.contract_id.casefold() == wanted]
    by_name = [item for item in found if item.name.casefold() == wanted]
    front = [
        item
        for item in found
        if item.active and wanted in {item.root.casefold(), item.product.casefold()}
    ]
    for matches in (by_id, [item for item in by_name if item.active] or by_name, front):
        ids = {item.contract_id for item in matches}
        if len(ids) == 1:
            return matches[0]
        if ids:
            raise UnknownContractError(
                f"{text!r} names several contracts: {_listed(matches)}; give the id"
            )
    if not found:
        raise UnknownContractError(f"no contract is named {text!r}, and the search found nothing")
    nearest = sorted(found, key=lambda item: (not _near(item, wanted), not item.active))
    raise UnknownContractError(f"no contract is named {text!r}; near are: {_listed(nearest)}")


def _near(item: Instrument, wanted: str) -> bool:
    return bool(wanted) and any(
        member.casefold().startswith(wanted) for member in (item.name, item.product)
    )


def _listed(items: list[Instrument]) -> str:
    shown = [f"{item.name} ({item.contract_id})" for item in items[:_CANDIDATES_MAX]]
    more = "" if len(items) <= _CANDIDATES_MAX else ", ..."
    return ", ".join(shown) + more
