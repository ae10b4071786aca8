"""Continuous series: which contract is the front one when, and what lies between two of them."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import msgspec

from tapekeeper.model.bar import PRICE_SCALE, Completeness

MONTH_LETTERS = "FGHJKMNQUVXZ"
"""The letters of the delivery months, January to December."""


class Adjustment(StrEnum):
    """What is done to the prices before a roll."""

    NONE = "none"  # nothing: each row has the prices of its contract
    DIFFERENCE = "difference"  # the difference at every later roll is added
    RATIO = "ratio"  # they are multiplied by the ratio at every later roll


class Expiring(msgspec.Struct, frozen=True):
    """One contract of a product that expires.

    Attributes:
        contract_id: the gateway's contract id.
        name: its short name.
        year, month: of its delivery month, as its id or name says.
    """

    contract_id: str
    name: str
    year: int
    month: int

    @property
    def code(self) -> str:
        """The delivery month as ids write it, such as `H26`."""
        return f"{MONTH_LETTERS[self.month - 1]}{self.year % 100:02}"


class Segment(msgspec.Struct, frozen=True):
    """A stretch of whole sessions in which one contract is the front one.

    Attributes:
        contract_id: which.
        session: date of the first session of the stretch.
        from_ns: when that session opens, ns UTC.
        to_ns: when the next stretch begins, ns UTC (exclusive); None for the last one.
        reason: why it begins, one clause for a person.
    """

    contract_id: str
    session: dt.date
    from_ns: int
    to_ns: int | None
    reason: str


class Measured(msgspec.Struct, frozen=True):
    """The bars by which two contracts are compared: of one interval, in which both traded.

    Attributes:
        timeframe: of both bars.
        ts_open, ts_end: their interval, ns UTC.
        close_from, close_to: their closes: of the contract that is left, and of the one after it.
        completeness_from, completeness_to: what the bars are worth.
    """

    timeframe: str
    ts_open: int
    ts_end: int
    close_from: float
    close_to: float
    completeness_from: Completeness
    completeness_to: Completeness

    @property
    def difference(self) -> float:
        """The later contract's close less the earlier one's, to the billionth."""
        return (round(self.close_to * PRICE_SCALE) - round(self.close_from * PRICE_SCALE)) / (
            PRICE_SCALE
        )

    @property
    def ratio(self) -> float | None:
        """The later contract's close by the earlier one's; None unless both are above 0."""
        if self.close_from <= 0 or self.close_to <= 0:
            return None
        return self.close_to / self.close_from


class Roll(msgspec.Struct, frozen=True):
    """The change from one front contract to the next.

    Attributes:
        contract_from, contract_to: contract ids.
        session: date of the first session of `contract_to`.
        ts_roll: when that session opens, ns UTC.
        reason: what the rule found, one clause for a person.
        measured: what lies between the two; None where there is no bar to measure it by.
    """

    contract_from: str
    contract_to: str
    session: dt.date
    ts_roll: int
    reason: str
    measured: Measured | None = None

    @property
    def difference(self) -> float | None:
        """What back-adjustment by difference adds to the prices before this roll."""
        return None if self.measured is None else self.measured.difference

    @property
    def ratio(self) -> float | None:
        """What back-adjustment by ratio multiplies the prices before this roll by."""
        return None if self.measured is None else self.measured.ratio
