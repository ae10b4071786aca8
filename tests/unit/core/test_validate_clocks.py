"""Stamps that are ahead of the exchange's clock, as it is tracked from the deliveries."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tapekeeper.core.validate import RulePolicy, StampRules
from tapekeeper.core.validate.clocks import PENDING_MAX, SKEW_WINDOW_NS, SPLIT_ABOVE
from tapekeeper.model.tick import Reason, TradeBatch

NOON = 1_767_625_200_000_000_000
MS = 1_000_000
SECOND = 1_000_000_000
LINE = 7
Row = tuple[int, float]
USUAL = RulePolicy()


def batch_of(rows: Iterable[Row], *, behind_ns: int = MS) -> TradeBatch:
    """Prints of (time after noon, price), each received `behind_ns` after its stamp."""
    made = TradeBatch("C")
    for number, (after_ns, price) in enumerate(rows):
        made.append(NOON + after_ns, price, 1, 0, NOON + after_ns + behind_ns, number)
    return made


def one(after_ns: int, price: float, recv_after_ns: int | None = None) -> TradeBatch:
    """A single print; without a time of receipt it comes 1 ms after its stamp."""
    made = batch_of([(after_ns, price)])
    if recv_after_ns is not None:
        made.ts_recv = [NOON + recv_after_ns]
    return made


def settled(policy: RulePolicy = USUAL) -> StampRules:
    """Rules that have seen the 6.4 seconds up to noon, each print 1 ms behind its stamp."""
    rules = StampRules(policy)
    rows = [((n - 64) * 100 * MS, 6_000.0) for n in range(64)]
    assert rules.sift(LINE, batch_of(rows)) is None
    return rules


def rejected(rules: StampRules, batch: TradeBatch) -> list[tuple[float, Reason]]:
    """Price and reason of what is set aside of a batch."""
    sifted = rules.sift(LINE, batch)
    return [] if sifted is None else [(each.price, why) for each, why, _ in sifted.rejected]


def test_a_stamp_far_ahead_of_the_tracked_clock_is_set_aside() -> None:
    """It would close every bar up to it, and make what follows late."""
    assert rejected(settled(), one(11 * SECOND, 6_001.0, MS)) == [(6_001.0, Reason.FUTURE)]
    assert rejected(settled(), one(9 * SECOND, 6_001.0, MS)) == []


@pytest.mark.parametrize("behind_ns", [-86_400 * SECOND, -1_272 * MS, 0, 3_600 * SECOND])
def test_a_host_clock_that_is_wrong_all_the_time_costs_nothing(behind_ns: int) -> None:
    """Only the difference that is tracked counts, whatever it is; a slow delivery is no fault."""
    rules = StampRules(USUAL)
    rows = [(n * 100 * MS, 6_000.0) for n in range(500)]
    assert rejected(rules, batch_of(rows, behind_ns=behind_ns)) == []
    slow = batch_of([(50_000 * MS, 6_000.0)], behind_ns=behind_ns + 30 * SECOND)
    assert rejected(rules, slow) == []
    ahead = batch_of([(50_001 * MS, 6_000.0)], behind_ns=min(behind_ns, 0) - 11 * SECOND)
    assert rejected(rules, ahead) == [(6_000.0, Reason.FUTURE)]


def test_a_backlog_that_is_worked_off_is_not_ahead() -> None:
    """Its deliveries get faster and faster, at the start of a run even faster than any known."""
    rules = StampRules(USUAL)
    rows = [(n * SECOND, 6_000.0) for n in range(1, 300)]
    batch = batch_of(rows)
    batch.ts_recv = [NOON + 300 * SECOND] * len(batch)
    assert rejected(rules, batch) == []


def test_a_host_clock_that_was_set_back_is_believed_after_three() -> None:
    """All prints seem to be ahead then, by the same amount."""
    rules = settled()
    step_ns = 3_600 * SECOND
    rows = [(n * MS, 6_001.0) for n in range(1, 9)]
    sifted = rules.sift(LINE, batch_of(rows, behind_ns=-step_ns))
    assert sifted is not None
    assert [trade.seq for trade in sifted.readmitted] == [0, 1]
    assert [(line, run.seq) for line, run in sifted.runs] == [(LINE, list(range(8)))]


def test_the_clocks_are_learned_anew_after_a_long_silence() -> None:
    """Of yesterday's difference nothing is known today; a window later the old one still counts."""
    for silence_ns, wrong in ((2 * SKEW_WINDOW_NS + SECOND, 0), (SKEW_WINDOW_NS + SECOND, 1)):
        rules = settled()
        batch = batch_of([(silence_ns + 20 * SECOND, 6_001.0)], behind_ns=-15 * SECOND)
        assert len(rejected(rules, batch)) == wrong


