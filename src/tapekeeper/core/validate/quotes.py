"""The rules for the quotes of one contract, those included that look at other quotes.

Quotes are compared with quotes alone, and never with prints: what is believed of a quote must not
depend on how many prints were read together with it.
"""

from __future__ import annotations

from tapekeeper.core.validate.band import PriceBand
from tapekeeper.core.validate.clocks import ClockTrack
from tapekeeper.core.validate.policy import RulePolicy
from tapekeeper.core.validate.ticks import EARLIEST_NS, LATEST_NS, quote_fault
from tapekeeper.model.tick import Quote, Reason

PENDING_MAX = 64
"""Prices, and stamps, that wait for others to agree with them; the oldest go first."""

Fault = tuple[Reason, str]


class QuoteRules:
    """Judges the quotes of one contract, in their order; constant memory.

    Last price, bid and ask are held to a band of the same kind as that of prints, which takes the
    spread for a part of the range, so that a thin book has a wide one. What is set aside is not
    let in later, because a quote is a state and the next one has taken its place. It is set aside
    for as long as the state holds what is not believed, but for no more than `quiet_ns` of event
    time: then what the gateway goes on to say is how things are.

    Args:
        tick_size: the contract's price step, or 0.
        policy: the thresholds.
    """

    __slots__ = ("_band", "_clock", "_high_ns", "_limit_ns", "_policy", "_prices", "_stamps")

    def __init__(self, tick_size: float, policy: RulePolicy) -> None:
        self._policy = policy
        self._band = PriceBand(tick_size, policy)
        self._clock = ClockTrack(policy.ahead_ns)
        # The latest event time, and the one beyond which there had been no quotes.
        self._high_ns, self._limit_ns = 0, LATEST_NS
        self._prices: dict[tuple[str, float], int] = {}  # pending: member and price, when first
        self._stamps: dict[int, int] = {}  # pending: event time, delay

    def fault(self, quote: Quote) -> Fault | None:
        """The rule that a quote breaks, or None; what is believed is learned from."""
        policy = self._policy
        fault = quote_fault(quote, may_be_negative=policy.negative_prices)
        if fault is not None or not policy.quotes:
            return fault
        return self._stamp_fault(quote) or self._price_fault(quote)

    # -- the time ------------------------------------------------------------------------------

    def _stamp_fault(self, quote: Quote) -> Fault | None:
        if quote.ts_recv < EARLIEST_NS:
            return None  # without a time of receipt: that says nothing of clocks
        clock = self._clock
        clock.turn_to(quote.ts_recv)
        delay_ns = quote.ts_recv - quote.ts_event
        over_ns = -delay_ns - clock.ahead_ns
        if over_ns <= 0:
            if delay_ns < clock.fastest_ns:
                clock.learn(delay_ns)
            if clock.waits:
                clock.count(1)
            self._stamps.clear()
            return None
        self._stamps[quote.ts_event] = delay_ns
        ahead_ns = self._policy.ahead_ns
        agreeing = [each for each in self._stamps.values() if abs(each - delay_ns) <= ahead_ns]
        if len(agreeing) >= self._policy.confirm:
            self._stamps.clear()
            clock.restart(quote.ts_recv, min(agreeing))
            return None
        if len(self._stamps) > PENDING_MAX:
            del self._stamps[next(iter(self._stamps))]
        return Reason.FUTURE, f"its stamp is {over_ns} ns further ahead than is allowed"

    # -- the prices ----------------------------------------------------------------------------

    def _price_fault(self, quote: Quote) -> Fault | None:
        prices = [
            (name, price)
            for name, price in (("bid", quote.bid), ("ask", quote.ask), ("last", quote.last))
            if price is not None
        ]
        if not prices:
            return None
        band = self._band
        if quote.ts_event > self._limit_ns:
            band.unsettle(self._high_ns)
        outside = [each for each in prices if not band.low <= each[1] <= band.high]
        if outside:
            if not self._are_confirmed(outside, quote.ts_event):
                name, price = outside[0]
                detail = f"{name} {price!r} is outside {band.low!r} to {band.high!r}"
                return Reason.PRICE_BAND, detail
            band.unsettle(self._high_ns)
        self._prices.clear()
        if quote.ts_event > self._high_ns:
            self._high_ns = quote.ts_event
            self._limit_ns = quote.ts_event + self._policy.quiet_ns
        values = [price for _, price in prices]
        band.take(min(values), max(values), values[0], 1, self._high_ns)
        return None

    def _are_confirmed(self, outside: list[tuple[str, float]], ts_event: int) -> bool:
        """Whether each of these prices agrees with enough others, of more than one moment.

        A state repeats what it does not change, so each member's price counts once.
        """
        for each in outside:
            self._prices.setdefault(each, ts_event)
            if len(self._prices) > PENDING_MAX:
                del self._prices[next(iter(self._prices))]
        half, confirm = self._band.half, self._policy.confirm
        for _, price in outside:
            agreeing = [ts for (_, each), ts in self._prices.items() if abs(each - price) <= half]
            if len(agreeing) < confirm or len(set(agreeing)) < 2:  # noqa: PLR2004 - a word
                return False
        return True
