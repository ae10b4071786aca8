"""The time between two processes, in the ledger and in the bars of the later one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Ending
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import GapCause, GapState, HistoryRow, HistoryRows, Repair, Span
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.gap_keeper import MARGIN_NS
from tapekeeper.runtime.run_end import RunEnd, read_run_end
from tests.unit.runtime.test_gap_keeper import MES, START, Bench, S

MARGIN_S = MARGIN_NS / S


class Processes:
    """One process after the other on one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now: Bench | None = None

    def start(self, at_s: float) -> Bench:
        """Begin the next one, which learns how the one before ended."""
        self.now = Bench(self.folder)
        self.now.at(at_s)
        end = read_run_end(FolderFiles(self.folder))
        if end is not None:
            self.now.keeper.recover(end)
        return self.now

    def end(self, *, seal: bool = True) -> None:
        """End it in order, or as if it were killed."""
        if self.now is None:
            return
        self.now.keeper.close()
        self.now.journaler.close()
        for segment in () if seal else sorted(self.folder.glob("*.tkj"))[-1:]:
            segment.write_bytes(segment.read_bytes()[:-5])
        self.now = None


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """On a new folder."""
    made = Processes(tmp_path / "journal")
    yield made
    made.end()


def first(processes: Processes, *, seal: bool) -> None:
    """A process that follows a contract from 10 s on, and has its last trade at 62 s."""
    bench = processes.start(10)
    bench.subscribe()
    for second in (30.5, 61.0, 62.0):
        bench.trade(second)
    processes.end(seal=seal)


@pytest.mark.parametrize(
    ("seal", "cause"), [(True, GapCause.STOPPED), (False, GapCause.CRASH)], ids=["order", "crash"]
)
def test_nobody_was_there_from_the_last_trade_to_the_confirmation(
    processes: Processes, *, seal: bool, cause: GapCause
) -> None:
    """The ledger says so before anything is connected, and the bars from their first print on."""
    first(processes, seal=seal)
    bench = processes.start(100)
    from_s = 62.0 - MARGIN_S
    assert bench.gaps()[-1] == (cause, GapState.LASTING, from_s, None)
    bench.subscribe()
    bench.trade(101.5)
    bench.trade(121.0)
    assert bench.gaps()[-2:] == [
        (cause, GapState.ENDED, from_s, 100.0 + MARGIN_S),
        (GapCause.START, GapState.ENDED, None, 100.0 + MARGIN_S),
    ]
    whole, gap = Completeness.COMPLETE, Completeness.GAP
    worth = bench.worth()
    assert (worth["1s", 101], worth["1m", 60], worth["1m", 120]) == (whole, gap, whole)
    level = "info" if seal else "warning"
    assert f"4 {cause} lasting {level}" in [f"4{one[1:]}" for one in bench.events]


def test_a_contract_that_nobody_follows_again_keeps_its_gap_for_whoever_does(
    processes: Processes,
) -> None:
    """A process in between that follows nothing adds none."""
    first(processes, seal=False)
    for _ in range(2):
        processes.start(80)
        processes.end()
    bench = processes.start(100)
    bench.subscribe()
    bench.trade(101.5)
    absences = [gap for gap in bench.gaps() if gap[0] is GapCause.CRASH]
    assert absences == [(GapCause.CRASH, GapState.ENDED, 62.0 - MARGIN_S, 100.0 + MARGIN_S)]


def test_a_process_that_ends_before_its_first_print_makes_one_gap_of_two(
    processes: Processes,
) -> None:
    """Nobody knew the exchange's clock yet, so the first end could not be placed."""
    first(processes, seal=False)
    processes.start(80).subscribe()
    processes.end(seal=False)
    bench = processes.start(100)
    bench.subscribe()
    bench.trade(101.5)
    absences = [gap for gap in bench.gaps() if gap[0] is GapCause.CRASH]
    assert absences == [(GapCause.CRASH, GapState.ENDED, 62.0 - MARGIN_S, 100.0 + MARGIN_S)]


def test_a_contract_without_a_trade_is_missed_since_it_was_known_to_be_followed(
    processes: Processes,
) -> None:
    """What the ledger says of it is where its last gap ended."""
    bench = processes.start(10)
    bench.subscribe()
    bench.trade(30.5)
    processes.end()
    bench = Bench(processes.folder)
    processes.now = bench
    bench.keeper.recover(RunEnd(9, 9, Ending.OPEN, 0, {MES: None}, {MES: None}))
    assert bench.gaps()[1:] == [(GapCause.CRASH, GapState.LASTING, 10.0 + MARGIN_S, None)]


