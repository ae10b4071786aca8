"""Simulated depth follows the simulated market (`tapekeeper.sim.depth`)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

from tapekeeper.core.book import Book
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.depth import DepthDecoder
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.depth import DepthKind, DepthRow
from tapekeeper.sim.contracts import PRODUCTS, listed
from tapekeeper.sim.depth import DepthLadder
from tapekeeper.sim.market import MarketSpec, SyntheticMarket
from tapekeeper.sim.wire import DepthRows, QuoteDelta, Trades, depth_record

START_NS = 1_767_625_200_000_000_000
MES = "CON.F.US.MES.H26"


def decoded(rows: DepthRows) -> list[DepthRow]:
    """The rows as a client reads them from the wire."""
    record = json.loads(depth_record(rows).removesuffix(b"\x1e"))
    call = Invocation(record["target"], json.dumps(record["arguments"]).encode())
    read = DepthDecoder().decode(call.arguments, 0)
    assert read.rejected == []
    assert read.received == len(rows.rows)
    return read.rows


def played(
    ladder: DepthLadder, events: int = 3_000
) -> Iterator[tuple[Trades | QuoteDelta, DepthRows]]:
    """A market's events with the rows that go with them, from the snapshot on."""
    product = PRODUCTS["MES"]
    front, _ = listed(product, dt.date(2026, 1, 5))
    spec = MarketSpec(front, product, 7, START_NS, 20.0)
    market = SyntheticMarket(spec, calendar_by_name("24x7")).events()
    state: QuoteDelta | None = None
    for _ in range(events):
        event = next(market)
        if isinstance(event, QuoteDelta):
            known = {} if state is None else state.members
            state = QuoteDelta(event.contract_id, event.ts_ns, known | event.members)
        if state is None:
            continue
        rows = (
            ladder.follow(event, state) if ladder.has_begun else ladder.snapshot(state, anew=True)
        )
        if rows is not None:
            yield event, rows


def test_the_rows_make_the_ladder() -> None:
    """A client that applies every row has exactly the levels of the simulated book."""
    ladder, book = DepthLadder(MES, 0.25, 7, 10), Book()
    for _, rows in played(ladder):
        book.apply(decoded(rows))
        assert {price * 4: size for price, size in book.bids.sizes.items()} == ladder.bids
        assert {price * 4: size for price, size in book.asks.sizes.items()} == ladder.asks
    assert book.synced
    assert book.resets == 1


def test_every_kind_of_change_is_there() -> None:
    """Levels, best levels, removals, prints, news of best prices, and one Reset at the begin."""
    kinds: set[int] = set()
    removals = 0
    for number, (_, rows) in enumerate(played(DepthLadder(MES, 0.25, 7, 10))):
        resets = [row for row in rows.rows if row.kind == DepthKind.RESET]
        assert len(resets) == (number == 0)
        kinds |= {row.kind for row in rows.rows}
        removals += sum(row.size == 0 and row.kind in {1, 2} for row in rows.rows)
    assert kinds == {1, 2, 3, 4, 5, 6, 9, 10}
    assert removals > 100


def test_a_quote_leaves_the_best_prices_at_its_own() -> None:
    """After a quote, book and quote agree; in between prints may have emptied the best level."""
    ladder = DepthLadder(MES, 0.25, 7, 10)
    checked = 0
    for event, _ in played(ladder):
        if isinstance(event, QuoteDelta) and {"bestBid", "bestAsk"} <= set(event.members):
            assert max(ladder.bids) == float(event.members["bestBid"]) * 4
            assert min(ladder.asks) == float(event.members["bestAsk"]) * 4
            assert (len(ladder.bids), len(ladder.asks)) == (10, 10)
            checked += 1
    assert checked > 100


def test_the_prints_within_depth_are_those_of_the_trades() -> None:
    """In the order of the trades, each with its price and size."""
    for event, rows in played(DepthLadder(MES, 0.25, 7, 10)):
        prints = [(float(row.price), row.volume) for row in rows.rows if row.kind == 5]
        if isinstance(event, Trades):
            assert prints == [(float(one.price), one.size) for one in event.prints]
        else:
            assert prints == []


def test_a_deep_book_is_a_record_of_more_than_64_kib() -> None:
    """As live snapshots are, which break clients that read too little."""
    quote = QuoteDelta(MES, START_NS, {"bestBid": "6000.00", "bestAsk": "6000.25"})
    rows = DepthLadder(MES, 0.25, 7, 500).snapshot(quote, anew=True)
    assert rows is not None
    assert len(depth_record(rows)) > 65_536
    book = Book()
    book.apply(decoded(rows))
    assert (len(book.bids), len(book.asks), book.synced) == (500, 500, True)


def test_the_same_seed_gives_the_same_rows() -> None:
    """Another seed gives others."""
    made = [list(played(DepthLadder(MES, 0.25, seed, 10), 300)) for seed in (1, 1, 2)]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_without_a_tick_size_or_a_quote_there_is_no_depth() -> None:
    """A recording may know neither."""
    quote = QuoteDelta(MES, START_NS, {"bestBid": "6000.00", "bestAsk": "6000.25"})
    assert DepthLadder(MES, 0.0, 1, 10).snapshot(quote, anew=True) is None
    ladder = DepthLadder(MES, 0.25, 1, 10)
    assert ladder.snapshot(None, anew=True) is None
    assert ladder.snapshot(QuoteDelta(MES, 1, {"bestBid": "6000.00"}), anew=True) is None
    assert ladder.follow(quote, quote) is None
