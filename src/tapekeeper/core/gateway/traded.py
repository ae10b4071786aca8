"""Which contract's prints a call of the hub carries, without reading them."""

from __future__ import annotations

import msgspec

from tapekeeper.core.gateway.market import TRADE_TARGET
from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.signalr.records import Invocation

ANY = ""
"""Of a call that cannot be read: it may be of any contract."""

_TARGET = TRADE_TARGET.lower()
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def traded_contract(call: Invocation) -> str | None:
    """The contract whose prints `call` carries, `ANY` if that is unreadable, None if it has none.

    Targets are compared without case, as where prints are read.
    """
    if call.target.lower() != _TARGET:
        return None
    try:
        # As in the gateway's calls the contract is the first argument.
        return _decode_text(_decode(json_arguments(call))[0])
    except (ValueError, IndexError, RecursionError):
        return ANY
