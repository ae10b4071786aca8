"""When the exchange made what a market event carries, without decoding the rest of it."""

from __future__ import annotations

import re

from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.signalr.records import Invocation

# Members by name, not by place, so that every accepted shape of an event is read alike. Ids and
# symbols, the only other texts, hold no quotes.
_TRADED = re.compile(rb'"timestamp"\s*:\s*"([^"]*)"')
_CHANGED = re.compile(rb'"lastUpdated"\s*:\s*"([^"]*)"')
_MEMBERS = {"gatewaytrade": _TRADED, "gatewayquote": _CHANGED}


def stamp_ns(data: Invocation) -> int | None:
    """The event time of the last tick in `data`, ns UTC; None where it has none.

    A quote's `timestamp` may be that of the last trade, long ago, so only `lastUpdated` counts.
    """
    member = _MEMBERS.get(data.target.lower())
    if member is None:
        return None
    try:
        texts = member.findall(json_arguments(data))
        return parse_ns(texts[-1].decode()) if texts else None
    except ValueError:  # UnicodeDecodeError is one; validation quarantines the tick
        return None
