"""The quote stage: every quote is accepted, an echo, or quarantined."""

from __future__ import annotations

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.quotes import QuoteStage
from tapekeeper.core.validate import RulePolicy
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import Flag, Quote, Reason, Rejected

START = 1_767_625_200_000_000_000
MS = 1_000_000


def quote(after_ms: int, bid: float, ask: float | None = None, contract_id: str = "C") -> Quote:
    """A state so many milliseconds after the start."""
    ts_ns = START + after_ms * MS
    return Quote(contract_id, ts_ns, ts_ns, after_ms, bid=bid, ask=ask)


def stage() -> QuoteStage:
    """A stage that follows C."""
    made = QuoteStage()
    made.follow("C", 0.25, calendar_by_name("cme"), RulePolicy())
    return made


def test_every_quote_becomes_one_of_three() -> None:
    """News, what another line has said, and what is refused, be it not even readable."""
    quotes = stage()
    unreadable = Rejected(Reason.PAYLOAD, "no", b"", START, "C")
    quotes.receive(5, [unreadable])
    assert quotes.take(1, quote(1, 10.0), is_wanted=True) == quote(1, 10.0)
    assert quotes.take(2, quote(1, 10.0), is_wanted=True) is None
    wrong = quotes.take(1, quote(2, -1.0), is_wanted=True)
    assert isinstance(wrong, Rejected)
    assert wrong.reason is Reason.PRICE
    unwanted = quotes.take(1, quote(3, 10.0, contract_id="D"), is_wanted=False)
    assert isinstance(unwanted, Rejected)
    assert unwanted.reason is Reason.NOT_SUBSCRIBED
    counts = TickCounts(received=5, accepted=1, duplicate=1, quarantined=3)
    assert quotes.counts() == counts
    assert counts.holds


def test_the_latest_quote_is_the_latest_that_was_accepted() -> None:
    """It stays readable when the contract is not wanted any more."""
    quotes = stage()
    assert quotes.latest("C") is quotes.latest("D") is None
    quotes.take(1, quote(1, 10.0), is_wanted=True)
    quotes.take(1, quote(2, -1.0), is_wanted=True)
    quotes.forget("C")
    assert quotes.latest("C") == quote(1, 10.0)


def test_a_crossed_quote_is_accepted_and_kept_as_evidence() -> None:
    """With what is remarkable of it; an echo is not counted twice."""
    quotes = stage()
    for line in (1, 2):
        quotes.take(line, quote(1, 10.5, 10.25), is_wanted=True)
    quotes.take(1, quote(2, 10.25, 10.5), is_wanted=True)
    assert quotes.crossed == 1
    (flagged,) = quotes.flagged()
    assert (flagged.tick, flagged.flag) == (quote(1, 10.5, 10.25), Flag.CROSSED)
    assert "bid 10.5 is above ask 10.25" in flagged.detail
