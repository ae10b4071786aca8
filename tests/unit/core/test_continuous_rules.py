"""core/continuous: when the front contract changes, by hand-made sessions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.continuous import (
    EXPIRIES,
    ExpiryRule,
    SessionVolume,
    parse_rule,
    segments_of,
)
from tapekeeper.core.continuous.rules import CalendarRule, DatesRule, VolumeRule
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Completeness
from tapekeeper.model.continuous import Expiring

CME = calendar_by_name("cme")
H26, J26, M26, U26 = (
    Expiring(f"CON.F.US.MES.{code}26", f"MES{code}6", 2026, month)
    for code, month in (("H", 3), ("J", 4), ("M", 6), ("U", 9))
)
CHAIN = [H26, M26, U26]
PARTIAL, GAP = Completeness.PARTIAL_START, Completeness.GAP
Volumes = Mapping[str, int | tuple[int, Completeness]]


def day(text: str) -> dt.date:
    """A date in 2026, written MM-DD."""
    return dt.date.fromisoformat(f"2026-{text}")


def days(table: Mapping[str, Volumes]) -> dict[dt.date, dict[str, SessionVolume]]:
    """Volumes by session (MM-DD) and letter of the contract."""
    ids = {each.name[3]: each.contract_id for each in (*CHAIN, J26)}
    return {
        day(date): {
            ids[letter]: SessionVolume(*given)
            if isinstance(given, tuple)
            else SessionVolume(given, Completeness.COMPLETE)
            for letter, given in row.items()
        }
        for date, row in table.items()
    }


def fronts(
    table: Mapping[str, Volumes],
    rule: str,
    chain: list[Expiring] = CHAIN,
    expiry: ExpiryRule | None = EXPIRIES["MES"],
    **last: str,
) -> list[str]:
    """The segments as `letter from MM-DD`; `last` are last trading days, MM-DD by month."""
    last_days = {f"{letter}26": day(text) for letter, text in last.items()}
    found = segments_of(chain, days(table), CME, parse_rule(rule, last_days, expiry))
    letters = {each.contract_id: each.name[3] for each in chain}
    return [f"{letters[each.contract_id]} from {each.session:%m-%d}" for each in found]


# -- volume ---------------------------------------------------------------------------------------

ROLLING: Mapping[str, Volumes] = {
    "03-09": {"H": 900, "M": 100},
    "03-10": {"H": 800, "M": 800},  # equal is not above
    "03-11": {"H": 500, "M": 501},  # decides
    "03-12": {"H": 900, "M": 100},  # and is not taken back
    "03-13": {"H": 10, "M": 900},
}


def test_volume_rolls_at_the_open_after_the_session_that_decided() -> None:
    """More in a session that is over: from the next one on, and never back."""
    assert fronts(ROLLING, "volume") == ["H from 03-09", "M from 03-12"]
    segment = segments_of(CHAIN, days(ROLLING), CME, VolumeRule())[1]
    thursday = CME.session_on(day("03-12"))
    assert thursday is not None
    assert segment.from_ns == thursday.open_ns
    assert segment.to_ns is None
    assert segment.reason == (
        "volume 501 (complete) of MESM6 above 500 (complete) of MESH6 in the session of 2026-03-11"
    )


def test_what_is_not_over_decides_nothing() -> None:
    """The deciding session itself, however clear it is, is still the old contract's."""
    table = {date: ROLLING[date] for date in ("03-09", "03-10", "03-11")}
    assert fronts(table, "volume") == ["H from 03-09"]
    assert fronts({"03-09": {"H": 1, "M": 999}}, "volume") == ["H from 03-09"]


def test_the_busiest_later_contract_is_taken() -> None:
    """A listed month that hardly trades stops no roll and gets none."""
    chain = [H26, J26, M26]
    table = {"03-11": {"H": 500, "J": 3, "M": 600}, "03-12": {"H": 1, "J": 3, "M": 600}}
    assert fronts(table, "volume", chain) == ["H from 03-11", "M from 03-12"]
    equals = {"03-11": {"H": 500, "J": 600, "M": 600}, "03-12": {"M": 1}}
    assert fronts(equals, "volume", chain) == ["H from 03-11", "J from 03-12"]


