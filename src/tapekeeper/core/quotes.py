"""The quote stage: what is news, what of it is believed, and the latest of every contract.

Quotes make no bar. Each that was received is one of

accepted      news of some line
duplicate     what another line has said already, or something older
quarantined   unreadable, invalid, or of a contract that nobody asked for
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from tapekeeper.core.calendar import Calendar
from tapekeeper.core.echoes import QuoteEchoes
from tapekeeper.core.validate import KEPT_EACH, Flagged, QuoteRules, RulePolicy, rejected_quote
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import Flag, Quote, Reason, Rejected


@dataclass(slots=True)
class _Contract:
    calendar: Calendar
    rules: QuoteRules
    latest: Quote | None = None


class QuoteStage:
    """See the module's text.

    Attributes:
        crossed: accepted quotes with bid above ask while the market was open.
    """

    def __init__(self) -> None:
        self._echoes = QuoteEchoes()
        self._contracts: dict[str, _Contract] = {}
        self._received = self._accepted = self._duplicate = self._quarantined = 0
        self.crossed = 0
        self._latest_crossed: deque[Quote] = deque(maxlen=KEPT_EACH)

    def follow(
        self, contract_id: str, tick_size: float, calendar: Calendar, policy: RulePolicy
    ) -> None:
        """A contract is wanted for the first time."""
        self._contracts[contract_id] = _Contract(calendar, QuoteRules(tick_size, policy))

    def forget(self, contract_id: str) -> None:
        """A contract is not wanted any more; its latest quote stays readable."""
        self._echoes.forget(contract_id)

    def receive(self, count: int, rejected: list[Rejected]) -> None:
        """Count what came of a frame, and what of it could not be read."""
        self._received += count
        self._quarantined += sum(item.ticks for item in rejected)

    def take(self, line: int, quote: Quote, *, is_wanted: bool) -> Quote | Rejected | None:
        """Judge a quote; what is to be told of it, which is nothing of an echo.

        Args:
            line: number of the connection.
            quote: received, and counted.
            is_wanted: whether its contract is followed.
        """
        if self._echoes.is_echo(line, quote):
            self._duplicate += 1
            return None
        contract = self._contracts.get(quote.contract_id)
        if contract is None or not is_wanted:
            return self._refuse(quote, Reason.NOT_SUBSCRIBED, "nobody asked for this contract")
        fault = contract.rules.fault(quote)
        if fault is not None:
            return self._refuse(quote, *fault)
        self._echoes.publish(line, quote)
        contract.latest = quote
        self._accepted += 1
        if _is_crossed(quote) and contract.calendar.is_open(quote.ts_event):
            self.crossed += 1
            self._latest_crossed.append(quote)
        return quote

    def _refuse(self, quote: Quote, reason: Reason, detail: str) -> Rejected:
        self._quarantined += 1
        return rejected_quote(quote, reason, detail)

    def latest(self, contract_id: str) -> Quote | None:
        """The latest accepted quote of a contract."""
        contract = self._contracts.get(contract_id)
        return None if contract is None else contract.latest

    def flagged(self) -> list[Flagged]:
        """The latest that were remarkable, oldest first."""
        return [
            Flagged(
                quote,
                Flag.CROSSED,
                f"bid {quote.bid!r} is above ask {quote.ask!r} while the market is open",
            )
            for quote in self._latest_crossed
        ]

    def counts(self) -> TickCounts:
        """What became of the quotes."""
        return TickCounts(
            received=self._received,
            accepted=self._accepted,
            duplicate=self._duplicate,
            quarantined=self._quarantined,
        )


def _is_crossed(quote: Quote) -> bool:
    return quote.bid is not None and quote.ask is not None and quote.bid > quote.ask
