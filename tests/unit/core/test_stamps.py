"""The time of a market event is found in every shape that is accepted."""

from __future__ import annotations

import pytest

from tapekeeper.core.gateway.stamps import stamp_ns
from tapekeeper.core.signalr.msgpack import LengthSplitter, decode
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.sim.packed import packed_record

SECOND = 1_000_000_000
AT = 1_767_625_200 * SECOND

FIRST = b'{"symbolId":"F.US.MES","price":1,"timestamp":"2026-01-05T15:00:00Z","volume":1}'
SECOND_ONE = b'{"timestamp" : "2026-01-05T15:00:01.0000001+00:00","price":1,"volume":1}'


@pytest.mark.parametrize(
    ("target", "arguments", "stamp"),
    [
        ("GatewayTrade", b'["A",[' + FIRST + b"," + SECOND_ONE + b"]]", AT + SECOND + 100),
        ("gatewaytrade", b'["A",' + FIRST + b"]", AT),
        ("GatewayTrade", b'["A",[' + FIRST + b",null]]", AT),
        ("GatewayTrade", b'["A",{"data":' + FIRST + b"}]", AT),
        ("GatewayTrade", b'["A",[]]', None),
        ("GatewayTrade", b'["A",[{"timestamp":"yesterday"}]]', None),
        ("GatewayTrade", b'["A",[{"timestamp":"\xff"}]]', None),
        (
            "GatewayQuote",
            b'["A",{"lastUpdated":"2026-01-05T15:00:00Z","timestamp":"2026-01-05T14:00:00Z"}]',
            AT,
        ),
        ("GatewayQuote", b'["A",{"timestamp":"2026-01-05T14:00:00Z"}]', None),
        ("GatewayDepth", b'["A",[' + FIRST + b"]]", None),
    ],
)
def test_the_last_tick_says_when(target: str, arguments: bytes, stamp: int | None) -> None:
    """A quote that does not say when it changed says nothing, nor does depth."""
    assert stamp_ns(Invocation(target, arguments)) == stamp


def test_packed_data_say_when_as_well() -> None:
    """Members of another case, and times as extensions."""
    record = packed_record(
        b'{"type":1,"target":"GatewayTrade","arguments":["A",[' + SECOND_ONE + b"]]}\x1e"
    )
    (piece,) = LengthSplitter().feed(record)
    data = decode(piece)
    assert isinstance(data, Invocation)
    assert data.packed
    assert stamp_ns(data) == AT + SECOND + 100
    assert stamp_ns(Invocation("GatewayTrade", b"\xc1", packed=True)) is None