def test_receive_times_that_are_not_known_teach_nothing() -> None:
    """A source without them has no such rule."""
    rules = StampRules(USUAL)
    for after_ns in range(0, 100 * 15 * SECOND, 15 * SECOND):
        batch = one(after_ns, 6_000.0)
        batch.ts_recv = [0]
        assert rejected(rules, batch) == []
    rules = settled()
    unknown = one(SECOND, 6_001.0)
    unknown.ts_recv = [0]
    assert rejected(rules, unknown) == []
    assert rejected(rules, one(11 * SECOND, 6_001.0, MS)) == [(6_001.0, Reason.FUTURE)]


def test_prints_that_confirm_each_other_go_on_by_their_own_lines() -> None:
    """Each counts for the line that brought it; one whose connection has ended is left out."""
    rules = settled()
    for line in (1, 2, 3):
        assert rules.sift(line, batch_of([(line * MS, 6_001.0)], behind_ns=-3_600 * SECOND))
        rules.ended(3)
        if line == 2:
            rules.ended(1)
    fourth = rules.sift(4, batch_of([(4 * MS, 6_001.0)], behind_ns=-3_600 * SECOND))
    assert fourth is not None
    assert fourth.readmitted == []
    fifth = rules.sift(5, batch_of([(5 * MS, 6_001.0)], behind_ns=-3_600 * SECOND))
    assert fifth is not None
    assert [line for line, _ in fifth.runs] == [2, 4, 5]


def test_ordinary_prints_refute_a_stamp() -> None:
    """After as many in their time, one that was ahead counts for nothing."""
    rules = settled()
    ahead = [one(at, 6_001.0, at - 3_600 * SECOND) for at in (1, 2, 3)]
    assert len(rejected(rules, ahead[0])) + len(rejected(rules, ahead[1])) == 2
    assert rejected(rules, batch_of([(4, 6_000.0), (5, 6_000.0), (6, 6_000.0)])) == []
    assert len(rejected(rules, ahead[2])) == 1


def test_a_print_that_was_let_in_by_hand_confirms_no_other() -> None:
    """It is not pending any more."""
    rules = settled()
    for number, at in enumerate((1, 2, 3)):
        batch = one(at, 6_001.0, at - 3_600 * SECOND)
        batch.seq = [number]
        assert len(rejected(rules, batch)) == 1
        rules.forgive(number)


def test_pending_prints_are_bounded() -> None:
    """Endless garbage costs no memory."""
    rules = settled()
    for number in range(2 * PENDING_MAX):
        rejected(rules, one(number * 60 * SECOND, 6_001.0, -3_600 * SECOND))
    assert len(rules._pending) <= PENDING_MAX


def test_a_large_batch_is_judged_as_its_parts_are() -> None:
    """A file's batch has hours of prints, and among them one from the future."""
    count = 8 * SPLIT_ABOVE
    batch = batch_of([(n * SECOND, 6_000.0) for n in range(count)])
    assert StampRules(USUAL).sift(LINE, batch) is None
    batch.ts_event[count // 3] += 86_400 * SECOND
    sifted = StampRules(USUAL).sift(LINE, batch)
    assert sifted is not None
    assert [trade.seq for trade, _, _ in sifted.rejected] == [count // 3]
    assert sum(len(run) for _, run in sifted.runs) == count - 1


def test_rules_that_are_off_say_nothing() -> None:
    """No stamp is ahead of a clock that nobody tracks."""
    rules = StampRules(RulePolicy(ahead_ns=0))
    assert rejected(rules, batch_of([(n, 6_000.0) for n in range(64)])) == []
    assert rejected(rules, one(3_600 * SECOND, 6_001.0, MS)) == []
