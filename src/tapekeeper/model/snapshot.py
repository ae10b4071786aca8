"""Frozen views of counters, read from the objects that do the work."""

from __future__ import annotations

import msgspec


class TickCounts(msgspec.Struct, frozen=True):
    """What became of the ticks of a run; `holds` is the first identity of the design."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    quarantined: int = 0
    shed: int = 0

    @property
    def holds(self) -> bool:
        """Whether received = accepted + duplicate + quarantined + shed."""
        return self.received == self.accepted + self.duplicate + self.quarantined + self.shed


class VolumeCheck(msgspec.Struct, frozen=True):
    """The second identity of the design for one contract and timeframe, in contracts.

    Attributes:
        contract_id, timeframe: which bars.
        bars: number of bars with at least one print, the forming one included.
        bar_volume: sum of the volumes of all its bars, the forming one included.
        accepted_volume: sum of the sizes of the accepted trades since it was subscribed.
    """

    contract_id: str
    timeframe: str
    bars: int
    bar_volume: int
    accepted_volume: int

    @property
    def holds(self) -> bool:
        """Whether the bars hold exactly the accepted volume."""
        return self.bar_volume == self.accepted_volume
