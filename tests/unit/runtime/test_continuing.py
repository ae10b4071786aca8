"""A start goes on where the run before ended, and begins with nothing where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.quarantine import quarantine_of
from tapekeeper.app.replay import ReplayOptions, replay, result_of
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.validate import RulePolicy
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size
from tapekeeper.runtime.continuing import (
    REPLAY_BYTES_MAX,
    State,
    begin_with,
    state_at_end,
)
from tapekeeper.runtime.gap_keeper import MARGIN_NS
from tapekeeper.runtime.line_values import Connected
from tapekeeper.runtime.run_end import read_run_end
from tests.unit.runtime.test_gap_keeper import MES, Bench, S

MARGIN_S = MARGIN_NS / S


class Processes:
    """One process after the other on one folder, each with what the one before left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = FolderFiles(folder)
        self.bytes_max = REPLAY_BYTES_MAX
        self.state: State | None = None
        self.now: Bench | None = None

    def start(self, at_s: float) -> Bench:
        """Begin the next one."""
        self.state = state_at_end(self.files, grace_ns=S, keep=100, bytes_max=self.bytes_max)
        bench = self.now = Bench(self.folder, state=self.state)
        bench.at(at_s)
        end = read_run_end(self.files)
        if end is not None:
            begin_with(self.state, end, feed=bench.feed, gaps=bench.keeper, log=bench.log)
        return bench

    def kill(self) -> None:
        """End it without a seal."""
        assert self.now is not None
        self.now.keeper.close()
        wrote = self.now.journaler.statistics().segments > 0
        self.now.journaler.close()
        for segment in sorted(self.folder.glob("*.tkj"))[-1:] if wrote else ():
            segment.write_bytes(segment.read_bytes()[:-5])
        self.now = None

    def replayed(self) -> dict[str, list[Bar]]:
        """The bars of a replay of all that was written."""
        options = ReplayOptions(calendar=calendar_by_name("cme"))
        return replay(self.folder, options).bars


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """On a new folder."""
    made = Processes(tmp_path / "journal")
    yield made
    if made.now is not None:
        made.kill()


def first(processes: Processes) -> None:
    """A process that follows a contract from 10 s on, and has its last trade at 62 s."""
    bench = processes.start(10)
    bench.subscribe()
    for second, price in ((30.5, 6000), (61.0, 6001), (62.0, 6005)):
        bench.trade(second, price)
    processes.kill()


def live(bench: Bench) -> dict[str, list[Bar]]:
    """The bars of a process, in the shape of a replay."""
    feed = bench.feed
    return result_of(feed.pipeline, [*feed.recent.all(), *feed.pipeline.forming_all()]).bars


def test_the_bar_that_was_forming_goes_on(processes: Processes) -> None:
    """It has the prints of both processes, and says that some are missing in between."""
    first(processes)
    bench = processes.start(100)
    bench.subscribe()
    bench.trade(101.5, 5990)
    bench.trade(121.0)
    (bar,) = [one for one in live(bench)["1m"] if one.n == 3]
    assert (bar.open, bar.high, bar.low, bar.close) == (6001, 6005, 5990, 5990)
    assert bar.completeness is Completeness.GAP
    assert bench.worth()["1s", 30] is Completeness.COMPLETE
    assert [gap[:2] for gap in bench.gaps()] == [
        (GapCause.START, GapState.ENDED),
        (GapCause.CRASH, GapState.ENDED),
    ]


def test_a_replay_of_all_processes_makes_the_bars_of_the_last_one(processes: Processes) -> None:
    """Each interval has one bar, equal in every member, over as many processes as there were."""
    first(processes)
    for at_s in (100, 110, 115):
        bench = processes.start(at_s)
        bench.subscribe()
        bench.trade(at_s + 1.5)
        if at_s < 115:
            processes.kill()
    bars = live(bench)
    assert bars == processes.replayed()
    assert [bar.n for bar in bars["1m"]] == [1, 5]


def test_no_number_is_given_twice(processes: Processes) -> None:
    """Neither where the state goes on, nor where it begins anew."""
    first(processes)
    bench = processes.start(100)
    assert bench.feed.pipeline.next_seq == 3
    bench.subscribe()
    bench.trade(101.5)
    processes.kill()
    path = min(processes.folder.glob("*.tkj"))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    bench = processes.start(110)
    assert processes.state is not None
    assert not processes.state.is_continued
    assert "damage" in processes.state.why or "corrupt" in processes.state.why
    bench.subscribe()
    bench.trade(111.5)
    last = bench.feed.pipeline.last_trade(MES)
    assert last is not None
    assert last.seq > 3
    (again,) = [one for one in processes.replayed()["1s"] if one.ts_first == last.ts_event]
    assert again.n == 1


