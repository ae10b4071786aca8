"""The judges of a simulated run: each of them finds what it is for."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import msgspec
import pytest

from tapekeeper.core.ledger import line_of
from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import TradeBatch
from tapekeeper.runtime import continuing
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.sim.fault_host import Kill
from tapekeeper.sim.fault_menu import Drop, LosePrints, Replay
from tapekeeper.sim.fault_runner import Happened
from tapekeeper.sim.host import Step
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.verify import checks, runs
from tapekeeper.verify.checks import judge
from tapekeeper.verify.evidence import NS_PER_S, End, Evidence, Freezing, Made
from tapekeeper.verify.losses import mute_spans, spans_of, unexplained
from tapekeeper.verify.oracle import Key, accepted
from tapekeeper.verify.scenario import scenario
from tapekeeper.verify.simulation import simulate

SCHEDULE = (Drop(at_s=10, hub="market"), Drop(at_s=20, hub="market"))


@pytest.fixture(scope="module")
def good() -> Evidence:
    """A run with two drops."""
    return simulate(scenario(8, SCHEDULE))


def test_a_good_run_has_no_problem(good: Evidence) -> None:
    """It made prints, lost a few while it was away, and reported when."""
    findings = judge(good)
    assert findings.problems == ()
    assert findings.made > 100
    assert 0 < findings.lost < findings.made // 2
    assert len(findings.spans) >= 2


def _spoil_failure(evidence: Evidence) -> None:
    evidence.failure = "deadlock: planted"


def _spoil_recovery(evidence: Evidence) -> None:
    evidence.recovered_s = None


def _spoil_stop(evidence: Evidence) -> None:
    evidence.last.stop_s = 61.0


def _spoil_tasks(evidence: Evidence) -> None:
    evidence.leftovers = ("line market",)


def _spoil_ends(evidence: Evidence) -> None:
    evidence.open_ends = 2


def _spoil_lock(evidence: Evidence) -> None:
    evidence.files.disk.is_locked = True


def _spoil_subscription(evidence: Evidence) -> None:
    evidence.last.subscribed_ns = None


def _spoil_counts(evidence: Evidence) -> None:
    assert evidence.last.status is not None
    evidence.last.status = msgspec.structs.replace(
        evidence.last.status, trades=TickCounts(received=1)
    )


def _spoil_pool(evidence: Evidence) -> None:
    assert evidence.last.status is not None
    pools = tuple(msgspec.structs.replace(one, lines_most=9) for one in evidence.last.status.pools)
    evidence.last.status = msgspec.structs.replace(evidence.last.status, pools=pools)


def _spoil_bar(evidence: Evidence) -> None:
    assert evidence.last.result is not None
    bars = evidence.last.result.bars["1s"]
    place = next(place for place, bar in enumerate(bars) if not bar.gap_ids)
    bars[place] = msgspec.structs.replace(bars[place], volume=bars[place].volume + 1)


def _spoil_filled(evidence: Evidence) -> None:
    """Another market than the one that the gateway's history told of."""
    for place, one in enumerate(evidence.market):
        more = tuple((*key[:3], key[3] + 1, key[4]) for key in one.prints)
        evidence.market[place] = Made(one.at_ns, more)


def _spoil_bar_missing(evidence: Evidence) -> None:
    assert evidence.last.result is not None
    del evidence.last.result.bars["5s"][2]


def _spoil_report(evidence: Evidence) -> None:
    assert evidence.last.status is not None
    pools = tuple(msgspec.structs.replace(one, uncovered=()) for one in evidence.last.status.pools)
    pools = tuple(msgspec.structs.replace(one, uncovered_count=0) for one in pools)
    evidence.last.status = msgspec.structs.replace(evidence.last.status, pools=pools)


