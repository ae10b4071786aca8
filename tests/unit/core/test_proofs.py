"""Data prove a subscription only where they could come of nothing else."""

from __future__ import annotations

import pytest

from tapekeeper.core.gateway.proofs import proves
from tapekeeper.core.signalr.records import Invocation

_MES = "CON.F.US.MES.Z26"


@pytest.mark.parametrize(
    ("target", "arguments", "data", "content", "expected"),
    [
        ("SubscribeContractTrades", (_MES,), "GatewayTrade", b'["CON.F.US.MES.Z26",[]]', True),
        ("SubscribeContractTrades", (_MES,), "GatewayTrade", b'[ "CON.F.US.MES.Z26",[]]', True),
        ("SubscribeContractQuotes", (_MES,), "GatewayQuote", b'["CON.F.US.MES.Z26",{}]', True),
        ("SubscribeContractTrades", (_MES,), "GatewayQuote", b'["CON.F.US.MES.Z26",{}]', False),
        ("SubscribeContractTrades", (_MES,), "GatewayTrade", b'["CON.F.US.MES.Z27",[]]', False),
        ("SubscribeContractTrades", (), "GatewayTrade", b'["CON.F.US.MES.Z26",[]]', False),
        ("SubscribeAccounts", (), "GatewayUserAccount", b"[{}]", True),
        ("SubscribeOrders", (12,), "GatewayUserOrder", b'[{"data":{"accountId":12}}]', True),
        ("SubscribeOrders", (12,), "GatewayUserOrder", b'[{"accountId": 123,"id":12}]', False),
        ("SubscribeOrders", (12,), "GatewayUserTrade", b'[{"accountId":12}]', False),
        ("UnsubscribeContractTrades", (_MES,), "GatewayTrade", b'["CON.F.US.MES.Z26"]', False),
    ],
)
def test_only_data_of_the_same_stream_prove_it(
    target: str, arguments: tuple[str | int, ...], data: str, content: bytes, *, expected: bool
) -> None:
    """Another stream, contract or account shows nothing."""
    assert proves(target, arguments, Invocation(data, content)) is expected
