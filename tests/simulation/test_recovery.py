"""The whole system: what one process could not mend is mended by the next, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tapekeeper.core.journal import Position
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import ABSENCES, Gap, GapCause, GapState
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.gap_keeper import GapKeeper
from tapekeeper.sim.fault_host import Kill
from tapekeeper.sim.fault_menu import Fault, Outage, Refuse, UnknownRecord
from tapekeeper.sim.faults import Door
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import Evidence
from tapekeeper.verify.runs import runs_of
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import simulate

PLAN = replace(scenario(8, ()), guest=False, redundancy=1, token_life_s=86_400.0, trades_per_s=20.0)


def ran(*schedule: Fault, calm_s: float = 90.0) -> Evidence:
    """A run of the whole system, judged: the ledger names each end by cause and bounds, too."""
    evidence = simulate(replace(PLAN, schedule=schedule, calm_s=calm_s))
    assert judge(evidence).problems == ()
    return evidence


def ledger(evidence: Evidence, *causes: GapCause) -> list[Gap]:
    """The last word on every gap of these causes."""
    return read_ledger(evidence.files)[0].find(causes=causes)


def test_a_gap_that_a_process_left_open_is_repaired_by_the_next_one() -> None:
    """The gateway had no history to give while the first one lived, and its bars go on."""
    evidence = ran(
        Outage(at_s=20, for_s=3),
        Refuse(at_s=22, door=Door.REST, status=503, count=6),
        Kill(at_s=28, restart_s=30),
    )
    cuts = ledger(evidence, GapCause.DISCONNECT)
    assert len(cuts) == 2
    assert {(gap.state, gap.note) for gap in cuts} == {(GapState.REPAIRED, "")}


def test_three_deaths_are_three_gaps_of_each_contract_apart() -> None:
    """Each from the last print that there is to the first new one, and all are filled in."""
    evidence = ran(*(Kill(at_s=at_s, restart_s=3) for at_s in (15.0, 30.0, 45.0)))
    for contract_id in evidence.contracts.values():
        crashes = [
            gap for gap in ledger(evidence, GapCause.CRASH) if gap.contract_id == contract_id
        ]
        assert [gap.state for gap in crashes] == [GapState.REPAIRED] * 3
        bounds = [bound for gap in crashes for bound in (gap.from_ns or 0, gap.to_ns or 0)]
        assert bounds == sorted(bounds)
        assert all(3e9 < (gap.to_ns or 0) - (gap.from_ns or 0) < 9e9 for gap in crashes)


def test_the_bars_of_a_restarted_process_are_whole_in_the_end() -> None:
    """Filled in where nobody was there, those of the time in between as well, else complete."""
    evidence = ran(Kill(at_s=20, restart_s=20), UnknownRecord(at_s=60))
    result = evidence.last.result
    assert result is not None
    (away, *_) = ledger(evidence, *ABSENCES)
    seconds = [
        bar
        for bar in result.bars["1s"]
        if bar.contract_id == away.contract_id and bar.ts_open >= evidence.start_ns
    ]
    worth = {bar.completeness for bar in seconds}
    assert worth == {Completeness.COMPLETE, Completeness.BACKFILLED}
    assert away.from_ns is not None
    assert away.to_ns is not None
    between = [bar for bar in seconds if away.from_ns < bar.ts_open and bar.ts_end < away.to_ns]
    assert len(between) >= 15
    assert all(away.gap_id in bar.gap_ids for bar in between)
    assert result.bars["1m"][-1].completeness is not Completeness.PARTIAL_START


def test_the_bar_that_was_forming_at_a_kill_goes_on() -> None:
    """Of each contract one bar has the prints of both processes; nothing is a start any more."""
    evidence = ran(Kill(at_s=20, restart_s=10))
    result = evidence.last.result
    assert result is not None
    (away, *_) = ledger(evidence, *ABSENCES)
    assert away.from_ns is not None
    assert away.to_ns is not None
    for contract_id in evidence.contracts.values():
        (minute,) = (
            bar
            for bar in result.bars["1m"]
            if bar.contract_id == contract_id and bar.ts_open <= away.from_ns < bar.ts_end
        )
        assert minute.ts_first < away.from_ns
        assert away.to_ns < minute.ts_last or minute.ts_end <= away.to_ns
        starts = ledger(evidence, GapCause.START)
        assert sum(gap.contract_id == contract_id for gap in starts) == 1


def test_no_number_of_a_tick_is_given_twice_over_all_processes() -> None:
    """Whatever ended them, in order or not."""
    evidence = ran(*(Kill(at_s=at_s, restart_s=3) for at_s in (15.0, 30.0)), calm_s=10.0)
    runs, _ = runs_of(evidence.files)
    numbers = [
        number
        for run in runs.values()
        for ticks in (
            (seq for batch in run.outputs.trades for seq in batch.seq),
            (quote.seq for quote in run.outputs.quotes),
        )
        for number in ticks
    ]
    assert len(runs) == 3
    assert len(set(numbers)) == len(numbers)


def test_a_process_that_keeps_the_absence_from_its_bars_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bars that go on without what came in between would call themselves complete."""

    def silent(feed: Feed, since: int, through: Position, _absences: object) -> None:
        go_on(feed, since, through, [])

    go_on = Feed.go_on
    monkeypatch.setattr(Feed, "go_on", silent)
    monkeypatch.setattr(GapKeeper, "_go_on", lambda *_: None)
    evidence = simulate(replace(PLAN, schedule=(Kill(at_s=20, restart_s=10),), calm_s=20.0))
    assert any("complete and are not" in one for one in judge(evidence).problems)
