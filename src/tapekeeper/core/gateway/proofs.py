"""Which data prove that a subscription is in force although its call was never answered.

The gateway's documentation promises no answer to a subscription; its servers give one, but a
client that insisted on it would leave a hub that delivers. Targets: reference of the gateway's
realtime interface.
"""

from __future__ import annotations

import re

import msgspec

from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.signalr.records import Invocation

_BY_CONTRACT = {
    "SubscribeContractTrades": "GatewayTrade",
    "SubscribeContractQuotes": "GatewayQuote",
    "SubscribeContractMarketDepth": "GatewayDepth",
}
_BY_ACCOUNT = {
    "SubscribeOrders": "GatewayUserOrder",
    "SubscribePositions": "GatewayUserPosition",
    "SubscribeTrades": "GatewayUserTrade",
}
_OF_ALL_ACCOUNTS = {"SubscribeAccounts": "GatewayUserAccount"}


def proves(
    target: str, arguments: tuple[str | int | float | bool | None, ...], data: Invocation
) -> bool:
    """Whether `data`, called by the hub, shows that a subscribing call is in force.

    Args:
        target: of the call that asked for the subscription.
        arguments: of that call.
        data: what the hub called.
    """
    if _OF_ALL_ACCOUNTS.get(target) == data.target:
        return True
    if not arguments:
        return False
    by_contract = _BY_CONTRACT.get(target) == data.target
    if not by_contract and _BY_ACCOUNT.get(target) != data.target:
        return False
    try:
        told = json_arguments(data)
    except ValueError:
        return False  # unreadable data prove nothing
    if by_contract:
        # The contract is the first argument of the hub's call, and an id needs no escapes.
        return told.lstrip(b" [\t\r\n").startswith(msgspec.json.encode(arguments[0]))
    return re.search(rb'"accountId"\s*:\s*%d\b' % int(arguments[0] or 0), told) is not None
