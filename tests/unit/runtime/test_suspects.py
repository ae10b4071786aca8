"""Which gaps wait for prints that may be let in."""

from __future__ import annotations

from tapekeeper.core.validate import KEPT_MAX, rejected_trade
from tapekeeper.model.tick import Reason, Rejected, Trade
from tapekeeper.runtime.suspects import Suspects


def trade(seq: int) -> Trade:
    """A print with this number."""
    return Trade("C", 5, 1.0, 1, 0, 6, seq)


def rejected(*numbers: int) -> list[Rejected]:
    """Prints with these numbers, set aside."""
    return [rejected_trade(trade(seq), Reason.PRICE_BAND, "far") for seq in numbers]


def test_a_gap_is_free_when_the_last_of_its_prints_is_let_in() -> None:
    """In any order; prints of no gap, and those that were let in before, free none."""
    suspects = Suspects()
    suspects.note(1, rejected(1, 2), is_new=True)
    suspects.note(1, rejected(3), is_new=False)
    suspects.note(2, rejected(4), is_new=True)
    assert [suspects.let_in(trade(seq)) for seq in (2, 9, 1, 2, 4, 3)] == [
        None, None, None, None, 2, 1,
    ]  # fmt: skip


def test_what_names_no_contract_holds_its_gap_for_good() -> None:
    """Whether it comes first, last or in between."""
    nobody = [Rejected(Reason.MALFORMED, "no", b"{", 0)]
    for order in ((nobody, rejected(1)), (rejected(1), nobody)):
        suspects = Suspects()
        suspects.note(1, order[0], is_new=True)
        suspects.note(1, order[1], is_new=False)
        assert suspects.let_in(trade(1)) is None


def test_an_input_that_is_no_print_holds_its_gap_for_good() -> None:
    """The same bytes may come again and open another one."""
    unreadable = [Rejected(Reason.PAYLOAD, "no", b"[5]", 0, "C")]
    suspects = Suspects()
    for gap_id in range(3):
        suspects.note(gap_id, [*unreadable, *rejected(gap_id)], is_new=True)
        assert suspects.let_in(trade(gap_id)) is None


def test_memory_is_bounded() -> None:
    """Of the oldest gaps it is forgotten what they wait for, and they stay as they are."""
    suspects = Suspects()
    for number in range(2 * KEPT_MAX):
        suspects.note(number, rejected(number), is_new=True)
    assert suspects.let_in(trade(5)) is None
    suspects.note(5, rejected(5), is_new=False)
    assert suspects.let_in(trade(5)) is None
    assert suspects.let_in(trade(2 * KEPT_MAX - 1)) == 2 * KEPT_MAX - 1
    assert len(suspects._waiting) == len(suspects._gap_of) == KEPT_MAX - 1
