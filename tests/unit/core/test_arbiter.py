"""What the arbiter decides at its edges, and what it says of each line."""

from __future__ import annotations

import gc
from copy import deepcopy

import pytest

from tapekeeper.core.arbiter import HOLD_NS, LEGS_MAX, TALLIES_MAX, WINDOW_NS, Arbiter
from tapekeeper.model.snapshot import LineTally
from tapekeeper.model.tick import TradeBatch

MES = "CON.F.US.MES.H26"
START = 1_767_625_200_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS


def batch(*stamps_ms: int, recv_ms: int | None = None, price: float = 1.0) -> TradeBatch:
    """Prints that differ in nothing but their stamps, in ms after START."""
    made = TradeBatch(MES)
    for seq, ms in enumerate(stamps_ms):
        recv_ns = START + (ms if recv_ms is None else recv_ms) * MS
        made.append(START + ms * MS, price, 1, 0, recv_ns, seq)
    return made


def passed(arbiter: Arbiter, line: int, rows: TradeBatch) -> list[int]:
    """The stamps that pass, in ms after START."""
    return [
        (ts_ns - START) // MS
        for each in arbiter.admit(line, rows).batches
        for ts_ns in each.ts_event
    ]


def tally(arbiter: Arbiter, line: int) -> LineTally:
    """The figures of one line."""
    return next(each for each in arbiter.tallies() if each.line == line)


def test_one_line_alone_passes_as_it_is() -> None:
    """The very batch goes on, repeats and steps back included, and nothing is counted."""
    arbiter = Arbiter()
    rows = batch(5, 5, 3, 5)
    assert arbiter.admit(1, rows).batches == [rows]
    assert arbiter.admit(1, rows).batches[0] is rows
    assert arbiter.statistics().keys == 0


def test_a_batch_that_was_handed_on_is_not_changed() -> None:
    """The history joins what follows to a copy, whatever the size of the batch."""
    for rows in (batch(5), batch(*range(5, 100))):
        arbiter = Arbiter()
        before = deepcopy(rows)
        passed(arbiter, 1, rows)
        passed(arbiter, 1, batch(100, 101))
        assert rows == before


def test_a_busy_window_is_kept_in_few_objects() -> None:
    """A thousand single prints of a second are not a thousand objects for the collector."""
    arbiter = Arbiter()
    for ms in range(1_000):
        passed(arbiter, 1, batch(ms))
    gc.collect()
    kept = sum(isinstance(each, TradeBatch) for each in gc.get_objects())
    assert arbiter.statistics().rows == 1_000
    assert kept < 100


def test_identical_prints_pass_as_often_as_one_line_brings_them() -> None:
    """The n-th occurrence passes with the first line that brings its n-th."""
    arbiter = Arbiter()
    assert passed(arbiter, 1, batch(0, 5, 5)) == [0, 5, 5]
    assert passed(arbiter, 2, batch(0, 5, 5, 5)) == [5]
    assert passed(arbiter, 1, batch(5, 5)) == [5]


def test_a_lagging_line_that_is_left_alone_goes_on_where_the_tape_is() -> None:
    """What the dead line had brought are duplicates until the other has caught up."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10, 20, 30))
    assert passed(arbiter, 2, batch(0, 10, recv_ms=500)) == []
    assert passed(arbiter, 2, batch(20, 30, 40, recv_ms=600)) == [40]


def test_a_line_that_joins_ahead_waits_for_what_is_under_way() -> None:
    """Its prints go behind those of the line that was there, as soon as that one has passed."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0))
    assert passed(arbiter, 2, batch(20, 30)) == []
    assert arbiter.holds(MES)
    assert passed(arbiter, 1, batch(10, 20, recv_ms=31)) == [10, 20]
    assert passed(arbiter, 1, batch(30, recv_ms=32)) == [30]
    assert not arbiter.holds(MES)
    assert tally(arbiter, 2).duplicates == 2


