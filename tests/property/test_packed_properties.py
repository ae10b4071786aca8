"""Payloads in MessagePack against the same payloads in JSON, and against any bytes at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.gateway.user import decode_user
from tapekeeper.core.signalr.records import Invocation

CONTRACT = "CON.F.US.EP.Z26"
DAY_NS = 86_400 * 10**9
START_NS = 1_795_185_000 * 10**9

PRICES = st.decimals(-1, 10_000_000, places=9, allow_nan=False)
PRINTS = st.lists(
    st.none()
    | st.tuples(
        PRICES,
        st.integers(START_NS // 100, (START_NS + DAY_NS) // 100),
        st.integers(-3, 10_000),
        st.sampled_from([0, 1, 2, None]),
    ),
    max_size=5,
)
FORMS = st.fixed_dictionaries(
    {
        "decimal": st.booleans(),
        "stamp": st.sampled_from(["exact", "pair", "text"]),
        "name": st.booleans(),
        "camel": st.booleans(),
    }
)


def stamped(ns: int, form: str) -> Any:
    """A time as a .NET server may write it."""
    seconds, nanos = divmod(ns, 10**9)
    if form == "text":
        return format_ns(ns)
    if form == "pair":
        return [Ext(-1, (nanos << 34 | seconds + 3_600).to_bytes(8)), 60]
    return Ext(-1, (nanos << 34 | seconds).to_bytes(8))


def both(prints: list[Any], form: dict[str, Any]) -> tuple[Invocation, Invocation]:
    """The same event as JSON and in MessagePack."""
    plain: list[object] = []
    packed: list[object] = []
    for each in prints:
        if each is None:
            plain.append(None)
            packed.append(None)
            continue
        price, tick, size, kind = each
        plain.append(
            {
                "price": msgspec.Raw(f"{price:f}".encode()),
                "timestamp": format_ns(tick * 100),
                "type": kind,
                "volume": size,
            }
        )
        members = {
            "Price": f"{price:f}" if form["decimal"] else float(Decimal(price)),
            "Timestamp": stamped(tick * 100, form["stamp"]),
            "Type": ("Buy", "Sell")[kind] if form["name"] and kind in {0, 1} else kind,
            "Volume": size,
        }
        packed.append(
            {name[0].lower() + name[1:]: value for name, value in members.items()}
            if form["camel"]
            else members
        )
    return (
        Invocation("GatewayTrade", msgspec.json.encode([CONTRACT, plain])),
        Invocation("GatewayTrade", msgspec.msgpack.encode([CONTRACT, packed]), packed=True),
    )


@given(PRINTS, FORMS)
def test_the_same_prints_make_the_same_columns(prints: list[Any], form: dict[str, Any]) -> None:
    """Whatever form a server writes, every digit of price and time is the one JSON has."""
    bursts = []
    for invocation in both(prints, form):
        burst = Burst()
        MarketDecoder().decode(invocation, 1, burst)
        bursts.append(burst)
    assert bursts[0] == bursts[1]
    assert bursts[0].rejected == []


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
    | st.binary(max_size=9) | st.builds(Ext, st.integers(-128, 127), st.binary(max_size=13)),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["Price", "Volume", "Timestamp", "Type", "Data", "BestBid", "Id", "x"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.sampled_from(["GatewayTrade", "GatewayQuote", "GatewayUserOrder", "GatewayUserTrade"]),
    st.lists(ANY, max_size=3).map(msgspec.msgpack.encode)
    | st.binary(max_size=40).map(lambda rest: b"\x92" + rest),
)
def test_no_packed_payload_raises(target: str, arguments: bytes) -> None:
    """Every tick is accounted for, and rewriting gives JSON or says that it cannot."""
    invocation = Invocation(target, arguments, packed=True)
    burst = Burst()
    MarketDecoder().decode(invocation, 1, burst)
    decode_user(invocation, 1)
    rows = sum(len(batch) for batch in burst.trades.values())
    assert burst.trades_received == rows + sum(item.ticks for item in burst.rejected_trades)
    assert burst.quotes_received == len(burst.quotes) + sum(
        item.ticks for item in burst.rejected_quotes
    )
    try:
        text = json_arguments(invocation)
    except ValueError:
        return
    msgspec.json.decode(text)
