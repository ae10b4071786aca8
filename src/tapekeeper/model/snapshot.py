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
        bars: number of bars with at least one print, the forming one included, and of those that
            history put where there was none.
        bar_volume: sum of the volumes of all its bars, the forming one included.
        accepted_volume: sum of the sizes of the accepted trades since it was subscribed.
        backfilled_volume: by how much the gateway's history changed its bars.
        backfilled_bars: number of those that history put where there was none.
        forgotten_bars: closed bars that would still be revised, and are not, because there were
            more of them than are kept; see `bars.revise_max`.
    """

    contract_id: str
    timeframe: str
    bars: int
    bar_volume: int
    accepted_volume: int
    backfilled_volume: int = 0
    backfilled_bars: int = 0
    forgotten_bars: int = 0

    @property
    def holds(self) -> bool:
        """Whether the bars hold exactly the accepted volume, and what was filled in."""
        return self.bar_volume == self.accepted_volume + self.backfilled_volume


class LineTally(msgspec.Struct, frozen=True):
    """What one line brought to the tape, in rows (trades); times of receipt in ns.

    rows = first + duplicates + held.

    Attributes:
        line: number of the connection.
        rows: all it brought, of all contracts.
        first: let through, because this line was the first to bring them.
        duplicates: another line, or this one, had brought them before.
        repeats: those of the duplicates that the line had brought itself.
        stale: beyond the window; duplicates where some line had covered their time.
        lost: what others brought within its time and it did not, as far as the window tells.
        held: waiting now for other lines to catch up with the line's beginning.
        lag_ns_mean, lag_ns_max: by how much it was behind the line that came first.
        lead_ns_mean, lead_ns_max: by how much it was ahead where it came first.
    """

    line: int
    rows: int = 0
    first: int = 0
    duplicates: int = 0
    repeats: int = 0
    stale: int = 0
    lost: int = 0
    held: int = 0
    lag_ns_mean: int = 0
    lag_ns_max: int = 0
    lead_ns_mean: int = 0
    lead_ns_max: int = 0


class ArbiterStatistics(msgspec.Struct, frozen=True):
    """What the arbiter keeps.

    Attributes:
        contracts_counted: contracts to which more than one line contributes.
        keys: different prints whose occurrences are counted.
        rows: rows of history, of all lines and contracts.
        held: rows that wait for other lines to catch up.
        evicted: keys that were forgotten within the window, because there were too many.
        late: different prints from beyond the window that are counted still.
    """

    contracts_counted: int = 0
    keys: int = 0
    rows: int = 0
    held: int = 0
    evicted: int = 0
    late: int = 0


class Census(msgspec.Struct, frozen=True):
    """What a tape holds on to. Each is bounded, and as large after weeks as after an hour.

    Attributes:
        tasks: tasks of the event loop by kind, whoever started them.
        sockets: connections to the gateway, REST and those that are being made included.
        websockets: those of them that are open connections to a hub.
        mailboxes: subscribers that are still held by somebody.
        waiting: events in mailboxes, and frames that are not processed yet.
        queue_bytes: memory that these take, as estimated.
        spilled_bytes: of the disk, for what does not fit into memory.
    """

    tasks: dict[str, int] = {}
    sockets: int = 0
    websockets: int = 0
    mailboxes: int = 0
    waiting: int = 0
    queue_bytes: int = 0
    spilled_bytes: int = 0
