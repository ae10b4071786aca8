"""On which day a contract trades last, by the rules of its product.

The rules are data (`EXPIRIES`, of version `EXPIRIES_VERSION`), written as a person reads them in an
exchange's specification, and a user can add to them. Business days are the days whose session
settles, of the product's own calendar.
"""

from __future__ import annotations

import calendar as months
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tapekeeper.core.calendar import Calendar
from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument

_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_REACH = dt.timedelta(days=60)  # no rule looks further back from its day
_COUNT_MAX = 20

_RULE = re.compile(
    r"(?:(?P<before>[0-9]{1,2}) business days? before (?P<traded>traded )?)?"
    rf"(?:(?P<nth>{'|'.join(_ORDINALS)}|last) (?P<weekday>{'|'.join(_WEEKDAYS)})"
    r"|day (?P<day>[0-9]{1,2})"
    rf"|(?:(?P<rank>{'|'.join(_ORDINALS[1:])}) )?(?P<last>last) business day)"
    r"(?P<earlier> of the month before)?"
)
ALLOWED = (
    "'third friday', 'third last business day', 'last business day of the month before', "
    "'2 business days before third wednesday' or '3 business days before traded day 25 of the "
    "month before'"
)
"""Ways to write a rule."""


@dataclass(frozen=True, slots=True)
class ExpiryRule:
    """When the contracts of a product trade last.

    Attributes:
        text: the rule as it was written.
        weekday, nth: the n-th such day (Monday is 0) of the month, -1 for the last one.
        day: or the day of the month; beyond its end, the last one.
        last: or the n-th last business day of the month.
        months: of which month: 0 for that of delivery, -1 for the one before.
        before: so many business days before that day.
        traded: whether the business day before stands for a day that is none, before anything is
            counted from it; else what is counted are the business days before the day itself.
    """

    text: str
    weekday: int = 0
    nth: int = 0
    day: int = 0
    last: int = 0
    months: int = 0
    before: int = 0
    traded: bool = True

    def last_trading_day(self, year: int, month: int, calendar: Calendar) -> dt.date:
        """The last trading day of the contract of a delivery month."""
        year, month = divmod(year * 12 + month - 1 + self.months, 12)
        month += 1
        end = dt.date(year, month, months.monthrange(year, month)[1])
        if self.last:
            return self._business_days(end, calendar)[-self.last - self.before]
        named = self._named(end)
        if not self.before or self.traded:
            return self._business_days(named, calendar)[-1 - self.before]
        return self._business_days(named - dt.timedelta(days=1), calendar)[-self.before]

    def _named(self, end: dt.date) -> dt.date:
        """The day that is named, of the month that ends with `end`."""
        if self.day:
            return end.replace(day=min(self.day, end.day))
        if self.nth < 0:
            return end - dt.timedelta(days=(end.weekday() - self.weekday) % 7)
        first = end.replace(day=1)
        return first + dt.timedelta(days=(self.weekday - first.weekday()) % 7 + 7 * (self.nth - 1))

    @staticmethod
    def _business_days(until: dt.date, calendar: Calendar) -> list[dt.date]:
        return [each.date for each in calendar.sessions(until - _REACH, until) if each.kind.settles]


def parse_expiry(text: str) -> ExpiryRule:
    """Read a rule; see `ALLOWED`.

    Raises:
        UsageError: it is none.
    """
    match = _RULE.fullmatch(" ".join(text.casefold().split()))
    if match is None:
        raise UsageError(f"{text!r} is no rule of a last trading day: write {ALLOWED}")
    before, day = int(match["before"] or 0), int(match["day"] or 0)
    if before > _COUNT_MAX or day > 31 or match["day"] == "0":  # noqa: PLR2004 - days of a month
        raise UsageError(f"{text!r} is no rule of a last trading day: it counts too far")
    return ExpiryRule(
        match[0],
        weekday=_WEEKDAYS.index(match["weekday"]) if match["weekday"] else 0,
        nth=_number(match["nth"]) if match["nth"] else 0,
        day=day,
        last=_number(match["rank"] or "first") if match["last"] else 0,
        months=-1 if match["earlier"] else 0,
        before=before,
        traded=not before or match["traded"] is not None,
    )


