"""The codes of sides that nobody knows."""

from __future__ import annotations

from tapekeeper.core.gateway.odd_sides import KEPT_EACH, TEXT_MAX, OddSides
from tapekeeper.model.tick import Trade


def trade(number: int, contract_id: str = "A") -> Trade:
    """The print of a number."""
    return Trade(contract_id, number, 10.0, 1, -1, number, number)


def test_the_latest_codes_of_each_contract_are_kept() -> None:
    """A code that another line brings again is the latest; no text is kept at any length."""
    odd = OddSides()
    odd.note("B", 0, 10.0, 1, "y" * 999)
    for number in range(KEPT_EACH):
        odd.note("A", number, 10.0, 1, 100 + number)
    odd.note("A", 0, 10.0, 1, 5)
    odd.note("A", KEPT_EACH, 10.0, 1, None)
    odd.note("A", KEPT_EACH + 1, 10.0, 1, 6)
    assert odd.of(trade(0)) == 5
    assert odd.of(trade(1)) is None
    assert odd.of(trade(2)) == 102
    assert odd.of(trade(KEPT_EACH)) is None
    assert odd.of(trade(KEPT_EACH + 1)) == 6
    assert odd.of(trade(0, "B")) == "y" * TEXT_MAX
    assert odd.of(trade(0, "C")) is None
