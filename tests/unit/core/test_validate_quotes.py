"""The rules for quotes: a band that is learned from quotes, and stamps ahead of the clocks."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.validate import QuoteRules, RulePolicy
from tapekeeper.core.validate.band import BLOCK_PRINTS
from tapekeeper.core.validate.quotes import PENDING_MAX
from tapekeeper.model.tick import Quote, Reason

NOON = 1_767_625_200_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000
TICK = 0.25


def quote(
    after_s: float,
    bid: float | None,
    ask: float | None = None,
    last: float | None = None,
    *,
    late_s: float = 0.001,
) -> Quote:
    """A state of so many seconds after noon, received a millisecond later."""
    ts_event = NOON + round(after_s * 1_000) * MS
    recv_ns = ts_event + round(late_s * 1_000) * MS
    return Quote("C", ts_event, recv_ns, 0, bid=bid, ask=ask, last=last)


def settled(policy: RulePolicy | None = None, spread: float = TICK) -> QuoteRules:
    """Rules that have seen bids between 6,000 and 6,002 in the 6.4 seconds up to noon."""
    rules = QuoteRules(TICK, policy or RulePolicy())
    for n in range(2 * BLOCK_PRINTS):
        bid = 6_000.0 + n % 9 * TICK
        assert rules.fault(quote((n - 64) / 10, bid, bid + spread)) is None
    return rules


def reason(rules: QuoteRules, of: Quote) -> Reason | None:
    """Why a quote is set aside."""
    fault = rules.fault(of)
    return None if fault is None else fault[0]


@pytest.mark.parametrize("member", ["bid", "ask", "last"])
@pytest.mark.parametrize("price", [5_900.0, 6_100.0, 1.0])
def test_a_price_far_from_recent_quotes_is_set_aside(member: str, price: float) -> None:
    """Any of the three; the next quote, whose prices are usual, is accepted."""
    rules = settled()
    usual = quote(1, 6_001.0, 6_001.25, 6_001.0)
    far = msgspec.structs.replace(usual, **{member: price})
    assert reason(rules, far) is Reason.PRICE_BAND
    assert member in (rules.fault(far) or (None, ""))[1]
    assert reason(rules, usual) is None


def test_the_session_s_extremes_are_not_compared() -> None:
    """Open, high and low are of hours ago."""
    far = msgspec.structs.replace(quote(1, 6_001.0), open=5_000.0, high=7_000.0, low=4_000.0)
    assert reason(settled(), far) is None


def test_a_thin_book_has_a_wide_band() -> None:
    """The spread is a part of the range, so that its far side is not an outlier."""
    rules = settled(spread=200.0)
    assert reason(rules, quote(1, 5_800.0, 6_300.0)) is None
    assert reason(rules, quote(2, 60.0, 6_300.0)) is Reason.PRICE_BAND


def test_a_move_is_believed_once_other_prices_confirm_it() -> None:
    """Three prices of more than one moment; those of one quote are of one moment."""
    rules = settled()
    assert reason(rules, quote(1, 6_500.0, 6_500.25, 6_500.0)) is Reason.PRICE_BAND
    assert reason(rules, quote(1.1, 6_500.5, 6_500.75, 6_500.0)) is None
    assert reason(rules, quote(1.2, 6_500.25, 6_500.75, 6_500.0)) is None


def test_a_state_that_goes_on_to_hold_a_wild_price_does_not_confirm_it() -> None:
    """A sparse update repeats what it does not change; until that is told anew, it is set aside."""
    rules = settled()
    for n in range(20):
        of = quote(1 + n / 10, 60.0, 6_001.0 + n % 3 * TICK)
        assert reason(rules, of) is Reason.PRICE_BAND
    assert reason(rules, quote(4, 6_001.0, 6_001.25)) is None


def test_after_a_quiet_time_what_is_said_is_how_things_are() -> None:
    """60 s without a quote that is believed, be it that none came or that none was."""
    rules = settled()
    assert reason(rules, quote(30, 6_500.0)) is Reason.PRICE_BAND
    assert reason(rules, quote(59, 6_500.0)) is Reason.PRICE_BAND
    assert reason(rules, quote(60, 6_500.0)) is None
    assert reason(rules, quote(61, 7_500.0)) is None


def test_a_stamp_far_ahead_is_set_aside() -> None:
    """By more than 10 s ahead of what the fastest deliveries say, whatever this clock says."""
    rules = settled()
    assert reason(rules, quote(1, 6_001.0, late_s=-9.9)) is None
    assert reason(rules, quote(2, 6_001.0, late_s=-60)) is Reason.FUTURE
    assert reason(rules, quote(3, 6_001.0)) is None


def test_a_clock_that_is_behind_sets_nothing_aside() -> None:
    """A real capture ran 1.27 s behind, another may run by minutes: the difference is tracked."""
    rules = QuoteRules(TICK, RulePolicy())
    for n in range(200):
        assert reason(rules, quote(n / 10, 6_000.0, 6_000.25, late_s=-300)) is None


def test_a_clock_that_was_set_is_believed_after_three_moments() -> None:
    """The same stamp twice, as of two lines, is one moment."""
    rules = settled()
    for second, expected in ((1, Reason.FUTURE), (1, Reason.FUTURE), (2, Reason.FUTURE), (3, None)):
        assert reason(rules, quote(second, 6_001.0, late_s=-60)) is expected
    assert reason(rules, quote(4, 6_001.0, late_s=-60)) is None


def test_a_wild_stamp_moves_no_quiet_time() -> None:
    """What is stamped a day ahead is not believed to have been said then."""
    rules = settled()
    assert reason(rules, quote(86_400, 6_001.0, late_s=-86_400)) is Reason.FUTURE
    assert reason(rules, quote(1, 6_500.0)) is Reason.PRICE_BAND


@pytest.mark.parametrize(
    "policy",
    [RulePolicy(quotes=False), RulePolicy(band=False, ahead_ns=0)],
    ids=["not of quotes", "not at all"],
)
def test_rules_that_are_off_set_nothing_aside(policy: RulePolicy) -> None:
    """What each member says by itself is judged in any case."""
    rules = settled(policy)
    assert reason(rules, quote(1, 60.0, late_s=-600)) is None
    assert reason(rules, quote(2, -1.0)) is Reason.PRICE


def test_without_times_of_receipt_stamps_are_not_compared() -> None:
    """Some sources have none."""
    rules = settled()
    assert reason(rules, msgspec.structs.replace(quote(1, 6_001.0), ts_recv=0)) is None


def test_what_is_pending_is_bounded() -> None:
    """No more than the latest are remembered, of prices and of stamps."""
    rules = settled()
    for n in range(3 * PENDING_MAX):
        rules.fault(quote(1, 10.0 * n + 10, late_s=0.001))
        rules.fault(quote(2 + n / 100, 6_001.0, late_s=-1_000 * n - 60))
    assert len(rules._prices) <= PENDING_MAX
    assert len(rules._stamps) <= PENDING_MAX
