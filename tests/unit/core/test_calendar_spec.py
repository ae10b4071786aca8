"""Calendars as data: what may be written, what is refused, and what rules mean."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from tapekeeper.core.calendar import (
    KNOWN,
    Calendar,
    CalendarSpec,
    EasterDay,
    FixedDay,
    HolidayRule,
    NthWeekday,
    Observed,
    SessionException,
    calendar_by_name,
)
from tapekeeper.core.calendar.holidays import easter_sunday, holidays_of
from tapekeeper.errors import ConfigError
from tapekeeper.model.session import SessionKind
from tapekeeper.model.timeframe import HOUR_NS

CLOSED = None
HALT = SessionKind.HOLIDAY_HALT


def date(text: str) -> dt.date:
    """An ISO date."""
    return dt.date.fromisoformat(text)


def hours(calendar: Calendar, text: str) -> float:
    """How long the session of a date is."""
    session = calendar.session_on(date(text))
    assert session is not None
    return (session.close_ns - session.open_ns) / HOUR_NS


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CME", "did you mean 'cme'"),
        ("24/7", "did you mean '24x7'"),
        ("xyz", "known are 24x7, cme"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, said: str) -> None:
    """The error names the calendar that was probably meant, or all of them."""
    with pytest.raises(ConfigError, match="unknown calendar") as caught:
        calendar_by_name(name)
    assert said in str(caught.value)


def test_an_override_goes_before_the_rules() -> None:
    """A date given as data replaces what rules and the shipped exceptions say of it."""
    cme = calendar_by_name(
        "cme",
        [
            SessionException(date("2024-07-01"), reason="a closed day"),
            SessionException(date("2024-07-02"), SessionKind.EARLY_CLOSE, "10:00"),
            SessionException(date("2024-07-04"), SessionKind.REGULAR),
            SessionException(date("2025-01-09"), SessionKind.REGULAR),
            SessionException(
                date("2024-07-06"), SessionKind.REGULAR, "12:00", "18:00", date("2024-07-08")
            ),
        ],
    )
    assert cme.session_on(date("2024-07-01")) is None
    assert hours(cme, "2024-07-02") == 17
    assert hours(cme, "2024-07-04") == 23
    assert hours(cme, "2025-01-09") == 23
    saturday = cme.session_on(date("2024-07-06"))
    assert saturday is not None
    assert hours(cme, "2024-07-06") == 18
    assert saturday.trade_date == date("2024-07-08")
    assert calendar_by_name("cme").session_on(date("2024-07-01")) is not None


def test_a_halt_by_override_is_booked_on_the_next_date_that_settles() -> None:
    """Halts and closed days are passed over in the search for the trade date."""
    cme = calendar_by_name(
        "cme",
        [SessionException(date("2024-07-05"), HALT, "12:00"), SessionException(date("2024-07-08"))],
    )
    thursday = cme.session_on(date("2024-07-04"))
    assert thursday is not None
    assert thursday.trade_date == date("2024-07-09")


def test_a_users_spec_is_found_by_name() -> None:
    """A calendar can be defined outside; one that is named like a shipped one replaces it."""
    lunch = CalendarSpec("cash", zone="America/New_York", open="09:30", close="16:00")
    assert hours(calendar_by_name("cash", specs=[lunch]), "2024-07-01") == 6.5
    mine = CalendarSpec("cme", zone="America/Chicago", open="08:30", close="15:00")
    assert hours(calendar_by_name("cme", specs=[mine]), "2024-07-01") == 6.5
    assert hours(calendar_by_name("cme"), "2024-07-01") == 23


def test_a_spec_is_plain_data() -> None:
    """A spec goes to JSON and back, so that a settings file can hold one."""
    for spec in KNOWN.values():
        data = msgspec.json.encode(spec)
        assert msgspec.json.decode(data, type=CalendarSpec) == spec


def test_a_session_may_open_on_the_day_before() -> None:
    """Where the open is later on the clock than the close, it is the day before's."""
    assert KNOWN["cme"].opens_day_before
    assert not KNOWN["24x7"].opens_day_before
    around = CalendarSpec("fx", zone="America/New_York", open="17:00", close="17:00")
    assert around.opens_day_before
    assert hours(Calendar(around), "2024-07-01") == 24


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zone": "America/Chcago"}, "unknown time zone 'America/Chcago'"),
        ({"zone": "../etc"}, "unknown time zone"),
        ({"open": "25:00"}, "'25:00' is not a wall time"),
        ({"open": "9:30"}, "'9:30' is not a wall time"),
        ({"close": "24:01"}, "'24:01' is not a wall time"),
        ({"weekdays": ()}, "at least one"),
        ({"weekdays": (7,)}, "numbers from 0"),
        ({"holidays": (HolidayRule("a", FixedDay(2, 30), CLOSED),)}, "no day 30 in month 2"),
        ({"holidays": (HolidayRule("a", FixedDay(13, 1), CLOSED),)}, "no day 1 in month 13"),
        ({"holidays": (HolidayRule("a", NthWeekday(1, 0, 5), CLOSED),)}, "nth 1 to 4"),
        ({"holidays": (HolidayRule("a", NthWeekday(1, 7, 1), CLOSED),)}, "weekday 0 to 6"),
        ({"holidays": (HolidayRule("a", FixedDay(1, 1), HALT),)}, "needs a close"),
        ({"holidays": (HolidayRule("a", FixedDay(1, 1), CLOSED, "12:00"),)}, "no session"),
        ({"exceptions": (SessionException(date("2024-07-01"), HALT),)}, "needs a close"),
        (
            {"exceptions": (SessionException(date("2024-07-01"), SessionKind.REGULAR, "", "1"),)},
            "not a wall time",
        ),
        ({"exceptions": (SessionException(date("2024-07-01")),) * 2}, "given twice"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(changes: dict[str, object], said: str) -> None:
    """Every mistake in a spec is a sentence that names the calendar and the mistake."""
    with pytest.raises(ConfigError, match="calendar 'cme'") as caught:
        CalendarSpec(**{**msgspec.structs.asdict(KNOWN["cme"]), **changes})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("exception", "said"),
    [
        (
            SessionException(date("2024-07-02"), SessionKind.REGULAR, "", "15:00"),
            "2024-07-02 opens before the one of 2024-07-01 closes",
        ),
        (
            SessionException(date("2024-07-01"), SessionKind.EARLY_CLOSE, "24:00"),
            "2024-07-02 opens before the one of 2024-07-01 closes",
        ),
    ],
)
def test_sessions_that_overlap_are_refused_at_once(exception: SessionException, said: str) -> None:
    """An exception that makes two sessions meet is refused when the calendar is made."""
    with pytest.raises(ConfigError) as caught:
        calendar_by_name("cme", [exception])
    assert said in str(caught.value)