def _spoil_print(evidence: Evidence) -> None:
    one = evidence.made[len(evidence.made) // 2]
    evidence.made.insert(0, Made(evidence.last.ended_ns - 20_000_000_000, one.prints * 50))


def _spoil_market(evidence: Evidence) -> None:
    evidence.made = [one for n, one in enumerate(evidence.made) if n % 7]


def _spoil_print_again(evidence: Evidence) -> None:
    # The schedule says that the gateway repeated itself once: thrice is not explained by that.
    replayed = Happened(15.0, Replay(at_s=15), ended=False)
    evidence.happened = (*evidence.happened, replayed)
    _spoil_market(evidence)


def _spoil_end(evidence: Evidence) -> None:
    evidence.last.end = End.RUNNING


def _spoil_why(evidence: Evidence) -> None:
    evidence.last.end, evidence.last.why = End.FAILED, "JournalError: the disk is tired"


def _spoil_refusal(evidence: Evidence) -> None:
    evidence.last.refused = 2


def _spoil_left(evidence: Evidence) -> None:
    left = evidence.last.left
    left.append(msgspec.structs.replace(left[-1], volume=left[-1].volume + 1))


def _spoil_tail(evidence: Evidence) -> None:
    name = evidence.files.names()[-1]
    evidence.files.disk.content[name] = evidence.files.disk.content[name][:-3]


def _spoil_return(evidence: Evidence) -> None:
    evidence.returned_s = None


def _spoil_tokens(evidence: Evidence) -> None:
    assert evidence.last.status is not None
    token = msgspec.structs.replace(evidence.last.status.token, tokens=100_000)
    evidence.last.status = msgspec.structs.replace(evidence.last.status, token=token)


def _spoil_nothing_written(evidence: Evidence) -> None:
    evidence.files.disk.content.clear()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_spoil_end, "it never ended"),
        (_spoil_why, "it ended by itself: JournalError: the disk is tired"),
        (_spoil_refusal, "process 1: the disk refused it 2 times, and it went on"),
        (_spoil_left, "1 bars left it that its journal does not make"),
        (_spoil_tail, "the journal is damaged"),
        (_spoil_return, "not all as it was 900 s after the last fault"),
        (_spoil_tokens, "it asked for 100000 tokens"),
        (_spoil_nothing_written, "there is no journal"),
        (_spoil_print_again, "are on the tape that nobody made"),
        (_spoil_failure, "deadlock: planted"),
        (_spoil_recovery, "not recovered 240 s after the last fault"),
        (_spoil_stop, "stopping took 61.0 s"),
        (_spoil_tasks, "tasks were left over: line market"),
        (_spoil_ends, "2 ends of connections"),
        (_spoil_lock, "left locked"),
        (_spoil_subscription, "never subscribed"),
        (_spoil_counts, "an identity does not hold"),
        (_spoil_pool, "had 9 lines, more than"),
        (_spoil_filled, "were filled in and are not the market's"),
        (_spoil_bar, "bars differ from the oracle's"),
        (_spoil_bar_missing, "a replay of the journal makes other bars"),
        (_spoil_report, "lost in intervals that nothing reports"),
        (_spoil_print, "lost in intervals that nothing reports"),
        (_spoil_market, "are on the tape that nobody made"),
    ],
)
def test_what_is_wrong_is_found(
    good: Evidence, spoil: Callable[[Evidence], None], sentence: str
) -> None:
    """Evidence that was spoilt in one way is told in one sentence that says which."""
    spoilt = copy.deepcopy(good)
    spoil(spoilt)
    assert any(sentence in problem for problem in judge(spoilt).problems)


