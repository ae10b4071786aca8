"""Bars around every clock change of 2024-2026, tick by tick against an oracle of its own.

The oracle knows nothing of calendars. It asks the zone for the offset of every minute in UTC,
writes down what a clock on the wall shows, and finds opens by looking for the first minute with
the date and time of an open. Bars are then sums over integers. Tokyo has no clock changes, so it
is tested over those of New York.
"""

from __future__ import annotations

import datetime as dt
import random
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import pytest

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import BreakRule, Calendar, CalendarSpec
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe

NEW_YORK = "America/New_York"
ZONES = (
    NEW_YORK,
    "America/Chicago",
    "Europe/London",
    "Europe/Berlin",  # Frankfurt
    "Asia/Tokyo",
    "Australia/Sydney",
)
EPOCH_GRID = ("1s", "5s", "15s", "30s", "1m", "2m", "3m", "5m", "7m", "10m", "15m", "30m", "1h")
SESSION_GRID = ("90m", "2h", "3h", "4h", "5h", "6h", "8h", "12h", "23h")
DATES = ("1d", "1w", "1mo")
TIMEFRAMES = [Timeframe.parse(text) for text in (*EPOCH_GRID, *SESSION_GRID, *DATES)]
CONTRACT = "CON.F.US.TEST.Z26"
PRINTS = 1_000
DAYS_AROUND = 9
"""Days of sessions on either side: more than a week, so that weeks have both their ends."""

Key = tuple[str, int]


def offset_ns(zone: ZoneInfo, ts_ns: int) -> int:
    """What a clock in the zone is ahead of UTC."""
    offset = dt.datetime.fromtimestamp(ts_ns // SECOND_NS, zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds()) * SECOND_NS


def changes(key: str) -> Iterator[int]:
    """Every clock change of 2024-2026, ns UTC: where the offset of one minute is not the next's."""
    zone = ZoneInfo(NEW_YORK if key == "Asia/Tokyo" else key)
    hour_ns = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp()) * SECOND_NS
    while hour_ns < int(dt.datetime(2027, 1, 1, tzinfo=dt.UTC).timestamp()) * SECOND_NS:
        if offset_ns(zone, hour_ns) != offset_ns(zone, hour_ns + HOUR_NS):
            yield hour_ns + HOUR_NS
        hour_ns += HOUR_NS


CASES = [(key, ts_ns) for key in ZONES for ts_ns in changes(key)]


@dataclass(frozen=True)
class Hours:
    """Hours as the oracle has them: minutes of the day on the wall.

    Attributes:
        opens, closes: minutes since local midnight; an open that is not before the close is on
            the day before.
        resumes: when a break is over after which longer bars begin anew; None without one.
    """

    opens: int
    closes: int
    resumes: int | None = None

    def spec(self, zone: str) -> CalendarSpec:
        """The same for the calendars, open on every day, so that a change is inside a session."""

        def text(minutes: int) -> str:
            return f"{minutes // 60:02}:{minutes % 60:02}"

        breaks = () if self.resumes is None else (BreakRule("00:30", text(self.resumes)),)
        return CalendarSpec("test", zone, text(self.opens), text(self.closes), breaks=breaks)


AROUND_THE_CLOCK = Hours(0, 24 * 60)
NIGHT_AND_DAY = Hours(17 * 60, 16 * 60)
WITH_A_BREAK = Hours(17 * 60, 15 * 60 + 45, resumes=8 * 60 + 45)


