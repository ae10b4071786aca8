"""Order books: one for each contract and line, of which one is published.

A gateway sends a book as a burst on subscribing and then row by row. Rows say what rests at a
price now, so each one has to be applied, in its order, and none may stand for others. What
several lines bring cannot be merged: the same row of the second line comes later, when the first
line's book has gone on, and would take it back. So each line has a book of its own, and the one
of the line that is best off is published.

A book is *synced* when it began with a Reset, once levels came after it, or when the first record
of a connection was a snapshot; and as long as the connection lives. The gateway does not mark its
snapshots: a first record is taken for one if it has `SNAPSHOT_ROWS_MIN` levels and both sides. A
book that began with less stays unsynced until a Reset, although it may become whole.

    best off   a live line with a synced book, before a live line with rows, before the rest;
               among equals the published one, before the line that was connected first

Whoever follows the published book is told of a change of line as a Reset and all levels.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from tapekeeper.model.depth import (
    ASK_KINDS,
    BID_KINDS,
    BookSnapshot,
    BookTally,
    DepthKind,
    DepthRow,
    DepthUpdate,
    Level,
)

SNAPSHOT_ROWS_MIN = 4
"""Levels of a first record that is taken for a snapshot; a lone change has one or two."""
LEVELS_MAX = 10_000
"""Levels of one side of a book. A price grid over the daily limits of an index future has less;
beyond it the level furthest from the market goes, and counts as a flaw."""
BOOKS_MAX = 8
"""Books of one contract; beyond it the oldest one goes that is not published."""
LINES_MAX = 64
"""Connections that are known to live; more were never open at once."""

_RESET = int(DepthKind.RESET)
_BID, _ASK = int(DepthKind.BID), int(DepthKind.ASK)


class _Side:
    """The levels of one side, by price."""

    __slots__ = ("_best_is_last", "prices", "sizes")

    def __init__(self, *, best_is_last: bool) -> None:
        self._best_is_last = best_is_last
        self.prices: list[float] = []  # rising
        self.sizes: dict[float, int] = {}

    def __len__(self) -> int:
        return len(self.prices)

    def put(self, price: float, size: int) -> bool:
        """Set a level, or remove it with size 0; whether one had to go to make room."""
        if size <= 0:
            if self.sizes.pop(price, None) is not None:
                del self.prices[bisect_left(self.prices, price)]
            return False
        if price not in self.sizes:
            insort(self.prices, price)
        self.sizes[price] = size
        if len(self.prices) <= LEVELS_MAX:
            return False
        del self.sizes[self.prices.pop(0 if self._best_is_last else -1)]
        return True

    def clear(self) -> None:
        self.prices.clear()
        self.sizes.clear()

    @property
    def best(self) -> float | None:
        if not self.prices:
            return None
        return self.prices[-1] if self._best_is_last else self.prices[0]

    def levels(self, depth: int | None = None) -> tuple[Level, ...]:
        """From the best on."""
        count = len(self.prices) if depth is None else max(0, depth)
        if self._best_is_last:
            prices = self.prices[::-1] if depth is None else self.prices[-1 : -count - 1 : -1]
        else:
            prices = self.prices[:count]
        return tuple([(price, self.sizes[price]) for price in prices])


class Book:
    """The book of one contract as one connection tells it.

    Attributes:
        synced: see the module's text.
        flaws: rows since the last Reset that could not be applied.
        resets: Reset rows so far.
        last: the latest row, or None.
        ts_event: exchange time of the latest row that had one, ns UTC; 0 before it.
    """

    __slots__ = (
        "_began",
        "_reset",
        "asks",
        "bids",
        "flaws",
        "last",
        "resets",
        "synced",
        "ts_event",
    )

    def __init__(self) -> None:
        self.bids = _Side(best_is_last=True)
        self.asks = _Side(best_is_last=False)
        self.synced = False
        self.flaws = 0
        self.resets = 0
        self.last: DepthRow | None = None
        self.ts_event = 0
        self._began = False  # whether a record came
        self._reset = False  # whether nothing but a Reset came so far

    def apply(self, rows: Sequence[DepthRow]) -> None:
        """Carry out the rows of one record, every one in its order."""
        if not rows:
            return
        levels = 0
        for row in rows:
            kind = row.kind
            if kind in BID_KINDS:
                self.flaws += self.bids.put(row.price, row.size)
                levels += 1
            elif kind in ASK_KINDS:
                self.flaws += self.asks.put(row.price, row.size)
                levels += 1
            elif kind == _RESET:
                self._clear()
                levels = 0
            if row.ts_event:
                self.ts_event = row.ts_event
        self.last = rows[-1]
        first, self._began = not self._began, True
        if self.synced or not (self.bids.prices or self.asks.prices):
            return
        burst = first and levels >= SNAPSHOT_ROWS_MIN and self.bids.prices and self.asks.prices
        if self._reset or burst:
            self.synced = True
            self._reset = False

    def _clear(self) -> None:
        self.bids.clear()
        self.asks.clear()
        self.synced = False
        self.flaws = 0
        self.resets += 1
        self._reset = True

    def snapshot(self, contract_id: str, line: int, depth: int | None = None) -> BookSnapshot:
        """The book now, `depth` levels of each side; None gives all."""
        last = self.last
        return BookSnapshot(
            contract_id=contract_id,
            bids=self.bids.levels(depth),
            asks=self.asks.levels(depth),
            ts_event=self.ts_event,
            ts_recv=0 if last is None else last.ts_recv,
            seq=-1 if last is None else last.seq,
            synced=self.synced,
            line=line,
            flaws=self.flaws,
        )

    def as_rows(self) -> tuple[DepthRow, ...]:
        """The book as rows that make it: a Reset and its levels, from the worst to the best."""
        last = self.last
        recv_ns, seq = (0, -1) if last is None else (last.ts_recv, last.seq)

        def row(kind: int, price: float, size: int) -> DepthRow:
            return DepthRow(kind, price, size, 0, self.ts_event, recv_ns, seq)

        # So that it is crossed at no moment in between, unless the book is.
        return (
            row(_RESET, 0.0, 0),
            *(row(_BID, price, size) for price, size in reversed(self.bids.levels())),
            *(row(_ASK, price, size) for price, size in reversed(self.asks.levels())),
        )


@dataclass(slots=True)
class _Ladder:
    """The books of one contract."""

    books: dict[int, Book] = field(default_factory=dict)  # bound: BOOKS_MAX
    published: int | None = None
    resets: int = 0
    restarts: int = 0
    crossed: int = 0
    locked: int = 0


class Books:
    """The books of all contracts and lines; see the module's text."""

    def __init__(self) -> None:
        self._ladders: dict[str, _Ladder] = {}  # bound: the contracts that are followed
        self._live: dict[int, None] = {}  # lines, by when they were connected

    # -- lines -------------------------------------------------------------------------------

    def connected(self, line: int) -> list[DepthUpdate]:
        """A line has a new connection: what it said before is void."""
        updates = self.disconnected(line)
        while len(self._live) >= LINES_MAX:
            del self._live[next(iter(self._live))]
        self._live[line] = None
        for contract_id, ladder in self._ladders.items():
            if line in ladder.books:  # the published one, because no other was better off
                book = ladder.books[line] = Book()
                ladder.restarts += 1
                updates.append(
                    DepthUpdate(contract_id, line, synced=False, restart=True, rows=book.as_rows())
                )
        return updates

    def disconnected(self, line: int) -> list[DepthUpdate]:
        """A line's connection has ended; what that does to published books."""
        self._live.pop(line, None)
        updates = []
        for contract_id, ladder in self._ladders.items():
            book = ladder.books.get(line)
            if book is None:
                continue
            was_synced, book.synced = book.synced, False
            switched = self._elect(contract_id, ladder)
            if switched is not None:
                updates.append(switched)
            elif ladder.published == line and was_synced:
                updates.append(DepthUpdate(contract_id, line, synced=False, restart=False, rows=()))
            if ladder.published != line:
                ladder.books.pop(line, None)
        return updates

    # -- rows --------------------------------------------------------------------------------

    def apply(
        self, contract_id: str, line: int, rows: Sequence[DepthRow], flaws: int = 0
    ) -> list[DepthUpdate]:
        """Carry out one record of a line.

        Args:
            contract_id: of all rows.
            line: number of the connection.
            rows: in the order of the record.
            flaws: how many more rows the record had that cannot be applied.

        Returns:
            What happened to published books, in order; nothing if another line's is published.
        """
        if not rows and not flaws:
            return []
        # Some sources tell of no connections.
        updates = [] if line in self._live else self.connected(line)
        ladder = self._ladders.setdefault(contract_id, _Ladder())
        book = ladder.books.get(line)
        if book is None:
            book = ladder.books[line] = Book()
            self._make_room(ladder, line)
        before = book.resets
        book.apply(rows)
        book.flaws += flaws
        ladder.resets += book.resets - before
        update = self._elect(contract_id, ladder)
        if update is None and ladder.published == line and rows:
            update = DepthUpdate(contract_id, line, book.synced, restart=False, rows=tuple(rows))
        if update is not None:
            self._look(ladder)
            updates.append(update)
        return updates

    def forget(self, contract_id: str) -> None:
        """Drop the books of a contract."""
        self._ladders.pop(contract_id, None)

    def _make_room(self, ladder: _Ladder, newest: int) -> None:
        if len(ladder.books) <= BOOKS_MAX:
            return
        keep = {newest, ladder.published}
        del ladder.books[next(line for line in ladder.books if line not in keep)]

    def _elect(self, contract_id: str, ladder: _Ladder) -> DepthUpdate | None:
        """Publish the book that is best off; the update if that is another one than before."""
        best: int | None = None
        best_rank = -1
        for line in (*(line for line in self._live if line in ladder.books), *ladder.books):
            rank = self._rank(line, ladder.books[line])
            if rank > best_rank or (rank == best_rank and line == ladder.published):
                best, best_rank = line, rank
        if best is None or best == ladder.published or not best_rank:
            return None
        gone, ladder.published = ladder.published, best
        if gone is not None and gone not in self._live:
            ladder.books.pop(gone, None)
        ladder.restarts += 1
        book = ladder.books[best]
        return DepthUpdate(contract_id, best, book.synced, restart=True, rows=book.as_rows())

    def _rank(self, line: int, book: Book) -> int:
        if line not in self._live or book.last is None:
            return 0
        return 2 if book.synced else 1

    def _look(self, ladder: _Ladder) -> None:
        if ladder.published is None:
            return
        book = ladder.books[ladder.published]
        bid, ask = book.bids.best, book.asks.best
        if bid is not None and ask is not None:
            ladder.crossed += bid > ask
            ladder.locked += bid == ask

    # -- what can be read --------------------------------------------------------------------

    def snapshot(self, contract_id: str, depth: int | None = None) -> BookSnapshot | None:
        """The published book of a contract; None before its first row.

        Args:
            contract_id: which.
            depth: levels of each side; None gives all.
        """
        ladder = self._ladders.get(contract_id)
        if ladder is None or ladder.published is None:
            return None
        return ladder.books[ladder.published].snapshot(contract_id, ladder.published, depth)

    def tallies(self) -> tuple[BookTally, ...]:
        """The counters of every contract that has a book."""
        return tuple(
            _tally(contract_id, ladder, ladder.published)
            for contract_id, ladder in self._ladders.items()
            if ladder.published is not None
        )


def _tally(contract_id: str, ladder: _Ladder, published: int) -> BookTally:
    book = ladder.books[published]
    return BookTally(
        contract_id=contract_id,
        line=published,
        lines=len(ladder.books),
        synced=book.synced,
        flaws=book.flaws,
        bids=len(book.bids),
        asks=len(book.asks),
        resets=ladder.resets,
        restarts=ladder.restarts,
        crossed=ladder.crossed,
        locked=ladder.locked,
    )
