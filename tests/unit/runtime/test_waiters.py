"""Whoever waits for an answer gets the first one, and leaves nothing behind."""

from __future__ import annotations

import pytest

from tapekeeper.errors import ConnectionLostError, DeadlineError, InvocationError
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.runtime.pool_values import Acknowledgement
from tapekeeper.runtime.waiters import Waiters

_A, _B = HubCall("A"), HubCall("B")


@pytest.mark.asyncio
async def test_every_waiter_gets_the_first_answer() -> None:
    """A later one changes nothing, and one to another call is not theirs."""
    waiters = Waiters()
    with waiters.waiting(_A) as first, waiters.waiting(_A) as second, waiters.waiting(_B) as other:
        assert set(waiters.calls) == {_A, _B}
        waiters.tell(_A, None)
        waiters.tell(_A, InvocationError("refused"))
        assert first.result() is second.result() is Acknowledgement.CONFIRMED
        assert not other.done()
        waiters.tell(_B, DeadlineError("late"))
        assert other.result() is Acknowledgement.UNCONFIRMED
    assert not waiters.calls


@pytest.mark.asyncio
async def test_a_refusal_and_an_end_are_errors() -> None:
    """The end fails those who still wait, and nobody else."""
    waiters = Waiters()
    with waiters.waiting(_A) as refused, waiters.waiting(_B) as left:
        waiters.tell(_A, InvocationError("refused"))
        waiters.fail(ConnectionLostError("stopped"))
        assert isinstance(refused.exception(), InvocationError)
        assert isinstance(left.exception(), ConnectionLostError)
