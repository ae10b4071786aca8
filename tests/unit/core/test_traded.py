"""Which contract's prints a call carries."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.gateway.traded import ANY, traded_contract
from tapekeeper.core.signalr.records import Invocation

MES = "CON.F.US.MES.H26"


@pytest.mark.parametrize(
    ("target", "arguments", "contract_id"),
    [
        ("GatewayTrade", b'["CON.F.US.MES.H26",[{"price":1}]]', MES),
        ("gatewaytrade", b' [ "CON.F.US.MES.H26" ]', MES),
        ("GatewayQuote", b'["CON.F.US.MES.H26",{}]', None),
        ("GatewayTrade", b"[]", ANY),
        ("GatewayTrade", b"[7]", ANY),
        ("GatewayTrade", b"nonsense", ANY),
    ],
)
def test_the_first_argument_of_a_trade_call_says_it(
    target: str, arguments: bytes, contract_id: str | None
) -> None:
    """What cannot be read may be of any contract; what is no trade is of none."""
    assert traded_contract(Invocation(target, arguments)) == contract_id


def test_packed_calls_are_read_as_well() -> None:
    """MessagePack has the same arguments."""
    packed = msgspec.msgpack.encode([MES, [{"price": 1.0}]])
    assert traded_contract(Invocation("GatewayTrade", packed, packed=True)) == MES
