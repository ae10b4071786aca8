"""What the audit shows of an outage that had begun before it was noticed.

A connection whose data have stopped may go on living for half a minute, by pings alone; its outage
is told from where it was last heard. The volume that the next quotes show is more than that then,
and the prints say since when: behind the last one before the outage nothing came.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapekeeper.model.audit import AuditFinding
from tapekeeper.model.gap import Gap, Span

NEAR_NS = 2_000_000_000
"""Two prints may be so far apart without anything missing in front of an outage; and the audit's
slack makes a finding larger than the outage that it is of."""

NOTED_MAX = 100
"""Outages of which the last print before them is remembered: a finding follows within a minute."""


class NoticedLate:
    """Since when each contract had been silent as an outage of it was told."""

    def __init__(self) -> None:
        self._traded_ns: dict[int, int] = {}  # by gap; bound: NOTED_MAX

    def note(self, gap_id: int, traded_ns: int | None) -> None:
        """An outage is told, and this was the last print until then (event time, ns UTC)."""
        if traded_ns is not None and gap_id not in self._traded_ns:
            self._traded_ns[gap_id] = traded_ns
            if len(self._traded_ns) > NOTED_MAX:
                del self._traded_ns[next(iter(self._traded_ns))]

    def untold(self, finding: AuditFinding, known: Sequence[Gap]) -> Span | None:
        """The part of a finding that is in no known gap; None if it may be all of the last one.

        Args:
            finding: prints that are missing.
            known: the gaps that it touches, in their order.
        """
        if not known:
            return Span(finding.from_ns, finding.to_ns + 1)  # both ends of a finding are within
        first = known[0]
        traded_ns = self._traded_ns.get(first.gap_id)
        if traded_ns is None or first.from_ns is None:
            return None
        from_ns = max(finding.from_ns, traded_ns)
        return Span(from_ns, first.from_ns) if first.from_ns - from_ns > NEAR_NS else None
