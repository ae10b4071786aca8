"""The section [calendar]: which product trades when, and calendars of the user's own."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tapekeeper.app.config_errors import SENTENCE
from tapekeeper.app.config_types import Section
from tapekeeper.core.calendar import (
    BY_PRODUCT,
    BreakRule,
    Calendar,
    CalendarSpec,
    FixedDay,
    HolidayRule,
    SessionException,
    calendar_by_name,
    calendar_of_product,
)
from tapekeeper.core.continuous import parse_expiry
from tapekeeper.errors import ConfigError, UsageError
from tapekeeper.model.session import SessionKind

AUTO = "auto"
"""What stands for the table of products that is shipped."""

_DAY_OF_A_YEAR = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")


def _wall_time(value: object) -> object:
    # TOML has times of its own: 17:00:00 without quotes. They know no 24:00, so texts go as well.
    if isinstance(value, dt.time):
        if value.second or value.microsecond:
            raise PydanticCustomError(SENTENCE, "must be a whole minute")
        return value.strftime("%H:%M")
    return value


def _day(value: object) -> object:
    # What a CalendarSpec has a rule for is a text; what it has an exception for is a date.
    if isinstance(value, str) and not _DAY_OF_A_YEAR.fullmatch(value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            text = "must be a day of every year such as 12-25, or a date such as 2026-12-24"
            raise PydanticCustomError("day", text) from None
    return value


WallTime = Annotated[str, BeforeValidator(_wall_time)]
Day = Annotated[dt.date | str, Field(union_mode="left_to_right"), BeforeValidator(_day)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class BreakHours(Section):
    """A stretch without trading inside every session."""

    start: WallTime = Field(description="Local time at which it begins.", examples=["11:30"])
    end: WallTime = Field(description="Local time at which it ends.", examples=["12:30"])
    restarts: bool = Field(
        default=True,
        description="Bars of more than an hour begin anew at its end, as at an open.",
        examples=[True],
    )


class OwnCalendar(Section):
    """A session calendar of your own."""

    zone: str = Field(
        default="UTC",
        min_length=1,
        description="IANA time zone of all its times.",
        examples=["Asia/Hong_Kong"],
    )
    open: WallTime = Field(
        default="00:00",
        description="Local time of the open, HH:MM; where it is later than the close, sessions "
        "open on the day before.",
        examples=["09:15"],
    )
    close: WallTime = Field(
        default="24:00",
        description="Local time of the close, HH:MM, up to 24:00.",
        examples=["16:30"],
    )
    weekdays: tuple[Weekday, ...] = Field(
        default=_WEEKDAYS,
        description="Days on which a session closes.",
        examples=[["mon", "tue", "wed", "thu", "fri"]],
    )
    breaks: tuple[BreakHours, ...] = Field(
        default=(),
        description="Stretches without trading inside a session.",
        examples=[[{"start": "12:00", "end": "13:00", "restarts": True}]],
    )
    holidays: tuple[Day, ...] = Field(
        default=(),
        description="Days without a session: of every year (MM-DD), or single dates. Days with "
        "other hours are [[calendar.exceptions]].",
        examples=[["01-01", "12-25", "2026-04-03"]],
    )

    def spec(self, name: str) -> CalendarSpec:
        """The same as the calendars have it.

        Raises:
            ConfigError: it cannot be.
        """
        return CalendarSpec(
            name=name,
            zone=self.zone,
            open=self.open,
            close=self.close,
            weekdays=tuple(_WEEKDAYS.index(day) for day in self.weekdays),
            holidays=tuple(self._rules()),
            exceptions=tuple(
                SessionException(day) for day in self.holidays if isinstance(day, dt.date)
            ),
            breaks=tuple(BreakRule(item.start, item.end, item.restarts) for item in self.breaks),
        )

    def _rules(self) -> Iterator[HolidayRule]:
        for day in self.holidays:
            if isinstance(day, str):
                month, _, of_month = day.partition("-")
                yield HolidayRule(day, FixedDay(int(month), int(of_month)), None)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.weekdays:
            raise PydanticCustomError(SENTENCE, "weekdays must name at least one")
        try:
            self.spec("")
        except ConfigError as error:
            text = str(error).removeprefix("calendar ''").removeprefix(": ").removeprefix(", ")
            raise PydanticCustomError(SENTENCE, "{text}", {"text": text}) from None
        return self


class CalendarException(Section):
    """One day that differs from the calendar's rules."""

    calendar: str = Field(
        default="cme", min_length=1, description="The calendar it amends.", examples=["cme"]
    )
    date: dt.date = Field(
        description="The session's date: the local date on which it would close.",
        examples=[dt.date(2026, 12, 24)],
    )
    closed: bool = Field(default=False, description="No session on this date.", examples=[False])
    close: dt.time | None = Field(
        default=None,
        description="The session closes at this local time of the exchange.",
        examples=[dt.time(12, 15)],
    )
    open: dt.time | None = Field(
        default=None,
        description="The session opens at this local time, on the day on which it would open "
        "otherwise.",
        examples=[dt.time(18, 0)],
    )
    kind: Literal["early_close", "holiday_halt"] = Field(
        default="early_close",
        description="Whether the session settles at that time, or halts and is booked on the next "
        "business day.",
        examples=["early_close"],
    )
    trade_date: dt.date | None = Field(
        default=None,
        description="The date its trades are booked on, where that is not the usual one.",
        examples=[dt.date(2026, 12, 24)],
    )
    note: str = Field(default="", description="Why; for people.", examples=["Christmas Eve"])

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.closed == (self.close is not None or self.open is not None):
            raise PydanticCustomError(
                SENTENCE, "needs either closed = true or an open or close time"
            )
        for name, time in (("close", self.close), ("open", self.open)):
            if time is not None and (time.second or time.microsecond):
                raise PydanticCustomError(SENTENCE, "{name} must be a whole minute", {"name": name})
        return self

    def exception(self) -> SessionException:
        """The same as the calendars have it."""
        kind = None if self.closed else SessionKind.REGULAR
        if self.close is not None:
            kind = SessionKind(self.kind)
        return SessionException(
            self.date,
            kind=kind,
            close="" if self.close is None else self.close.strftime("%H:%M"),
            open="" if self.open is None else self.open.strftime("%H:%M"),
            trade_date=self.trade_date,
            reason=self.note,
        )


