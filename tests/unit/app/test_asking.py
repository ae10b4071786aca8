"""What a tape asks the hubs for."""

from __future__ import annotations

import pytest

from tapekeeper.app.asking import calls, streams


@pytest.mark.parametrize(
    ("depth", "expected"),
    [(False, ("Trades", "Quotes")), (True, ("Trades", "Quotes", "MarketDepth"))],
)
def test_depth_is_asked_for_where_it_is_wanted(depth: bool, expected: tuple[str, ...]) -> None:  # noqa: FBT001 - a parameter of the test
    """Trades and quotes come with every contract."""
    assert streams(depth=depth) == expected


def test_every_subscription_has_a_call_that_undoes_it() -> None:
    """Both are of the same contract."""
    do, undo = calls("Trades", "CON.F.US.MES.H26")
    assert (do.target, undo.target) == ("SubscribeContractTrades", "UnsubscribeContractTrades")
    assert do.arguments == undo.arguments == ("CON.F.US.MES.H26",)
