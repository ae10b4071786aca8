"""What the arbiter keeps of one contract: what each line brought, and what was let through."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, takewhile

from tapekeeper.core.arbiter.keys import Key, keys_of, time_of
from tapekeeper.core.arbiter.late import Late
from tapekeeper.model.snapshot import LineTally
from tapekeeper.model.tick import TradeBatch

LONG_AGO_NS = -(1 << 63)

_CHUNK_ROWS = 64
_CHUNK_NS = 500_000_000


@dataclass(slots=True)
class Figures:
    """The figures of one line over all contracts."""

    line: int
    rows: int = 0
    first: int = 0
    duplicates: int = 0
    repeats: int = 0
    stale: int = 0
    lost: int = 0
    held: int = 0
    lag_ns_sum: int = 0
    lag_ns_max: int = 0
    lags: int = 0
    lead_ns_sum: int = 0
    lead_ns_max: int = 0
    leads: int = 0

    def tally(self) -> LineTally:
        """The same, frozen, with means."""
        return LineTally(
            line=self.line,
            rows=self.rows,
            first=self.first,
            duplicates=self.duplicates,
            repeats=self.repeats,
            stale=self.stale,
            lost=self.lost,
            held=self.held,
            lag_ns_mean=self.lag_ns_sum // self.lags if self.lags else 0,
            lag_ns_max=self.lag_ns_max,
            lead_ns_mean=self.lead_ns_sum // self.leads if self.leads else 0,
            lead_ns_max=self.lead_ns_max,
        )


class Past:
    """Columns of rows that were brought; arrays, which the garbage collector does not walk."""

    __slots__ = ("price", "side", "size", "ts_event", "ts_recv")

    def __init__(self, batch: TradeBatch) -> None:
        self.ts_event = array("q", batch.ts_event)
        self.price = array("d", batch.price)
        self.size = array("q", batch.size)
        self.side = array("b", batch.side)
        self.ts_recv = array("q", batch.ts_recv)

    def __len__(self) -> int:
        return len(self.ts_event)

    def extend(self, batch: TradeBatch) -> None:
        """Add the rows of a batch."""
        self.ts_event.extend(batch.ts_event)
        self.price.extend(batch.price)
        self.size.extend(batch.size)
        self.side.extend(batch.side)
        self.ts_recv.extend(batch.ts_recv)


class Leg:
    """One line's part in one contract.

    `high_ns` is the latest time that two rows in a row confirm, so that no single wild stamp
    moves the window. `history` holds the line's own rows without its repetitions.
    """

    __slots__ = (
        "counts",
        "figures",
        "first_ns",
        "high_ns",
        "history",
        "history_rows",
        "last_ns",
        "over",
        "recv_ns",
        "spots",
        "tail",
        "waiting",
        "waiting_at_first",
        "waits_until_ns",
    )

    def __init__(self, figures: Figures, first: TradeBatch) -> None:
        self.figures = figures
        self.first_ns = self.high_ns = self.last_ns = first.ts_event[0]
        self.recv_ns = first.ts_recv[0]
        self.over = False  # its connection has ended: it brings nothing more
        self.history: deque[Past] = deque()  # bound: the window, and `keys_max` rows
        self.history_rows = 0
        self.counts: dict[Key, int] = {}
        self.tail: list[Key] | None = None  # what a repetition goes through
        self.spots: list[int] = []  # where in it the last row may be
        self.waiting: list[TradeBatch] | None = None  # bound: `hold_ns` of arrivals
        self.waiting_at_first = 0  # how many rows of them have the stamp of the first
        self.waits_until_ns = 0

    def reach_ns(self) -> int:
        """How far the line has come, if its last row tells the truth."""
        return max(self.high_ns, self.last_ns)

    def remember(self, batch: TradeBatch) -> None:
        """Add to the history, joined with what came just before.

        One object for each print of a busy window would hold up the event loop whenever the
        garbage collector walks them.
        """
        self.history_rows += len(batch)
        if self.history and _goes_with(self.history[-1], batch):
            self.history[-1].extend(batch)
        else:
            self.history.append(Past(batch))

    def trim(self, floor_ns: int, rows_max: int, late: Late) -> int:
        """Forget history below the floor; the floor that the limit of rows asks for.

        What it had of the stamp that it begins with goes into `late`.
        """
        history = self.history
        while history and (history[0].ts_event[-1] < floor_ns or self.history_rows > rows_max):
            if len(history) == 1 and history[0].ts_event[-1] >= floor_ns:
                break  # a single huge batch is kept whole
            if history[0].ts_event[0] <= self.first_ns:
                self.note_first(late)
            gone = history.popleft()
            self.history_rows -= len(gone)
            # Never above the line's head: what is new there must not look old.
            floor_ns = max(floor_ns, min(gone.ts_event[-1] + 1, self.reach_ns()))
        return floor_ns

    def note_first(self, late: Late) -> None:
        """Put into `late` what is known of the stamp that the line begins with."""
        begins = takewhile(lambda past: past.ts_event[0] <= self.first_ns, self.history)
        keys = chain.from_iterable(map(keys_of, begins))
        firsts = Counter(key for key in keys if time_of(key) == self.first_ns)
        for key, count in firsts.items():
            late.note(key, count, {self.figures.line: count})


class Tape:
    """The lines of one contract and what they brought.

    `emitted` holds for each key how often it was let through, and when and by which line last
    (see `emission`). It is complete for event times in [max(floor, counted), ...) while
    `counting`.
    """

    __slots__ = (
        "counted_ns",
        "counting",
        "emitted",
        "floor_ns",
        "high_ns",
        "late",
        "legs",
        "pruned_ns",
        "review_ns",
        "spans",
    )

    def __init__(self, keys_max: int) -> None:
        self.legs: dict[int, Leg] = {}
        self.late = Late(keys_max)
        self.counting = False
        self.counted_ns = 0
        self.emitted: dict[Key, int] = {}
        self.high_ns = LONG_AGO_NS
        self.floor_ns = LONG_AGO_NS  # below it nothing is counted
        self.pruned_ns = LONG_AGO_NS
        self.review_ns = LONG_AGO_NS  # beyond this time some line may be out of the window
        self.spans: dict[int, tuple[int, int]] = {}  # (first, high) of lines out of the window

    def open_legs(self) -> list[Leg]:
        """Those whose rows do not wait."""
        return [leg for leg in self.legs.values() if leg.waiting is None]

    def waiting_legs(self) -> list[Leg]:
        """Those whose rows wait, by where they begin.

        Within a stamp the one with more rows of it began before.
        """
        waiting = [leg for leg in self.legs.values() if leg.waiting is not None]
        return sorted(waiting, key=lambda leg: (leg.first_ns, -leg.waiting_at_first))

    def covered(self, ts_ns: int) -> bool:
        """Whether some line began before this time and has gone past it."""
        return any(leg.first_ns < ts_ns < leg.high_ns for leg in self.open_legs()) or any(
            first_ns < ts_ns < high_ns for first_ns, high_ns in self.spans.values()
        )

    def edges(self) -> frozenset[int]:
        """The stamps of which a line may have brought but a part: where each begins and ends."""
        ends = [(leg.first_ns, leg.high_ns, leg.reach_ns()) for leg in self.open_legs()]
        return frozenset(chain(*ends, *self.spans.values()))

    def passed_by_all_ns(self) -> int:
        """The event time that every line that is known has reached, ns UTC."""
        reached = [leg.reach_ns() for leg in self.legs.values()]
        return min([*reached, *(high_ns for _, high_ns in self.spans.values())])

    def head_ns(self) -> int:
        """The furthest that a line has come."""
        return max((leg.reach_ns() for leg in self.open_legs()), default=LONG_AGO_NS)


def _goes_with(chunk: Past, batch: TradeBatch) -> bool:
    """Whether the rows are few, and so close in time that they leave the window together."""
    return (
        len(chunk) + len(batch) <= _CHUNK_ROWS
        and 0 <= batch.ts_event[0] - chunk.ts_event[0] < _CHUNK_NS
        and 0 <= batch.ts_event[-1] - chunk.ts_event[-1] < _CHUNK_NS
    )


def picked(batch: TradeBatch, rows: Iterable[int]) -> TradeBatch:
    """The rows at these indexes, which rise."""
    picked = TradeBatch(batch.contract_id)
    for row in rows:
        picked.append(
            batch.ts_event[row],
            batch.price[row],
            batch.size[row],
            batch.side[row],
            batch.ts_recv[row],
            batch.seq[row],
        )
    return picked
