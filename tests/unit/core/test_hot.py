"""The window of recent trades: whole, in order, bounded, and views that stay what they are."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.hot import CHUNK_ROWS, PENDING_ROWS_MAX, ROW_BYTES, HotTrades, TradeView
from tapekeeper.model.tick import TradeBatch

CHUNK_BYTES = CHUNK_ROWS * ROW_BYTES


def batch(contract_id: str, first: int, rows: int) -> TradeBatch:
    """Rows that are told apart by every column."""
    made = TradeBatch(contract_id)
    for number in range(first, first + rows):
        made.append(number * 10, number + 0.25, number % 9, number % 3 - 1, number * 10 + 1, number)
    return made


def numbers(views: list[TradeView]) -> list[int]:
    """The arrival numbers of all rows, every column of each row checked."""
    for view in views:
        for row, number in enumerate(view.seq):
            assert (view.ts_event[row], view.price[row]) == (number * 10, number + 0.25)
            assert (view.size[row], view.side[row]) == (number % 9, number % 3 - 1)
            assert view.ts_recv[row] == number * 10 + 1
    return [number for view in views for number in view.seq]


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 3_000)), max_size=20))
def test_the_latest_are_kept_in_order_within_the_bound(parts: list[tuple[str, int]]) -> None:
    """Of each contract a run of the latest trades without a hole; nothing above the bound."""
    hot = HotTrades(4 * CHUNK_BYTES)
    came: dict[str, int] = dict.fromkeys("ABC", 0)
    for contract_id, rows in parts:
        hot.add([batch(contract_id, came[contract_id], rows)])
        came[contract_id] += rows
    kept = 0
    for contract_id, count in came.items():
        found = numbers(hot.views(contract_id))
        assert found == list(range(count - len(found), count))
        kept += len(found)
    assert hot.bytes <= 4 * CHUNK_BYTES
    assert kept + hot.forgotten == sum(came.values())


def test_a_view_copies_nothing_and_never_changes() -> None:
    """Not by what comes later, and not when its chunk has left the window."""
    hot = HotTrades(CHUNK_BYTES)
    hot.add([batch("A", 0, 10)])
    (early,) = hot.views("A")
    hot.add([batch("A", 10, 10)])
    (late,) = hot.views("A")
    assert (len(early), len(late)) == (10, 20)
    assert early.price.obj is late.price.obj
    hot.add([batch("A", 20, 2 * CHUNK_ROWS)])
    assert numbers([early]) == list(range(10))
    with pytest.raises(TypeError):
        early.seq[0] = 1


def test_a_view_is_an_array_of_numpy_without_a_copy() -> None:
    """Over the same memory, with the types that are promised."""
    numpy = pytest.importorskip("numpy", reason="numpy is there for the tests alone")
    hot = HotTrades(CHUNK_BYTES)
    hot.add([batch("A", 0, 100)])
    (view,) = hot.views("A")
    prices = numpy.asarray(view.price)
    assert prices.dtype == numpy.float64
    assert numpy.shares_memory(prices, numpy.asarray(hot.views("A")[0].price))
    assert numpy.asarray(view.side).dtype == numpy.int8
    assert prices.tolist() == [number + 0.25 for number in range(100)]


def test_one_trade_at_a_time_is_only_noted() -> None:
    """Columns are made by the hundred: a trade costs the path no more than a reference."""
    hot = HotTrades(CHUNK_BYTES)
    for number in range(PENDING_ROWS_MAX):
        hot.add([batch("A", number, 1)])
    assert hot.bytes == 0
    hot.add([batch("A", PENDING_ROWS_MAX, 1)])
    assert hot.bytes == CHUNK_BYTES


def test_a_row_has_the_bytes_that_are_counted() -> None:
    """The bound is of the memory that is really taken."""
    assert sum(array(code).itemsize for code in "qdqbqq") == ROW_BYTES
    assert HotTrades(CHUNK_BYTES - 1).views("A") == []


def test_a_bound_below_a_chunk_keeps_nothing() -> None:
    """Rather than more than it was told."""
    hot = HotTrades(CHUNK_BYTES - 1)
    hot.add([batch("A", 0, PENDING_ROWS_MAX + 1)])
    assert hot.views("A") == []
    assert hot.bytes == 0


def test_a_bound_that_shrinks_forgets_the_oldest_at_once() -> None:
    """And counts them, those that wait for their columns included; it may grow again."""
    hot = HotTrades(4 * CHUNK_BYTES)
    hot.add([batch("A", 0, 4 * CHUNK_ROWS)])
    hot.limit(2 * CHUNK_BYTES)
    assert numbers(hot.views("A")) == list(range(2 * CHUNK_ROWS, 4 * CHUNK_ROWS))
    assert hot.bytes == 2 * CHUNK_BYTES
    assert hot.forgotten == 2 * CHUNK_ROWS
    hot.limit(0)
    hot.add([batch("A", 4 * CHUNK_ROWS, 10)])
    assert hot.views("A") == []
    assert hot.forgotten == 4 * CHUNK_ROWS + 10
    hot.limit(CHUNK_BYTES)
    hot.add([batch("A", 4 * CHUNK_ROWS + 10, 5)])
    assert len(numbers(hot.views("A"))) == 5


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_window_knows_its_place(chunks: int) -> None:
    """How many came before the first one that is kept, also where none is kept."""
    hot = HotTrades(chunks * CHUNK_BYTES)
    for first in range(0, 20_000, 1_000):
        hot.add([batch("A", first, 1_000), batch("B", first, 10)])
        for contract_id, came in (("A", first + 1_000), ("B", first + 10)):
            window = hot.window(contract_id)
            kept = numbers(window.views)
            rows = (first // 1_000 + 1) * 10 if contract_id == "B" else came
            assert window.first + len(kept) == rows
            assert not kept or kept[-1] == came - 1
