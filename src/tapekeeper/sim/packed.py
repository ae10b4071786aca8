"""Records of the simulated hubs in MessagePack, made from the same in JSON.

As a .NET server with default options writes the types that its JSON speaks of: members in
PascalCase, decimals as text with all their digits, a `DateTimeOffset` as a pair of timestamp
extension and minutes of offset. Enums are numbers, as in the JSON.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from msgspec.msgpack import Ext

from tapekeeper.core.gateway.times import SECOND_NS, parse_ns
from tapekeeper.core.signalr.msgpack import encode_completion, encode_invocation

TIMESTAMP = -1
"""Code of the extension that is a time."""

_INVOCATION = 1
_DECIMALS = frozenset(
    {
        "price", "lastPrice", "bestBid", "bestAsk", "change", "changePercent", "open", "high",
        "low", "balance", "limitPrice", "stopPrice", "filledPrice", "averagePrice", "fees",
        "commissions", "profitAndLoss",
    }
)  # fmt: skip
_TIMES = frozenset({"timestamp", "lastUpdated", "creationTimestamp", "updateTimestamp"})

# Numbers with a point stay text, because a decimal has the digits that were written.
_decode = msgspec.json.Decoder(float_hook=str).decode


@lru_cache(maxsize=16)
def packed_record(record: bytes) -> bytes:
    """An invocation or a completion, given as a JSON record with its separator, with its length.

    Remembered for a while, because a record goes to several connections.
    """
    message: dict[str, Any] = _decode(record[:-1])
    invocation_id = message.get("invocationId")
    if message["type"] == _INVOCATION:
        arguments = [_value(each, "") for each in message["arguments"]]
        return encode_invocation(message["target"], arguments, invocation_id=invocation_id)
    return encode_completion(invocation_id or "", error=message.get("error"))


def _value(value: object, name: str) -> object:
    if isinstance(value, dict):
        return {key[:1].upper() + key[1:]: _value(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, name) for each in value]
    if name in _TIMES and isinstance(value, str):
        return [timestamp(parse_ns(value)), 0]
    if name in _DECIMALS and value is not None:
        return str(value)
    return value


def timestamp(ns: int) -> Ext:
    """The extension of a time (ns UTC): 4 bytes for whole seconds, otherwise 8, beyond 2514 12."""
    seconds, nanos = divmod(ns, SECOND_NS)
    if not 0 <= seconds < 1 << 34:
        return Ext(TIMESTAMP, nanos.to_bytes(4) + seconds.to_bytes(8, signed=True))
    if nanos == 0 and seconds < 1 << 32:
        return Ext(TIMESTAMP, seconds.to_bytes(4))
    return Ext(TIMESTAMP, (nanos << 34 | seconds).to_bytes(8))
