"""One WebSocket under a connection: ended with or without what waits."""

from __future__ import annotations

from aiohttp.test_utils import make_mocked_request

from tapekeeper.sim.carrier import Carrier
from tapekeeper.sim.config import HubLimits


def carrier(*records: bytes) -> Carrier:
    """A socket that is not connected yet, with records that wait."""
    one = Carrier(make_mocked_request("GET", "/hubs/market"), HubLimits())
    for record in records:
        assert one.outbox.put(record)
    return one


async def left(one: Carrier) -> bytes:
    """What will still be written."""
    return await one.outbox.take()


def test_a_polite_end_writes_what_waits() -> None:
    """Nothing more is taken, and the rest goes out."""
    one = carrier(b"a", b"b")
    one.end(drop=False)
    assert one.outbox.ended
    assert not one.is_dropped
    assert not one.outbox.put(b"c")
    assert drained(one) == b"ab"


def test_an_abort_writes_nothing_and_keeps_its_first_reason() -> None:
    """What waits is lost with the transport."""
    one = carrier(b"a")
    one.abort("first")
    one.abort("second")
    assert one.is_dropped
    assert one.aborted_because == "first"
    assert drained(one) == b""


def drained(one: Carrier) -> bytes:
    """Run `left`, which waits for nothing here."""
    waiting = left(one)
    try:
        waiting.send(None)
    except StopIteration as done:
        data: bytes = done.value
        return data
    raise AssertionError("it waits")
