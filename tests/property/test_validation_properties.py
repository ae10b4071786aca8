"""Columns, rows and cuts give one verdict, whatever comes."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tapekeeper.core.validate import RulePolicy, StampRules, TradeRules
from tapekeeper.model.tick import Reason, Trade, TradeBatch

NOON = 1_767_625_200_000_000_000
MS = 1_000_000
TICK = 0.25
NEVER = 1 << 62

PRICES = st.one_of(
    st.integers(23_980, 24_020).map(lambda ticks: ticks * TICK),
    st.integers(23_980, 24_020).map(lambda ticks: ticks * TICK),
    st.integers(23_980, 24_020).map(lambda ticks: ticks * TICK),
    st.sampled_from([9_000.0, 9_000.25, 0.0, -1.0, 6_000.1, math.nan, math.inf, 1e300]),
)
STEPS_NS = st.one_of(
    st.sampled_from([0, 0, MS, 100 * MS]),
    st.sampled_from([-MS, -2_000 * MS, 61_000 * MS, 3_600_000 * MS, 10**18]),
)
DELAYS_NS = st.one_of(
    st.sampled_from([MS, MS, 2 * MS, 200 * MS]),
    st.sampled_from([-1_272 * MS, 3_600_000 * MS, -3_600_000 * MS, -3_600_001 * MS, 10**19]),
)
SIZES = st.one_of(st.integers(1, 9), st.sampled_from([0, -1, 600, 2**31, 2**31 - 1]))
ROWS = st.lists(
    st.tuples(STEPS_NS, PRICES, SIZES, st.sampled_from([-1, 0, 1]), DELAYS_NS),
    max_size=120,
)
POLICIES = st.builds(
    RulePolicy,
    negative_prices=st.booleans(),
    size_max=st.sampled_from([2**31 - 1, 500]),
    zero_sizes=st.booleans(),
    band=st.booleans(),
    ahead_ns=st.sampled_from([0, 10_000 * MS]),
)


def prints(rows: list[tuple[int, float, int, int, int]], calm: int) -> TradeBatch:
    """`calm` ordinary prints, then the rows, each a step in time from the one before."""
    made = TradeBatch("C")
    ts_event = NOON
    ordinary = [(MS, 6_000.0 + number % 9 * TICK, 1, 0, MS) for number in range(calm)]
    for number, (step_ns, price, size, side, delay_ns) in enumerate([*ordinary, *rows]):
        ts_event += step_ns
        # A delay as long as this stands for a receive time that is not known.
        recv_ns = ts_event + delay_ns if delay_ns < 10**18 else 0
        made.append(ts_event, price, size, side, recv_ns, number)
        if step_ns > 10**17:
            ts_event -= step_ns
    return made


def verdicts(
    rules: TradeRules, batch: TradeBatch, cuts: list[int]
) -> tuple[list[Trade], list[tuple[int, Reason, str]], list[int], dict[str, int]]:
    """All that comes of the prints, where the batch is cut into pieces of these lengths in turn."""
    accepted: list[Trade] = []
    rejected: list[tuple[int, Reason, str]] = []
    readmitted: list[int] = []
    start = turn = 0
    while start < len(batch):
        stop = start + cuts[turn % len(cuts)]
        outside = set(range(start)) | set(range(stop, len(batch)))
        piece = batch.without(outside)
        judged = rules.judge(piece)
        passed = piece if judged is None else judged.batch
        accepted += [passed.row(row) for row in range(len(passed))]
        if judged is not None:
            rejected += [(trade.seq, why, detail) for trade, why, detail in judged.rejected]
            readmitted += [trade.seq for trade in judged.readmitted]
        start, turn = stop, turn + 1
    return accepted, rejected, readmitted, {str(k): v for k, v in rules.flags.counts.items()}


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0, 31, 40, 90]), POLICIES, st.sampled_from([TICK, 0.0]),
       st.lists(st.integers(1, 70), min_size=1, max_size=6))  # fmt: skip
def test_every_way_and_every_cut_gives_the_same_verdicts(
    rows: list[tuple[int, float, int, int, int]],
    calm: int,
    policy: RulePolicy,
    tick_size: float,
    cuts: list[int],
) -> None:
    """Judging one by one, by columns, and as shipped, in any pieces, is one and the same."""
    batch = prints(rows, calm)
    ones = verdicts(TradeRules(tick_size, policy, columns_from=NEVER), batch, [1])
    for columns_from in (1, 4, NEVER):
        rules = TradeRules(tick_size, policy, columns_from=columns_from)
        assert verdicts(rules, batch, cuts) == ones


@settings(max_examples=100, deadline=None)
@given(ROWS, st.sampled_from([0, 40, 90]), POLICIES)
def test_every_print_is_accounted_for_once(
    rows: list[tuple[int, float, int, int, int]], calm: int, policy: RulePolicy
) -> None:
    """Each is accepted or set aside; one that was let back in is both, in this order."""
    batch = prints(rows, calm)
    accepted, rejected, readmitted, _ = verdicts(TradeRules(TICK, policy), batch, [7])
    aside = [seq for seq, _, _ in rejected]
    taken = [trade.seq for trade in accepted]
    assert set(readmitted) <= set(aside)
    assert sorted(taken + aside) == sorted([*range(len(batch)), *readmitted])
    assert len(set(taken)) == len(taken)
    assert all(math.isfinite(trade.price) and trade.size >= 0 for trade in accepted)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.sampled_from([0, 31, 40, 90]), POLICIES,
       st.lists(st.integers(1, 70), min_size=1, max_size=6))  # fmt: skip
def test_every_cut_gives_the_same_verdicts_on_stamps(
    rows: list[tuple[int, float, int, int, int]], calm: int, policy: RulePolicy, cuts: list[int]
) -> None:
    """Stamps are judged in the order of arrival, whole batches at once or one by one."""
    batch = prints(rows, calm)
    expected = stamp_verdicts(StampRules(policy), batch, [1])
    assert stamp_verdicts(StampRules(policy), batch, cuts) == expected
    gone_on, aside, readmitted = expected
    assert sorted(gone_on + aside) == sorted([*range(len(batch)), *readmitted])


def stamp_verdicts(
    rules: StampRules, batch: TradeBatch, cuts: list[int]
) -> tuple[list[int], list[int], list[int]]:
    """Arrival numbers of what goes on, of what is set aside, and of what is let in after all."""
    gone_on: list[int] = []
    aside: list[int] = []
    readmitted: list[int] = []
    start = turn = 0
    while start < len(batch):
        stop = start + cuts[turn % len(cuts)]
        piece = batch.without(set(range(start)) | set(range(stop, len(batch))))
        sifted = rules.sift(1, piece)
        if sifted is None:
            gone_on += piece.seq
        else:
            gone_on += [seq for _, run in sifted.runs for seq in run.seq]
            aside += [trade.seq for trade, _, _ in sifted.rejected]
            readmitted += [trade.seq for trade in sifted.readmitted]
        start, turn = stop, turn + 1
    return gone_on, aside, readmitted
