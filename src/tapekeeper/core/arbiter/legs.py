"""What the arbiter keeps of one contract: what each line brought, and what was let through."""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tapekeeper.model.snapshot import LineTally
from tapekeeper.model.tick import TradeBatch

LONG_AGO_NS = -(1 << 63)

_CHUNK_ROWS = 64
_CHUNK_NS = 500_000_000

Key: TypeAlias = bytes
"""Event time (ns UTC), price, size and side: all that tells one print from another.

Bytes, because the garbage collector never looks into a dictionary that has nothing but bytes and
numbers in it. It would walk tuples, and ten seconds of a busy market are a hundred thousand."""

_KEY = struct.Struct("<qdqb")
_pack_key = _KEY.pack
_TIME = struct.Struct("<q")
_time_in = _TIME.unpack_from

_RECV_SHIFT, _COUNT_SHIFT = 64, 128
_RECV_MASK = (1 << (_COUNT_SHIFT - _RECV_SHIFT)) - 1
_LINE_MASK = (1 << _RECV_SHIFT) - 1


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

    def trim(self, floor_ns: int, rows_max: int) -> int:
        """Forget history below the floor; the floor that the limit of rows asks for."""
        history = self.history
        while history and (history[0].ts_event[-1] < floor_ns or self.history_rows > rows_max):
            if len(history) == 1 and history[0].ts_event[-1] >= floor_ns:
                break  # a single huge batch is kept whole
            gone = history.popleft()
            self.history_rows -= len(gone)
            # Never above the line's head: what is new there must not look old.
            floor_ns = max(floor_ns, min(gone.ts_event[-1] + 1, self.reach_ns()))
        return floor_ns


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
        "legs",
        "pruned_ns",
        "review_ns",
        "spans",
    )

    def __init__(self) -> None:
        self.legs: dict[int, Leg] = {}
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

    def head_ns(self) -> int:
        """The furthest that a line has come."""
        return max((leg.reach_ns() for leg in self.open_legs()), default=LONG_AGO_NS)


def emission(count: int, recv_ns: int, line: int) -> int:
    """How often a key was let through, when that was last, and by which line, in one number."""
    return count << _COUNT_SHIFT | (recv_ns & _RECV_MASK) << _RECV_SHIFT | line & _LINE_MASK


def emitted_count(emission: int) -> int:
    """How often."""
    return emission >> _COUNT_SHIFT


def emitted_first(emission: int) -> tuple[int, int]:
    """Time of receipt, and the line."""
    return emission >> _RECV_SHIFT & _RECV_MASK, emission & _LINE_MASK


def key_of(batch: TradeBatch, row: int) -> Key:
    """The key of one row."""
    return _pack_key(batch.ts_event[row], batch.price[row] + 0.0, batch.size[row], batch.side[row])


def keys_of(batch: TradeBatch | Past) -> Iterator[Key]:
    """The keys of all rows, in order."""
    # 0 is added to the price because -0.0 equals 0.0, and its bytes do not.
    columns = zip(batch.ts_event, batch.price, batch.size, batch.side, strict=True)
    return (_pack_key(ts_ns, price + 0.0, size, side) for ts_ns, price, size, side in columns)


def time_of(key: Key) -> int:
    """The event time in a key, ns UTC."""
    ts_ns: int = _time_in(key)[0]
    return ts_ns


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
