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
    HOLIDAY_TRADING = "holiday_trading"  # regular hours without settlement: likewise

    @property
    def settles(self) -> bool:
        """Whether the session has a settlement, and with it a trade date of its own."""
        return self in {SessionKind.REGULAR, SessionKind.EARLY_CLOSE}


class Break(msgspec.Struct, frozen=True, gc=False):
    """A stretch without trading inside a session.

    Attributes:
        start_ns, end_ns: ns UTC; there is no trading in [start_ns, end_ns).
        restarts: whether bars longer than an hour begin anew at its end.
    """

    start_ns: int
    end_ns: int
    restarts: bool


class Part(msgspec.Struct, frozen=True, gc=False):
    """A stretch of trading without a break, and the closed time after it.

    Attributes:
        open_ns, close_ns: ns UTC; there is trading in [open_ns, close_ns).
        next_open_ns: when trading goes on, in this session or the next one.
        anchor_ns: what bars of more than an hour and less than a day are measured from.
        anchor_end_ns: the next such point, where they are cut.
    """

    open_ns: int
    close_ns: int
    next_open_ns: int
    anchor_ns: int
    anchor_end_ns: int


class Session(msgspec.Struct, frozen=True):
    """One trading session.

    Attributes:
        date: the session's label, the local date on which it closes (a close at midnight, as in
            the calendar `24x7`, counts to the day that ends).
        open_ns, close_ns: ns UTC; trading is open in [open_ns, close_ns), its breaks aside.
        kind: see `SessionKind`.
        trade_date: the date the exchange books its trades on; differs from `date` in sessions
            that have no settlement only.
        breaks: in order of time; they lie within the session and do not touch each other or
            its ends.
    """

    date: dt.date
    open_ns: int
    close_ns: int
    kind: SessionKind
    trade_date: dt.date
    breaks: tuple[Break, ...] = ()

    def is_open(self, ts_ns: int) -> bool:
        """Whether there is trading in this session at `ts_ns` (ns UTC)."""
        if not self.open_ns <= ts_ns < self.close_ns:
            return False
        return not any(item.start_ns <= ts_ns < item.end_ns for item in self.breaks)

    def opened_ns(self, ts_ns: int) -> int:
        """When trading began last at or before `ts_ns`, both ns UTC: the open, or after a break."""
        ends = (item.end_ns for item in self.breaks if item.end_ns <= ts_ns)
        return max(ends, default=self.open_ns)

    def parts(self, next_open_ns: int) -> list[Part]:
        """Its stretches of trading, in order.

        Args:
            next_open_ns: when the session after it opens, ns UTC.
        """
        opens = [self.open_ns, *(item.end_ns for item in self.breaks)]
        closes = [*(item.start_ns for item in self.breaks), self.close_ns]
        anchors = [self.open_ns, *(item.end_ns for item in self.breaks if item.restarts)]
        found = []
        for index, (open_ns, close_ns) in enumerate(zip(opens, closes, strict=True)):
            following = opens[index + 1] if index + 1 < len(opens) else next_open_ns
            anchor_ns = max(item for item in anchors if item <= open_ns)
            later = (item for item in anchors if item > open_ns)
            anchor_end_ns = min(later, default=next_open_ns)
            found.append(Part(open_ns, close_ns, following, anchor_ns, anchor_end_ns))
        return found


class Interval(msgspec.Struct, frozen=True, gc=False):
    """The interval of one bar.

    Attributes:
        start_ns: inclusive, ns UTC; the bar's stamp.
        end_ns: exclusive, ns UTC. A print at or after it belongs to a later bar.
        due_ns: from this exchange time on a timer may close the bar although no later print has
            come: `end_ns`, or where trading is closed before it, when it closed last (a daily bar
            is over at 16:00 although the next one starts at 17:00; a bar in which trading goes on
            after a break is not over when the break begins). A bar that has a print at or after
            `due_ns` shows that trading went on, and is due at `end_ns` instead.
    """

    start_ns: int
    end_ns: int
    due_ns: int
