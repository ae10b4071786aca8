"""The order of the stages, and the counts they keep."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.bar import BarState
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import Reason, TradeBatch
from tapekeeper.model.timeframe import Timeframe

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"


def subscription(contract_id: str = MES, *timeframes: str) -> Subscription:
    """A subscription to one contract with a tick size of 0.25."""
    instrument = Instrument(contract_id, contract_id.split(".")[3], tick_size=0.25)
    wanted = tuple(map(Timeframe.parse, timeframes or ("1s", "1m")))
    return Subscription(instrument, wanted, calendar_by_name("cme"))


def trade(ts_ns: int, price: float = 6_000.0, size: int = 1) -> dict[str, object]:
    """One print as the gateway writes it."""
    return {"timestamp": format_ns(ts_ns), "price": price, "volume": size, "type": 0}


def trades(prints: Iterable[dict[str, object]], contract_id: str = MES) -> Invocation:
    """A GatewayTrade call."""
    return Invocation("GatewayTrade", json.dumps([contract_id, list(prints)]).encode())


def quote(ts_ns: int, contract_id: str = MES, **members: object) -> Invocation:
    """A GatewayQuote call."""
    data = {"lastUpdated": format_ns(ts_ns), **members}
    return Invocation("GatewayQuote", json.dumps([contract_id, data]).encode())


def running(*timeframes: str) -> Pipeline:
    """A pipeline that follows MES."""
    pipeline = Pipeline(grace_ns=SECOND)
    pipeline.subscribe(subscription(MES, *timeframes))
    return pipeline


def fed(pipeline: Pipeline, *calls: Invocation) -> Outputs:
    """One burst of calls."""
    pipeline.take(calls, START)
    return pipeline.step()


def test_a_tick_passes_every_stage_once() -> None:
    """Accepted trades come out, close bars, and are counted once, quotes apart from trades."""
    pipeline = running()
    outputs = fed(
        pipeline, trades([trade(START), trade(START + SECOND, size=2)]), quote(START, bestBid=1.0)
    )
    assert [bar.volume for bar in outputs.closed] == [1]
    assert [len(batch) for batch in outputs.trades] == [2]
    assert [each.bid for each in outputs.quotes] == [1.0]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)
    assert pipeline.quote_counts() == TickCounts(received=1, accepted=1)
    assert all(check.holds for check in pipeline.checks())


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (trades([trade(START, price=-1.0)]), Reason.PRICE),
        (trades([trade(START, price=6_000.1)]), Reason.OFF_GRID),
        (trades([trade(START, size=-1)]), Reason.SIZE),
        (trades([trade(START)], "CON.F.US.MES.M26"), Reason.NOT_SUBSCRIBED),
        (trades([{**trade(START), "symbolId": "F.US.MNQ"}]), Reason.WRONG_CONTRACT),
        (trades([{"timestamp": "yesterday", "price": 1.0, "volume": 1}]), Reason.TIME),
        (Invocation("GatewayTrade", b"[]"), Reason.PAYLOAD),
    ],
)
def test_what_fails_is_quarantined_with_its_reason(call: Invocation, reason: Reason) -> None:
    """A bad tick reaches no bar, its good neighbour does, and the identity holds."""
    pipeline = running()
    outputs = fed(pipeline, trades([trade(START)]), call)
    assert [each.reason for each in outputs.rejected] == [reason]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=1, quarantined=1)
    assert pipeline.trade_counts().holds
    assert pipeline.reasons() == {str(reason): 1}
    assert [bar.n for bar in pipeline.forming_all()] == [1, 1]


def test_the_expiry_decides_and_never_the_product() -> None:
    """Two expiries of one product share `symbolId`; only the contract id is looked at."""
    pipeline = running()
    other = trades([{**trade(START), "symbolId": "F.US.MES"}], "CON.F.US.MES.M26")
    assert fed(pipeline, other).trades == []


def test_a_late_print_revises_its_bar() -> None:
    """It is accepted, and the bar that had been told is told again with a higher revision."""
    pipeline = running()
    fed(pipeline, trades([trade(START), trade(START + SECOND)]))
    outputs = fed(pipeline, trades([trade(START, size=9), trade(START + SECOND)]))
    assert outputs.rejected == []
    assert [(bar.timeframe, bar.revision, bar.n) for bar in outputs.closed] == [("1s", 1, 2)]
    assert pipeline.trade_counts() == TickCounts(received=4, accepted=4)
    assert all(check.holds for check in pipeline.checks())


def test_a_print_beyond_the_horizon_is_named_and_changes_nothing() -> None:
    """It is quarantined whole as late; the volumes still agree."""
    pipeline = running()
    hour = 3_600 * SECOND
    fed(pipeline, trades([trade(START), trade(START + 2 * hour)]))
    outputs = fed(pipeline, trades([trade(START + hour - 1, size=9), trade(START + hour)]))
    assert [each.reason for each in outputs.rejected] == [Reason.LATE]
    assert pipeline.trade_counts() == TickCounts(received=4, accepted=3, quarantined=1)
    assert all(check.holds for check in pipeline.checks())


def test_garbled_bytes_are_counted_and_kept() -> None:
    """Bytes that are no record stand for one tick, because what they held cannot be known."""
    pipeline = running()
    pipeline.take_garbled(b"not json", "malformed", START)
    outputs = pipeline.step()
    assert [(each.reason, each.raw) for each in outputs.rejected] == [
        (Reason.MALFORMED, b"not json")
    ]
    assert pipeline.trade_counts() == TickCounts(received=1, quarantined=1)


def test_a_quote_with_an_impossible_member_does_not_become_the_state() -> None:
    """The last good quote stays readable."""
    pipeline = running()
    fed(pipeline, quote(START, bestBid=5.0))
    fed(pipeline, quote(START, bestBid=-5.0))
    good = pipeline.quote(MES)
    assert good is not None
    assert good.bid == 5.0
    assert pipeline.quote_counts() == TickCounts(received=2, accepted=1, quarantined=1)


def test_quiet_time_closes_bars_after_the_grace_and_not_before() -> None:
    """Exchange time runs on from the last trade; the grace is waited out."""
    pipeline = running("1s")
    assert pipeline.due_limits(10**18) == [], "nothing is due before the first trade"
    pipeline.take([trades([trade(START + SECOND // 2)])], START)
    pipeline.step(now_ns=7)
    assert pipeline.due_limits(7 + 3 * SECOND // 2 - 1) == []
    (due,) = pipeline.due_limits(7 + 3 * SECOND // 2)
    assert due == (MES, START + SECOND)
    outputs = pipeline.close_due(*due)
    assert [(bar.ts_open, bar.state) for bar in outputs.closed] == [(START, BarState.CLOSED)]
    assert pipeline.due_limits(10**18) == [], "nothing is left to close"


def test_quotes_do_not_keep_a_bar_open() -> None:
    """Only trades move the time that closes bars."""
    pipeline = running("1s")
    fed(pipeline, trades([trade(START)]))
    before = pipeline.due_limits(5 * SECOND)
    fed(pipeline, quote(START + 4 * SECOND, bestBid=1.0))
    assert pipeline.due_limits(5 * SECOND) == before != []


def test_a_contract_with_a_wild_stamp_closes_nothing_of_another() -> None:
    """Each contract's time runs on from its own last trade."""
    pipeline = running("1s")
    other = "CON.F.US.MNQ.H26"
    pipeline.subscribe(subscription(other, "1s"))
    fed(pipeline, trades([trade(START)]), trades([trade(START + 10**15)], other))
    assert pipeline.due_limits(SECOND) == []
    assert [contract_id for contract_id, _ in pipeline.due_limits(2 * SECOND)] == [MES, other]


