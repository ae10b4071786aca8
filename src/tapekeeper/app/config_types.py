"""The types of single settings: what each may be, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from tapekeeper.app.config_errors import HIDDEN_VALUE, SENTENCE
from tapekeeper.errors import UsageError
from tapekeeper.model.address import is_private_way, is_usable
from tapekeeper.model.measure import BarSize, parse_size
from tapekeeper.model.secret import Secret

TIMEFRAMES_MAX = 32
ENDPOINTS_MAX = 8


def _number(value: object) -> object:
    # Python counts True as 1; a switch in the place of a number is a slip, not a setting.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


def _timeframe(value: object) -> BarSize:
    if isinstance(value, BarSize):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("timeframe", "must be a text such as 1m")
    try:
        return parse_size(value)
    except UsageError as error:
        raise PydanticCustomError(SENTENCE, "{text}", {"text": str(error)}) from None


def _comma_list(value: object) -> object:
    # An environment variable has no lists: 1s,1m is how a person writes one there.
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _once_each(value: tuple[BarSize, ...]) -> tuple[BarSize, ...]:
    return tuple(dict.fromkeys(value))


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value.strip():
        raise PydanticCustomError(HIDDEN_VALUE, "must be a text that is not empty")
    return Secret(value.strip())


def _url(value: str) -> str:
    # The value is hidden in these errors, because a URL is where people leave passwords.
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise PydanticCustomError(
            HIDDEN_VALUE, "must be a URL with a valid host and port"
        ) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise PydanticCustomError(HIDDEN_VALUE, "must start with http:// or https:// and a host")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError(
            HIDDEN_VALUE, "must not hold a user name or password: use user_name and api_key"
        )
    if parts.fragment or any(key.lower() == "access_token" for key, _ in parse_qsl(parts.query)):
        raise PydanticCustomError(
            HIDDEN_VALUE, "must not hold a fragment or an access_token: set auth instead"
        )
    if not is_usable(value):
        raise PydanticCustomError(
            HIDDEN_VALUE, "must be a URL whose host can be looked up: this one has an odd spelling"
        )
    if not is_private_way(value):
        raise PydanticCustomError(
            HIDDEN_VALUE,
            "must start with https://: plain http:// is for loopback addresses only, because "
            "anybody on the way could read the token",
        )
    return value.rstrip("/")


def _folder(value: Path) -> Path:
    return value.expanduser()


Url = Annotated[str, AfterValidator(_url)]
SecretText = Annotated[Secret, PlainValidator(_secret)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, le=86_400)]
Milliseconds = Annotated[int, BeforeValidator(_number), Field(ge=0, le=3_600_000)]
Count = Annotated[int, BeforeValidator(_number)]
Urls = Annotated[
    tuple[Url, ...], NoDecode, BeforeValidator(_comma_list), Field(max_length=ENDPOINTS_MAX - 1)
]
UserPath = Annotated[Path, AfterValidator(_folder)]
Timeframes = Annotated[
    tuple[Annotated[BarSize, PlainValidator(_timeframe)], ...],
    NoDecode,
    BeforeValidator(_comma_list),
    AfterValidator(_once_each),
    Field(min_length=1, max_length=TIMEFRAMES_MAX),
]


class Section(BaseModel):
    """A table of the file: frozen, and refusing keys it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )
