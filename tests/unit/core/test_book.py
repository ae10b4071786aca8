"""Order books: every row in its order, a book for each line, one of them published."""

from __future__ import annotations

import pytest

from tapekeeper.core.book import BOOKS_MAX, LEVELS_MAX, LINES_MAX, Book, Books
from tapekeeper.model.depth import BookSnapshot, DepthKind, DepthRow, DepthUpdate

ES = "CON.F.US.EP.Z26"


def row(kind: DepthKind, price: float, size: int, seq: int = 0) -> DepthRow:
    """One row; times are of no matter to a book."""
    return DepthRow(int(kind), price, size, 0, 100 + seq, 200 + seq, seq)


def bid(price: float, size: int) -> DepthRow:
    """Contracts that rest at a bid."""
    return row(DepthKind.BID, price, size)


def ask(price: float, size: int) -> DepthRow:
    """Contracts that rest at an ask."""
    return row(DepthKind.ASK, price, size)


RESET = row(DepthKind.RESET, 0.0, 0)
BURST = [bid(99.0, 5), bid(98.0, 6), ask(100.0, 7), ask(101.0, 8)]


def made(*rows: DepthRow) -> BookSnapshot:
    """The book after one record of these rows."""
    book = Book()
    book.apply(rows)
    return book.snapshot(ES, 1)


def published(books: Books) -> BookSnapshot:
    """The published book, which there must be."""
    book = books.snapshot(ES)
    assert book is not None
    return book


# -- one book -------------------------------------------------------------------------------------


def test_levels_are_set_changed_and_removed() -> None:
    """The last row of a price says what rests there; none rests where it says 0."""
    book = made(*BURST, bid(99.0, 9), ask(100.0, 0), bid(97.0, 0))
    assert book.bids == ((99.0, 9), (98.0, 6))
    assert book.asks == ((101.0, 8),)
    assert (book.best_bid, book.best_ask) == ((99.0, 9), (101.0, 8))


def test_best_rows_are_levels_too() -> None:
    """`BestBid` and `BestAsk` say what rests at the best price."""
    book = made(row(DepthKind.BEST_BID, 99.0, 5), row(DepthKind.BEST_ASK, 100.0, 7))
    assert (book.bids, book.asks) == (((99.0, 5),), ((100.0, 7),))


@pytest.mark.parametrize(
    "kind",
    [
        DepthKind.TRADE,
        DepthKind.FILL,
        DepthKind.LOW,
        DepthKind.HIGH,
        DepthKind.NEW_BEST_BID,
        DepthKind.NEW_BEST_ASK,
    ],
)
def test_other_rows_change_no_level(kind: DepthKind) -> None:
    """Executions and news are told beside the levels, which have rows of their own."""
    assert made(*BURST, row(kind, 99.0, 1)).bids == made(*BURST).bids
    assert made(*BURST, row(kind, 100.0, 0)).asks == made(*BURST).asks


def test_a_reset_clears_what_was_before_it_in_the_same_record() -> None:
    """Rows are carried out in order, so levels before a Reset are gone and those after it stay."""
    book = made(*BURST, RESET, bid(90.0, 1))
    assert (book.bids, book.asks) == (((90.0, 1),), ())


def test_a_snapshot_gives_as_many_levels_as_are_asked_for() -> None:
    """From the best on; more than there are gives all, none gives none."""
    book = Book()
    book.apply(BURST)
    assert book.snapshot(ES, 1, 1).bids == ((99.0, 5),)
    assert book.snapshot(ES, 1, 1).asks == ((100.0, 7),)
    assert book.snapshot(ES, 1, 9).asks == ((100.0, 7), (101.0, 8))
    assert book.snapshot(ES, 1, 0).bids == ()


