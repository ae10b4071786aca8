"""Prints that are set aside and let back in: by others that confirm them, and by command."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
import pytest

from tapekeeper.core.bars import BarPolicy
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.runlog import (
    MARKET_HUB,
    Rerun,
    connect_entry,
    readmit_entry,
    readmitted_later,
    subscribe_entry,
)
from tapekeeper.core.signalr.records import Invocation, encode_invocation
from tapekeeper.core.validate import LENIENT, RulePolicy
from tapekeeper.core.validate.quarantine import KEPT_MAX, Quarantine
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import Flag, Reason, Trade
from tapekeeper.model.timeframe import Timeframe

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"
Row = tuple[float, float]
CALM: list[Row] = [(0.1 * n, 6_000.0 + n % 9 / 4) for n in range(40)]


def subscription(
    rules: RulePolicy = LENIENT, horizon_s: int = 3_600, *, depth: bool = False
) -> Subscription:
    """A subscription to MES with these rules."""
    return Subscription(
        Instrument(MES, "MESH6", tick_size=0.25),
        tuple(map(Timeframe.parse, ("1s", "1m"))),
        calendar_by_name("cme"),
        depth,
        BarPolicy(horizon_ns=horizon_s * SECOND),
        rules,
    )


def running(rules: RulePolicy | None = None, horizon_s: int = 3_600) -> Pipeline:
    """A pipeline that follows MES, by default with the rules as they are shipped."""
    pipeline = Pipeline(grace_ns=SECOND)
    pipeline.subscribe(subscription(rules or RulePolicy(), horizon_s))
    return pipeline


def payload(rows: Iterable[Row]) -> list[object]:
    """Prints of (seconds after START, price), of 2 contracts each."""
    prints = [
        {
            "timestamp": format_ns(START + round(after_s * 1_000) * 1_000_000),
            "price": price,
            "volume": 2,
            "type": 0,
        }
        for after_s, price in rows
    ]
    return [MES, prints]


def feed(pipeline: Pipeline, rows: Iterable[Row]) -> Outputs:
    """One burst of prints, received with the last of them."""
    rows = list(rows)
    recv_ns = START + round(rows[-1][0] * 1_000) * 1_000_000
    pipeline.take([Invocation("GatewayTrade", json.dumps(payload(rows)).encode())], recv_ns)
    return pipeline.step()


def last_words(outputs: Iterable[Outputs]) -> dict[tuple[str, int], Bar]:
    """The latest revision of each closed bar, without its number."""
    words = {}
    for each in outputs:
        for bar in each.closed:
            plain = msgspec.structs.replace(bar, revision=0, state=bar.state.CLOSED)
            words[bar.timeframe, bar.ts_open] = plain
    return words


JUMP: list[Row] = [(4.0, 6_500.0), (4.0, 6_000.0), (4.2, 6_501.0), (4.2, 6_502.0), (9.0, 6_501.0)]


@pytest.mark.parametrize("cut", range(1, len(JUMP)))
def test_a_confirmed_jump_is_in_the_bars_wherever_its_burst_was_cut(cut: int) -> None:
    """What was set aside in an earlier burst is let back in, as if it had come in one."""
    whole, parts = running(), running()
    of_whole = [feed(whole, CALM), feed(whole, JUMP)]
    of_parts = [feed(parts, CALM), feed(parts, JUMP[:cut]), feed(parts, JUMP[cut:])]
    assert last_words(of_parts) == last_words(of_whole)
    assert parts.forming_all() == whole.forming_all()
    for pipeline, outputs in ((whole, of_whole), (parts, of_parts)):
        assert pipeline.trade_counts().accepted == len(CALM) + len(JUMP)
        assert pipeline.trade_counts().holds
        assert pipeline.reasons() == {}
        assert all(check.holds for check in pipeline.checks())
        readmitted = [trade.price for each in outputs for trade in each.readmitted]
        assert readmitted == [6_500.0, 6_501.0]


def test_a_price_that_nobody_confirms_changes_no_bar() -> None:
    """It is quarantined whole, and the bars are those without it."""
    with_it, without = running(), running()
    bad = [(4.05, 60.0), (4.1, 6_000.0), (4.2, 6_000.25), (9.0, 6_001.0)]
    outputs = [feed(with_it, CALM), feed(with_it, bad)]
    expected = [feed(without, CALM), feed(without, bad[1:])]
    assert last_words(outputs) == last_words(expected)
    assert with_it.reasons() == {"price_band": 1}
    (rejected,) = outputs[1].rejected
    assert msgspec.json.decode(rejected.raw, type=Trade).price == 60.0
    assert [each.trade.price for each in with_it.quarantined()] == [60.0]


def test_a_print_is_let_in_by_command_and_its_bars_are_revised() -> None:
    """Counts, identities and every larger bar follow; a second time nothing happens."""
    pipeline = running()
    feed(pipeline, [*CALM, (4.05, 60.0), (9.0, 6_001.0), (70.0, 6_001.0)])
    (kept,) = pipeline.quarantined()
    outputs = pipeline.readmit(kept.trade)
    assert outputs.readmitted == [kept.trade]
    assert [(bar.timeframe, bar.low, bar.revision) for bar in outputs.closed] == [
        ("1s", 60.0, 1),
        ("1m", 60.0, 1),
    ]
    assert pipeline.reasons() == {}
    assert pipeline.quarantined() == []
    assert pipeline.trade_counts().holds
    assert all(check.holds for check in pipeline.checks())
    assert pipeline.readmit(kept.trade).readmitted == []
    assert pipeline.trade_counts().quarantined == 0


def test_a_print_whose_bars_are_too_old_stays_outside() -> None:
    """Nothing is counted twice, and it is still in quarantine."""
    pipeline = running(horizon_s=60)
    feed(pipeline, [*CALM, (4.05, 60.0), (200.0, 6_001.0)])
    (kept,) = pipeline.quarantined()
    assert pipeline.readmit(kept.trade).readmitted == []
    assert pipeline.reasons() == {"price_band": 1}
    assert pipeline.trade_counts().holds
    assert pipeline.quarantined() == [kept]


def test_a_print_let_in_by_command_is_not_let_in_by_others_too() -> None:
    """One that was pending is accepted once, whoever is first."""
    pipeline = running()
    feed(pipeline, [*CALM, (4.1, 6_500.0)])
    (kept,) = pipeline.quarantined()
    pipeline.readmit(kept.trade)
    feed(pipeline, [(4.2, 6_500.0)])
    feed(pipeline, [(4.3, 6_500.0)])
    feed(pipeline, [(4.4, 6_500.0)])
    assert pipeline.trade_counts().accepted == len(CALM) + 4
    assert pipeline.trade_counts().holds
    assert all(check.holds for check in pipeline.checks())


def test_what_no_bar_could_hold_is_never_kept_for_letting_in() -> None:
    """No number, no size and no time of this century: the frame in the journal has it."""
    quarantine = Quarantine()
    good = Trade(MES, START, 6_000.1, 1, 0, START, 1)
    for spoilt in (
        {"price": float("nan")},
        {"price": float("inf")},
        {"size": -1},
        {"size": 2**31},
        {"ts_event": 0},
    ):
        quarantine.add(msgspec.structs.replace(good, **spoilt), Reason.PRICE, "why")
    assert len(quarantine) == 0
    quarantine.add(good, Reason.OFF_GRID, "why")
    assert quarantine.find(msgspec.structs.replace(good, seq=99)) is not None
    assert quarantine.find(msgspec.structs.replace(good, size=2)) is None


def test_the_quarantine_is_bounded() -> None:
    """The oldest goes first."""
    quarantine = Quarantine()
    for seq in range(KEPT_MAX + 3):
        quarantine.add(Trade(MES, START, 0.1, 1, 0, START, seq), Reason.OFF_GRID, "why")
    assert len(quarantine) == KEPT_MAX
    assert quarantine.all()[0].trade.seq == 3


def test_a_crossed_quote_is_flagged_in_session_only() -> None:
    """Before the open it is normal; it is accepted in both cases."""
    pipeline = running()
    saturday_ns = START - 48 * 3_600 * SECOND
    for ts_ns in (START, saturday_ns):
        data = {"lastUpdated": format_ns(ts_ns), "bestBid": 6_000.5, "bestAsk": 6_000.25}
        pipeline.take([Invocation("GatewayQuote", json.dumps([MES, data]).encode())], ts_ns)
        assert len(pipeline.step().quotes) == 1
    assert pipeline.flags() == {str(Flag.CROSSED): 1}
    (flagged,) = pipeline.flagged()
    assert (flagged.flag, flagged.tick.ts_event) == (Flag.CROSSED, START)
    assert flagged.detail == "bid 6000.5 is above ask 6000.25 while the market is open"


def bid(after_s: float, price: float) -> Invocation:
    """A quote so many seconds after the start."""
    data = {"lastUpdated": format_ns(START + round(after_s * SECOND)), "bestBid": price}
    return Invocation("GatewayQuote", json.dumps([MES, data]).encode())


def test_how_quotes_and_prints_are_read_together_changes_no_verdict_on_quotes() -> None:
    """One step for all, or one for each: prints that jump are no reason to believe a quote."""
    calls = [bid(each, price) for each, price in CALM]
    calls += [bid(5, 6_500.0), bid(5.1, 6_000.0), bid(5.2, 60.0), bid(5.3, 6_000.25)]
    verdicts = []
    for together in (True, False):
        pipeline = running()
        rejected, accepted = [], 0
        for number, call in enumerate(calls):
            jump = [(4 + number / 100, 6_500.0)]
            trade = Invocation("GatewayTrade", json.dumps([MES, payload(jump)]).encode())
            pipeline.take([trade, call], START + number * SECOND // 10)
            if not together or call is calls[-1]:
                outputs = pipeline.step()
                accepted += len(outputs.quotes)
                rejected += [
                    json.loads(each.raw)["bid"] for each in outputs.rejected if b"bid" in each.raw
                ]
        verdicts.append((accepted, rejected))
        counts = pipeline.quote_counts()
        assert counts.holds
        assert (counts.accepted, counts.quarantined) == (accepted, 2)
    assert verdicts == [(42, [6_500.0, 60.0])] * 2


def test_of_a_journal_of_old_nobody_judges_the_quotes() -> None:
    """Its rules say nothing of quotes, because there were none for them when it was written."""
    new = subscribe_entry(subscription(RulePolicy()), START)
    old = Entry(new.kind, new.line, new.ts_ns, new.payload.replace(b',"quotes":true', b""))
    assert old.payload != new.payload
    for entry, reasons in ((new, {"price_band": 1}), (old, {})):
        pipeline = Pipeline(grace_ns=SECOND)
        rerun = Rerun(pipeline)
        assert list(rerun.take(entry)) == []
        pipeline.take([*(bid(each, price) for each, price in CALM), bid(5, 60.0)], START)
        pipeline.step()
        assert pipeline.reasons() == reasons


def test_prices_of_depth_may_be_negative_where_trades_may() -> None:
    """One policy of the product, for trades, quotes and depth."""
    row = {"timestamp": format_ns(START), "type": 4, "price": -37.5, "volume": 1,
           "currentVolume": 1}  # fmt: skip
    call = Invocation("GatewayDepth", json.dumps([MES, [row]]).encode())
    for negative, quarantined in ((True, 0), (False, 1)):
        pipeline = Pipeline(grace_ns=SECOND)
        pipeline.subscribe(subscription(RulePolicy(negative_prices=negative), depth=True))
        pipeline.take([call], START)
        pipeline.step()
        assert pipeline.depth.counts().quarantined == quarantined


# -- the journal --------------------------------------------------------------------------------


def frame(rows: list[Row]) -> Entry:
    """A frame with these prints."""
    recv_ns = START + round(rows[-1][0] * 1_000) * 1_000_000
    data = encode_invocation("GatewayTrade", payload(rows))
    return Entry(EntryKind.FRAME, 7, recv_ns, data)


def entries(*more: Entry, rules: RulePolicy | None = None) -> list[Entry]:
    """A run with a bad print among calm ones, and whatever follows."""
    return [
        subscribe_entry(subscription(rules or RulePolicy()), START),
        connect_entry(7, MARKET_HUB, START),
        frame([*CALM, (4.05, 60.0)]),
        frame([(9.0, 6_001.0), (70.0, 6_001.0)]),
        *more,
    ]


def rerun(run: list[Entry], pardons: Iterable[Trade] = ()) -> tuple[Pipeline, list[Outputs]]:
    """What becomes of a run."""
    pipeline = Pipeline(grace_ns=0)
    repeat = Rerun(pipeline, pardons=pardons)
    return pipeline, [outputs for entry in run for outputs in repeat.take(entry)]


def test_rules_are_part_of_a_recorded_subscription() -> None:
    """A replay judges with the thresholds of its run, whatever they are now."""
    assert rerun(entries())[0].reasons() == {"price_band": 1}
    assert rerun(entries(rules=RulePolicy(band=False)))[0].reasons() == {}


def test_a_journal_that_names_no_rules_is_judged_as_it_was() -> None:
    """Before there were policies there was no band."""
    run = entries()
    meta = msgspec.json.decode(run[0].payload)
    del meta["rules"]
    run[0] = Entry(EntryKind.META, 0, START, msgspec.json.encode(meta))
    assert rerun(run)[0].reasons() == {}


def test_a_replay_lets_in_what_was_let_in_at_the_same_place() -> None:
    """The revision has the same number, because the bar had been closed by then."""
    (kept,) = rerun(entries())[0].quarantined()
    pipeline, outputs = rerun(entries(readmit_entry(kept.trade, START)))
    assert pipeline.reasons() == {}
    assert [(bar.timeframe, bar.revision) for bar in outputs[-1].closed] == [("1s", 1), ("1m", 1)]


def test_a_replay_lets_in_what_was_let_in_when_its_run_was_over() -> None:
    """It is in the bars from the beginning; at the entry itself, in a later run, nothing is."""
    (kept,) = rerun(entries())[0].quarantined()
    later = readmit_entry(kept.trade, START, run=1)
    meta = readmitted_later(later)
    assert meta is not None
    assert (meta.run, meta.trade) == (1, kept.trade)
    assert readmitted_later(readmit_entry(kept.trade, START)) is None
    pipeline, outputs = rerun(entries(), [kept.trade])
    assert pipeline.reasons() == {}
    minute = next(bar for each in outputs for bar in each.closed if bar.timeframe == "1m")
    assert (minute.low, minute.revision) == (60.0, 0)
    assert rerun([later])[0].trade_counts().received == 0
