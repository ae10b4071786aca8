"""The depth stage: decode -> validate -> the lines' books -> what happens to the published one.

It stands beside the stages that make bars, and shares nothing with them: a depth row makes no
bar, not even one that tells of a trade. Every row that was received is one of

accepted      by the line whose book is published
duplicate     by another line, whose own book it went into
quarantined   unreadable, invalid, or of a contract whose depth nobody wants

None is left out, joined with another or put off: a row sets what rests at a price, so to skip one
is to have a wrong level until the next Reset.
"""

from __future__ import annotations

from collections.abc import Callable

from tapekeeper.core.book import Books
from tapekeeper.core.gateway.depth import DEPTH_TARGET, DepthDecoder, DepthRecord
from tapekeeper.core.gateway.shapes import as_json
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.validate import depth_fault, rejected_depth
from tapekeeper.model.depth import BookSnapshot, BookTally, DepthRow, DepthUpdate
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import Reason, Rejected

_TARGET = DEPTH_TARGET.lower()


class DepthStage:
    """See the module's text.

    Args:
        grid_of: the tick size of a contract whose depth is wanted, 0 where it is unknown; None
            where it is not wanted.
        may_be_negative: whether the prices of a contract may be zero or negative.
    """

    def __init__(
        self,
        grid_of: Callable[[str], float | None],
        may_be_negative: Callable[[str], bool] = lambda _contract_id: False,
    ) -> None:
        self._grid_of = grid_of
        self._may_be_negative = may_be_negative
        self._decoder = DepthDecoder()
        self._books = Books()
        self._received = 0
        self._accepted = 0
        self._duplicate = 0
        self._quarantined = 0
        self._last_seq: dict[str, int] = {}  # bound: the contracts whose depth is wanted
        self._updates: list[DepthUpdate] = []
        self._rejected: list[Rejected] = []

    # -- what comes in -----------------------------------------------------------------------

    def connected(self, line: int) -> None:
        """A line has a new connection."""
        self._updates += self._books.connected(line)

    def disconnected(self, line: int) -> None:
        """A line's connection has ended."""
        self._updates += self._books.disconnected(line)

    def forget(self, contract_id: str) -> None:
        """Nobody wants this contract's depth any more."""
        self._books.forget(contract_id)
        self._last_seq.pop(contract_id, None)

    def take(self, call: Invocation, recv_ns: int, line: int) -> bool:
        """Carry a call of the hub through, if it brings depth; whether it does.

        Args:
            call: any call of the market hub; targets are compared without case.
            recv_ns: when its frame was received, host clock, ns UTC.
            line: number of the connection.
        """
        if call.target.lower() != _TARGET:
            return False
        record = self._decoder.decode(as_json(call), recv_ns)
        self._received += record.received
        if not record.contract_id:
            self._quarantine(record.rejected)
            return True
        tick_size = self._grid_of(record.contract_id)
        if tick_size is None:
            self._quarantine(record.rejected + _unwanted(record))
            return True
        good, bad = _judged(
            record, tick_size, may_be_negative=self._may_be_negative(record.contract_id)
        )
        self._quarantine(record.rejected + bad)
        if record.received:
            self._last_seq[record.contract_id] = self._received
        flaws = len(record.rejected) + len(bad)
        updates = self._books.apply(record.contract_id, line, good, flaws)
        self._updates += updates
        # A Reset may make another line's book the better one, which is published then.
        if updates and updates[-1].line == line:
            self._accepted += len(good)
        else:
            self._duplicate += len(good)
        return True

    def _quarantine(self, rejected: list[Rejected]) -> None:
        self._quarantined += sum(item.ticks for item in rejected)
        self._rejected += rejected

    # -- what comes of it --------------------------------------------------------------------

    def collect(self) -> tuple[list[DepthUpdate], list[Rejected]]:
        """What happened to published books, and what was quarantined, since the last time."""
        updates, self._updates = self._updates, []
        rejected, self._rejected = self._rejected, []
        return updates, rejected

    def book(self, contract_id: str, depth: int | None = None) -> BookSnapshot | None:
        """The published book; None before its first row."""
        return self._books.snapshot(contract_id, depth)

    def last_seq(self, contract_id: str) -> int | None:
        """A number that changes with every record of a contract; None before the first."""
        return self._last_seq.get(contract_id)

    def counts(self) -> TickCounts:
        """What became of the rows."""
        return TickCounts(
            received=self._received,
            accepted=self._accepted,
            duplicate=self._duplicate,
            quarantined=self._quarantined,
        )

    def tallies(self) -> tuple[BookTally, ...]:
        """The counters of every book."""
        return self._books.tallies()


def _judged(
    record: DepthRecord, tick_size: float, *, may_be_negative: bool
) -> tuple[list[DepthRow], list[Rejected]]:
    """The rows that are valid, and the quarantined form of the others."""
    bad = []
    good = record.rows
    faults = [depth_fault(row, tick_size, may_be_negative=may_be_negative) for row in record.rows]
    if any(faults):
        good = []
        for row, fault in zip(record.rows, faults, strict=True):
            if fault is None:
                good.append(row)
            else:
                bad.append(rejected_depth(record.contract_id, row, *fault))
    return good, bad


def _unwanted(record: DepthRecord) -> list[Rejected]:
    return [
        rejected_depth(
            record.contract_id, row, Reason.NOT_SUBSCRIBED, "nobody asked for this contract's depth"
        )
        for row in record.rows
    ]
