"""The rules that look at other prints: the band, and what is let back in."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tapekeeper.core.validate import Judged, RulePolicy, TradeRules
from tapekeeper.core.validate.band import BLOCK_PRINTS, SPELLS_MAX, PriceBand
from tapekeeper.core.validate.rules import PENDING_MAX, PRICES_MAX
from tapekeeper.model.tick import Flag, Reason, TradeBatch

NOON = 1_767_625_200_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000
TICK = 0.25
Row = tuple[int, float]
USUAL = RulePolicy()


def batch_of(
    rows: Iterable[Row], *, size: int = 1, behind_ns: int = MS, seq: int = 0
) -> TradeBatch:
    """Prints of (time after noon, price), each received `behind_ns` after its stamp."""
    made = TradeBatch("C")
    for number, (after_ns, price) in enumerate(rows, start=seq):
        made.append(NOON + after_ns, price, size, 0, NOON + after_ns + behind_ns, number)
    return made


def one(after_ns: int, price: float, recv_after_ns: int | None = None, seq: int = 0) -> TradeBatch:
    """A single print; without a time of receipt it comes 1 ms after its stamp."""
    made = TradeBatch("C")
    recv_ns = NOON + (after_ns + MS if recv_after_ns is None else recv_after_ns)
    made.append(NOON + after_ns, price, 1, 0, recv_ns, seq)
    return made


def settled(policy: RulePolicy = USUAL, tick_size: float = TICK) -> TradeRules:
    """Rules that have seen prices between 6,000 and 6,002 in the 6.4 seconds up to noon."""
    rules = TradeRules(tick_size, policy)
    rows = [((n - 2 * BLOCK_PRINTS) * 100 * MS, 6_000.0 + n % 9 * TICK) for n in range(64)]
    assert rules.judge(batch_of(rows)) is None
    return rules


def rejected(rules: TradeRules, batch: TradeBatch) -> list[tuple[float, Reason]]:
    """Price and reason of what is set aside of a batch."""
    judged = rules.judge(batch)
    return [] if judged is None else [(each.price, why) for each, why, _ in judged.rejected]


def test_a_price_far_from_recent_ones_is_set_aside_and_its_neighbours_pass() -> None:
    """The band is half a per cent, 40 ticks or 12 recent ranges to each side, whichever is most."""
    judged = settled().judge(batch_of([(1, 6_001.0), (2, 6_100.0), (3, 60.0), (4, 6_001.0)]))
    assert isinstance(judged, Judged)
    assert judged.batch.price == [6_001.0, 6_001.0]
    assert [(trade.price, why) for trade, why, _ in judged.rejected] == [
        (6_100.0, Reason.PRICE_BAND),
        (60.0, Reason.PRICE_BAND),
    ]
    assert rejected(settled(), one(1, 6_030.0)) == []


def test_the_band_follows_a_market_that_moves_more() -> None:
    """After a wild block a step that would have been refused before it is allowed."""
    calm, wild = settled(), settled()
    rows = [(n * MS, 6_000.0 + n % 2 * 20) for n in range(BLOCK_PRINTS)]
    assert wild.judge(batch_of(rows)) is None
    assert rejected(calm, one(40 * MS, 6_100.0)) == [(6_100.0, Reason.PRICE_BAND)]
    assert rejected(wild, one(40 * MS, 6_100.0)) == []


def test_before_prices_are_known_there_is_no_band() -> None:
    """The first block of a run decides nothing: the first print may be the wrong one."""
    rules = TradeRules(TICK, RulePolicy())
    rows = [(n * MS, 6_000.0 if n % 2 else 9_000.0) for n in range(BLOCK_PRINTS)]
    assert rejected(rules, batch_of(rows)) == []


@pytest.mark.parametrize(("quiet_ns", "passes"), [(59 * SECOND, False), (61 * SECOND, True)])
def test_after_a_quiet_time_the_band_is_off(quiet_ns: int, passes: bool) -> None:  # noqa: FBT001 - a parameter
    """An open, a halt and a gap have in common that there was no print before."""
    assert (rejected(settled(), one(quiet_ns - 100 * MS, 6_500.0)) == []) is passes


def test_a_jump_that_others_confirm_is_let_back_in_in_its_order() -> None:
    """The third print of more than one moment proves the level; the band begins anew there."""
    rules = settled()
    assert rejected(rules, one(1, 6_500.0, seq=1)) == [(6_500.0, Reason.PRICE_BAND)]
    assert rejected(rules, one(1, 6_501.0, seq=2)) == [(6_501.0, Reason.PRICE_BAND)]
    judged = rules.judge(one(2, 6_500.25, seq=3))
    assert judged is not None
    assert judged.rejected == []
    assert [trade.seq for trade in judged.readmitted] == [1, 2]
    assert judged.batch.seq == [1, 2, 3]
    assert rejected(rules, one(3, 6_502.0)) == []


def test_prints_of_one_moment_do_not_confirm_each_other() -> None:
    """A bad record may hold many prints, which all say the same."""
    rows = [(1, 9_000.0)] * 20
    assert len(rejected(settled(), batch_of(rows))) == 20


def test_ordinary_prints_refute_a_jump() -> None:
    """After as many ordinary prints in a row, bad ones from before count for nothing."""
    rules = settled()
    rows = [(1, 9_000.0), (2, 9_000.0), (3, 6_001.0), (4, 6_001.0), (5, 6_001.0), (6, 9_000.0)]
    assert len(rejected(rules, batch_of(rows))) == 3
    between = [(1, 9_000.0), (2, 9_000.0), (3, 6_001.0), (4, 6_001.0), (5, 9_000.0)]
    judged = settled().judge(batch_of(between))
    assert judged is not None
    assert judged.batch.seq == [2, 3, 0, 1, 4]
    assert judged.batch.by_arrival().price == [9_000.0, 9_000.0, 6_001.0, 6_001.0, 9_000.0]


def test_bad_prints_that_disagree_confirm_nothing() -> None:
    """Garbage is scattered; a real level is not."""
    rows = [(n, 7_000.0 + 500 * n) for n in range(1, 60)]
    assert len(rejected(settled(), batch_of(rows))) == 59


def test_pending_prints_are_bounded() -> None:
    """Endless garbage costs no memory, and does not stop the real prints."""
    rules = settled()
    rows = [(n, 7_000.0 + 500 * n) for n in range(1, 3 * PENDING_MAX)]
    rules.judge(batch_of(rows))
    assert len(rules._pending) == PENDING_MAX
    assert rejected(rules, one(5_000, 6_001.0)) == []


def test_sizes_are_bounded_and_zero_is_a_policy() -> None:
    """The limit is inclusive; what is refused says which rule it broke."""
    policy = RulePolicy(size_max=100, zero_sizes=False)
    rules = settled(policy)
    assert rejected(rules, batch_of([(1, 6_001.0)], size=100)) == []
    assert rejected(rules, batch_of([(2, 6_001.0)], size=101)) == [(6_001.0, Reason.SIZE)]
    assert rejected(rules, batch_of([(3, 6_001.0)], size=0)) == [(6_001.0, Reason.ZERO_SIZE)]
    assert rejected(settled(), batch_of([(3, 6_001.0)] * 9, size=0)) == []


def test_a_market_may_fall_through_zero_where_that_is_allowed() -> None:
    """The band moves with it below zero; elsewhere zero is a fault, whatever the band says."""
    rows = [(n * MS, round(3.0 - 0.01 * n, 2)) for n in range(4_000)]
    rules = TradeRules(0.01, RulePolicy(negative_prices=True))
    assert rejected(rules, batch_of(rows)) == []
    assert rejected(rules, one(5_000 * MS, 37.0)) == [(37.0, Reason.PRICE_BAND)]
    faults = rejected(TradeRules(0.01, RulePolicy()), batch_of(rows[:310]))
    assert faults == [(price, Reason.PRICE) for _, price in rows[300:310]]


def test_no_number_is_a_price_by_whatever_way_it_comes() -> None:
    """A NaN between good prices is found by the columns as by the rows, with and without a grid."""
    for tick_size in (TICK, 0.0):
        for bad in (float("nan"), float("inf"), -float("inf")):
            rows = [(1, 6_001.0), (2, bad), *((n, 6_001.0) for n in range(3, 12))]
            judged = settled(tick_size=tick_size).judge(batch_of(rows))
            assert judged is not None
            assert [why for _, why, _ in judged.rejected] == [Reason.PRICE]
            assert len(judged.batch) == 10


def test_remembered_prices_are_bounded() -> None:
    """A price that is on the grid is remembered, and all are forgotten when there are too many."""
    rules = TradeRules(TICK, RulePolicy(band=False))
    rows = [(n, TICK * (n + 1)) for n in range(PRICES_MAX + 10)]
    assert rejected(rules, batch_of(rows)) == []
    assert len(rules._on_grid) <= PRICES_MAX
    assert rejected(rules, one(1, 0.3)) == [(0.3, Reason.OFF_GRID)]


def test_what_is_remarkable_is_counted_and_accepted() -> None:
    """Unknown sides, sizes of 0, and prints that equal the one before them."""
    rules = TradeRules(TICK, RulePolicy())
    batch = batch_of([(1, 6_000.0), (1, 6_000.0), (1, 6_000.25), (2, 6_000.0), (2, 6_000.0)])
    batch.side[1] = batch.side[2] = -1
    batch.size[4] = 0
    assert rules.judge(batch) is None
    assert rules.flags.counts == {Flag.UNKNOWN_SIDE: 2, Flag.ZERO_SIZE: 1}
    assert rules.judge(one(3, 6_000.0)) is None
    assert rules.judge(one(3, 6_000.0)) is None
    assert rules.judge(batch_of([(3, 6_000.0), (3, 6_000.0)])) is None
    assert rules.flags.counts[Flag.REPEATED] == 3


def test_a_print_that_was_let_in_by_hand_is_not_let_in_again() -> None:
    """It confirms no other, and is not among those that are confirmed."""
    rules = settled()
    rejected(rules, batch_of([(1, 6_500.0), (2, 6_500.0)], seq=7))
    rules.forgive(7)
    rules.forgive(99)
    assert rejected(rules, one(3, 6_500.0, seq=9)) == [(6_500.0, Reason.PRICE_BAND)]
    judged = rules.judge(one(4, 6_500.0, seq=10))
    assert judged is not None
    assert judged.batch.seq == [8, 9, 10]


def test_rules_that_are_off_say_nothing() -> None:
    """Without a band only what a print says alone counts."""
    rules = settled(RulePolicy(band=False))
    assert rejected(rules, batch_of([(1, 9_000.0), (2, 1.0)])) == []


MINUTE = 60 * SECOND


def risen(minutes: int) -> TradeRules:
    """Rules that have seen prices rise from 6,000 at noon by 12.5 a minute, twice a second."""
    rules = settled()
    rows = [(n * SECOND // 2, 6_000.0 + n // 12 * 5 * TICK) for n in range(minutes * 120)]
    assert rules.judge(batch_of(rows)) is None
    return rules


def test_a_late_print_is_compared_with_the_prices_of_its_own_time() -> None:
    """It is no worse for a market that has moved since, and another old price stays outside."""
    rules = risen(20)
    assert rejected(rules, one(MINUTE, 6_012.5, seq=1)) == []
    assert rejected(rules, one(15 * MINUTE, 6_012.5, seq=2)) == [(6_012.5, Reason.PRICE_BAND)]
    assert rejected(rules, one(20 * MINUTE, 6_012.5, seq=3)) == [(6_012.5, Reason.PRICE_BAND)]
    assert rejected(rules, one(-5 * MINUTE, 6_000.0, seq=4)) == []


def test_a_late_print_does_not_move_the_band() -> None:
    """A block of prints of an hour ago says nothing of prices now."""
    rules = risen(20)
    late = batch_of([(n * MS, 6_000.0) for n in range(3 * BLOCK_PRINTS)], seq=1)
    assert rejected(rules, late) == []
    assert rejected(rules, one(20 * MINUTE, 6_245.0, seq=200)) == []
    assert rejected(rules, one(20 * MINUTE + 1, 6_000.0, seq=201)) != []


def test_what_was_seen_before_a_jump_is_remembered() -> None:
    """A print from before a jump comes after it: prices of both sides were real."""
    rules = settled()
    jump = batch_of([(n * SECOND, 6_500.0) for n in range(40)])
    judged = rules.judge(jump)
    assert judged is not None
    assert len(judged.batch) == 40
    assert rejected(rules, one(-SECOND, 6_001.0, seq=50)) == []
    assert rejected(rules, one(39 * SECOND, 7_000.0, seq=51)) == [(7_000.0, Reason.PRICE_BAND)]


def test_memory_of_prices_is_bounded() -> None:
    """A week of prints is remembered as no more than the latest day or so of it."""
    band = PriceBand(TICK, USUAL)
    for n in range(3 * SPELLS_MAX):
        band.take(6_000.0, 6_001.0, 6_000.0, BLOCK_PRINTS, NOON + n * MINUTE)
    assert band.was_near(6_000.0, NOON)
    assert not band.was_near(7_000.0, NOON)
    assert len(band._spells) == SPELLS_MAX
