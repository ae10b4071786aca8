"""Prints that came too late for their bars: which of them are one entry of the gap ledger."""

from __future__ import annotations

from collections.abc import Iterable

from tapekeeper.model.gap import Gap
from tapekeeper.model.tick import Trade

LATE_NS = 60_000_000_000
"""Prints that came too late for their bars, and are no further apart than this, are one entry."""

TOO_LATE = "quarantined as late: prints came when their bars could not be revised any more"


def late_runs(prints: Iterable[Trade]) -> list[tuple[str, list[int]]]:
    """Contracts and the event times (ns UTC, rising) of their prints that are near each other."""
    runs: list[tuple[str, list[int]]] = []
    for trade in sorted(prints, key=lambda each: (each.contract_id, each.ts_event)):
        contract_id, times = runs[-1] if runs else ("", [])
        if contract_id == trade.contract_id and trade.ts_event - times[-1] <= LATE_NS:
            times.append(trade.ts_event)
        else:
            runs.append((trade.contract_id, [trade.ts_event]))
    return runs


def holds(gap: Gap, ts_ns: int) -> bool:
    """Whether an entry touches this event time, ns UTC."""
    begins = gap.from_ns is None or gap.from_ns <= ts_ns
    return begins and (gap.to_ns is None or ts_ns < gap.to_ns)
