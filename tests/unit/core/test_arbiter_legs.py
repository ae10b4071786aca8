"""What the arbiter keeps of a contract, and how it is forgotten."""

from __future__ import annotations

import gc

import pytest

from tapekeeper.core.arbiter.keys import (
    emission,
    emitted_count,
    emitted_first,
    key_of,
    keys_of,
    time_of,
)
from tapekeeper.core.arbiter.late import Late
from tapekeeper.core.arbiter.legs import Figures, Leg, Tape, picked
from tapekeeper.model.tick import TradeBatch

MS = 1_000_000


def batch(*stamps_ms: int) -> TradeBatch:
    """Prints that differ in nothing but their stamps."""
    made = TradeBatch("CON.F.US.MES.H26")
    for seq, ms in enumerate(stamps_ms):
        made.append(ms * MS, 1.0, 1, 0, ms * MS, seq)
    return made


def test_what_is_close_in_time_is_kept_together_and_in_order() -> None:
    """Few objects, whose keys are those that were brought."""
    leg = Leg(Figures(1), batch(0))
    for ms in (0, 1, 2, 900, 901):
        leg.remember(batch(ms))
    assert [len(each) for each in leg.history] == [3, 2]
    keys = [key for each in leg.history for key in keys_of(each)]
    assert [time_of(key) // MS for key in keys] == [0, 1, 2, 900, 901]
    assert keys == list(keys_of(batch(0, 1, 2, 900, 901)))


def test_prices_that_are_equal_have_equal_keys() -> None:
    """Zero has two signs, and is one price; whoever brings a whole number means the same."""
    keys = set()
    for price in (0.0, -0.0, 0):
        made = TradeBatch("CON.F.US.MES.H26")
        made.append(1, price, 1, 0, 2, 3)
        keys |= {key_of(made, 0), *keys_of(made)}
    assert len(keys) == 1


@pytest.mark.parametrize("recv_ns", [0, 1_769_000_000_123_456_789, (1 << 63) - 1])
def test_an_emission_tells_what_it_was_made_of(recv_ns: int) -> None:
    """Any count, time and line come out as they went in."""
    for count, line in ((1, 0), (70_000, 2**32 - 1), (1 << 40, 7)):
        made = emission(count, recv_ns, line)
        assert (emitted_count(made), emitted_first(made)) == (count, (recv_ns, line))
    assert emitted_count(0) == 0


def test_what_is_counted_is_nothing_to_the_garbage_collector() -> None:
    """A window of a busy market would hold up the event loop at every full collection."""
    counts = {key: emission(1, 2, 3) for key in keys_of(batch(*range(100)))}
    assert not any(map(gc.is_tracked, [*counts, *counts.values()]))


def test_history_is_cut_at_the_floor_and_at_the_bound_of_rows() -> None:
    """The floor rises with what was given up, but never above where the line stands."""
    leg = Leg(Figures(1), batch(0))
    for ms in (0, 1_000, 2_000):
        leg.remember(batch(ms))
    leg.last_ns = leg.high_ns = 2_000 * MS
    assert leg.trim(500 * MS, rows_max=9, late=Late(9)) == 500 * MS
    assert leg.history_rows == 2
    assert leg.trim(500 * MS, rows_max=1, late=Late(9)) == 1_000 * MS + 1
    assert leg.history_rows == 1


def test_those_that_wait_are_ordered_by_where_they_begin() -> None:
    """Within a stamp the one with more rows of it began before."""
    tape = Tape(9)
    for line, (first_ms, at_first) in enumerate([(5, 1), (3, 1), (3, 2)]):
        leg = tape.legs[line] = Leg(Figures(line), batch(first_ms))
        leg.waiting, leg.waiting_at_first = [], at_first
    assert [leg.figures.line for leg in tape.waiting_legs()] == [2, 1, 0]
    assert tape.open_legs() == []


def test_picked_rows_are_a_batch_of_their_own() -> None:
    """Content, times of receipt and numbers come along."""
    rows = batch(1, 2, 3)
    chosen = picked(rows, (0, 2))
    assert [key_of(chosen, row) for row in range(2)] == [key_of(rows, 0), key_of(rows, 2)]
    assert (chosen.ts_recv, chosen.seq) == ([1 * MS, 3 * MS], [0, 2])
