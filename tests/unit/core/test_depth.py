"""The depth stage and its place in the pipeline (`tapekeeper.core.depth`)."""

from __future__ import annotations

import json

import msgspec
import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.depth import DepthKind
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.tick import Reason
from tapekeeper.model.timeframe import Timeframe

START = 1_767_625_200_000_000_000
MES = "CON.F.US.MES.H26"

Row = tuple[int, float, int]
BURST: list[Row] = [(6, 0.0, 0), (2, 99.75, 5), (2, 99.5, 6), (1, 100.0, 7), (1, 100.25, 8)]


def depth(rows: list[Row], contract_id: str = MES, ts_ns: int = START) -> Invocation:
    """A GatewayDepth call of (type, price, currentVolume)."""
    data = [
        {
            "timestamp": format_ns(ts_ns),
            "type": kind,
            "price": price,
            "volume": 1,
            "currentVolume": size,
        }
        for kind, price, size in rows
    ]
    return Invocation("GatewayDepth", json.dumps([contract_id, data]).encode())


def running(*, wanted: bool = True) -> Pipeline:
    """A pipeline that follows MES."""
    pipeline = Pipeline(grace_ns=0)
    instrument = Instrument(MES, "MES", tick_size=0.25)
    frames = (Timeframe.parse("1s"),)
    pipeline.subscribe(Subscription(instrument, frames, calendar_by_name("cme"), wanted))
    return pipeline


def fed(pipeline: Pipeline, *calls: Invocation, line: int = 0) -> Outputs:
    """One burst of calls."""
    pipeline.take(calls, START, line)
    return pipeline.step()


def test_rows_make_the_book_and_no_bar() -> None:
    """Depth counts by itself: neither bars nor trades nor quotes know of it or its prints."""
    pipeline = running()
    outputs = fed(pipeline, depth([*BURST, (5, 100.0, 3), (11, 100.0, 2)]))
    book = pipeline.depth.book(MES)
    assert book is not None
    assert book.bids == ((99.75, 5), (99.5, 6))
    assert book.asks == ((100.0, 7), (100.25, 8))
    assert [update.restart for update in outputs.depth] == [True]
    assert pipeline.depth.counts() == TickCounts(received=7, accepted=7)
    assert pipeline.trade_counts() == pipeline.quote_counts() == TickCounts()
    assert pipeline.forming(MES, Timeframe.parse("1s")) is None


def test_rows_of_one_burst_of_records_are_all_told_in_order() -> None:
    """Twenty records at once are twenty updates with all rows: none stands for others."""
    pipeline = running()
    fed(pipeline, depth(BURST))
    calls = [depth([(2, 90.0 + step * 0.25, step + 1)]) for step in range(20)]
    outputs = fed(pipeline, *calls)
    assert [row.size for update in outputs.depth for row in update.rows] == list(range(1, 21))
    book = pipeline.depth.book(MES)
    assert book is not None
    assert len(book.bids) == 22


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((2, 99.8, 1), Reason.OFF_GRID),
        ((1, -1.0, 1), Reason.PRICE),
        ((4, 0.0, 1), Reason.PRICE),
        ((5, 99.8, 1), Reason.OFF_GRID),
        ((3, 100.0, -1), Reason.SIZE),
        ((0, 100.0, 1), Reason.PAYLOAD),
    ],
)
def test_an_invalid_row_is_quarantined_and_its_neighbours_stay(row: Row, reason: Reason) -> None:
    """The book says that it lacks one, until the next Reset."""
    pipeline = running()
    outputs = fed(pipeline, depth([*BURST, row, (2, 99.25, 4)]))
    assert [item.reason for item in outputs.rejected] == [reason]
    assert pipeline.reasons() == {str(reason): 1}
    assert pipeline.depth.counts() == TickCounts(received=7, accepted=6, quarantined=1)
    book = pipeline.depth.book(MES)
    assert book is not None
    assert book.flaws == 1
    assert book.bids[-1] == (99.25, 4)


def test_a_row_of_an_impossible_time_is_quarantined() -> None:
    """Its level may be of any other day."""
    pipeline = running()
    outputs = fed(pipeline, depth([(2, 99.0, 1)], ts_ns=0), depth([(8, 0.0, 1)], ts_ns=0))
    assert [item.reason for item in outputs.rejected] == [Reason.TIME, Reason.TIME]


def test_news_of_prices_that_change_nothing_are_not_judged_by_price() -> None:
    """A session's low is 0 before its first trade."""
    pipeline = running()
    outputs = fed(pipeline, depth([(7, 0.0, 0), (8, 0.0, 0), (9, 1.1, 0), (10, 1.1, 0)]))
    assert outputs.rejected == []
    assert pipeline.depth.counts() == TickCounts(received=4, accepted=4)