def test_a_line_waits_no_longer_than_the_hold() -> None:
    """A line that is dead holds nobody back for longer, by the times of receipt."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0))
    hold_ms = HOLD_NS // MS
    assert passed(arbiter, 2, batch(20)) == []
    assert passed(arbiter, 2, batch(19 + hold_ms)) == []
    assert passed(arbiter, 2, batch(20 + hold_ms)) == [20, 19 + hold_ms, 20 + hold_ms]


def test_a_line_that_was_connected_long_before_does_not_wait() -> None:
    """In a quiet contract its first print may be the first that there was."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0))
    arbiter.connected(2, START)
    assert passed(arbiter, 2, batch(HOLD_NS // MS)) == [HOLD_NS // MS]


def test_a_repetition_is_known_where_another_line_contributes() -> None:
    """Records sent again change nothing, and the line goes on behind them."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10, 20))
    passed(arbiter, 2, batch(0, 10, 20))
    assert passed(arbiter, 2, batch(10, 20)) == []
    assert passed(arbiter, 2, batch(20, 30)) == [20, 30]
    assert tally(arbiter, 2).repeats == 2


def test_a_late_print_with_other_content_passes() -> None:
    """A step back is no repetition by itself."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10, 20))
    passed(arbiter, 2, batch(0, 10, 20))
    assert passed(arbiter, 1, batch(10, price=2.0)) == [10]
    assert passed(arbiter, 2, batch(10, price=2.0)) == []


def test_beyond_the_window_what_was_covered_is_a_duplicate_and_the_rest_passes() -> None:
    """A stalled line brings back only what nobody else had."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10))
    window_ms = WINDOW_NS // MS
    arbiter.connected(2, START)
    far = [30_000, 30_100, 30_100 + 2 * window_ms, 30_200 + 2 * window_ms]
    assert passed(arbiter, 2, batch(*far)) == far
    late_ms = 60_000
    assert passed(arbiter, 1, batch(15_000, recv_ms=late_ms)) == [15_000]
    assert passed(arbiter, 1, batch(30_050, recv_ms=late_ms)) == []
    assert tally(arbiter, 1).stale == 2


def test_a_contract_of_one_line_stays_uncounted() -> None:
    """Only contracts to which two lines contribute cost anything."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0))
    passed(arbiter, 2, batch(0))
    other = TradeBatch("CON.F.US.MNQ.H26")
    other.append(START, 1.0, 1, 0, START, 9)
    assert arbiter.admit(1, other).batches == [other]
    assert arbiter.statistics().contracts_counted <= 1


def test_counting_ends_when_the_other_line_is_out_of_the_window() -> None:
    """The line that is left passes as it is again, and nothing is kept of the other."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10))
    passed(arbiter, 2, batch(0, 10))
    assert arbiter.statistics().contracts_counted == 1
    window_ms = WINDOW_NS // MS
    assert len(passed(arbiter, 2, batch(20 + window_ms, 21 + window_ms, 22 + window_ms))) == 3
    statistics = arbiter.statistics()
    assert (statistics.contracts_counted, statistics.keys) == (0, 0)


def test_impossible_stamps_move_nothing() -> None:
    """They pass uncounted to validation, and the window stays where it is."""
    arbiter = Arbiter(latest_ns=START + SECOND)
    passed(arbiter, 1, batch(0, 10))
    assert passed(arbiter, 1, batch(2_000)) == [2_000]
    assert passed(arbiter, 2, batch(0, 10, 2_000)) == [2_000]


@pytest.mark.parametrize("year_ns", [-62_135_596_800 * SECOND, 253_402_300_799 * SECOND])
def test_a_stamp_of_any_year_passes(year_ns: int) -> None:
    """The years 1 and 9999 are beyond 64 bits of ns; with two lines, too, they only pass by."""
    arbiter = Arbiter()
    wild = TradeBatch(MES, [year_ns], [1.0], [1], [0], [START], [0])
    for line in (1, 2):
        passed(arbiter, line, batch(0, 10))
        (out,) = arbiter.admit(line, wild).batches
        assert out.ts_event == [year_ns]
    assert passed(arbiter, 2, batch(10, 20)) != []
    assert arbiter.statistics().contracts_counted == 1


def test_the_bound_of_keys_makes_the_window_shorter() -> None:
    """The oldest are forgotten and counted as evicted; what is new passes all the same."""
    arbiter = Arbiter(keys_max=8)
    passed(arbiter, 1, batch(0))
    passed(arbiter, 2, batch(0))
    stamps = range(1, 40)
    assert [ms for ms in stamps for _ in passed(arbiter, 1, batch(ms))] == list(stamps)
    statistics = arbiter.statistics()
    assert statistics.evicted > 0
    assert statistics.keys <= 8


def test_lines_and_their_figures_are_bounded() -> None:
    """A line that flaps under new numbers leaves no more than the bounds behind."""
    arbiter = Arbiter(hold_ns=0)
    for line in range(3 * TALLIES_MAX):
        passed(arbiter, line, batch(line))
    assert len(arbiter.tallies()) == TALLIES_MAX
    assert arbiter.statistics().rows <= LEGS_MAX


def test_forty_lines_within_the_window_lose_nothing_and_bring_nothing_twice() -> None:
    """In turn each brings one of two equal prints, then the other one."""
    arbiter = Arbiter(hold_ns=0)
    through: list[int] = []
    for ms in range(80):
        for _ in range(2):
            for line in range(min(ms + 1, 40)):
                through += passed(arbiter, line, batch(ms, recv_ms=1_000 + ms))
    assert through == [ms for ms in range(80) for _ in range(2)]


def test_a_tally_says_who_leads_by_how_much_and_who_lost_what() -> None:
    """Lead of one is lag of the other; what one brought and the other did not is lost."""
    arbiter = Arbiter()
    window_ms = WINDOW_NS // MS
    passed(arbiter, 1, batch(0, 10, 20, 30))
    passed(arbiter, 2, batch(0, 20, 30, recv_ms=80))
    for line in (1, 2):
        later = [40, 40 + window_ms, 50 + window_ms, 60 + window_ms]
        passed(arbiter, line, batch(*later, recv_ms=60 + window_ms))
    ahead, behind = tally(arbiter, 1), tally(arbiter, 2)
    assert (ahead.lost, behind.lost) == (0, 1)
    assert ahead.lead_ns_max == behind.lag_ns_max == 80 * MS
    assert (ahead.lag_ns_max, behind.lead_ns_max) == (0, 0)
    assert ahead.rows == ahead.first + ahead.duplicates