def test_after_the_end_of_a_subscription_its_ticks_are_not_wanted() -> None:
    """Bars stay as they are; a new subscription goes on with them."""
    pipeline = running()
    fed(pipeline, trades([trade(START)]))
    pipeline.unsubscribe(MES)
    outputs = fed(pipeline, trades([trade(START)]), quote(START, bestBid=1.0))
    assert [each.reason for each in outputs.rejected] == [Reason.NOT_SUBSCRIBED] * 2
    pipeline.subscribe(subscription(MES, "1s", "5m"))
    fed(pipeline, trades([trade(START)]))
    assert [str(each) for each in pipeline.timeframes(MES)] == ["1s", "1m", "5m"]
    assert [bar.n for bar in pipeline.forming_all()] == [2, 2, 2]
    assert all(check.holds for check in pipeline.checks())


def test_unknown_contracts_can_be_discovered() -> None:
    """A source without metadata asks for a subscription when a contract first appears."""
    asked: list[str] = []

    def discover(contract_id: str) -> Subscription | None:
        asked.append(contract_id)
        return subscription(contract_id) if contract_id == MES else None

    pipeline = Pipeline(grace_ns=0, discover=discover)
    fed(pipeline, trades([trade(START)]), trades([trade(START)], "CON.F.US.X.H26"))
    assert asked == [MES, "CON.F.US.X.H26"]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=1, quarantined=1)