def test_a_session_of_which_the_front_one_lacks_the_beginning_does_not_count() -> None:
    """Its volume says nothing; where both lack it they can be compared."""
    early: dict[str, Volumes] = {
        "03-11": {"H": (5, PARTIAL), "M": 600},
        "03-12": {"H": 900, "M": 600},
    }
    assert fronts(early, "volume") == ["H from 03-11"]
    both: dict[str, Volumes] = {**early, "03-11": {"H": (5, PARTIAL), "M": (600, PARTIAL)}}
    assert fronts(both, "volume") == ["H from 03-11", "M from 03-12"]
    gaps: dict[str, Volumes] = {**early, "03-11": {"H": (5, GAP), "M": 600}}
    assert fronts(gaps, "volume") == ["H from 03-11", "M from 03-12"]


def test_a_front_contract_that_trades_no_more_is_left() -> None:
    """No print is less than any; days without any data decide nothing."""
    table = {"03-11": {"H": 5}, "03-12": {"M": 1}, "03-16": {"M": 1}}
    assert fronts(table, "volume") == ["H from 03-11", "M from 03-13"]
    reason = segments_of(CHAIN, days(table), CME, VolumeRule())[1].reason
    assert "above no print of MESH6 in the session of 2026-03-12" in reason


def test_nothing_has_no_segments() -> None:
    """Contracts of other products are not asked."""
    assert fronts({}, "volume") == []
    assert fronts({"03-09": {"J": 5}}, "volume") == []


# -- the calendar ---------------------------------------------------------------------------------

BOTH: Mapping[str, Volumes] = {
    f"03-{number:02}": {"H": 9, "M": 1} for number in (9, 10, 11, 12, 13, 16, 17, 18, 19, 20, 23)
}


@pytest.mark.parametrize(
    ("days_before", "first"), [(0, "03-20"), (1, "03-19"), (5, "03-13"), (8, "03-10")]
)
def test_calendar_counts_trading_days_back(days_before: int, first: str) -> None:
    """From the third Friday of March 2026, the 20th, over a weekend."""
    assert fronts(BOTH, f"calendar:{days_before}") == ["H from 03-09", f"M from {first}"]


def test_a_last_trading_day_can_be_given() -> None:
    """It goes before the third Friday, for the contracts that it is given for."""
    assert fronts(BOTH, "calendar:1", H="03-17") == ["H from 03-09", "M from 03-16"]
    assert fronts(BOTH, "calendar:1", M="03-17") == ["H from 03-09", "M from 03-19"]
    rule = parse_rule("calendar:1", {"H26": day("03-17")}, EXPIRIES["MES"])
    reason = segments_of(CHAIN, days(BOTH), CME, rule)[1].reason
    assert reason == "1 trading day before 2026-03-17, the given last trading day of MESH6"


def test_a_product_of_which_nobody_knows_the_rule_needs_it_to_be_given() -> None:
    """Nothing is guessed: neither for a contract without a date nor for the next one."""
    with pytest.raises(UsageError, match="nobody knows when MESH6 trades last"):
        fronts(BOTH, "calendar:1", expiry=None)
    with pytest.raises(UsageError, match="MESM6=YYYY-MM-DD"):
        fronts(BOTH, "calendar:1", expiry=None, H="03-17")
    found = fronts(BOTH, "calendar:1", expiry=None, H="03-17", M="06-18")
    assert found == ["H from 03-09", "M from 03-16"]


def test_a_third_friday_without_settlement_stands_for_the_day_before() -> None:
    """Juneteenth 2026 is one: index futures halt at noon and settle on Monday."""
    assert EXPIRIES["MES"].last_trading_day(2026, 6, CME) == day("06-18")
    table: dict[str, Volumes] = {
        f"06-{number}": {"M": 9, "U": 1} for number in (15, 16, 17, 18, 19)
    }
    assert fronts(table, "calendar:0") == ["M from 06-15", "U from 06-18"]
    assert fronts(table, "calendar:1") == ["M from 06-15", "U from 06-17"]


def test_a_contract_is_not_rolled_to_before_it_has_traded() -> None:
    """Nobody knows then that it will be there; from its first finished session on it is."""
    table: dict[str, Volumes] = {
        date: {"H": 9} if date < "03-17" else row for date, row in BOTH.items()
    }
    assert fronts(table, "calendar:8") == ["H from 03-09", "M from 03-18"]


