"""When the front contract changes: by volume, by the calendar, or on given dates.

A rule is asked at the open of a session and sees nothing but sessions that are over. It may answer
with a later contract only, never with an earlier one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tapekeeper.core.calendar import Calendar
from tapekeeper.core.continuous.chain import named, names_a_month
from tapekeeper.core.continuous.expiry import ExpiryRule
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Completeness
from tapekeeper.model.continuous import Expiring
from tapekeeper.model.session import Session

_DAYS_MAX = 60  # more would be before the contract's own time as the front one
ALLOWED = "volume, calendar:N (trading days), or dates:YYYY-MM-DD=CONTRACT,..."
"""The ways to write a rule."""


class SessionVolume(NamedTuple):
    """What a contract traded in a session, and what its daily bar is worth."""

    volume: int
    completeness: Completeness


class Market(NamedTuple):
    """A product.

    Attributes:
        chain: its contracts by delivery month. A rule takes names from it and never learns that
            one is there before it has traded.
        calendar: its sessions.
    """

    chain: Sequence[Expiring]
    calendar: Calendar


class Situation(NamedTuple):
    """What is known at the open of a session.

    Attributes:
        session: the session that opens.
        current: the front contract so far.
        later: those after `current` that traded in a session that is over, by delivery month.
        before: the session before this one, and what each contract traded in it.
        traded: that, by contract id; one without a print is not in it.
    """

    session: Session
    current: Expiring
    later: Sequence[Expiring]
    before: Session
    traded: Mapping[str, SessionVolume]


class Choice(NamedTuple):
    """A contract, and why it is the front one, as a clause for a person."""

    contract: Expiring
    reason: str


class RollRule(Protocol):
    """Decides which contract is the front one."""

    def first(self, session: Session, seen: Sequence[Expiring], market: Market) -> Choice:
        """The front contract of the first session, among those `seen` in it, at least one."""
        ...

    def later(self, at: Situation, market: Market) -> Choice | None:
        """The contract to roll to when a session opens, or None."""
        ...


@dataclass(frozen=True, slots=True)
class VolumeRule:
    """The contract that traded most goes on, once it traded more than the front one in a session.

    Of several later ones the busiest counts and not the very next, because many products list
    months between that hardly trade. A session does not count of which the front contract lacks
    the beginning and the other one does not.
    """

    def first(self, session: Session, seen: Sequence[Expiring], market: Market) -> Choice:  # noqa: ARG002 - other rules need them
        """The nearest one: nothing is over yet that could speak for another one."""
        return _nearest(seen)

    def later(self, at: Situation, market: Market) -> Choice | None:  # noqa: ARG002 - likewise
        """The busiest later one of the session before, if it was busier than the front one."""
        nothing = SessionVolume(0, Completeness.COMPLETE)
        held = at.traded.get(at.current.contract_id, nothing)
        busiest = max(
            at.later,
            key=lambda each: at.traded.get(each.contract_id, nothing).volume,
            default=None,
        )
        if busiest is None:
            return None
        other = at.traded.get(busiest.contract_id, nothing)
        partial = Completeness.PARTIAL_START
        if held.completeness is partial and other.completeness is not partial:
            return None
        if other.volume <= held.volume:
            return None
        return Choice(
            busiest,
            f"volume {_volume_text(at, busiest)} of {busiest.name} above "
            f"{_volume_text(at, at.current)} of {at.current.name} in the session of "
            f"{at.before.date}",
        )


@dataclass(frozen=True, slots=True)
class CalendarRule:
    """A contract is left a number of trading days before its last one.

    Attributes:
        days: how many; with 0 the last trading day is already the next contract's.
        last_days: last trading day by contract (id, name or month). A day without a session that
            settles stands for the last one before it.
        expiry: of which the others are; None where nobody knows.
    """

    days: int
    last_days: Mapping[str, dt.date] = field(default_factory=dict)
    expiry: ExpiryRule | None = None

    def first(self, session: Session, seen: Sequence[Expiring], market: Market) -> Choice:
        """The nearest one that is not to be left yet."""
        held = [each for each in seen if session.date < self._leaves(each, market)[0]]
        return _nearest(held or seen[-1:])

    def later(self, at: Situation, market: Market) -> Choice | None:
        """When the front one is to be left: the nearest later one that is not."""
        leaves, last, why = self._leaves(at.current, market)
        if at.session.date < leaves or not at.later:
            return None
        held = [each for each in at.later if at.session.date < self._leaves(each, market)[0]]
        unit = "trading day" if self.days == 1 else "trading days"
        reason = f"{self.days} {unit} before {last}, {why} {at.current.name}"
        return Choice((held or at.later[-1:])[0], reason)

    def _leaves(self, contract: Expiring, market: Market) -> tuple[dt.date, dt.date, str]:
        """The first session without a contract, its last trading day, and where that is from."""
        given = [
            day for text, day in self.last_days.items() if named(text, market.chain) == contract
        ]
        if given:
            last, why = given[-1], "the given last trading day of"
        elif self.expiry is not None:
            last = self.expiry.last_trading_day(contract.year, contract.month, market.calendar)
            why = f"the last trading day ({self.expiry.text}) of"
        else:
            raise UsageError(
                f"nobody knows when {contract.name} trades last: give the day with "
                f"--last-trading-day {contract.name}=YYYY-MM-DD, or the product's rule, such as "
                "'third last business day', with --expiry or in calendar.expiry"
            )
        first = last - dt.timedelta(days=2 * _DAYS_MAX + 30)
        days = [each.date for each in market.calendar.sessions(first, last) if each.kind.settles]
        return days[-1 - self.days], last, why


@dataclass(frozen=True, slots=True)
class DatesRule:
    """The front contract is the given one from the session of a date on.

    Attributes:
        rolls: dates, rising, each with a contract (id, name or month) of a later month.
    """

    rolls: tuple[tuple[dt.date, str], ...]

    def first(self, session: Session, seen: Sequence[Expiring], market: Market) -> Choice:
        """The one that was given last, or the nearest before the first date."""
        due = [(date, text) for date, text in self.rolls if date <= session.date]
        if not due:
            return _nearest(seen)
        contract = _given(due[-1], market.chain)
        return Choice(contract, f"given from {due[-1][0]} on")

    def later(self, at: Situation, market: Market) -> Choice | None:
        """The one that is given since the session before."""
        due = [
            (date, text) for date, text in self.rolls if at.before.date < date <= at.session.date
        ]
        if not due:
            return None
        contract = _given(due[-1], market.chain)
        if contract == at.current:
            return None
        if _month(contract) <= _month(at.current):
            raise UsageError(
                f"{due[-1][0]}={due[-1][1]} does not lead to a later contract: before it "
                f"{at.current.name} is the front one; dates and contracts must rise"
            )
        return Choice(contract, f"given from {due[-1][0]} on")


def parse_rule(
    text: str,
    last_days: Mapping[str, dt.date] | None = None,
    expiry: ExpiryRule | None = None,
) -> RollRule:
    """Read `volume`, `calendar:5` or `dates:2026-03-16=H26,2026-06-15=M26`.

    Args:
        text: the rule.
        last_days: last trading days, for `calendar`.
        expiry: the product's rule, for `calendar`.

    Raises:
        UsageError: it is none of these, or last trading days are of no use or no contract's.
    """
    kind, _, rest = text.strip().partition(":")
    last_days = last_days or {}
    if last_days and kind != "calendar":
        raise UsageError(f"last trading days are for the rule calendar:N, and this one is {text}")
    for name in last_days:
        _require_month(name)
    if kind == "volume" and not rest:
        return VolumeRule()
    if kind == "calendar" and rest.isascii() and rest.isdigit() and int(rest) <= _DAYS_MAX:
        return CalendarRule(int(rest), dict(last_days), expiry)
    if kind == "calendar":
        raise UsageError(
            f"calendar:{rest} is no roll rule: write a whole number from 0 to {_DAYS_MAX}, the "
            "trading days before the last one, such as calendar:5"
        )
    if kind == "dates":
        return DatesRule(tuple(_dates(rest)))
    raise UsageError(f"unknown roll rule {text!r}: write {ALLOWED}")


def _dates(text: str) -> list[tuple[dt.date, str]]:
    found: list[tuple[dt.date, str]] = []
    for item in text.split(","):
        day, equals, contract = (part.strip() for part in item.partition("="))
        try:
            date = dt.date.fromisoformat(day)
        except ValueError:
            date = None
        if date is None or not equals:
            raise UsageError(
                f"{item.strip()!r} is no roll: write the first session's date and the contract, "
                "such as dates:2026-03-16=MESM6,2026-06-15=MESU6"
            )
        _require_month(contract)
        if found and date <= found[-1][0]:
            raise UsageError(f"the dates of rolls must rise, and {date} is after {found[-1][0]}")
        found.append((date, contract))
    return found


def _require_month(text: str) -> None:
    if not names_a_month(text):
        raise UsageError(
            f"{text!r} names no contract that expires: write its id, its name (MESM6) or its "
            "month (M26)"
        )


def _given(roll: tuple[dt.date, str], chain: Sequence[Expiring]) -> Expiring:
    contract = named(roll[1], chain)
    if contract is None:
        there = ", ".join(each.name for each in chain)
        raise UsageError(f"{roll[0]}={roll[1]} names a contract without bars; there are {there}")
    return contract


def _volume_text(at: Situation, contract: Expiring) -> str:
    found = at.traded.get(contract.contract_id)
    return "no print" if found is None else f"{found.volume} ({found.completeness})"


def _nearest(contracts: Sequence[Expiring]) -> Choice:
    return Choice(contracts[0], "the nearest one that traded in the first session")


def _month(contract: Expiring) -> tuple[int, int]:
    return contract.year, contract.month