def test_the_time_of_a_book_is_that_of_its_latest_row_that_has_one() -> None:
    """A Reset without a stamp does not put the book back to 1970."""
    book = Book()
    book.apply([row(DepthKind.BID, 99.0, 5, seq=3), DepthRow(6, 0.0, 0, 0, 0, 250, 4)])
    assert book.ts_event == 103
    assert (book.snapshot(ES, 1).ts_recv, book.snapshot(ES, 1).seq) == (250, 4)


def test_too_many_levels_are_a_flaw_and_cost_the_furthest_one() -> None:
    """The bound holds, the best prices stay, and the book says that it lacks something."""
    book = Book()
    book.apply([bid(float(price), 1) for price in range(1, LEVELS_MAX + 2)])
    book.apply([ask(float(price), 1) for price in range(20_000, 20_000 + LEVELS_MAX + 1)])
    assert (len(book.bids), len(book.asks), book.flaws) == (LEVELS_MAX, LEVELS_MAX, 2)
    assert (book.bids.best, book.asks.best) == (float(LEVELS_MAX + 1), 20_000.0)
    assert min(book.bids.sizes) == 2.0
    assert max(book.asks.sizes) == 20_000.0 + LEVELS_MAX - 1


# -- synced ---------------------------------------------------------------------------------------


def test_a_first_record_with_both_sides_is_a_snapshot() -> None:
    """Nothing marks it, so its size does."""
    assert made(*BURST).synced
    assert not made(bid(99.0, 5)).synced
    assert not made(bid(99.0, 5), ask(100.0, 7)).synced
    assert not made(*(bid(90.0 + step, 1) for step in range(9))).synced


def test_a_burst_that_is_not_the_first_record_is_no_snapshot() -> None:
    """What was before it may be there no more, and nothing says so."""
    book = Book()
    book.apply([bid(1.0, 1)])
    book.apply(BURST)
    assert not book.synced


def test_a_book_is_synced_by_the_levels_after_a_reset() -> None:
    """An empty book is not taken for the market's, in this record or in the next ones."""
    book = Book()
    book.apply([RESET])
    assert not book.synced
    book.apply([row(DepthKind.TRADE, 99.0, 0)])
    assert not book.synced
    book.apply([bid(99.0, 5)])
    assert book.snapshot(ES, 1).synced
    book.apply([RESET])
    assert not book.snapshot(ES, 1).synced
    book.apply([RESET, bid(99.0, 5)])
    assert book.snapshot(ES, 1).synced
    assert book.resets == 3


def test_a_reset_forgives_flaws() -> None:
    """What could not be applied before it does not matter after it."""
    books = Books()
    books.apply(ES, 1, BURST, flaws=2)
    assert published(books).flaws == 2
    books.apply(ES, 1, [RESET, *BURST])
    assert published(books).flaws == 0


# -- several lines --------------------------------------------------------------------------------


def test_lines_do_not_mix() -> None:
    """The second line's rows, late or other, never reach the published book."""
    books = Books()
    books.connected(1)
    books.connected(2)
    assert len(books.apply(ES, 1, BURST)) == 1
    assert books.apply(ES, 2, [bid(1.0, 1), *BURST]) == []
    assert len(books.apply(ES, 1, [bid(99.0, 0)])) == 1
    assert books.apply(ES, 2, [bid(99.0, 77)]) == []
    assert published(books).bids == ((98.0, 6),)
    assert published(books).line == 1


def test_a_hand_over_waits_for_the_new_book_and_switches_with_the_old_line() -> None:
    """While the old line lives it is published; when it ends, the new whole book is."""
    books = Books()
    books.connected(1)
    books.apply(ES, 1, BURST)
    books.connected(2)
    books.apply(ES, 2, [RESET, bid(99.0, 1)])
    assert published(books).line == 1
    (switch,) = books.disconnected(1)
    assert switch.restart
    assert switch.synced
    assert switch.line == 2
    assert published(books).bids == ((99.0, 1),)