def test_a_session_that_closes_before_it_opens_is_refused() -> None:
    """An exception cannot turn a session round."""
    spec = CalendarSpec("cash", zone="America/New_York", open="09:30", close="16:00")
    turned = SessionException(date("2024-07-01"), SessionKind.EARLY_CLOSE, "09:00")
    with pytest.raises(ConfigError, match="closes before it opens"):
        Calendar(spec.with_exceptions([turned]))


def test_the_same_override_twice_is_refused() -> None:
    """Of two overrides of one date it would be unclear which counts."""
    with pytest.raises(ConfigError, match="given twice"):
        calendar_by_name("cme", [SessionException(date("2024-07-01"))] * 2)


@pytest.mark.parametrize(
    ("year", "sunday"),
    [
        (1818, "1818-03-22"),
        (1943, "1943-04-25"),
        (1954, "1954-04-18"),
        (1981, "1981-04-19"),
        (2000, "2000-04-23"),
        (2024, "2024-03-31"),
        (2025, "2025-04-20"),
        (2026, "2026-04-05"),
        (2038, "2038-04-25"),
    ],
)
def test_easter(year: int, sunday: str) -> None:
    """The earliest, the latest and the years in which simpler rules fail."""
    assert easter_sunday(year) == date(sunday)


@pytest.mark.parametrize(
    ("day", "year", "expected"),
    [
        (FixedDay(12, 25), 2022, "2022-12-25"),
        (FixedDay(12, 25, Observed.NEAREST), 2022, "2022-12-26"),
        (FixedDay(12, 25, Observed.NEAREST), 2021, "2021-12-24"),
        (FixedDay(1, 1, Observed.MONDAY), 2023, "2023-01-02"),
        (FixedDay(1, 1, Observed.MONDAY), 2022, "2022-01-01"),
        (FixedDay(12, 24, weekdays=(0, 1, 2, 3)), 2021, None),
        (FixedDay(2, 29), 2023, None),
        (FixedDay(2, 29), 2024, "2024-02-29"),
        (NthWeekday(11, 3, 4), 2024, "2024-11-28"),
        (NthWeekday(11, 3, 4, 1), 2024, "2024-11-29"),
        (NthWeekday(5, 0, -1), 2024, "2024-05-27"),
        (NthWeekday(5, 0, -1), 2021, "2021-05-31"),
        (NthWeekday(9, 0, 1), 2025, "2025-09-01"),
        (EasterDay(-2), 2024, "2024-03-29"),
        (EasterDay(-2, first_week=True), 2024, None),
        (EasterDay(-2, first_week=True), 2026, "2026-04-03"),
        (EasterDay(-2, first_week=False), 2026, None),
    ],
)
def test_what_day_a_rule_means(
    day: FixedDay | NthWeekday | EasterDay, year: int, expected: str | None
) -> None:
    """Fixed days with their observance, n-th weekdays, and days counted from Easter."""
    found = holidays_of([HolidayRule("a", day, CLOSED, since=year)], year)
    assert [item.isoformat() for item in found if item.year == year] == (
        [expected] if expected else []
    )


def test_a_holiday_may_be_observed_in_the_year_before() -> None:
    """A New Year's Day on a Saturday that goes to Friday is a date of the old year."""
    rule = HolidayRule("New Year", FixedDay(1, 1, Observed.NEAREST), CLOSED)
    assert list(holidays_of([rule], 2021)) == [date("2021-01-01"), date("2021-12-31")]
    assert list(holidays_of([rule], 2022)) == []


def test_a_rule_is_good_for_its_years_only() -> None:
    """Juneteenth is a holiday since 2022."""
    assert hours(calendar_by_name("cme"), "2020-06-19") == 23
    assert hours(calendar_by_name("cme"), "2022-06-20") == 19


def test_of_two_rules_on_a_date_the_first_counts() -> None:
    """The order of rules decides, so that a special case can be put before the common one."""
    first = HolidayRule("first", FixedDay(7, 4), HALT, "12:00")
    second = HolidayRule("second", FixedDay(7, 4), CLOSED)
    assert holidays_of([first, second], 2024) == {date("2024-07-04"): first}
