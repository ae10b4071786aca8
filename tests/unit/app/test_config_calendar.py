"""Calendars of the configuration: which product has which, and those of the user's own."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tapekeeper.app.config import load_config
from tapekeeper.app.config_calendar import CalendarConfig
from tapekeeper.core.calendar import BY_PRODUCT, KNOWN
from tapekeeper.errors import ConfigError
from tapekeeper.model.session import SessionKind
from tapekeeper.model.timeframe import HOUR_NS, SECOND_NS

ZONE = "Asia/Hong_Kong"
HONG_KONG: dict[str, object] = {
    "zone": ZONE,
    "open": "09:15",
    "close": "16:30",
    "weekdays": ["mon", "tue", "wed", "thu", "fri"],
    "breaks": [{"start": "12:00", "end": "13:00"}],
    "holidays": ["12-25", "2026-02-17"],
}


def calendars(**section: object) -> CalendarConfig:
    """The section [calendar] with these settings."""
    return load_config({"calendar": section}).calendar


def local(ts_ns: int, zone: str) -> str:
    """Wall time."""
    return dt.datetime.fromtimestamp(ts_ns // SECOND_NS, ZoneInfo(zone)).strftime("%a %H:%M")


@pytest.mark.parametrize(
    ("product", "name"),
    [
        *((product, "cme") for product in ("ES", "EP", "MES", "NQ", "ENQ", "MNQ", "RTY", "MYM")),
        *((product, "comex") for product in ("GC", "GCE", "MGC", "SI", "SIE", "HG")),
        *((product, "nymex") for product in ("CL", "CLE", "MCL", "MCLE", "NG", "NGE")),
        *((product, "cme_fx") for product in ("6E", "EU6", "M6E", "6J", "jy6")),
        ("FDAX", "eurex"),
        ("NK225M", "ose"),
        ("TYA", "cme"),
    ],
)
def test_a_product_has_the_calendar_of_its_market(product: str, name: str) -> None:
    """Without a setting the shipped table decides, and `cme` where it knows nothing."""
    assert calendars().name_for(product) == name


def test_every_product_of_the_table_has_a_calendar() -> None:
    """No entry of the table names a calendar that is not shipped."""
    assert set(BY_PRODUCT.values()) <= set(KNOWN)


def test_the_users_word_goes_before_the_table() -> None:
    """One product can be given another calendar, or all of them one."""
    chosen = calendars(default="24x7", by_product={"GCE": "24x7@Asia/Shanghai"})
    assert chosen.name_for("gce") == "24x7@Asia/Shanghai"
    assert chosen.name_for("EP") == "24x7"
    assert chosen.calendar("24x7@Asia/Shanghai").spec.zone == "Asia/Shanghai"


def test_a_calendar_of_ones_own() -> None:
    """Hours, weekdays, breaks and holidays are what was written."""
    mine = calendars(own={"hk": HONG_KONG}, by_product={"HSI": "hk"})
    calendar = mine.calendar(mine.name_for("HSI"))
    session = calendar.session_on(dt.date(2026, 3, 2))
    assert session is not None
    assert [local(item, ZONE) for item in (session.open_ns, session.close_ns)] == [
        "Mon 09:15",
        "Mon 16:30",
    ]
    assert [local(item.start_ns, ZONE) for item in session.breaks] == ["Mon 12:00"]
    assert calendar.open_time_ns(session.open_ns, session.close_ns) == HOUR_NS * 25 // 4
    for closed in ("2026-02-17", "2026-12-25", "2025-12-25", "2026-03-01"):
        assert calendar.session_on(dt.date.fromisoformat(closed)) is None, closed
    assert calendar.session_on(dt.date(2025, 2, 17)) is not None


def test_a_calendar_of_ones_own_in_a_file(tmp_path: Path) -> None:
    """Times may be written as TOML has them, and exceptions amend the calendar."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text(
        """
        [calendar]
        default = "night"
        [calendar.own.night]
        zone = "America/New_York"
        open = 18:00:00
        close = "17:00"
        holidays = [2026-01-01]
        [[calendar.exceptions]]
        calendar = "night"
        date = 2026-11-27
        close = 13:00:00
        [[calendar.exceptions]]
        calendar = "night"
        date = 2026-11-30
        open = 20:00:00
        """,
        encoding="utf-8",
    )
    calendar = load_config(path).calendar.calendar("night")
    early, late = (calendar.session_on(dt.date(2026, 11, day)) for day in (27, 30))
    assert early is not None
    assert late is not None
    assert (early.kind, late.kind) == (SessionKind.EARLY_CLOSE, SessionKind.REGULAR)
    assert local(early.close_ns, "America/New_York") == "Fri 13:00"
    assert local(late.open_ns, "America/New_York") == "Sun 20:00"
    assert calendar.session_on(dt.date(2026, 1, 1)) is None


