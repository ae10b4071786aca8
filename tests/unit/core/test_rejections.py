"""What was set aside is counted once, and read by reason and by contract."""

from __future__ import annotations

from tapekeeper.core.rejections import CONTRACTS_MAX, Rejections
from tapekeeper.model.tick import Reason


def test_both_readings_have_the_same_ticks() -> None:
    """By reason, and by the contract that the wire names."""
    rejections = Rejections()
    rejections.add(Reason.MALFORMED, "A", 2)
    rejections.add(Reason.LATE, "A", 1)
    rejections.add(Reason.LATE, "B", 4)
    assert rejections.by_reason() == {"late": 5, "malformed": 2}
    assert rejections.by_contract().counts == {"A": 3, "B": 4}


def test_what_is_let_back_in_is_taken_back_in_both() -> None:
    """And a reason of which nothing is left is not told."""
    rejections = Rejections()
    rejections.add(Reason.LATE, "A", 1)
    rejections.add(Reason.LATE, "A", -1)
    assert rejections.by_reason() == {}
    assert rejections.by_contract().counts == {}


def test_ids_without_end_fill_no_memory() -> None:
    """So many have counts of their own; those behind them share one, and none is lost."""
    rejections = Rejections()
    for number in range(10 * CONTRACTS_MAX):
        for reason in (Reason.MALFORMED, Reason.LATE):
            rejections.add(reason, f"CON.{number}", 1)
    kept = [labels.view().counts for labels in rejections._by_reason.values()]
    assert [len(counts) for counts in kept] == [CONTRACTS_MAX, CONTRACTS_MAX]
    view = rejections.by_contract()
    assert len(view.counts) == CONTRACTS_MAX
    assert view.total == 20 * CONTRACTS_MAX == sum(rejections.by_reason().values())
