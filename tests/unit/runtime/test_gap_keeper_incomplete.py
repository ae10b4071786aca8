"""A feed of which a steady share is never printed: one entry that lasts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.audit import AuditState, AuditVerdict
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import GapCause, GapState
from tests.unit.runtime.test_gap_keeper import MES, START, Bench, S

MISSING = GapCause.MISSING_PRINTS


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A keeper on a new journal."""
    made = Bench(tmp_path / "journal")
    yield made
    made.keeper.close()
    made.journaler.close()


def judge(bench: Bench, second: float, state: AuditState, from_s: float = 0) -> None:
    """The audit comes to a verdict with a print at START plus `second`."""
    audit = bench.feed.pipeline.audit
    collect = audit.collect
    from_ns = START + round(from_s * S) if from_s else 0
    share = 0.3 if state is AuditState.INCOMPLETE else 0.0
    verdicts = [AuditVerdict(MES, START + round(second * S), state, share, from_ns)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            audit, "collect", lambda: (collect()[0], [verdicts.pop()] if verdicts else [])
        )
        bench.trade(second)


def test_bars_are_a_gap_from_the_first_untold_loss_to_the_verdict_that_it_is_over(
    bench: Bench,
) -> None:
    """What was told before the verdict is told again; a replay makes the same bars."""
    bench.subscribe()
    for second in (1, 61, 121, 181, 241):
        bench.trade(second)
    judge(bench, 242, AuditState.INCOMPLETE, from_s=130)
    assert bench.gaps()[1:] == [(MISSING, GapState.LASTING, 130.0, None)]
    judge(bench, 301, AuditState.INCOMPLETE, from_s=300)
    judge(bench, 361, AuditState.COMPLETE)
    for second in (421, 481):
        bench.trade(second)
    (entry,) = bench.gaps()[1:]
    assert entry[:3] == (MISSING, GapState.ENDED, 130.0)
    assert entry[3] == pytest.approx(361)
    worth = {second: bench.worth()["1m", second] for second in range(60, 480, 60)}
    assert {second for second, each in worth.items() if each is Completeness.GAP} == {
        120,
        180,
        240,
        300,
        360,
    }
    bench.journaler.close()
    again = replay(bench.folder, ReplayOptions(calendar=calendar_by_name("cme")))
    assert {
        (bar.ts_open - START) // S: bar.completeness
        for bars in again.bars.values()
        for bar in bars
        if bar.timeframe == "1m"
    }.items() >= worth.items()


def test_it_ends_when_the_contract_is_followed_no_more(bench: Bench) -> None:
    """The audit begins anew when it is followed again."""
    bench.subscribe()
    bench.trade(1)
    judge(bench, 61, AuditState.INCOMPLETE, from_s=10)
    bench.at(70)
    bench.feed.unsubscribe(MES)
    bench.keeper.unfollow(MES)
    ((_, state, _, to_s),) = [each for each in bench.gaps() if each[0] is MISSING]
    assert state is GapState.ENDED
    assert to_s == pytest.approx(70, abs=0.5)


def test_a_later_process_ends_what_lasted_when_this_one_ended(tmp_path: Path) -> None:
    """Nobody was left to say when it was over: it is ended with the confirmation."""
    first = Bench(tmp_path / "journal")
    first.subscribe()
    first.trade(1)
    judge(first, 61, AuditState.INCOMPLETE, from_s=10)
    first.keeper.close()
    first.journaler.close()
    second = Bench(tmp_path / "journal")
    second.at(100)
    second.subscribe()
    second.trade(101)
    second.trade(161)
    second.trade(221)
    entries = [each for each in second.gaps() if each[0] is MISSING]
    assert [(state, from_s) for _, state, from_s, _ in entries] == [(GapState.ENDED, 10.0)]
    assert second.worth()["1m", 120] is Completeness.COMPLETE
    second.keeper.close()
    second.journaler.close()
