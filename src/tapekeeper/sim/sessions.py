"""What the simulator asks of a session calendar; `core.calendar` fills it."""

from __future__ import annotations

from typing import Protocol

from tapekeeper.model.session import Interval, Session
from tapekeeper.model.timeframe import Timeframe


class Sessions(Protocol):
    """Trading sessions; all times are ns UTC."""

    def session_of(self, ts_ns: int) -> Session:
        """The session that opened last at or before `ts_ns`."""
        ...

    def is_open(self, ts_ns: int) -> bool:
        """Whether trading is open."""
        ...

    def next_open_ns(self, ts_ns: int) -> int:
        """The next opening after `ts_ns`."""
        ...

    def interval(self, timeframe: Timeframe, ts_ns: int) -> Interval:
        """The interval of the bar that a print at `ts_ns` belongs to."""
        ...