def test_what_is_to_be_left_already_is_not_begun_with() -> None:
    """The first session has the nearest contract whose time it is, else the last one."""
    table: dict[str, Volumes] = {"03-16": {"H": 9, "M": 1}, "03-17": {"H": 9, "M": 1}}
    assert fronts(table, "calendar:5") == ["M from 03-16"]
    late: dict[str, Volumes] = {"03-16": {"H": 9}, "03-17": {"H": 9, "U": 1}, "03-18": {"M": 1}}
    assert fronts(late, "calendar:5") == ["H from 03-16", "U from 03-18"]


def test_a_roll_skips_what_is_to_be_left_as_well() -> None:
    """Where a contract was followed too late for its own time, the one after it is next."""
    table: dict[str, Volumes] = {
        "06-10": {"H": 9},
        "06-11": {"H": 9, "M": 9, "U": 9},
        "06-12": {"M": 9},
    }
    assert fronts(table, "calendar:5") == ["H from 06-10", "U from 06-12"]
    only: dict[str, Volumes] = {"06-15": {"H": 9, "M": 9}, "06-16": {"M": 9}}
    assert fronts(only, "calendar:5", [H26, M26]) == ["M from 06-15"]


# -- given dates ----------------------------------------------------------------------------------


def test_dates_are_followed() -> None:
    """From the session of a date on, or from the next one; a date to come waits."""
    rule = "dates:2026-03-11=M26,2026-03-14=mesu6,2026-09-01=Z26"
    table: dict[str, Volumes] = {**BOTH, "03-16": {"U": 1}}
    assert fronts(table, rule) == ["H from 03-09", "M from 03-11", "U from 03-16"]
    assert fronts(BOTH, "dates:2026-03-01=H26,2026-03-12=CON.F.US.MES.M26") == [
        "H from 03-09",
        "M from 03-12",
    ]
    assert fronts(BOTH, "dates:2026-03-01=M26") == ["M from 03-09"]
    assert fronts(BOTH, "dates:2026-03-01=M26,2026-03-11=MESM6") == ["M from 03-09"]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("dates:2026-03-10=Z26", "2026-03-10=Z26 names a contract without bars; there are MESH6"),
        ("dates:2026-03-10=M26,2026-03-12=H26", "2026-03-12=H26 does not lead to a later contract"),
    ],
)
def test_dates_that_cannot_be_followed_are_told(rule: str, sentence: str) -> None:
    """A contract that is not there, and a way back."""
    with pytest.raises(UsageError, match=sentence):
        fronts(BOTH, rule)


# -- what is written ------------------------------------------------------------------------------


def test_rules_are_read() -> None:
    """Blanks around parts are nothing."""
    assert parse_rule(" volume ") == VolumeRule()
    assert parse_rule("calendar:8") == CalendarRule(8)
    assert parse_rule("dates: 2026-03-16 = M26 , 2026-06-15=U26") == DatesRule(
        ((day("03-16"), "M26"), (day("06-15"), "U26"))
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"unknown roll rule '': write volume, calendar:N \(trading days\), or dates:"),
        ("open_interest", "unknown roll rule 'open_interest': write volume"),
        ("volume:3", "unknown roll rule 'volume:3'"),
        ("calendar", "calendar: is no roll rule: write a whole number from 0 to 60"),
        ("calendar:-1", "calendar:-1 is no roll rule"),
        ("calendar:61", "calendar:61 is no roll rule"),
        ("calendar:\u00b2", "is no roll rule"),
        ("dates", "'' is no roll: write the first session's date and the contract"),
        ("dates:2026-03-16", "'2026-03-16' is no roll"),
        ("dates:16.3.2026=M26", "'16.3.2026=M26' is no roll"),
        ("dates:2026-03-16=MES", "'MES' names no contract that expires"),
        ("dates:2026-03-16=M26,2026-03-16=U26", "the dates of rolls must rise"),
    ],
)
def test_a_rule_that_is_none_is_one_sentence(text: str, sentence: str) -> None:
    """It names what is allowed."""
    with pytest.raises(UsageError, match=sentence):
        parse_rule(text)


def test_last_trading_days_are_for_the_calendar() -> None:
    """Of no use to other rules, and of no contract without a month."""
    with pytest.raises(UsageError, match="last trading days are for the rule calendar:N"):
        parse_rule("volume", {"H26": day("03-17")})
    with pytest.raises(UsageError, match="'MES' names no contract that expires"):
        parse_rule("calendar:5", {"MES": day("03-17")})
