"""Feeds damaged gateway payloads, JSON and packed, to the market, user and REST decoders.

Prints one line and ends with 0, or with the seed and the bytes that break a promise: no input
raises anything but the errors that are documented; of trades and of quotes, received = accepted
+ rejected; a rejected input is part of what was received.

    python fuzz/fuzz_payloads.py [--seconds 5] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from random import Random

import msgspec

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.rest_payloads import (
    Operation,
    decode_answer,
    history_bars,
    instruments,
    token,
)
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.gateway.user import decode_user
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.errors import GatewayError
from tapekeeper.model.tick import Rejected

TIME = b"2026-11-20T14:30:00.1234567+00:00"
PRINT = b'{"symbolId":"F.US.EP","price":6841.25,"timestamp":"' + TIME + b'","type":0,"volume":2}'
MARKET = [
    ("GatewayTrade", b'["CON.F.US.EP.Z26",[' + b",".join([PRINT] * 3) + b"]]"),
    ("GatewayTrade", b'["CON.F.US.EP.Z26",{"data":[null,' + PRINT + b"]}]"),
    ("GatewayTrade", b'["CON.F.US.EP.Z26",' + PRINT + b"]"),
    (
        "GatewayQuote",
        b'["CON.F.US.EP.Z26",{"symbol":"F.US.EP","lastPrice":6841.25,"bestBid":6841.25,'
        b'"volume":12,"lastUpdated":"' + TIME + b'","timestamp":"2026-11-20T14:30:00Z"}]',
    ),
]
USER = [
    (
        "GatewayUserOrder",
        b'[{"action":1,"data":{"id":9001,"accountId":1,"contractId":"CON.F.US.MYM.M26",'
        b'"creationTimestamp":"' + TIME + b'","status":6,"type":2,"side":0,"size":15}}]',
    ),
    (
        "GatewayUserTrade",
        (
            b'[{"id":7001,"accountId":1,"contractId":"C","price":49909,"fees":5.55,"side":0,'
            b'"size":15,"voided":false,"orderId":9001}]'
        ),
    ),
    ("GatewayUserAccount", b'[{"action":1,"data":{"id":1,"name":"A","balance":1.5}}]'),
    (
        "GatewayUserPosition",
        b'[{"id":8001,"accountId":1,"contractId":"C","type":1,"size":1,"averagePrice":2}]',
    ),
]
REST = [
    b'{"token":"test-token-not-a-secret","success":true,"errorCode":0,"errorMessage":null}',
    (
        b'{"contracts":[{"id":"CON.F.US.EP.Z26","name":"ESZ6","tickSize":0.25,"tickValue":12.5,'
        b'"activeContract":true,"symbolId":"F.US.EP"}],"success":true,"errorCode":0}'
    ),
    b'{"bars":[{"t":"' + TIME + b'","o":1,"h":2,"l":1,"c":2,"v":7}],"success":true}',
    b'{"success":false,"errorCode":1,"errorMessage":"no"}',
]
PIECES = [
    b"null", b"{", b"}", b"[", b"]", b'"', b",", b":", b"-", b".5", b"1e999", b"1e30", b"\xff",
    b"\\ud800", b"99999999999999999999", b"true", b'"data":', b"[[[[[[[[",
]  # fmt: skip


def packed(arguments: bytes) -> bytes:
    """The same payload as a .NET server packs it: PascalCase, times as the extension."""

    def value(of: object) -> object:
        if isinstance(of, dict):
            return {name[:1].upper() + name[1:]: value(each) for name, each in of.items()}
        if isinstance(of, list):
            return [value(each) for each in of]
        if isinstance(of, str) and of.startswith("2026-"):
            return msgspec.msgpack.Ext(-1, (parse_ns(of) // 10**9).to_bytes(4))
        return of

    return msgspec.msgpack.encode(value(msgspec.json.decode(arguments)))


PACKED_MARKET = [(target, packed(arguments)) for target, arguments in MARKET]
PACKED_USER = [(target, packed(arguments)) for target, arguments in USER]


def damaged(data: bytes, random: Random) -> bytes:
    """`data` with a few bytes changed, dropped, doubled or planted."""
    text = bytearray(data)
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        at = random.randrange(len(text) + 1)
        match random.randrange(4):
            case 0 if at < len(text):
                text[at] = random.randrange(256)
            case 1:
                del text[at : at + random.randrange(1, 8)]
            case 2:
                text[at:at] = random.choice(PIECES)
            case _:
                text[at:at] = text[at : at + random.randrange(1, 40)]
    return bytes(text)


def was_received(raw: bytes, invocation: Invocation) -> bool:
    """Whether a rejected input is a part of what came, or of what that was rewritten as."""
    if raw in invocation.arguments:
        return True
    with suppress(ValueError):
        return raw in json_arguments(invocation)
    return False


def check_market(decoder: MarketDecoder, invocation: Invocation) -> str | None:
    """The promise that a market event breaks, or None."""
    burst, first = Burst(), decoder.next_seq
    decoder.decode(invocation, 7, burst)
    rows = sum(map(len, burst.trades.values()))
    if burst.trades_received != rows + sum(item.ticks for item in burst.rejected_trades):
        return "trades received are not rows + rejected"
    if burst.quotes_received != len(burst.quotes) + sum(i.ticks for i in burst.rejected_quotes):
        return "quotes received are not quotes + rejected"
    if burst.trades_received + burst.quotes_received != decoder.next_seq - first:
        return "a tick has no number of its own"
    if not all(was_received(item.raw, invocation) for item in burst.rejected):
        return "a rejected input is not what was received"
    return None


def check_others(invocation: Invocation, answer: bytes, random: Random) -> str | None:
    """The promise that a user event, a REST answer or a time breaks, or None."""
    for event in decode_user(invocation, 7):
        if isinstance(event, Rejected) and not was_received(event.raw, invocation):
            return "a rejected user event is not what was received"
    with suppress(GatewayError):
        read = decode_answer(answer, 200, random.choice(list(Operation)))
        instruments(read)
        history_bars(read)
        token(read)
    with suppress(ValueError):
        parse_ns(damaged(TIME, random).decode("utf-8", "replace"))
    return None


def main() -> int:
    """Fuzz for a time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the damage (default 1)")
    options = parser.parse_args()
    random = Random(options.seed)
    decoder, cases = MarketDecoder(), 0
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        is_packed = random.random() < 0.5  # noqa: PLR2004 - one in two
        target, arguments = random.choice(PACKED_MARKET if is_packed else MARKET)
        user_target, user_arguments = random.choice(PACKED_USER if is_packed else USER)
        market = Invocation(target, damaged(arguments, random), packed=is_packed)
        user = Invocation(user_target, damaged(user_arguments, random), packed=is_packed)
        answer = damaged(random.choice(REST), random)
        try:
            broken = check_market(decoder, market)
            broken = broken or check_others(user, answer, random)
        except Exception as error:  # noqa: BLE001 - boundary: any exception is a finding
            broken = f"{type(error).__name__}: {error}"
        if broken is not None:
            print(f"seed {options.seed}, case {cases}: {broken}")
            print(f"  {market!r}\n  {user!r}\n  {answer!r}")
            return 1
        cases += 1
    print(f"fuzz_payloads: {cases:,} payloads, seed {options.seed}, no promise broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
