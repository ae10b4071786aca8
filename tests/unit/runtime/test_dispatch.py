"""Handing outputs to subscribers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tapekeeper.errors import FellBehindError
from tapekeeper.model.bar import Bar
from tapekeeper.runtime.dispatch import Dispatch


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
    dispatch = Dispatch(10)
    dispatch.publish_bars([bar("A", "1s", 0)])
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", 1), bar("A", "1m", 2), bar("B", "1s", 3)])
    dispatch.publish_bars([bar("A", "1s", 4)])
    dispatch.close()
    assert [each.ts_open async for each in stream] == [1, 4]


@pytest.mark.asyncio
async def test_a_slow_subscriber_hurts_only_itself() -> None:
    """One that does not read falls behind; the other one gets everything."""
    dispatch = Dispatch(3)
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
    dispatch = Dispatch(3)
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
    dispatch = Dispatch(3)
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
    dispatch = Dispatch(1)
    stream = dispatch.bars("A", "1s")
    dispatch.publish_bars([bar("A", "1s", number) for number in range(3)])
    assert (await anext(stream)).ts_open == 0
    with pytest.raises(FellBehindError):
        await anext(stream)
    assert dispatch.statistics() == ()
    assert [each async for each in stream] == []
