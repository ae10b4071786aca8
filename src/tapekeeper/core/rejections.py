"""How many ticks were set aside, by the rule that they broke and by their contract.

Counted once, and read in both ways. The set of rules is closed. A contract is whatever the wire
says, so a gateway that sends ids without end must not fill the memory with them.
"""

from __future__ import annotations

from tapekeeper.core.measuring import Labels
from tapekeeper.model.distribution import LabelCounts
from tapekeeper.model.tick import Reason

CONTRACTS_MAX = 64
"""Contracts that have a count of their own, for each reason."""


class Rejections:
    """Counts; see the module's text."""

    __slots__ = ("_by_reason",)

    def __init__(self) -> None:
        self._by_reason: dict[Reason, Labels] = {}  # bound: one entry per `Reason`

    def add(self, reason: Reason, contract_id: str, ticks: int) -> None:
        """Ticks were set aside; below 0 takes back those that were let in after all."""
        labels = self._by_reason.get(reason)
        if labels is None:
            labels = self._by_reason[reason] = Labels(CONTRACTS_MAX)
        labels.add(contract_id, ticks)

    def by_reason(self) -> dict[str, int]:
        """Ticks by reason, of those that have any."""
        totals = {reason: labels.view().total for reason, labels in self._by_reason.items()}
        return {str(reason): count for reason, count in sorted(totals.items()) if count}

    def by_contract(self) -> LabelCounts:
        """Ticks by contract id, as the wire has it."""
        merged, other = Labels(CONTRACTS_MAX), 0
        for labels in self._by_reason.values():
            view = labels.view()
            other += view.other
            for contract_id, count in view.counts.items():
                merged.add(contract_id, count)
        view = merged.view()
        return LabelCounts(view.counts, view.other + other)
