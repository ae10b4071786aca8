"""Ticks as values and in columns."""

from __future__ import annotations

import copy

import pytest

from tapekeeper.model.tick import Quote, Reason, Rejected, Side, Trade, TradeBatch

ES = "CON.F.US.EP.U24"
ROWS = [
    (1_719_878_400_000_000_100, 5_525.25, 3, 0, 1_719_878_400_002_000_000, 7),
    (1_719_878_400_000_000_100, 5_525.0, 1, 1, 1_719_878_400_002_000_000, 8),
    (1_719_878_400_000_000_000, 5_525.5, 0, -1, 1_719_878_400_003_000_000, 9),
]


def batch() -> TradeBatch:
    """The rows above as a batch."""
    made = TradeBatch(ES)
    for row in ROWS:
        made.append(*row)
    return made


def test_rows_come_back_as_they_were_appended() -> None:
    """A batch keeps arrival order, equal and falling times included, and every digit."""
    assert len(batch()) == len(ROWS)
    assert [batch().row(i) for i in range(len(ROWS))] == [Trade(ES, *row) for row in ROWS]


def test_an_empty_batch_has_no_rows() -> None:
    """Columns of different batches are different lists."""
    empty, other = TradeBatch(ES), TradeBatch(ES)
    other.append(*ROWS[0])
    assert len(empty) == 0
    with pytest.raises(IndexError):
        empty.row(0)


@pytest.mark.parametrize(
    ("out", "left"),
    [(set(), [0, 1, 2]), ({0}, [1, 2]), ({1}, [0, 2]), ({2, 0}, [1]), ({0, 1, 2}, [])],
)
def test_rows_are_left_out_and_the_others_keep_their_order(out: set[int], left: list[int]) -> None:
    """`without` drops exactly the named rows, in every column."""
    rest = batch().without(out)
    assert [rest.row(i) for i in range(len(rest))] == [Trade(ES, *ROWS[i]) for i in left]


def test_leaving_rows_out_does_not_change_the_batch() -> None:
    """A batch that was handed on stays as it is; `without` makes another."""
    made = batch()
    before = copy.deepcopy(made)
    made.without({0}).append(*ROWS[0])
    assert made == before


def test_the_side_is_numbered_as_at_the_gateway() -> None:
    """0 is a buying aggressor and 1 a selling one; unknown is our own number and neither."""
    assert (Side(0), Side(1), Side(-1)) == (Side.BUY, Side.SELL, Side.UNKNOWN)
    with pytest.raises(ValueError, match="2"):
        Side(2)


def test_ticks_cannot_be_changed() -> None:
    """Ticks are shared with subscribers, so nobody can change one for the others."""
    trade, quote = Trade(ES, *ROWS[0]), Quote(ES, 1, 2, 3)
    with pytest.raises(AttributeError):
        trade.price = 1.0  # type: ignore[misc]  # the refused change is the point
    with pytest.raises(AttributeError):
        quote.bid = 1.0  # type: ignore[misc]  # the refused change is the point


def test_a_quote_does_not_know_what_was_not_sent() -> None:
    """Members that the gateway has not sent are None, never 0, which would be a price."""
    quote = Quote(ES, 1, 2, 3, bid=0.0)
    assert quote.bid == 0.0
    assert [quote.last, quote.ask, quote.open, quote.high, quote.low, quote.volume] == [None] * 6


def test_a_rejected_input_is_whole_and_counts() -> None:
    """A rejected input keeps its bytes and stands for one tick unless it says for how many."""
    raw = b'{"price": "x"}'
    rejected = Rejected(Reason.PRICE, "price is no number", raw, 5)
    assert (rejected.raw, rejected.ticks, rejected.contract_id) == (raw, 1, "")


def test_reasons_can_label_a_metric() -> None:
    """Reasons are a closed set of short names without spaces."""
    assert all(reason.value.replace("_", "").isalpha() for reason in Reason)
    assert len({reason.value for reason in Reason}) == len(Reason)