def test_decoded_trades_take_the_same_way() -> None:
    """Batches from a file are validated and counted like those from the wire."""
    pipeline = running()
    batch = TradeBatch(MES)
    for seq, price in enumerate((1.0, -1.0)):
        batch.append(START, price, 1, 0, START, seq)
    pipeline.take_trades(batch)
    assert [each.reason for each in pipeline.step().rejected] == [Reason.PRICE]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=1, quarantined=1)


def test_user_events_and_their_faults_come_out_apart() -> None:
    """What the user hub says passes no bar and no tick count."""
    pipeline = running()
    account = {"action": 1, "data": {"id": 1, "name": "TEST", "balance": 5.0, "canTrade": True}}
    good = Invocation("GatewayUserAccount", json.dumps([account]).encode())
    outputs = pipeline.take_user([good, Invocation("GatewayUserOrder", b"[5]")], START)
    assert len(outputs.user) == 1
    assert [each.reason for each in outputs.rejected] == [Reason.PAYLOAD]
    assert pipeline.trade_counts() == TickCounts()


def test_lag_is_what_a_trade_took_beyond_the_fastest() -> None:
    """Clocks need not agree: only the difference to the fastest delivery counts."""
    pipeline = running()
    assert pipeline.lag_ns(MES) is None
    pipeline.take([trades([trade(START)])], START - 5 * SECOND)
    pipeline.step()
    assert pipeline.lag_ns(MES) == 0
    pipeline.take([trades([trade(START + SECOND)])], START - 3 * SECOND)
    pipeline.step()
    assert pipeline.lag_ns(MES) == SECOND


def test_two_lines_make_one_tape() -> None:
    """A print of two lines is accepted once and counted as a duplicate once, whoever leads."""
    pipeline = running()
    for line, second in ((1, 0), (1, 1), (2, 1), (2, 2), (1, 2)):
        pipeline.take([trades([trade(START + second * SECOND)])], START + 9 * SECOND, line)
        pipeline.step()
        assert pipeline.trade_counts().holds
    outputs = pipeline.close_due(MES, 0)
    assert [len(batch) for batch in outputs.trades] == []
    assert pipeline.trade_counts() == TickCounts(received=5, accepted=3, duplicate=2)
    assert [(tally.line, tally.first) for tally in pipeline.line_tallies()] == [(1, 3), (2, 0)]
    assert all(check.holds for check in pipeline.checks())


def test_the_prints_of_a_joining_line_wait_and_are_not_lost() -> None:
    """They are counted as received when a timer lets them go, in time before bars are closed."""
    pipeline = running("1s")
    pipeline.take([trades([trade(START)])], START, 1)
    pipeline.step(now_ns=0)
    pipeline.take([trades([trade(START + SECOND)])], START, 2)
    pipeline.step(now_ns=0)
    assert pipeline.trade_counts() == TickCounts(received=1, accepted=1)
    assert pipeline.arbiter_statistics().held == 1
    ((contract_id, limit_ns),) = pipeline.due_limits(SECOND)
    outputs = pipeline.close_due(contract_id, limit_ns)
    assert [bar.volume for bar in outputs.closed] == [1]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)
    assert pipeline.due_limits(SECOND) == []


