"""What an order book says of itself (`tapekeeper.model.depth`)."""

from __future__ import annotations

import pytest

from tapekeeper.model.depth import (
    ASK_KINDS,
    BID_KINDS,
    LEVEL_KINDS,
    PRINT_KINDS,
    BookSnapshot,
    DepthKind,
    Level,
)


def book(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> BookSnapshot:
    """A book of these levels."""
    return BookSnapshot("A", bids, asks, 1, 2, 3, synced=True, line=4)


@pytest.mark.parametrize(
    ("bid", "ask", "crossed", "locked"),
    [(99.0, 100.0, False, False), (100.0, 100.0, False, True), (101.0, 100.0, True, False)],
)
def test_crossed_and_locked_are_told_apart(
    bid: float, ask: float, *, crossed: bool, locked: bool
) -> None:
    """Crossed is above, locked is equal, and a normal book is neither."""
    made = book(((bid, 1),), ((ask, 1),))
    assert (made.crossed, made.locked) == (crossed, locked)
    assert (made.best_bid, made.best_ask) == ((bid, 1), (ask, 1))


@pytest.mark.parametrize(("bids", "asks"), [((), ()), (((1.0, 1),), ()), ((), ((1.0, 1),))])
def test_a_book_of_one_side_is_neither(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    """There is nothing to compare."""
    made = book(bids, asks)
    assert not made.crossed
    assert not made.locked
    assert (made.best_bid is None, made.best_ask is None) == (not bids, not asks)


def test_every_kind_is_a_level_a_print_or_neither() -> None:
    """No kind sets both sides, and the numbers are the gateway's."""
    assert not BID_KINDS & ASK_KINDS
    assert not LEVEL_KINDS & PRINT_KINDS
    assert [int(kind) for kind in DepthKind] == list(range(12))
    assert {DepthKind.BID, DepthKind.BEST_BID} == BID_KINDS
    assert {DepthKind.TRADE, DepthKind.FILL} == PRINT_KINDS