@pytest.mark.parametrize(
    ("traded_s", "assured_s", "from_s"),
    [
        (62, 61, 61 - MARGIN_S),
        (62, None, 10 + MARGIN_S),  # since its start
        (9, None, 9 - MARGIN_S),  # it ended later
    ],
)
def test_an_outage_that_was_not_told_is_part_of_the_time_without_a_process(
    processes: Processes, traded_s: int, assured_s: int | None, from_s: float
) -> None:
    """It begins where the run before had certainly told what was missing."""
    bench = processes.start(10)
    bench.subscribe()
    bench.trade(30.5)
    processes.end()
    bench = Bench(processes.folder)
    processes.now = bench
    traded: dict[str, int | None] = {MES: START + traded_s * S}
    assured = {MES: None if assured_s is None else START + assured_s * S}
    bench.keeper.recover(RunEnd(9, 9, Ending.OPEN, 0, traded, assured))
    assert bench.gaps()[1:] == [(GapCause.CRASH, GapState.LASTING, from_s, None)]


def test_a_contract_that_was_never_followed_is_a_start_alone(processes: Processes) -> None:
    """Of a run that was killed before anything was confirmed nothing was had."""
    processes.start(10).keeper.recover(RunEnd(1, 1, Ending.OPEN, 0, {MES: None}, {MES: None}))
    assert processes.now is not None
    assert processes.now.gaps() == []


def test_the_warm_up_of_the_start_stands_for_it(processes: Processes) -> None:
    """Nothing is asked twice, and its bars are told as filled in; older entries are healed, too."""
    bench = processes.start(10)
    bench.subscribe()
    bench.trade(30.5)
    processes.end(seal=False)
    bench = processes.start(100)
    bench.subscribe("1m")
    bench.trade(101.5)
    start = bench.keeper.ledger.find()[-1]
    bench.at(130)
    rows = tuple(
        HistoryRow(START + at * S, START + (at + 60) * S, 6000, 6000, 6000, 6000, 9)
        for at in (0, 60)
    )
    assert start.to_ns is not None
    warm = Span(START, start.to_ns)
    gap = msgspec.structs.replace(start, restored=(warm,))
    bench.feed.know([Repair(gap, START + 120 * S, (HistoryRows("1m", rows),))])
    healed = bench.keeper.ledger.find(causes=[GapCause.CRASH])
    assert [one.state for one in healed] == [GapState.REPAIRED]
    assert bench.worth()["1m", 0] is Completeness.BACKFILLED
    assert bench.worth()["1m", 60] is Completeness.BACKFILLED


def test_what_is_written_at_the_start_is_in_the_ledgers_file(processes: Processes) -> None:
    """A process that is killed at once has named the end of the one before."""
    first(processes, seal=False)
    processes.start(80)
    ledger, problems = read_ledger(FolderFiles(processes.folder))
    assert problems == []
    (gap,) = ledger.find(causes=[GapCause.CRASH])
    assert "ended without order behind segment 1" in gap.evidence
    assert "bytes of an unfinished write were cut" in gap.evidence


def test_a_replay_says_of_the_last_bars_of_a_run_that_nobody_was_there(
    processes: Processes,
) -> None:
    """They were forming when it was killed: the next run knows, and history stands for nothing."""
    bench = processes.start(10)
    bench.subscribe()
    for second in (60.5, 61.0, 70.0):
        bench.trade(second)
    processes.end(seal=False)
    alone = _worth(processes.folder)
    whole, gap = Completeness.COMPLETE, Completeness.GAP
    assert [alone["1s", at] for at in (60, 61, 70)] == [[whole]] * 3
    assert alone["1m", 60] == [whole]
    bench = processes.start(100)
    bench.subscribe()
    bench.trade(101.5)
    (crash,) = bench.keeper.ledger.find(causes=[GapCause.CRASH])
    assert crash.from_ns is not None
    assert crash.to_ns is not None
    restored = (Span(crash.from_ns, crash.to_ns),)
    bench.feed.know([msgspec.structs.replace(crash, restored=restored)])
    processes.end()
    both = _worth(processes.folder)
    assert [both["1s", at] for at in (60, 61, 70)] == [[whole], [whole], [gap]]
    assert both["1m", 60] == [gap, Completeness.PARTIAL_START]


def _worth(folder: Path) -> dict[tuple[str, int], list[Completeness]]:
    """Completeness of the bars that a replay makes, run by run."""
    result = replay(folder, ReplayOptions(calendar_by_name("cme")))
    found: dict[tuple[str, int], list[Completeness]] = {}
    for bars in result.bars.values():
        for bar in bars:
            place = bar.timeframe, (bar.ts_open - START) // S
            found.setdefault(place, []).append(bar.completeness)
    return found