def test_the_end_of_a_line_lets_those_go_on_that_wait_for_it() -> None:
    """They are counted as received from then on, and both identities hold at every moment."""
    pipeline = running("1s")
    for line in (1, 2):
        pipeline.connected(line, START)
        pipeline.take([trades([trade(START + line * SECOND // 4)])], START, line)
    assert [len(batch) for batch in pipeline.step(5).trades] == [1]
    assert pipeline.trade_counts() == TickCounts(received=1, accepted=1)
    assert [len(batch) for batch in pipeline.disconnected(1).trades] == [1]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)
    assert all(check.holds for check in pipeline.checks())
    assert pipeline.arbiter_statistics().held == 0
    assert pipeline.disconnected(1) == Outputs()


def test_prints_that_wait_are_taken_before_their_contract_is_left() -> None:
    """They came while they were wanted."""
    pipeline = running("1s")
    for line in (1, 2):
        pipeline.take([trades([trade(START + line * SECOND)])], START, line)
        pipeline.step()
    assert [len(batch) for batch in pipeline.unsubscribe(MES).trades] == [1]
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)


def test_what_another_line_brought_before_a_contract_was_left_is_known_afterwards() -> None:
    """It is followed again while a slow line still brings it."""
    pipeline = running("1s")
    first, second = trades([trade(START)]), trades([trade(START + SECOND)])
    for line, call in ((1, first), (2, first), (1, second)):
        pipeline.take([call], START, line)
        pipeline.step()
    pipeline.unsubscribe(MES)
    pipeline.subscribe(subscription(MES, "1s"))
    pipeline.take([second], START + 3 * SECOND, 2)
    assert pipeline.step().trades == []
    assert pipeline.trade_counts() == TickCounts(received=4, accepted=2, duplicate=2)


def test_a_quote_of_two_lines_is_published_once_and_updates_do_not_mix() -> None:
    """Each line's sparse updates change its own state; what was said already is a duplicate."""
    pipeline = running()
    news: list[tuple[float | None, float | None]] = []
    said: tuple[tuple[int, int, dict[str, object]], ...] = (
        (1, 0, {"bestBid": 5.0, "bestAsk": 6.0}),
        (2, 0, {"bestBid": 5.0, "bestAsk": 6.0}),
        (1, 1, {"bestBid": 7.0}),
        (1, 2, {"bestAsk": 8.0}),
        (2, 1, {"bestBid": 7.0}),
        (2, 2, {"bestAsk": 8.0}),
        (2, 3, {"bestBid": 7.5}),
    )
    for line, second, members in said:
        update = json.dumps([MES, {"lastUpdated": format_ns(START + second * SECOND), **members}])
        pipeline.take([Invocation("GatewayQuote", update.encode())], START, line)
        news += [(each.bid, each.ask) for each in pipeline.step().quotes]
    assert news == [(5.0, 6.0), (7.0, 6.0), (7.0, 8.0), (7.5, 8.0)]
    assert pipeline.quote_counts() == TickCounts(received=7, accepted=4, duplicate=3)


def test_a_user_event_of_two_lines_is_delivered_once() -> None:
    """The same content of the same object; another content is news."""
    pipeline = running()

    def told(line: int, balance: float) -> int:
        data = {"action": 1, "data": {"id": 1, "name": "TEST", "balance": balance}}
        call = Invocation("GatewayUserAccount", json.dumps([data]).encode())
        return len(pipeline.take_user([call], START, line).user)

    assert [told(1, 5.0), told(2, 5.0), told(2, 6.0), told(1, 6.0)] == [1, 0, 1, 0]


def test_what_is_held_back_for_a_second_line_goes_on_at_the_end() -> None:
    """Prints of a line that joins wait for another line's; when nothing comes any more they go."""
    pipeline = running("1s")
    pipeline.connected(1, START)
    pipeline.take([trades([trade(START)])], START, 1)
    pipeline.step()
    later = START + 20 * SECOND
    pipeline.connected(2, later)
    pipeline.take([trades([trade(later)])], later, 2)
    pipeline.step()
    held = 2 - pipeline.trade_counts().accepted
    assert held == 1
    assert pipeline.trade_counts().holds
    outputs = pipeline.release()
    assert sum(map(len, outputs.trades)) == held
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)
    assert all(check.holds for check in pipeline.checks())
