"""When the exchange made what a market event carries, without decoding the rest of it."""

from __future__ import annotations

import re

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
    texts = None if member is None else member.findall(data.arguments)
    if not texts:
        return None
    try:
        return parse_ns(texts[-1].decode())
    except ValueError:  # UnicodeDecodeError is one; validation quarantines the tick
        return None