class CalendarConfig(Section):
    """When markets are open.

    Shipped are cme (equity index), cme_fx, comex (metals), nymex (energy), eurex, ose (Osaka),
    24x7 (days of UTC) and 24x7@ZONE (days of an IANA zone).
    """

    default: str = Field(
        default=AUTO,
        min_length=1,
        description="Session calendar of every product not named below. auto takes it from the "
        "table of products that is shipped, and cme for what that does not know.",
    )
    by_product: dict[str, str] = Field(
        default_factory=dict,
        description="Calendars of single products, by the product segment of the contract id.",
        examples=[{"BTCUSDT": "24x7"}],
    )
    exceptions: tuple[CalendarException, ...] = Field(
        default=(), description="Days that differ from the calendar's rules."
    )
    own: dict[str, OwnCalendar] = Field(
        default_factory=dict,
        description="A calendar of your own, to be named wherever a shipped one can be; one that "
        "is called like a shipped one replaces it.",
    )

    expiry: dict[str, str] = Field(
        default_factory=dict,
        description="Rules of last trading days by product, for continuous series; they go before "
        "those that are shipped.",
        examples=[{"BTC": "last friday"}],
    )

    def name_for(self, product: str) -> str:
        """The name of the calendar of `product`, which is read without regard to case."""
        for key, name in self.by_product.items():
            if key.casefold() == product.casefold():
                return name
        return calendar_of_product(product) if self.default == AUTO else self.default

    def guesses(self, product: str) -> bool:
        """Whether nothing says what calendar `product` has, so that it is given the usual one."""
        named = {key.casefold() for key in (*self.by_product, *BY_PRODUCT)}
        return self.default == AUTO and product.casefold() not in named

    def calendar(self, name: str) -> Calendar:
        """The calendar of this name, the exceptions of this section included.

        Raises:
            ConfigError: there is none of this name.
        """
        amended = [item.exception() for item in self.exceptions if item.calendar == name]
        specs = [own.spec(key) for key, own in self.own.items()]
        return calendar_by_name(name, amended, specs=specs)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if AUTO in self.own:
            raise PydanticCustomError(
                SENTENCE, "own.auto: auto stands for the shipped table; choose another name"
            )
        for product, rule in self.expiry.items():
            try:
                parse_expiry(rule)
            except UsageError as error:
                text = f"expiry.{product}: {error}"
                raise PydanticCustomError(SENTENCE, "{text}", {"text": text}) from None
        amended = (item.calendar for item in self.exceptions)
        named = (*self.by_product.values(), *amended, *self.own)
        default = () if self.default == AUTO else (self.default,)
        for name in dict.fromkeys((*default, *named)):
            try:
                self.calendar(name)
            except ConfigError as error:
                raise PydanticCustomError(SENTENCE, "{text}", {"text": str(error)}) from None
        return self
