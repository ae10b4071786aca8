"""core/continuous/expiry: last trading days against those that exchanges and brokers published."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.core.calendar import BY_PRODUCT, calendar_by_name
from tapekeeper.core.continuous import EXPIRIES, EXPIRY_SOURCES, expiry_of, parse_expiry
from tapekeeper.errors import UsageError
from tapekeeper.model.continuous import MONTH_LETTERS
from tapekeeper.model.instrument import Instrument

# Tables of last trading days: MXV for COMEX and NYMEX (2022/23; without QM H23 and N23, for which
# it names days on which NYMEX does not settle), JPX (2021), a broker's list of Eurex (2025), a
# broker's notice of 2016-09-28, and three of which the rule is explained by an example.
TEXT = """
QM F23 2022-12-19  QM G23 2023-01-19  QM J23 2023-03-20  QM K23 2023-04-19
QM M23 2023-05-19  QM Q23 2023-07-19  QM U23 2023-08-21  QM V23 2023-09-19
QM X23 2023-10-19
MHG U22 2022-08-29  MHG V22 2022-09-28  MHG X22 2022-10-27  MHG Z22 2022-11-28
MHG F23 2022-12-28  MHG G23 2023-01-27  MHG H23 2023-02-24  MHG J23 2023-03-29
MHG K23 2023-04-26  MHG M23 2023-05-26  MHG N23 2023-06-28  MHG Q23 2023-07-27
NK225M F21 2021-01-07  NK225M G21 2021-02-10  NK225M H21 2021-03-11  NK225M J21 2021-04-08
NK225M K21 2021-05-13  NK225M M21 2021-06-10  NK225M N21 2021-07-08  NK225M Q21 2021-08-12
NK225M U21 2021-09-09  NK225M V21 2021-10-07  NK225M X21 2021-11-11  NK225M Z21 2021-12-09
FDAX H25 2025-03-21  FDAX M25 2025-06-20  FESX U25 2025-09-19  FDXS Z25 2025-12-19
GC U16 2016-09-28  SI U16 2016-09-28  HG U16 2016-09-28  NG V16 2016-09-28
CL F26 2025-12-19  MES H26 2026-03-20  QO G26 2026-01-28
"""
_WORDS = TEXT.split()
CASES = list(zip(_WORDS[::3], _WORDS[1::3], _WORDS[2::3], strict=True))


@pytest.mark.parametrize(("product", "code", "day"), CASES)
def test_a_last_trading_day_is_the_published_one(product: str, code: str, day: str) -> None:
    """By the product's rule on the product's own calendar."""
    calendar = calendar_by_name(BY_PRODUCT[product])
    year, month = 2000 + int(code[1:]), MONTH_LETTERS.index(code[0]) + 1
    assert EXPIRIES[product].last_trading_day(year, month, calendar) == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    ("text", "month", "day"),
    [
        ("third friday", 6, "2026-06-18"),  # the 19th is a holiday
        ("2 business days before third friday", 6, "2026-06-17"),
        ("2 business days before traded third friday", 6, "2026-06-16"),
        ("last friday", 10, "2026-10-30"),
        ("Last  Friday of the month before", 1, "2025-12-26"),
        ("day 31", 2, "2026-02-27"),
        ("1 business day before day 1", 7, "2026-06-30"),
        ("last business day", 2, "2026-02-27"),
        ("fifth last business day of the month before", 1, "2025-12-24"),
        ("1 business day before second last business day", 2, "2026-02-25"),
    ],
)
def test_rules_are_written_as_people_read_them(text: str, month: int, day: str) -> None:
    """A day on which nothing settles is none; whether it is counted from is said."""
    rule = parse_expiry(text)
    calendar = calendar_by_name("cme")
    assert rule.last_trading_day(2026, month, calendar) == dt.date.fromisoformat(day)


@pytest.mark.parametrize(
    "text",
    ["", "friday", "sixth friday", "day 0", "day 32", "3 business days", "first last business day",
     "21 business days before day 25", "third friday of the month after"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    """With the ways to write one."""
    with pytest.raises(UsageError, match="is no rule of a last trading day"):
        parse_expiry(text)


def test_a_products_rule_is_found_by_any_of_its_names() -> None:
    """The gateway's code, the exchange's symbol; one of the user's own goes before."""
    gold = Instrument("CON.F.US.GCE.Z26", "GCZ6", "F.US.GCE")
    third_last = EXPIRIES["GC"]
    assert expiry_of(gold) == expiry_of(Instrument("GCZ26", "GCZ26")) == third_last
    own = parse_expiry("last friday")
    for name in ("gce", "GC", "f.us.gce"):
        assert expiry_of(gold, {name: own}) == own
    assert expiry_of(gold, {"CL": own}) == third_last
    assert expiry_of(Instrument("CON.F.US.XYZ.Z26", "XYZZ6")) is None


def test_every_product_that_has_a_calendar_has_a_rule_with_a_source() -> None:
    """What is shipped is whole, and says where it is from."""
    assert set(BY_PRODUCT) - set(EXPIRIES) == set()
    assert set(EXPIRY_SOURCES) == set(EXPIRIES)
    assert all(len(source) > 30 for source in EXPIRY_SOURCES.values())
