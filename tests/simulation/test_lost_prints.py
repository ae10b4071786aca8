"""Prints that are lost inside the gateway: the whole tape in virtual time finds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tapekeeper.app.config import load_config
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.runlog import Rerun
from tapekeeper.model.audit import AuditState, AuditTally
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.fault_menu import Drop, Fault, Freeze, LosePrints, NoCompletion
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tests.simulated_gateway import account_at, outside_in_memory

START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
_NS_PER_S = 1_000_000_000
LOST_FOR_A_WHILE = LosePrints(at_s=600, share=0.4, for_s=90)


@dataclass
class Ran:
    """What a tape said, and what the gateway lost."""

    status: TapeStatus
    result: ReplayResult
    files: MemoryFiles
    lost: list[tuple[int, int]]
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    def of(self, *names: str) -> list[tuple[int, dict[str, Any]]]:
        """Time and fields of all events of these names."""
        return [(at_ns, fields) for at_ns, event, fields in self.events if event in names]

    def touched(self) -> list[tuple[Bar, int]]:
        """Every closed bar that a lost print belongs to, and the volume it lost."""
        found = []
        for bars in self.result.bars.values():
            for bar in bars:
                sizes = [size for ts_ns, size in self.lost if bar.ts_open <= ts_ns < bar.ts_end]
                if sizes:
                    found.append((bar, sum(sizes)))
        return found


def run(minutes: float, *schedule: Fault, redundancy: int = 1, history: bool = True) -> Ran:
    """Follow one contract for so long, with default settings but for what is named."""

    async def main(clock: VirtualClock) -> Ran:
        network = MemoryNetwork(Seeded(1, "network"))
        calendar = calendar_by_name("cme")
        gateway = SimGateway(
            SimConfig(products=("MES",)),
            clock,
            Seeded(1, "gateway"),
            sessions=calendar,
            schedule=schedule,
            network=network,
        )
        files = MemoryFiles()
        events: list[tuple[int, str, dict[str, Any]]] = []
        lost: list[tuple[int, int]] = []
        gateway.faults.losses.taps.append(lambda _, ts_ns, one: lost.append((ts_ns, one.size)))

        def log(event: str, /, **fields: Any) -> None:
            events.append((clock.now_ns(), event, fields))

        outside = outside_in_memory(clock, network, files, log)
        async with gateway:
            tape = Tape(_config(gateway, redundancy, history=history), outside=outside)
            async with tape:
                await tape.subscribe("MES", ["1s", "1m"])
                await clock.sleep_s(minutes * 60)
            return Ran(tape.status(), tape.result(), files, lost, events)

    return run_virtual(main, start_ns=START_NS)


def _config(gateway: SimGateway, redundancy: int, *, history: bool) -> Any:
    return load_config(
        {
            "gateway": {**account_at(gateway.urls), "user_hub": False},
            "pool": {"redundancy": redundancy},
            "calendar": {"default": "cme"},
            "history": {"enabled": history},
        }
    )


def replayed(files: MemoryFiles) -> tuple[AuditTally, ...]:
    """What the audit comes to when the journal is read again."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    for entry in JournalReader(files):
        list(rerun.take(entry))
    pipeline.release()
    return pipeline.audit.tallies()


def test_what_the_gateway_loses_is_found_and_a_replay_says_the_same() -> None:
    """At least 99 % within a minute, by the log; every bar it touches knows."""
    ran = run(33, LOST_FOR_A_WHILE, redundancy=2, history=False)
    volume = sum(size for _, size in ran.lost)
    found = ran.of("audit_finding")
    assert {fields["kind"] for _, fields in found} == {"missing"}
    assert 0.99 * volume <= sum(fields["volume"] for _, fields in found) <= volume > 50
    for ts_ns, _ in ran.lost:
        told_ns = min(at for at, one in found if one["from_ns"] <= ts_ns <= one["to_ns"])
        assert told_ns - ts_ns <= 60 * _NS_PER_S
    (tally,) = ran.status.audit
    assert tally.state is AuditState.COMPLETE
    assert ran.result.audit == ran.status.audit == replayed(ran.files)
    # Every bar that lacks a print says so, and no minute that calls itself complete differs.
    touched = ran.touched()
    assert {str(bar.timeframe) for bar, _ in touched} == {"1s", "1m"}
    assert {bar.completeness for bar, _ in touched} == {Completeness.GAP}
    gaps = read_ledger(ran.files)[0].find(causes=[GapCause.MISSING_PRINTS])
    assert sum(gap.missing_volume or 0 for gap in gaps) == sum(one["volume"] for _, one in found)
    assert ran.status.comparison.compared >= 20
    assert ran.of("bars_differ") == []


