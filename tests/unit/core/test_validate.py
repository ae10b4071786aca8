"""The rules that a tick must pass."""

from __future__ import annotations

import math

import msgspec
import pytest

from tapekeeper.core.validate import (
    EARLIEST_NS,
    LATEST_NS,
    SIZE_MAX,
    on_grid,
    rejected_quote,
    rejected_row,
    trade_fault,
)
from tapekeeper.core.validate.ticks import quote_fault
from tapekeeper.model.tick import Quote, Reason, Trade, TradeBatch

NOON = 1_767_625_200_000_000_000


def batch(*rows: tuple[int, float, int]) -> TradeBatch:
    """Trades of one contract from (ts_event, price, size)."""
    made = TradeBatch("C")
    for seq, (ts_event, price, size) in enumerate(rows):
        made.append(ts_event, price, size, 0, ts_event, seq)
    return made


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((EARLIEST_NS - 1, 1.0, 1), Reason.TIME),
        ((LATEST_NS, 1.0, 1), Reason.TIME),
        ((NOON, 0.0, 1), Reason.PRICE),
        ((NOON, -37.63, 1), Reason.PRICE),
        ((NOON, math.nan, 1), Reason.PRICE),
        ((NOON, math.inf, 1), Reason.PRICE),
        ((NOON, 1.0, -1), Reason.SIZE),
        ((NOON, 1.0, SIZE_MAX + 1), Reason.SIZE),
        ((NOON, 1.1, 1), Reason.OFF_GRID),
    ],
)
def test_each_rule_rejects_what_breaks_it(row: tuple[int, float, int], reason: Reason) -> None:
    """A fault names its rule."""
    fault = trade_fault(*row, 0.25)
    assert fault is not None
    assert fault[0] is reason


def test_the_limits_themselves_pass() -> None:
    """The bounds are inclusive below and exclusive above; size 0 is a print."""
    assert trade_fault(EARLIEST_NS, 0.25, 0, 0.25) is None
    assert trade_fault(LATEST_NS - 1, 0.25, SIZE_MAX, 0.25) is None


def test_without_a_tick_size_the_grid_is_not_checked() -> None:
    """A source that does not know its tick size still has its other rules."""
    assert trade_fault(NOON, 1.1, 1, 0.0) is None


def test_a_product_may_trade_at_zero_and_below() -> None:
    """What may be negative may be zero as well; it is on the grid, and a finite number, still."""
    for price in (0.0, -0.01, -37.63):
        assert trade_fault(NOON, price, 1, 0.01, may_be_negative=True) is None
    for price, reason in ((-math.inf, Reason.PRICE), (-37.635, Reason.OFF_GRID)):
        fault = trade_fault(NOON, price, 1, 0.01, may_be_negative=True)
        assert fault is not None
        assert fault[0] is reason
    quote = Quote("C", NOON, NOON, 0, bid=-37.64, ask=-37.63)
    assert quote_fault(quote) is not None
    assert quote_fault(quote, may_be_negative=True) is None


@pytest.mark.parametrize(
    ("price", "tick_size"), [(61_800.3, 0.1), (1_313.7, 0.1), (5_528.75, 0.25), (0.000_062_5, 5e-7)]
)
def test_binary_rounding_is_not_off_grid(price: float, tick_size: float) -> None:
    """A price that is a decimal multiple of its tick size is on the grid whatever its binary."""
    assert on_grid(price, tick_size)
    assert not on_grid(price + tick_size / 2, tick_size)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"bid": -1.0}, Reason.PRICE),
        ({"ask": math.nan}, Reason.PRICE),
        ({"last": 0.0}, Reason.PRICE),
        ({"volume": -1}, Reason.SIZE),
        ({"ts_event": 0}, Reason.TIME),
    ],
)
def test_a_quote_with_an_impossible_member_is_faulty(
    members: dict[str, object], reason: Reason
) -> None:
    """Each member of a quote is checked on its own."""
    quote = msgspec.structs.replace(Quote("C", NOON, NOON, 0, bid=1.0, ask=2.0), **members)
    fault = quote_fault(quote)
    assert fault is not None
    assert fault[0] is reason


def test_a_crossed_or_empty_quote_is_not_a_fault() -> None:
    """Crossed books are normal before the open, and sparse quotes may know nothing yet."""
    assert quote_fault(Quote("C", NOON, NOON, 0, bid=2.0, ask=1.0)) is None
    assert quote_fault(Quote("C", NOON, NOON, 0)) is None


def test_what_is_rejected_is_kept_whole() -> None:
    """The quarantined form has every member of the tick."""
    rejected = rejected_row(batch((NOON, -1.0, 3)), 0, Reason.PRICE, "why")
    assert msgspec.json.decode(rejected.raw, type=Trade) == Trade("C", NOON, -1.0, 3, 0, NOON, 0)
    quote = Quote("C", NOON, NOON, 0, bid=-1.0)
    assert msgspec.json.decode(rejected_quote(quote, Reason.PRICE, "why").raw, type=Quote) == quote