def test_a_process_that_writes_nothing_leaves_no_trace(processes: Processes) -> None:
    """However often it is started again, what follows goes on as if it had not been there."""
    first(processes)
    for _ in range(2):
        processes.start(80)
        processes.kill()
    assert len(list(processes.folder.glob("*.tkj"))) == 1
    bench = processes.start(100)
    bench.subscribe()
    bench.trade(101.5)
    assert live(bench)["1m"][-1].n == 3


def test_a_contract_that_is_wanted_otherwise_begins_anew(processes: Processes) -> None:
    """Its old bars were made by other rules, and a replay begins anew with it."""
    first(processes)
    bench = processes.start(100)
    bench.feed.subscribe(
        Subscription(
            Instrument(MES, "MESH6", tick_size=0.5),
            (parse_size("1s"), parse_size("1m")),
            calendar_by_name("cme"),
            rules=RulePolicy(),
        )
    )
    bench.keeper.follow(MES)
    bench.feed(Connected(1, "market", bench.clock.now_ns()))
    bench.keeper.followed(MES)
    bench.trade(101.5)
    (forming,) = [one for one in bench.feed.pipeline.forming_all() if one.timeframe == "1m"]
    assert forming.n == 1
    assert forming.completeness is not Completeness.COMPLETE
    assert bench.gaps()[-1][0] is GapCause.START
    assert live(bench) == processes.replayed()


def test_what_would_take_too_long_is_not_run_again(processes: Processes) -> None:
    """The run begins with nothing then, and says why."""
    first(processes)
    processes.bytes_max = 100
    bench = processes.start(100)
    assert processes.state is not None
    assert processes.state.why.endswith("bytes would have to be run again")
    bench.subscribe()
    bench.trade(101.5)
    assert bench.gaps()[-1][0] is GapCause.START
    assert live(bench)["1m"][0].n == 1


def test_bars_that_were_added_to_a_contract_of_before_lack_what_was(processes: Processes) -> None:
    """As in one process: the new size begins where it was asked for."""
    first(processes)
    bench = processes.start(100)
    bench.subscribe("1s", "1m", "5s")
    bench.trade(101.5)
    bench.trade(121.0)
    assert [gap[:1] for gap in bench.gaps()][-1] == (GapCause.START,)
    assert bench.worth()["5s", 100] is not Completeness.COMPLETE
    assert live(bench) == processes.replayed()


def test_a_contract_that_nobody_follows_again_says_that_it_lacks_prints(
    processes: Processes,
) -> None:
    """Its last bar is closed by a timer some time, and may not call itself complete."""
    first(processes)
    bench = processes.start(100)
    (forming,) = [one for one in bench.feed.pipeline.forming_all() if one.timeframe == "1m"]
    assert (forming.n, forming.completeness) == (2, Completeness.GAP)


def test_what_was_set_aside_before_can_be_let_in(processes: Processes) -> None:
    """The quarantine goes on, too, and is listed once."""
    bench = processes.start(10)
    bench.subscribe()
    for number in range(50):
        bench.trade(20 + number / 4)
    bench.trade(41.0, 9000)
    (aside,) = bench.feed.pipeline.quarantined()
    processes.kill()
    bench = processes.start(50)
    bench.subscribe()
    bench.trade(51.5)
    bench.feed.readmit(aside.trade)
    assert live(bench)["1m"][-1].high == 9000
    assert live(bench) == processes.replayed()
    assert quarantine_of(processes.folder).items == []


def test_what_a_gap_of_before_lacks_is_told_again(processes: Processes) -> None:
    """Whoever repairs gaps learns of those that the process before could not repair."""
    first(processes)
    bench = processes.start(100)
    told: list[GapCause] = []
    bench.feed.listen(lambda outputs: told.extend(gap.cause for gap in outputs.gaps))
    bench.ask()
    assert told == [GapCause.START, GapCause.CRASH]
    known = bench.keeper.ledger.find(causes=[GapCause.START])[0]
    assert msgspec.structs.replace(known, note="") == known
