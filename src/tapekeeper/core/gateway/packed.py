"""Payloads of the gateway in MessagePack, as a .NET server writes them.

What the gateway declares is known from its JSON only, so every form is read in which a .NET server
can write the same values: members in PascalCase (the default there) or camelCase; a decimal as
text, whose digits are kept, or as a number; a `DateTime` as the timestamp extension (-1), a
`DateTimeOffset` as a pair of the local time, as such an extension, and minutes of offset, or
either as ISO text; an enum as its number or its name; bytes as base64.

Here all of these are rewritten as JSON and left to what reads JSON, so that each shape is judged
in one place. That costs several times what reading JSON does, so the bulk, trades and quotes of
the usual form, is read by `packed_ticks` instead. Extensions are decoded here, not by the
library, whose datetimes end at microseconds.
Source: MessagePack-CSharp and SignalR's resolver for it (`DynamicEnumAsStringResolver`, then
`ContractlessStandardResolver`).
"""

from __future__ import annotations

import base64
import re
from typing import Final, TypeAlias

import msgspec
from msgspec.msgpack import Ext

from tapekeeper.core.gateway.times import SECOND_NS, format_ns, parse_ns
from tapekeeper.core.signalr.msgpack import is_array
from tapekeeper.core.signalr.records import Invocation, StreamInvocation

TIMESTAMP: Final = -1
"""Code of the extension that is a time."""

DEPTH_MAX = 16
"""Arrays and maps within each other; payloads have five at most."""

FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_300_799
"""Of the years 1 and 9999: what .NET and ISO text can hold."""

_MINUTE_NS = 60 * SECOND_NS
DECIMAL = re.compile(r"-?\d{1,29}(?:\.\d{1,28})?", re.ASCII)
_MAP_FIXED = range(0x80, 0x90)
_MAPS = {0xDE, 0xDF}
_BINARIES = {0xC4, 0xC5, 0xC6}

_NUMBERS = {
    "price", "volume", "lastPrice", "bestBid", "bestAsk", "change", "changePercent", "open", "high",
    "low", "balance", "limitPrice", "stopPrice", "filledPrice", "averagePrice", "fees",
    "commissions", "profitAndLoss",
}  # fmt: skip
"""Members that are numbers in JSON, of which some are decimals of the server."""

_ORDER_SIDES = ("bid", "ask")
CODES: dict[str, dict[str, tuple[str, ...]]] = {
    "gatewaytrade": {"type": ("buy", "sell")},
    "gatewaydepth": {
        "type": ("unknown", "ask", "bid", "bestask", "bestbid", "trade", "reset", "low", "high",
                 "newbestbid", "newbestask", "fill"),
    },
    "gatewayuserorder": {
        "status": ("none", "open", "filled", "cancelled", "expired", "rejected", "pending",
                   "pendingcancellation", "suspended"),
        "type": ("unknown", "limit", "market", "stoplimit", "stop", "trailingstop", "joinbid",
                 "joinask"),
        "side": _ORDER_SIDES,
    },
    "gatewayuserposition": {"type": ("undefined", "long", "short")},
    "gatewayusertrade": {"side": _ORDER_SIDES},
}  # fmt: skip
"""Names of enums by target and member, in lower case, in the order of their numbers."""

Stamp: TypeAlias = str | Ext | tuple[Ext, int]
"""A time: ISO text, the timestamp extension, or a local time in it and minutes of offset."""

_decode_elements = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_scalar = msgspec.msgpack.Decoder(None | bool | int | float | str | Ext).decode
_decode_binary = msgspec.msgpack.Decoder(bytes).decode
_encode_json = msgspec.json.Encoder().encode


def json_arguments(call: Invocation | StreamInvocation) -> bytes:
    """The arguments of a call as JSON, rewritten where they are packed.

    Raises:
        ValueError: they are packed and cannot be read.
    """
    if not call.packed:
        return call.arguments
    codes = CODES.get(call.target.lower(), {})
    try:
        return _encode_json(_value(call.arguments, codes, "", DEPTH_MAX))
    except RecursionError as error:
        raise ValueError("it is nested without sense") from error