def _number(ordinal: str) -> int:
    return -1 if ordinal == "last" else _ORDINALS.index(ordinal) + 1


EXPIRIES_VERSION = "2026.1"
"""Of the table below."""


class _Group(NamedTuple):
    """Products with one rule: symbols of the exchanges, behind them the gateway's codes."""

    rule: str
    products: str
    source: str


_TABLE = (
    _Group(
        "third friday",
        "ES MES NQ MNQ RTY M2K YM MYM EMD EP ENQ FDAX FDXM FDXS FESX FSXE",
        "CME contract specifications of equity index futures: third Friday of the contract month; "
        "Eurex contract specifications: third Friday, or the exchange day before",
    ),
    _Group(
        "1 business day before second friday",
        "NKD",
        "CME contract specification of Nikkei/USD: business day prior to the second Friday",
    ),
    _Group(
        "1 business day before traded second friday",
        "NK225 NK225M TOPIX",
        "JPX, last trading day of index futures: business day preceding the second Friday, or the "
        "business day before that where the Friday is none",
    ),
    _Group(
        "2 business days before third wednesday",
        "6A 6B 6E 6J 6M 6N 6S E7 J7 M6A M6B M6E M6S MJY MSF DA6 BP6 EU6 JY6 MX6 NE6 SF6 EEU",
        "CME contract specifications of FX futures: second business day prior to the third "
        "Wednesday of the contract month",
    ),
    _Group(
        "1 business day before third wednesday",
        "6C M6C MCD CA6",
        "CME contract specifications of Canadian dollar futures: business day preceding the third "
        "Wednesday of the contract month",
    ),
    _Group(
        "third last business day",
        "GC MGC SI SIL HG PL PA GCE SIE CPE PLE PAE",
        "COMEX and NYMEX contract specifications of metals: third last business day of the "
        "contract month",
    ),
    _Group(
        "third last business day of the month before",
        "QO QI QC MHG",
        "COMEX contract specifications of E-mini gold, silver and copper and of Micro copper: "
        "third last business day of the month preceding the contract month",
    ),
    _Group(
        "3 business days before traded day 25 of the month before",
        "CL CLE",
        "NYMEX rulebook 200: third business day before the 25th of the month preceding, or before "
        "the business day that precedes it",
    ),
    _Group(
        "4 business days before traded day 25 of the month before",
        "QM MCL NQM MCLE",
        "NYMEX contract specifications of E-mini and Micro WTI: one business day before CL",
    ),
    _Group(
        "third last business day of the month before",
        "NG NGE",
        "NYMEX rulebook 220: three business days prior to the first day of the delivery month",
    ),
    _Group(
        "fourth last business day of the month before",
        "QG MNG NQG",
        "NYMEX contract specifications of E-mini and Micro Henry Hub: one business day before NG",
    ),
    _Group(
        "last business day of the month before",
        "RB HO RBE HOE",
        "NYMEX contract specifications: last business day of the month preceding the contract "
        "month",
    ),
)

EXPIRIES: Mapping[str, ExpiryRule] = MappingProxyType(
    {each: parse_expiry(one.rule) for one in _TABLE for each in one.products.split()}
)
"""The rules that are shipped, by product."""

EXPIRY_SOURCES: Mapping[str, str] = MappingProxyType(
    {each: one.source for one in _TABLE for each in one.products.split()}
)
"""Where each of them is written."""


def expiry_of(
    instrument: Instrument, own: Mapping[str, ExpiryRule] | None = None
) -> ExpiryRule | None:
    """The rule of an instrument's product, or None where nobody knows it.

    Args:
        instrument: any contract of the product.
        own: rules by product (code, symbol or symbol id), which go before those that are shipped.
    """
    names = (instrument.product, instrument.root, instrument.symbol_id)
    mine = {name.casefold(): rule for name, rule in (own or {}).items()}
    for name in names:
        if name.casefold() in mine:
            return mine[name.casefold()]
    return next((EXPIRIES[name.upper()] for name in names if name.upper() in EXPIRIES), None)