class Oracle:
    """Starts of bars by plain integers."""

    def __init__(self, zone: ZoneInfo, hours: Hours, around_ns: int) -> None:
        first_ns = around_ns - (DAYS_AROUND + 45) * DAY_NS
        minutes = range(first_ns, around_ns + (DAYS_AROUND + 45) * DAY_NS, 15 * MINUTE_NS)
        self.opens: dict[int, int] = {}  # day number of the session's date: open
        resumes: set[int] = set()
        for ts_ns in minutes:
            day, minute = divmod((ts_ns + offset_ns(zone, ts_ns)) // MINUTE_NS, 24 * 60)
            if minute == hours.opens:
                date = day + (hours.opens >= hours.closes)
                self.opens.setdefault(date, ts_ns)  # the first, where the clock shows it twice
            elif minute == hours.resumes:
                resumes.add(ts_ns)
        self.dates = sorted(self.opens)
        self.starts = [self.opens[date] for date in self.dates]
        self.anchors = sorted({*self.starts, *resumes})

    def start_ns(self, timeframe: str, ts_ns: int) -> int:
        """Start of the bar of a print."""
        if timeframe in DATES:
            day = self.dates[bisect_right(self.starts, ts_ns) - 1]
            return self.opens[self._first_day(timeframe, day)]
        length_ns = (
            int(timeframe[:-1]) * {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS}[timeframe[-1]]
        )
        if timeframe in EPOCH_GRID:
            return ts_ns // length_ns * length_ns
        anchor_ns = self.anchors[bisect_right(self.anchors, ts_ns) - 1]
        return anchor_ns + (ts_ns - anchor_ns) // length_ns * length_ns

    @staticmethod
    def _first_day(timeframe: str, day: int) -> int:
        if timeframe == "1w":
            return day - (day + 3) % 7  # day 0 is a Thursday
        if timeframe == "1mo":
            date = dt.date.fromordinal(dt.date(1970, 1, 1).toordinal() + day)
            return day - date.day + 1
        return day


def prints(around_ns: int, seed: int) -> TradeBatch:
    """Prints of eleven days: half of them within three hours of the change, in order of time."""
    rng = random.Random(seed)
    near = [around_ns + rng.randrange(-3 * HOUR_NS, 3 * HOUR_NS) for _ in range(PRINTS // 2)]
    far = [around_ns + rng.randrange(-5 * DAY_NS, 6 * DAY_NS) for _ in range(PRINTS // 2)]
    edges = [
        around_ns + hours * HOUR_NS + nudge for hours in range(-26, 27) for nudge in (-1, 0, 1)
    ]
    batch = TradeBatch(CONTRACT)
    for seq, ts_ns in enumerate(sorted(near + far + edges)):
        batch.append(
            ts_ns, rng.randrange(100, 200) / 4, rng.randint(1, 9), rng.randint(0, 1), 0, seq
        )
    return batch


def expected(batch: TradeBatch, oracle: Oracle) -> dict[Key, list[float]]:
    """Open, high, low, close, volume and number of every bar, print by print."""
    bars: dict[Key, list[float]] = {}
    for ts_ns, price, size in zip(batch.ts_event, batch.price, batch.size, strict=True):
        for timeframe in TIMEFRAMES:
            name = str(timeframe)
            key = (name, oracle.start_ns(name, ts_ns))
            bar = bars.setdefault(key, [price, price, price, price, 0, 0])
            bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
            bar[4] += size
            bar[5] += 1
    return bars


def made(batch: TradeBatch, calendar: Calendar) -> list[Bar]:
    """Ours, print by print."""
    bars = ContractBars(CONTRACT, TIMEFRAMES, calendar)
    closed = bars.fold(batch)
    assert closed.late == []
    return closed.closed + bars.forming_all()


@pytest.mark.parametrize("hours", [AROUND_THE_CLOCK, NIGHT_AND_DAY, WITH_A_BREAK])
@pytest.mark.parametrize(("key", "change_ns"), CASES)
def test_bars_around_a_clock_change_are_the_oracles(key: str, change_ns: int, hours: Hours) -> None:
    """Every bar of 25 timeframes, in six cities, around each of 36 changes, has every print."""
    batch = prints(change_ns, seed=change_ns % 1_000_003)
    oracle = Oracle(ZoneInfo(key), hours, change_ns)
    bars = made(batch, Calendar(hours.spec(key)))
    ours = {
        (bar.timeframe, bar.ts_open): [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.n]
        for bar in bars
    }
    assert ours == expected(batch, oracle)
    assert len(ours) == len(bars)
    for bar in bars:
        assert oracle.start_ns(bar.timeframe, bar.ts_end) == bar.ts_end
        assert oracle.start_ns(bar.timeframe, bar.ts_end - 1) == bar.ts_open


def test_there_are_two_changes_a_year_in_each_city() -> None:
    """The cases are all there: five cities with six changes, and Tokyo over New York's."""
    assert len(CASES) == 36
    found = {key: [ts_ns for other, ts_ns in CASES if other == key] for key in ZONES}
    assert found[NEW_YORK] == found["Asia/Tokyo"]
    assert found["Europe/London"] == found["Europe/Berlin"]
    assert len({ts_ns for _, ts_ns in CASES}) == 6 * 4  # Sydney's and Chicago's are others


@pytest.mark.parametrize(("key", "change_ns"), CASES)
def test_days_around_a_clock_change_have_their_true_length(key: str, change_ns: int) -> None:
    """Around the clock the day of a change has 23 or 25 hours, every other one 24."""
    zone = ZoneInfo(key)
    calendar = Calendar(AROUND_THE_CLOCK.spec(key))
    before, after = (offset_ns(zone, change_ns + nudge) for nudge in (-1 * SECOND_NS, 0))
    session = calendar.session_of(change_ns)
    assert session.close_ns - session.open_ns == DAY_NS + before - after
    following = calendar.session_after(session)
    assert following.open_ns == session.close_ns
    assert following.close_ns - following.open_ns == DAY_NS
    assert calendar.is_open(session.close_ns)