def test_a_print_that_came_and_is_not_on_the_tape_is_found(
    good: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a connection brought is in a bar, or was quarantined by its name."""

    def but_one(batches: Iterable[TradeBatch]) -> Counter[Key]:
        taken = accepted(batches)
        taken.subtract({next(iter(taken)): 1})
        return taken

    monkeypatch.setattr(checks, "accepted", but_one)
    assert any("1 prints came and are not on the tape" in one for one in judge(good).problems)


def test_a_frozen_stream_explains_its_own_losses_alone(good: Evidence) -> None:
    """While it was frozen, and of no other contract."""
    contract_id, other_id = good.contracts["MES"], good.contracts["MNQ"]
    deaf = copy.deepcopy(good)
    deaf.freezings.append(Freezing(Stream.TRADES, contract_id, 5_000, 10_000_000_000))
    deaf.freezings.append(Freezing(Stream.QUOTES, other_id, 0))
    spans = [span for span in spans_of(deaf) if span.why == "a frozen subscription"]
    (span,) = spans
    assert span.holds(10_000_000_000, contract_id)
    assert not span.holds(10_000_000_000, other_id)
    assert not span.holds(12_000_000_000, contract_id)


def test_a_journal_that_accepts_no_more_excuses_what_was_found_out_then(good: Evidence) -> None:
    """What a failed process reported and what lasted to its end, and nothing else."""
    failed = copy.deepcopy(good)
    failed.last.end, failed.last.refused = End.FAILED, 1
    assert list(mute_spans(failed)) == []
    status = failed.last.status
    assert status is not None
    (market,) = (pool for pool in status.pools if pool.name == "market")
    *before, last = market.uncovered
    last = msgspec.structs.replace(last, to_ns=failed.last.ended_ns)
    market = msgspec.structs.replace(market, uncovered=(*before, last))
    failed.last.status = msgspec.structs.replace(status, pools=(market,))
    (span, *others) = mute_spans(failed)
    assert {(one.from_ns, one.to_ns) for one in others} <= {(span.from_ns, span.to_ns)}
    assert last.from_ns - 3_000_000_000 < span.from_ns < last.from_ns
    failed.last.refused = 0
    assert list(mute_spans(failed)) == []


def test_a_bar_that_was_forming_at_a_kill_is_judged_by_the_market(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once the next process has told that nobody was there, it may not call itself complete."""

    def forget(_pipeline: Pipeline, absences: Iterable[Gap]) -> Iterator[Outputs]:
        yield Outputs(gaps=list(absences))

    # Processes that begin with nothing, as where the state of the one before cannot be had.
    monkeypatch.setattr(continuing, "_run_since", lambda *_: "it is not wanted")
    evidence = simulate(replace(scenario(8, (Kill(at_s=20.4, restart_s=9),)), trades_per_s=20.0))
    assert judge(evidence).problems == ()
    monkeypatch.setattr(runs, "ended_by", forget)
    assert any("say that they are complete and are not" in one for one in judge(evidence).problems)


def test_what_the_gateway_loses_is_part_of_its_market() -> None:
    """Nobody can be asked for what nobody was sent; what history tells has it."""
    faults = (LosePrints(at_s=10, for_s=10, share=0.5), Drop(at_s=12, hub="market"))
    evidence = simulate(scenario(8, faults))
    assert judge(evidence).problems == ()
    market, made = (
        Counter(key for one in all_of for key in one.prints)
        for all_of in (evidence.market, evidence.made)
    )
    assert made < market
    evidence.market = evidence.made
    assert any("are not the market's" in problem for problem in judge(evidence).problems)


def test_a_dead_process_is_not_judged_by_what_the_next_one_loses() -> None:
    """A bar was forming when it was killed, and its interval goes on without it."""
    faults = (Kill(at_s=12.2, restart_s=1), Drop(at_s=13.6, hub="market"))
    findings = judge(simulate(replace(scenario(8, faults), trades_per_s=20.0)))
    assert findings.problems == ()
    assert findings.lost > 0


@pytest.mark.parametrize(
    ("wall_ns", "first_ns", "latest_ns"),
    [(50, 50, 50), (95, 95, 125), (110, 140, 140), (75, 75, 105), (300, 200, 200), (470, 240, 240)],
)
def test_the_wall_clock_of_the_host_is_translated(
    wall_ns: int, first_ns: int, latest_ns: int
) -> None:
    """A step back shows times twice; those that a step forward skips are its moment."""
    evidence = Evidence(scenario(1, ()), steps=(Step(100, -30), Step(200, 260)))
    assert evidence.true_ns(wall_ns, latest=False) == first_ns
    assert evidence.true_ns(wall_ns, latest=True) == latest_ns


def test_the_clock_of_a_process_is_not_set_back_and_a_new_process_begins_with_the_hosts() -> None:
    """An hour back at the tenth second, and two forward at the twentieth."""
    second, hour = 1_000_000_000, 3_600_000_000_000
    steps = (Step(10 * second, -hour), Step(20 * second, 2 * hour))
    evidence = Evidence(scenario(1, ()), steps=steps)
    assert evidence.true_ns(15 * second, latest=True) == 15 * second
    assert evidence.true_ns(30 * second + hour, latest=False) == 30 * second
    since_ns = 12 * second
    assert evidence.true_ns(15 * second - hour, latest=True, since_ns=since_ns) == 15 * second
    assert evidence.true_ns(30 * second + hour, latest=True, since_ns=since_ns) == 30 * second


def _spoil_cause(evidence: Evidence) -> None:
    for name, content in evidence.files.disk.content.items():
        if name.startswith("gaps-"):
            evidence.files.disk.content[name] = content.replace(b'"crash"', b'"overflow"')


def _spoil_bound(evidence: Evidence) -> None:
    """The gap begins a second after the last print of the process that was killed."""
    ledger, _ = read_ledger(evidence.files)
    late = [
        msgspec.structs.replace(gap, from_ns=(gap.from_ns or 0) + NS_PER_S)
        for gap in ledger.find(causes=[GapCause.CRASH])
    ]
    evidence.files.disk.content["gaps-000099.jsonl"] = bytearray(b"".join(map(line_of, late)))


def _spoil_ledger(evidence: Evidence) -> None:
    evidence.files.disk.content["gaps-000099.jsonl"] = bytearray(b"nothing\n")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_spoil_cause, "the ledger does not name the end of process 1 (killed) for"),
        (_spoil_bound, "the ledger does not name the end of process 1 (killed) for"),
        (_spoil_bound, "prints that no process has are in no gap of the ledger"),
        (_spoil_ledger, "the ledger is damaged"),
    ],
)
def test_a_crash_that_the_ledger_does_not_name_is_found(
    spoil: Callable[[Evidence], None], sentence: str
) -> None:
    """By its cause and its bounds: nobody was there from the last print that there is."""
    evidence = simulate(replace(scenario(8, (Kill(at_s=20, restart_s=9),)), trades_per_s=20.0))
    assert judge(evidence).problems == ()
    spoil(evidence)
    assert any(sentence in problem for problem in judge(evidence).problems)


def test_what_was_given_up_is_accounted_for_by_its_gap_alone(good: Evidence) -> None:
    """A lost print of its contract, within its bounds; any other is lost in silence."""
    contract_id, other_id = good.contracts["MES"], good.contracts["MNQ"]
    gap = Gap(1, contract_id, GapCause.OVERFLOW, 100, 200, "2 frames were given up", 0)
    inside: Key = (contract_id, 150, 6_000.0, 1, 0)
    for key, told in [
        (inside, 0),
        ((contract_id, 200, 6_000.0, 1, 0), 1),
        ((other_id, 150, 6_000.0, 1, 0), 1),
    ]:
        assert len(list(unexplained(good, Counter({(5, key): 1}), [], [gap]))) == told
    assert len(list(unexplained(good, Counter({(5, inside): 1}), [], []))) == 1


def test_seeds_draw_what_becomes_of_what_does_not_fit() -> None:
    """Every policy, and room for no more than two frames, among the first seeds."""
    drawn = {(one.on_full, one.room_frames) for one in map(scenario, range(1, 41))}
    assert drawn == {("spill", 8_192), ("spill", 2), ("block", 2), ("shed", 2)}
