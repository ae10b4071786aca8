"""Trading sessions and the intervals that bars cover."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum

import msgspec


class SessionKind(StrEnum):
    """What sort of day a session is."""

    REGULAR = "regular"
    EARLY_CLOSE = "early_close"  # closes early, with a settlement of its own
    HOLIDAY_HALT = "holiday_halt"  # halts early without settlement: next business day's trade date


class Session(msgspec.Struct, frozen=True):
    """One trading session.

    Attributes:
        date: the session's label, the local date on which it closes (a close at midnight, as in
            the calendar `24x7`, counts to the day that ends).
        open_ns, close_ns: ns UTC; trading is open in [open_ns, close_ns).
        kind: see `SessionKind`.
        trade_date: the date the exchange books its trades on; differs from `date` on holiday
            halts only.
    """

    date: dt.date
    open_ns: int
    close_ns: int
    kind: SessionKind
    trade_date: dt.date


class Interval(msgspec.Struct, frozen=True, gc=False):
    """The interval of one bar.

    Attributes:
        start_ns: inclusive, ns UTC; the bar's stamp.
        end_ns: exclusive, ns UTC. A print at or after it belongs to a later bar.
        due_ns: from this exchange time on a timer may close the bar although no later print has
            come: `end_ns`, or the session's close where that is earlier (a daily bar is over at
            16:00 although the next one starts at 17:00). A bar that has a print at or after
            `due_ns` shows that trading went on, and is due at `end_ns` instead.
    """

    start_ns: int
    end_ns: int
    due_ns: int