def test_a_dead_line_stays_published_but_unsynced_until_another_has_rows() -> None:
    """The last that is known is shown, and said to be that; then what lives is shown."""
    books = Books()
    books.connected(1)
    books.apply(ES, 1, BURST)
    (told,) = books.disconnected(1)
    assert told == DepthUpdate(ES, 1, synced=False, restart=False, rows=())
    assert published(books).bids == ((99.0, 5), (98.0, 6))
    assert not published(books).synced
    books.connected(2)
    (update,) = books.apply(ES, 2, [bid(99.0, 4)])
    assert update.restart
    assert not update.synced
    assert published(books).bids == ((99.0, 4),)
    # And the dead one is not kept.
    assert books.tallies()[0].lines == 1


def test_an_unsynced_book_gives_way_to_a_synced_one() -> None:
    """Both lines live; the one that is whole is published, and stays it."""
    books = Books()
    books.apply(ES, 1, [bid(99.0, 5)])
    (update,) = books.apply(ES, 2, [RESET, bid(98.0, 5)])
    assert update.restart
    assert published(books).line == 2
    assert books.apply(ES, 1, [RESET, bid(97.0, 5)]) == []
    assert published(books).line == 2


def test_a_connection_under_the_same_number_begins_anew() -> None:
    """What it said before is void, and whoever follows the book is told so."""
    books = Books()
    books.connected(1)
    books.apply(ES, 1, BURST)
    updates = books.connected(1)
    assert [update.restart for update in updates] == [False, True]
    assert [row.kind for row in updates[-1].rows] == [DepthKind.RESET]
    assert published(books).bids == ()
    assert not published(books).synced
    (update,) = books.apply(ES, 1, BURST)
    assert update.synced


def test_rows_of_a_line_that_was_said_to_have_ended_begin_anew() -> None:
    """Nothing of what it said before counts, and its followers are told so."""
    books = Books()
    books.apply(ES, 1, BURST)
    books.disconnected(1)
    first, second = books.apply(ES, 1, [bid(98.0, 1)])
    assert (first.restart, second.restart) == (True, False)
    assert published(books).bids == ((98.0, 1),)
    assert not published(books).synced


def test_a_restart_is_told_as_rows_that_make_the_book() -> None:
    """A Reset, then every level, at no moment crossed."""
    books = Books()
    (update,) = books.apply(ES, 1, BURST)
    assert update.restart
    again = Book()
    for one in update.rows:
        again.apply([one])
        if again.bids.best is not None and again.asks.best is not None:
            assert again.bids.best < again.asks.best
    assert again.bids.levels() == published(books).bids
    assert again.asks.levels() == published(books).asks


def test_books_and_lines_are_bounded() -> None:
    """However many connections come and are never said to end."""
    books = Books()
    for line in range(3 * LINES_MAX):
        books.connected(line)
        books.apply(ES, line, BURST)
    (tally,) = books.tallies()
    assert tally.lines <= BOOKS_MAX
    assert tally.line == published(books).line


def test_the_tally_counts_what_happened_to_the_book() -> None:
    """Resets, restarts, and records that left it crossed or locked."""
    books = Books()
    books.apply(ES, 1, [RESET, *BURST])
    books.apply(ES, 1, [bid(100.0, 1)])
    books.apply(ES, 1, [bid(100.5, 1)])
    books.apply(ES, 1, [bid(100.0, 0), bid(100.5, 0)])
    (tally,) = books.tallies()
    assert (tally.resets, tally.restarts, tally.locked, tally.crossed) == (1, 1, 1, 1)
    assert (tally.bids, tally.asks, tally.synced, tally.flaws) == (2, 2, True, 0)


def test_a_forgotten_contract_has_no_book() -> None:
    """It begins anew when it is wanted again."""
    books = Books()
    assert books.snapshot(ES) is None
    books.apply(ES, 1, BURST)
    books.forget(ES)
    assert books.snapshot(ES) is None
    assert books.tallies() == ()
