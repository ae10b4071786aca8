"""Handing outputs to subscribers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tapekeeper.core.gateway.user import PositionUpdate
from tapekeeper.errors import FellBehindError, UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import DepthRow, DepthUpdate
from tapekeeper.model.queue import (
    Conflated,
    OnFull,
    QueueChange,
    QueueDefaults,
    QueueLimits,
    QueuePolicy,
)
from tapekeeper.model.tick import Quote
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.line_values import LineState, Transition
from tapekeeper.runtime.pool_values import HealthChange, PoolHealth
from tapekeeper.runtime.queue_kinds import BARS, CHANGES, DEPTH, QUOTES, USER, QueueKind
from tapekeeper.sim.manual_clock import ManualClock


def bar(contract_id: str, timeframe: str, ts_open: int) -> Bar:
    """A bar that differs only in its key."""
    return Bar(
        contract_id,
        timeframe,
        ts_open,
        ts_open + 1,
        1.0,
        1.0,
        1.0,
        1.0,
        1,
        1,
        0,
        0,
        ts_open,
        ts_open,
    )


@pytest.mark.asyncio
async def test_a_subscriber_gets_its_bars_from_the_call_on() -> None:
    """Only bars of its contract and timeframe, starting with the call, in order."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(10, 10**9)))
    dispatch.publish_bars([bar("A", "1s", 0)])
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", 1), bar("A", "1m", 2), bar("B", "1s", 3)])
    dispatch.publish_bars([bar("A", "1s", 4)])
    dispatch.close()
    assert [each.ts_open async for each in stream] == [1, 4]


@pytest.mark.asyncio
async def test_a_slow_subscriber_hurts_only_itself() -> None:
    """One that does not read falls behind; the other one gets everything."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(3, 10**9)))
    slow, quick = dispatch.bars("A", "1s"), dispatch.bars("A", "1s")
    for number in range(9):
        dispatch.publish_bars([bar("A", "1s", number)])
        assert (await anext(quick)).ts_open == number
    assert [(await anext(slow)).ts_open for _ in range(3)] == [0, 1, 2]
    with pytest.raises(FellBehindError):
        await anext(slow)


@pytest.mark.asyncio
async def test_a_stream_that_ended_is_forgotten() -> None:
    """Leaving a stream frees its mailbox; a stream asked for after the end ends at once."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(3, 10**9)))
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", 0)])
    assert len(dispatch.statistics()) == 1
    dispatch.close()
    assert [each.ts_open async for each in stream] == [0]
    assert dispatch.statistics() == ()
    assert [each async for each in dispatch.bars("A", "1s")] == []


@pytest.mark.asyncio
async def test_a_stream_that_is_let_go_of_is_forgotten() -> None:
    """Leaving the loop early frees the mailbox, and so does never beginning it."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(3, 10**9)))
    never_begun = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", 0)])
    async for each in _left_early(dispatch):
        assert each.ts_open == 1
        break
    assert len(dispatch.statistics()) == 1
    del never_begun
    assert dispatch.statistics() == ()
    dispatch.publish_bars([bar("A", "1s", 2)])


def _left_early(dispatch: Dispatch) -> AsyncIterator[Bar]:
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", 1)])
    return stream


@pytest.mark.asyncio
async def test_a_stream_that_fell_behind_is_forgotten() -> None:
    """It has ended with the error: nothing more is kept for it or counted against it."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(1, 10**9)))
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", number) for number in range(3)])
    assert (await anext(stream)).ts_open == 0
    with pytest.raises(FellBehindError):
        await anext(stream)
    assert dispatch.statistics() == ()
    assert [each async for each in stream] == []


def quote(number: int) -> Quote:
    """A quote that differs only in its number."""
    return Quote("A", number, number, number, bid=number / 4)


@pytest.mark.asyncio
async def test_the_latest_quote_stands_for_those_that_wait() -> None:
    """With room for one, a reader never sees an old state, and knows how many it did not see."""
    dispatch = Dispatch(QueueDefaults(QueueLimits(10, 10**9)))
    latest = dispatch.quotes("A", QueuePolicy("conflate", events=1))
    every = dispatch.quotes("A")
    dispatch.publish_quotes([quote(number) for number in range(7)])
    assert await anext(latest) == Conflated(quote(6), 7)
    dispatch.publish_quotes([quote(7)])
    dispatch.close()
    assert [each async for each in latest] == [Conflated(quote(7), 1)]
    assert [each.seq async for each in every] == list(range(8))


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (QueuePolicy("conflate"), "bars cannot be conflated: only of quotes the latest says all"),
        (QueuePolicy("block"), "bars cannot block: one subscriber would hold up the tape"),
        (QueuePolicy("drop"), "'drop' is no policy of a queue: choose block, spill"),
        (QueuePolicy(events=0), "a queue of bars must have room for at least one event"),
        (QueuePolicy(mb=0.0), "a queue of bars must have room for at least one event"),
        (QueuePolicy("spill"), "bars of A cannot be spilled: there is no disk"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(policy: QueuePolicy, sentence: str) -> None:
    """At once, with one sentence, and not when the queue is full."""
    with pytest.raises(UsageError, match=sentence):
        Dispatch(QueueDefaults(QueueLimits(10, 10**9))).bars("A", "1s", policy)


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (BARS, msgspec.structs.replace(bar("A", "1m", 1), turnover_e9=3 * 10**19, gap_ids=(7,))),
        (QUOTES, quote(3)),
        (DEPTH, DepthUpdate("A", 1, True, False, (DepthRow(5, 0.1, 2, 3, 4, 5, 6),))),
        (USER, PositionUpdate(1, 2, "A", 1, 3, 6_000.1, None, None, 9)),
        (CHANGES, HealthChange("market", PoolHealth.UP, PoolHealth.DOWN, 5, "gone")),
        (CHANGES, QueueChange("the bars", True, 5, "much", OnFull.SPILL)),
        (CHANGES, Transition("market", LineState.LIVE, LineState.DOWN, 5, "gone", heard_ns=7)),
    ],
)
def test_every_kind_of_event_comes_back_from_the_disk_as_it_was(
    kind: QueueKind[Any], event: object
) -> None:
    """To the last digit of a price and of a sum that exceeds 64 bits."""
    assert kind.codec.decode(kind.codec.encode([event, event])) == [event, event]
    assert kind.size_of(event) > 0


@pytest.mark.asyncio
async def test_a_queue_that_crosses_a_watermark_is_told_of_once() -> None:
    """High at three quarters, low at one half; what goes to and fro in between is not told."""
    dispatch = Dispatch(QueueDefaults(limits=QueueLimits(8, 10**6)), clock=ManualClock(7))
    changes = dispatch.changes()
    bars = dispatch.bars("X", "1m")
    for number in range(6):
        dispatch.publish_bars([bar("X", "1m", number)])
    for _ in range(5):  # between the two
        await anext(bars)
        dispatch.publish_bars([bar("X", "1m", 9)])
    for _ in range(3):
        await anext(bars)
    dispatch.close()
    told = [each async for each in changes if isinstance(each, QueueChange)]
    assert [(each.name, each.is_high, each.at_ns, each.on_full) for each in told] == [
        ("the 1m bars of X", True, 7, OnFull.FAIL),
        ("the 1m bars of X", False, 7, OnFull.FAIL),
    ]
    assert told[0].reason.startswith("6 of 8 events wait")
    assert told[1].reason.startswith("4 of 8 events wait")