def test_bars_that_lack_prints_are_restored_from_the_gateway_s_own() -> None:
    """Each says so, and has the volume that its prints alone did not come to."""
    lacking, mended = (
        run(33, LOST_FOR_A_WHILE, redundancy=2, history=history) for history in (False, True)
    )
    assert lacking.lost == mended.lost
    touched = mended.touched()
    assert {bar.completeness for bar, _ in touched} == {Completeness.BACKFILLED}
    volumes = {
        (bar.timeframe, bar.ts_open): bar.volume + lost_volume
        for bar, lost_volume in lacking.touched()
    }
    # A second whose every print was lost has no bar before there is one of the gateway.
    assert len(volumes) < len(touched)
    for bar, lost_volume in touched:
        assert bar.volume == volumes.get((bar.timeframe, bar.ts_open), lost_volume)
    gaps = read_ledger(mended.files)[0].find(causes=[GapCause.MISSING_PRINTS])
    assert {gap.state for gap in gaps} == {GapState.REPAIRED}
    assert mended.of("bars_differ") == []


def test_a_gateway_that_serves_a_part_of_the_market_is_recognised() -> None:
    """A steady share from the beginning is one warning, after some findings at most."""
    ran = run(30, LosePrints(at_s=0, share=0.25, for_s=None))
    ((_, verdict),) = ran.of("feed_judged")
    assert verdict["state"] == "incomplete"
    assert 0.15 < verdict["missing_share"] < 0.35
    assert len(ran.of("audit_finding")) < 20
    (tally,) = ran.status.audit
    assert tally.state is AuditState.INCOMPLETE


def test_no_bar_of_a_feed_that_is_judged_incomplete_is_complete() -> None:
    """One entry of the ledger lasts until the feed is complete again, and history is not asked."""
    ran = run(40, LosePrints(at_s=0.001, share=0.3, for_s=1_500), history=False)
    (_, begun), (_, over) = ran.of("feed_judged")
    assert (begun["state"], over["state"]) == ("incomplete", "complete")
    gaps = read_ledger(ran.files)[0].find(causes=[GapCause.MISSING_PRINTS])
    steady = [gap for gap in gaps if gap.missing_volume is None]
    ((gap_id, from_ns, to_ns),) = [(gap.gap_id, gap.from_ns, gap.to_ns) for gap in steady]
    assert from_ns is not None
    assert to_ns is not None
    assert from_ns < START_NS + 1_500 * _NS_PER_S < to_ns
    assert {gap.state for gap in steady} == {GapState.ENDED}
    behind = [bar for bar, _ in ran.touched() if bar.ts_end > from_ns]
    assert len(behind) > 300
    assert {bar.completeness for bar in behind} == {Completeness.GAP}
    assert all(gap_id in bar.gap_ids for bar in behind)
    after = [bar for bars in ran.result.bars.values() for bar in bars if bar.ts_open > to_ns]
    assert {bar.completeness for bar in after} == {Completeness.COMPLETE}
    # What was told before the verdict, by findings or as whole, is what it was; one entry each.
    assert len(gaps) < 12


def test_a_tape_that_loses_nothing_says_nothing() -> None:
    """An hour on two lines: no finding, no difference to the gateway's bars."""
    ran = run(62, redundancy=2)
    assert ran.of("audit_finding", "feed_judged", "bars_differ", "bars_not_compared") == []
    assert ran.status.comparison.compared >= 40
    (tally,) = ran.status.audit
    assert (tally.state, tally.findings) == (AuditState.COMPLETE, 0)


def test_a_death_that_only_the_volume_shows_is_a_gap_beyond_the_outage_that_is_known() -> None:
    """All data stop and the hub goes on pinging until TCP ends: so long the line seemed to live."""
    stop_s, end_s = 645, 674
    ran = run(30, Freeze(at_s=stop_s), Drop(at_s=end_s), history=False)
    gaps = {gap.cause: gap for gap in read_ledger(ran.files)[0].find()}
    known, found = gaps[GapCause.DISCONNECT], gaps[GapCause.MISSING_PRINTS]
    assert found.from_ns is not None
    assert found.to_ns == known.from_ns
    assert START_NS + (stop_s - 10) * _NS_PER_S < found.from_ns < START_NS + stop_s * _NS_PER_S
    assert (found.missing_volume or 0) > 50
    bars = {bar.ts_open: bar for one in ran.result.bars.values() for bar in one}
    minute = next(
        bar
        for bar in bars.values()
        if bar.ts_open <= START_NS + stop_s * _NS_PER_S < bar.ts_end and str(bar.timeframe) == "1m"
    )
    assert minute.completeness is Completeness.GAP


def test_a_subscription_without_an_answer_is_a_gap_until_its_first_print() -> None:
    """The call for trades is lost: nothing comes before it is asked for again, a minute later."""
    ran = run(5, NoCompletion(at_s=0, count=1, lost=True), history=False)
    (asked,) = (at_ns for at_ns, _ in ran.of("subscription_unanswered"))
    (gap,) = read_ledger(ran.files)[0].find(causes=[GapCause.REFUSED_SUBSCRIPTION])
    first = min(bar.ts_first for one in ran.result.bars.values() for bar in one)
    assert gap.from_ns is not None
    assert gap.to_ns is not None
    assert first - asked > 50 * _NS_PER_S
    assert gap.from_ns <= asked
    assert gap.to_ns > first - _NS_PER_S
    worth = {
        bar.completeness
        for one in ran.result.bars.values()
        for bar in one
        if str(bar.timeframe) == "1m" and bar.ts_open <= first
    }
    assert Completeness.COMPLETE not in worth
