"""Any rows in any records on any lines: the book is that of a plain dict, and all is counted."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.book import Book, Books
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.depth import DepthDecoder
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.depth import DepthRow, DepthUpdate, Level
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe

PRICES = st.integers(1, 12).map(lambda ticks: ticks * 0.25)
ROWS = st.builds(
    DepthRow,
    kind=st.integers(1, 11),
    price=PRICES,
    size=st.integers(0, 3),
    volume=st.integers(0, 3),
    ts_event=st.integers(1, 9),
    ts_recv=st.just(1),
    seq=st.just(0),
)
RECORDS = st.lists(ROWS, max_size=8)
LINES = st.integers(1, 3)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("rows"), LINES, RECORDS),
        st.tuples(st.just("rows"), LINES, RECORDS),
        st.tuples(st.just("connected"), LINES, st.just([])),
        st.tuples(st.just("disconnected"), LINES, st.just([])),
    ),
    max_size=25,
)


class NaiveBook:
    """Two dicts, and nothing that is clever."""

    def __init__(self) -> None:
        self.bids: dict[float, int] = {}
        self.asks: dict[float, int] = {}

    def apply(self, row: DepthRow) -> None:
        """One row."""
        if row.kind == 6:
            self.bids, self.asks = {}, {}
        for side, kinds in ((self.bids, (2, 4)), (self.asks, (1, 3))):
            if row.kind in kinds:
                side[row.price] = row.size
                if row.size == 0:
                    del side[row.price]

    def levels(self) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Both sides, best first."""
        return tuple(sorted(self.bids.items(), reverse=True)), tuple(sorted(self.asks.items()))


@given(st.lists(RECORDS, max_size=20), st.integers(0, 5))
def test_a_book_is_what_its_rows_say(records: list[list[DepthRow]], depth: int) -> None:
    """Whatever the records, levels and best prices equal those of two dicts, cut anywhere."""
    book, naive = Book(), NaiveBook()
    for rows in records:
        book.apply(rows)
        for row in rows:
            naive.apply(row)
        bids, asks = naive.levels()
        shot = book.snapshot("A", 1)
        assert (shot.bids, shot.asks) == (bids, asks)
        assert (book.bids.best, book.asks.best) == (
            bids[0][0] if bids else None,
            asks[0][0] if asks else None,
        )
        cut = book.snapshot("A", 1, depth)
        assert (cut.bids, cut.asks) == (bids[:depth], asks[:depth])


@given(EVENTS)
def test_who_applies_every_update_has_the_published_book(
    events: list[tuple[str, int, list[DepthRow]]],
) -> None:
    """Through any order of rows, connections and ends of three lines, at every moment."""
    books, follower = Books(), NaiveBook()
    told: DepthUpdate | None = None
    of_line: dict[int, NaiveBook] = {}
    ended: set[int] = set()
    for what, line, rows in events:
        if what == "rows":
            if line in ended and rows:  # it begins anew
                of_line.pop(line, None)
                ended.discard(line)
            updates = books.apply("A", line, rows)
            of_line.setdefault(line, NaiveBook())
            for row in rows:
                of_line[line].apply(row)
        elif what == "connected":
            updates = books.connected(line)
            of_line.pop(line, None)
            ended.discard(line)
        else:
            updates = books.disconnected(line)
            ended.add(line)
        for each in updates:
            told = each
            for row in each.rows:
                follower.apply(row)
        shot = books.snapshot("A")
        if shot is None:
            assert told is None
            continue
        assert told is not None
        assert (shot.bids, shot.asks) == follower.levels()
        assert (shot.line, shot.synced) == (told.line, told.synced)
        # And no other line's rows are in it; a dead line's book is the last that it said.
        if what == "rows" and line == shot.line:
            assert follower.levels() == of_line[line].levels()


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "6", "2026-11-20T14:30:00Z", "0001-01-01T00:00:00+00:00"]),
    st.just([]),
    st.just({}),
)
WIRE_ROWS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.integers(0, 12) | ODD,
        "price": PRICES | ODD,
        "volume": st.integers(0, 3) | ODD,
        "currentVolume": st.integers(0, 3) | ODD,
        "timestamp": st.just("2026-11-20T14:30:00.1234567+00:00") | ODD,
        "index": ODD,
    },
)
GOOD_ROWS = st.fixed_dictionaries(
    {
        "type": st.integers(1, 11),
        "price": PRICES,
        "volume": st.integers(0, 3),
        "currentVolume": st.integers(0, 3),
        "timestamp": st.just("2026-11-20T14:30:00.1234567+00:00"),
    }
)
DATA = st.one_of(
    WIRE_ROWS,
    st.lists(GOOD_ROWS | WIRE_ROWS | ODD, max_size=6),
    st.fixed_dictionaries({"data": st.lists(GOOD_ROWS, max_size=3) | WIRE_ROWS | ODD}),
    ODD,
)
CALLS = st.one_of(
    st.tuples(st.sampled_from(["A", "B", ""]), DATA).map(lambda call: json.dumps(call).encode()),
    st.binary(max_size=20),
)


@given(st.lists(st.tuples(LINES, CALLS), max_size=12))
def test_every_row_is_accepted_a_duplicate_or_quarantined(calls: list[tuple[int, bytes]]) -> None:
    """No call raises, and the identity of counts holds after each of them."""
    pipeline = Pipeline(grace_ns=0)
    instrument = Instrument("A", "A", tick_size=0.25)
    frames = (Timeframe.parse("1m"),)
    pipeline.subscribe(Subscription(instrument, frames, calendar_by_name("24x7"), depth=True))
    quarantined = 0
    for line, arguments in calls:
        pipeline.take([Invocation("GatewayDepth", arguments)], 1, line)
        outputs = pipeline.step()
        quarantined += sum(item.ticks for item in outputs.rejected)
        counts = pipeline.depth.counts()
        assert counts.holds
        assert counts.quarantined == quarantined
        assert pipeline.trade_counts().received == 0


@given(st.lists(GOOD_ROWS, min_size=1, max_size=6))
def test_rows_read_alike_alone_and_together(rows: list[dict[str, Any]]) -> None:
    """The quick way and the one that reads member by member give the same rows."""
    together = DepthDecoder().decode(json.dumps(["A", rows]).encode(), 1)
    odd = [{**row, "volume": float(row["volume"])} for row in rows]
    one_by_one = DepthDecoder().decode(json.dumps(["A", odd]).encode(), 1)
    assert together == one_by_one
    assert together.received == len(rows)