def test_depth_that_nobody_wants_is_quarantined_row_by_row() -> None:
    """Of a contract without depth, of an unknown one, and after the subscription's end."""
    pipeline = running(wanted=False)
    assert not pipeline.follows_depth(MES)
    outputs = fed(pipeline, depth(BURST), depth(BURST, "CON.F.US.MNQ.H26"))
    assert {item.reason for item in outputs.rejected} == {Reason.NOT_SUBSCRIBED}
    assert pipeline.depth.counts() == TickCounts(received=10, quarantined=10)
    other = running()
    assert other.follows_depth(MES)
    fed(other, depth(BURST))
    other.unsubscribe(MES)
    fed(other, depth(BURST))
    assert other.depth.book(MES) is None
    assert other.depth_seq(MES) is None
    assert other.depth.counts() == TickCounts(received=10, accepted=5, quarantined=5)


def test_depth_can_be_added_to_a_contract_and_stays() -> None:
    """A later subscription without it, for more timeframes, does not take it away."""
    pipeline = running(wanted=False)
    instrument = Instrument(MES, "MES", tick_size=0.25)
    for wanted in (True, False):
        pipeline.subscribe(
            Subscription(instrument, (Timeframe.parse("1m"),), calendar_by_name("cme"), wanted)
        )
    assert pipeline.follows_depth(MES)


def test_the_rows_of_another_line_are_duplicates() -> None:
    """Of two lines received = accepted + duplicate + quarantined, whichever line is published."""
    pipeline = running()
    pipeline.connected(1, START)
    pipeline.connected(2, START)
    fed(pipeline, depth(BURST), line=1)
    outputs = fed(pipeline, depth(BURST), depth([(2, 99.8, 1)]), line=2)
    assert outputs.depth == []
    assert pipeline.depth.counts() == TickCounts(
        received=11, accepted=5, duplicate=5, quarantined=1
    )
    updates = pipeline.disconnected(1).depth + fed(pipeline, depth([(2, 99.25, 3)]), line=2).depth
    assert [(update.line, update.restart) for update in updates] == [(2, True), (2, False)]
    assert pipeline.depth.counts().holds
    (tally,) = pipeline.depth.tallies()
    assert (tally.line, tally.lines, tally.restarts) == (2, 1, 2)


def test_a_reset_that_makes_another_book_the_better_one_is_a_duplicate_there() -> None:
    """It went into its own book, and what is published now is the other line's."""
    pipeline = running()
    fed(pipeline, depth(BURST), line=1)
    fed(pipeline, depth(BURST), line=2)
    (update,) = fed(pipeline, depth([(int(DepthKind.RESET), 0.0, 0)]), line=1).depth
    assert (update.line, update.restart, update.synced) == (2, True, True)
    assert pipeline.depth.counts() == TickCounts(received=11, accepted=5, duplicate=6)


def test_the_target_is_read_without_regard_to_case() -> None:
    """As every other target is."""
    pipeline = running()
    pipeline.take([Invocation("gatewaydepth", depth(BURST).arguments)], START)
    assert pipeline.depth.counts().accepted == 5
    assert pipeline.depth_seq(MES) == 5


@pytest.mark.parametrize("kind", [2, "Bid"])
def test_packed_rows_are_the_same_rows(kind: object) -> None:
    """MessagePack names members in another case, and may name a kind instead of numbering it."""
    row = {
        "Timestamp": format_ns(START),
        "Type": kind,
        "Price": 99.75,
        "Volume": 1,
        "CurrentVolume": 5,
    }
    pipeline = running()
    call = Invocation("GatewayDepth", msgspec.msgpack.encode([MES, [row]]), packed=True)
    assert fed(pipeline, call).depth == fed(running(), depth([(2, 99.75, 5)])).depth
    outputs = fed(pipeline, Invocation("GatewayDepth", b"\x92\xc1", packed=True))
    assert [item.reason for item in outputs.rejected] == [Reason.PAYLOAD]
    assert pipeline.depth.counts().holds


def test_a_call_that_is_no_depth_at_all_is_one_quarantined_row() -> None:
    """What it was meant for cannot be known, so no book is touched."""
    pipeline = running()
    outputs = fed(pipeline, Invocation("GatewayDepth", b"[]"))
    assert [item.raw for item in outputs.rejected] == [b"[]"]
    assert pipeline.depth.counts() == TickCounts(received=1, quarantined=1)
