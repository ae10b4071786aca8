"""Which gaps were opened for prints that may still be let in.

A print that is not believed leaves its bars with a gap. Where others confirm it in a later burst,
or a person lets it in, it is in its bars after all, and when that is so of everything that a gap
was opened for, nothing is missing there.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapekeeper.core.validate import KEPT_MAX, rejected_trade
from tapekeeper.model.tick import Reason, Rejected, Trade


class Suspects:
    """See the module's text. As many inputs are remembered as the quarantine keeps prints."""

    def __init__(self) -> None:
        # What each gap was opened for. Bound: those that an input below waits in.
        self._waiting: dict[int, set[bytes]] = {}
        self._gap_of: dict[bytes, int] = {}  # bound: KEPT_MAX

    def note(self, gap_id: int, rejected: Sequence[Rejected], *, is_new: bool) -> None:
        """A gap was opened, or goes on, for inputs that were quarantined.

        Args:
            gap_id: which.
            rejected: at least one.
            is_new: whether the gap was opened for these.
        """
        if is_new:
            self._waiting[gap_id] = set()
        waiting = self._waiting.get(gap_id)
        if waiting is None:
            return
        if not all(item.contract_id for item in rejected):
            self._forget(gap_id)  # what names no contract may have been anything
            return
        for item in rejected:
            known = self._gap_of.get(item.raw, gap_id)
            if known != gap_id:
                self._forget(known)  # prints have numbers: it is none, and cannot be let in
            waiting.add(item.raw)
            self._gap_of[item.raw] = gap_id
        while len(self._gap_of) > KEPT_MAX:
            self._forget(next(iter(self._gap_of.values())))

    def _forget(self, gap_id: int) -> None:
        """A gap stays, whatever comes of the rest of what it was opened for."""
        for raw in self._waiting.pop(gap_id):
            del self._gap_of[raw]

    def let_in(self, trade: Trade) -> int | None:
        """A print was let in; the gap in which nothing is missing any more by that, if any."""
        raw = rejected_trade(trade, Reason.PRICE_BAND, "").raw  # the reason is no part of it
        gap_id = self._gap_of.pop(raw, None)
        if gap_id is None:
            return None
        waiting = self._waiting[gap_id]
        waiting.remove(raw)
        if waiting:
            return None
        del self._waiting[gap_id]
        return gap_id
