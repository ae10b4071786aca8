"""Records of the simulated hubs in MessagePack, read back by the client's decoder."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.msgpack import Ext

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.packed import stamp_ns
from tapekeeper.core.signalr.msgpack import LengthSplitter
from tapekeeper.core.signalr.protocol import JSON, MESSAGEPACK
from tapekeeper.core.signalr.records import Invocation, encode_completion, encode_invocation
from tapekeeper.sim.packed import packed_record, timestamp
from tapekeeper.sim.wire import Print, QuoteDelta, Trades, quote_record, trades_record, user_record

MES = "CON.F.US.MES.H26"
TS_NS = 1_767_625_200_123_456_700
TRADES = Trades(MES, TS_NS, (Print("6000.50", 2, 0), Print("6000.00", 1, 1), Print("-1", 3, -1)))
QUOTE = QuoteDelta(MES, TS_NS, {"lastPrice": "6000.50", "volume": "12", "bestBid": "6000"})


def read(record: bytes) -> Burst:
    """What the client makes of one JSON record, given as it is."""
    burst, invocation = Burst(), JSON.decode(record[:-1])
    assert isinstance(invocation, Invocation)
    MarketDecoder().decode(invocation, 1, burst)
    return burst


def read_packed(record: bytes) -> Burst:
    """The same of the record put into MessagePack."""
    burst = Burst()
    (raw,) = LengthSplitter().feed(packed_record(record))
    invocation = MESSAGEPACK.decode(raw)
    assert isinstance(invocation, Invocation)
    MarketDecoder().decode(invocation, 1, burst)
    return burst


@pytest.mark.parametrize("record", [trades_record(TRADES), quote_record(QUOTE)])
def test_the_client_reads_the_same(record: bytes) -> None:
    """Every price, size, side and time comes out as from JSON."""
    assert read_packed(record) == read(record)
    assert read(record).rejected == []


def test_it_is_written_as_a_dotnet_server_writes_it() -> None:
    """PascalCase, decimals as text with their digits, times as a pair, enums as numbers."""
    (raw,) = LengthSplitter().feed(packed_record(trades_record(TRADES)))
    _, _, invocation_id, target, arguments = msgspec.msgpack.decode(raw, type=list[msgspec.Raw])
    assert msgspec.msgpack.decode(invocation_id) is None
    assert msgspec.msgpack.decode(target) == "GatewayTrade"
    contract_id, prints = msgspec.msgpack.decode(
        arguments, type=tuple[str, list[dict[str, msgspec.Raw]]]
    )
    assert contract_id == MES
    assert list(prints[0]) == ["SymbolId", "Price", "Timestamp", "Type", "Volume"]
    assert msgspec.msgpack.decode(prints[0]["Price"]) == "6000.50"
    assert msgspec.msgpack.decode(prints[0]["Type"]) == 0
    stamp = msgspec.msgpack.decode(prints[0]["Timestamp"], type=tuple[Ext, int])
    assert (stamp_ns(stamp), stamp[1]) == (TS_NS, 0)
    assert "Type" not in prints[2]


def test_user_events_and_answers_are_packed_too() -> None:
    """Envelopes keep their names, null stays null, and completions say whether they failed."""
    event = user_record("GatewayUserAccount", 1, {"id": 1, "balance": 1.5, "name": None})
    (raw,) = LengthSplitter().feed(packed_record(event))
    assert msgspec.msgpack.decode(raw)[4] == [
        {"Action": 1, "Data": {"Id": 1, "Balance": "1.5", "Name": None}}
    ]
    for error in (None, "no"):
        packed = packed_record(encode_completion("7", error=error))
        assert packed == MESSAGEPACK.encode_completion("7", error=error)
    asked = packed_record(encode_invocation("GetValue", ["q"], invocation_id="s1"))
    assert asked == MESSAGEPACK.encode_invocation("GetValue", ["q"], invocation_id="s1")


@pytest.mark.parametrize(
    ("ns", "length"),
    [
        (0, 4),
        (1_767_625_200 * 10**9, 4),
        (TS_NS, 8),
        ((1 << 32) * 10**9, 8),
        ((1 << 34) * 10**9, 12),
        (-1, 12),
    ],
)
def test_a_time_takes_the_least_bytes(ns: int, length: int) -> None:
    """As the format wants it; and it is read back."""
    assert len(bytes(timestamp(ns).data)) == length
    assert stamp_ns(timestamp(ns)) == ns