def test_one_that_is_called_like_a_shipped_one_replaces_it() -> None:
    """So a shipped calendar can be corrected without waiting for a new version."""
    assert calendars(own={"cme": HONG_KONG}).calendar("cme").spec.zone == "Asia/Hong_Kong"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"zone": "Asia/Kowloon"}, "calendar.own.hk: unknown time zone 'Asia/Kowloon'"),
        ({"open": "25:00"}, "calendar.own.hk: '25:00' is not a wall time; write HH:MM"),
        ({"open": dt.time(9, 15, 1)}, "calendar.own.hk.open: must be a whole minute"),
        ({"weekdays": []}, "calendar.own.hk: weekdays must name at least one"),
        ({"weekdays": ["monday"]}, "calendar.own.hk.weekdays[0] is 'monday' but must be 'mon'"),
        (
            {"breaks": [{"start": "08:00", "end": "10:00"}]},
            "calendar.own.hk: the break from 08:00 to 10:00 does not come after the open at 09:15",
        ),
        (
            {"breaks": [{"start": "12:00", "end": "13:00"}, {"start": "12:30", "end": "14:00"}]},
            "calendar.own.hk: the break from 12:30 to 14:00 does not come after",
        ),
        (
            {"breaks": [{"start": "16:00", "end": "16:30"}]},
            "calendar.own.hk: the break until 16:30 does not end before the close at 16:30",
        ),
        (
            {"holidays": ["25 December"]},
            "calendar.own.hk.holidays[0] is '25 December' but must be a day of every year such as",
        ),
        ({"holidays": ["02-30"]}, "calendar.own.hk: rule '02-30': there is no day 30 in month 2"),
        ({"holidays": ["2026-02-17", "2026-02-17"]}, "the date is given twice"),
        ({"zon": "UTC"}, "unknown setting calendar.own.hk.zon: the nearest valid name is"),
    ],
)
def test_a_calendar_that_cannot_be_is_refused_in_a_sentence(
    changes: dict[str, object], said: str
) -> None:
    """Each fault names where it is and what may be written there, in one line."""
    with pytest.raises(ConfigError) as caught:
        calendars(own={"hk": {**HONG_KONG, **changes}})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_auto_is_no_name_for_a_calendar() -> None:
    """The word stands for the shipped table."""
    with pytest.raises(ConfigError, match="choose another name"):
        calendars(own={"auto": HONG_KONG})


def test_an_exception_without_a_time_is_refused() -> None:
    """It would change nothing."""
    exception = {"date": "2026-11-27"}
    with pytest.raises(ConfigError, match="either closed = true or an open or close time"):
        calendars(exceptions=[exception])
    with pytest.raises(ConfigError, match="open must be a whole minute"):
        calendars(exceptions=[{**exception, "open": "10:00:30"}])


def test_rules_of_last_trading_days_are_checked_at_the_start() -> None:
    """What is no rule is refused with its name and the ways to write one."""
    assert calendars(expiry={"BTC": "last friday"}).expiry == {"BTC": "last friday"}
    with pytest.raises(ConfigError, match=r"expiry.BTC: 'sometime' is no rule of a last trading"):
        load_config({"calendar": {"expiry": {"BTC": "sometime"}}})