def _value(raw: bytes, codes: dict[str, tuple[str, ...]], name: str, depth: int) -> object:
    """A packed value as what JSON can say, `name` being the member that it is the value of."""
    if not depth:
        raise ValueError(f"it is nested more than {DEPTH_MAX} deep")
    first = raw[0]
    if is_array(raw):
        elements = [bytes(element) for element in _decode_elements(raw)]
        moment = _moment(elements)
        if moment is not None:
            return moment
        return [_value(element, codes, name, depth - 1) for element in elements]
    if first in _MAP_FIXED or first in _MAPS:
        members: dict[str, object] = {}
        for key, member in _decode_members(raw).items():
            camel = key[:1].lower() + key[1:]
            members[camel] = _value(bytes(member), codes, camel, depth - 1)
        return members
    if first in _BINARIES:
        return base64.b64encode(_decode_binary(raw)).decode()
    return _scalar(raw, codes, name)


def _scalar(raw: bytes, codes: dict[str, tuple[str, ...]], name: str) -> object:
    scalar = _decode_scalar(raw)
    if isinstance(scalar, Ext):
        return _stamp_text(scalar)
    if isinstance(scalar, str):
        if name in _NUMBERS and DECIMAL.fullmatch(scalar):
            return msgspec.Raw(_json_number(scalar))
        names = codes.get(name, ())
        if scalar.lower() in names:
            return names.index(scalar.lower())
    return scalar


def _moment(elements: list[bytes]) -> str | None:
    """The ISO text of a pair that is a `DateTimeOffset`; None for any other array."""
    if len(elements) != 2:  # noqa: PLR2004 - a local time and its offset
        return None
    try:
        local = _decode_scalar(elements[0])
        offset = _decode_scalar(elements[1])
    except ValueError:
        return None
    if not isinstance(local, Ext) or type(offset) is not int:
        return None
    return _stamp_text((local, offset))


def _stamp_text(stamp: Ext | tuple[Ext, int]) -> str:
    """ISO text of a time with all its digits, more of which there may be than .NET writes.

    What is no time becomes a text that is none either, so that it costs one tick and not all
    that came with it.
    """
    try:
        ns = stamp_ns(stamp)
        seconds, rest = divmod(ns, SECOND_NS)
        return f"{format_ns(seconds * SECOND_NS)[:19]}.{rest:09d}+00:00"
    except ValueError as error:
        return f"no time: {error}"


def _json_number(text: str) -> bytes:
    """Decimal text as a JSON number, which has no leading zeros."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, dot, fraction = digits.partition(".")
    return f"{sign}{whole.lstrip('0') or '0'}{dot}{fraction}".encode()


def stamp_ns(stamp: Stamp) -> int:
    """Nanoseconds since 1970-01-01T00:00Z.

    Raises:
        ValueError: it is no time.
    """
    if type(stamp) is str:
        return parse_ns(stamp)
    if type(stamp) is tuple:
        local, offset_minutes = stamp
        return _timestamp_ns(local) - offset_minutes * _MINUTE_NS
    return _timestamp_ns(stamp)  # type: ignore[arg-type]  # the other two are gone


def _timestamp_ns(ext: Ext) -> int:
    """Nanoseconds since 1970-01-01T00:00Z of the timestamp extension, whose nanoseconds are kept.

    Raises:
        ValueError: it is another extension, or of no length that a timestamp has.
    """
    if ext.code != TIMESTAMP:
        raise ValueError(f"extension {ext.code} is not known")
    data = bytes(ext.data)
    number = int.from_bytes(data)
    match len(data):
        case 4:
            return number * SECOND_NS
        case 8:
            seconds, nanos = number & 0x3_FFFF_FFFF, number >> 34
        case 12:
            nanos, seconds = number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF
            seconds -= (seconds >> 63) << 64  # it is signed
        case length:
            raise ValueError(f"a timestamp does not have {length} bytes")
    if nanos >= SECOND_NS or not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise ValueError("a timestamp outside the years 1 to 9999")
    return seconds * SECOND_NS + nanos
