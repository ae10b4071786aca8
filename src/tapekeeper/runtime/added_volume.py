"""Holds what history adds to a gap against the volume that is known to be missing there.

The quoted volume may tell of it before a gap is repaired, or long after. An interval in which
volume is missing may touch several gaps, and then nobody can say in which of them it is; and prints
may come after all that had been found missing. Of such gaps nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tapekeeper.core.joining import Joined
from tapekeeper.model.audit import AuditFinding, AuditKind
from tapekeeper.model.gap import Gap, GapCause

KEPT_MAX = 1_000
"""Gaps that are remembered; the oldest are forgotten first."""


@dataclass(slots=True)
class _Known:
    gap: Gap
    is_clear: bool = True  # what is missing is missing here
    came: int = 0
    added: int | None = None


class AddedVolume:
    """See the module's text."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}  # bound: KEPT_MAX

    def saw(self, gaps: Iterable[Gap], findings: Iterable[AuditFinding]) -> None:
        """Learn the last word on gaps, and in which of them volume is missing."""
        for gap in gaps:
            if gap.cause is GapCause.START or gap.timeframes:
                continue
            known = self._known.setdefault(gap.gap_id, _Known(gap))
            known.gap = gap
            if len(self._known) > KEPT_MAX:
                del self._known[min(self._known)]
        for found in findings:
            if found.kind in {AuditKind.MISSING, AuditKind.RETURNED}:
                touched = [one for one in self._known.values() if _touches(one.gap, found)]
                if len(touched) > 1 or found.kind is AuditKind.RETURNED:
                    for one in touched:
                        one.is_clear = False

    def missing(self, gap: Gap) -> int:
        """Contracts that are missing in a gap and in no other, as far as that is known."""
        known = self._known.get(gap.gap_id)
        # One that the audit opened may lie beside its prints: its bounds are stamps of quotes.
        is_clear = known is not None and known.is_clear and gap.cause is not GapCause.MISSING_PRINTS
        return gap.missing_volume or 0 if is_clear else 0

    def came(self, gap: Gap) -> int:
        """Contracts of its bars that had come live before history stood for them."""
        known = self._known.get(gap.gap_id)
        return 0 if known is None else known.came

    def note(self, gap: Gap, joined: Joined) -> None:
        """Learn what history adds."""
        known = self._known.get(gap.gap_id)
        if known is not None:
            known.came, known.added = joined.came, joined.added

    def is_short(self, gap: Gap) -> bool:
        """Whether history is known to have added less than is missing."""
        known = self._known.get(gap.gap_id)
        added = None if known is None else known.added
        return added is not None and added < self.missing(gap)


def _touches(gap: Gap, found: AuditFinding) -> bool:
    return (
        gap.contract_id == found.contract_id
        and (gap.from_ns is None or gap.from_ns <= found.to_ns)
        and (gap.to_ns is None or found.from_ns < gap.to_ns)
    )
