"""Sends mutated records through the session and the whole pipeline, real ones between them.

Two thirds of the records are damaged: flipped bits, truncations, values of other types, huge
numbers, deep nesting. Prints one line and ends with 0, or with the seed and the record that breaks
a promise:

- no input raises;
- no bar is changed by what is quarantined: bars made of the accepted prints alone, by an engine
  that sees nothing else, are the same, bar by bar and revision by revision;
- every record is accounted for: counted as ticks, or without a tick, or no call of the market;
  and received = accepted + duplicate + quarantined for trades, quotes and depth;
- memory is flat: in a long run (from `FLAT_FROM` records on) the second half, looked at
  `LOOKS` times, never holds more blocks than the first half did, but for a tenth.

    python fuzz/mutated.py [--seconds 5 | --count 1000000] [--seed 1]
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import time
from collections import Counter
from random import Random

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from tapekeeper.core.signalr.session import Called, Ended, Garbled, Session
from tapekeeper.core.validate import RulePolicy
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.packed import packed_record

START_NS = 1_767_625_200_000_000_000
STEP_NS = 37_000_100
FLAT_FROM = 500_000
LOOKS = 20
SILENT_MAX = 8
"""Records without any event after which a connection is replaced, as its timeout would do it: a
damaged length may announce megabytes."""
TIMEFRAMES = tuple(map(Timeframe.parse, ("1s", "1m", "7m", "1h")))
CONTRACTS = {"CON.F.US.MES.H26": 24_000, "CON.F.US.CLE.H26": 8}
"""Contract ids with the price around which they trade, in ticks of 0.25: one far from zero, and
one that may be negative, and is."""
TARGETS = {"gatewaytrade", "gatewayquote", "gatewaydepth"}

VALUE = re.compile(rb'(?<=:)("[^"]*"|-?[0-9.]+)')
OTHERS = [b"null", b"true", b'"x"', b'""', b"{}", b"[]", b"[null]", b"1.5", b"-1", b"0", b'"2026"']
HUGE = [
    b"1e308", b"1e999", b"-1e999", b"99999999999999999999", b"9" * 400, b"2147483648",
    b"9223372036854775807", b"-9223372036854775809", b"1e-320", b"0." + b"0" * 400 + b"1",
]  # fmt: skip
DEEP = [b"[" * 4_000, b"[" * 300 + b"]" * 300, b'{"a":' * 1_000, b'{"a":' * 80 + b"1" + b"}" * 80]


def record(number: int, random: Random) -> bytes:
    """A record as the gateway sends it, with its separator."""
    contract = random.choice(list(CONTRACTS))
    ticks = CONTRACTS[contract] + number // 5_000 % 60 + random.randrange(-9, 10)
    stamp = format_ns(START_NS + number * STEP_NS).encode()
    name, price = contract.encode(), ticks / 4
    product = b".".join(name.split(b".")[1:4])
    kind = random.randrange(10)
    if kind < 7:  # noqa: PLR2004 - seven in ten are trades
        prints = b",".join(
            b'{"symbolId":"%b","price":%.2f,"timestamp":"%b","type":%d,"volume":%d}'
            % (product, price, stamp, random.randrange(2), random.randrange(4))
            for _ in range(random.choice((1, 1, 1, 3)))
        )
        data = b'"GatewayTrade","arguments":["%b",[%b]]}' % (name, prints)
    elif kind < 9:  # noqa: PLR2004 - two are quotes
        data = (
            b'"GatewayQuote","arguments":["%b",{"symbol":"%b","lastPrice":%.2f,"bestBid":%.2f,'
            b'"bestAsk":%.2f,"volume":%d,"lastUpdated":"%b"}]}'
            % (name, product, price, price, price + 0.25, number, stamp)
        )
    else:
        data = (
            b'"GatewayDepth","arguments":["%b",[{"timestamp":"%b","type":%d,"price":%.2f,'
            b'"volume":1,"currentVolume":%d}]]}'
            % (name, stamp, random.choice((1, 2, 6)), price, random.randrange(9))
        )
    return b'{"type":1,"target":' + data + b"\x1e"


def flipped(data: bytes, random: Random) -> bytes:
    """One to three bits turned."""
    text = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        text[random.randrange(len(text))] ^= 1 << random.randrange(8)
    return bytes(text)


def cut(data: bytes, random: Random) -> bytes:
    """The end missing, mostly with the separator still there."""
    end = data[-1:] if random.randrange(4) else b""
    return data[: random.randrange(len(data))] + end


def retyped(data: bytes, random: Random) -> bytes:
    """A value in place of which stands something else."""
    pieces = random.choice((OTHERS, HUGE, HUGE, DEEP[1:] if random.randrange(20) else DEEP))
    found = list(VALUE.finditer(data))
    if not found:
        return data
    spot = random.choice(found)
    return data[: spot.start()] + random.choice(pieces) + data[spot.end() :]


def mutated(data: bytes, random: Random) -> bytes:
    """The record, damaged in two of three cases."""
    way = random.choice((None, None, flipped, cut, retyped, retyped))
    return data if way is None else way(data, random)


class Run:
    """The pipeline under test, beside an engine that is given the accepted prints alone."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.pipeline = Pipeline(grace_ns=0)
        self.bars: dict[str, ContractBars] = {}
        self.line = 0
        self.what: Counter[str] = Counter()
        self.told = self.silent = 0
        calendar = calendar_by_name("cme")
        for contract_id in CONTRACTS:
            instrument = Instrument(contract_id, contract_id.split(".")[3], tick_size=0.25)
            rules = RulePolicy(negative_prices="CLE" in contract_id)
            self.pipeline.subscribe(
                Subscription(instrument, TIMEFRAMES, calendar, depth=True, rules=rules)
            )
            self.bars[contract_id] = ContractBars(contract_id, TIMEFRAMES, calendar)
        self.reconnect()

    def reconnect(self) -> None:
        """A new connection, as after one that a damaged record has ended."""
        if self.line:
            self.check(self.pipeline.disconnected(self.line))
        self.line += 1
        self.protocol: HubProtocol = self.random.choice((JSON, JSON, JSON, MESSAGEPACK))
        self.session = Session(protocol=self.protocol)
        self.session.start(0)
        self.session.receive(b"{}\x1e", 0)
        self.pipeline.connected(self.line, START_NS)

    def feed(self, number: int) -> str | None:
        """Send one record; the promise that is broken, or None."""
        data = record(number, self.random)
        if self.protocol.is_binary:
            data = packed_record(data)
            data = flipped(data, self.random) if self.random.randrange(2) else data
        else:
            data = mutated(data, self.random)
        recv_ns = START_NS + number * STEP_NS + 1_000_000
        before = self.received()
        calls, kinds = [], set()
        events = self.session.receive(data, 0)
        self.session.outgoing()
        for event in events:
            if isinstance(event, Called):
                calls.append(event.invocation)
                market = event.invocation.target.lower() in TARGETS
                kinds.add("of no tick" if market else "other targets")
            elif isinstance(event, Garbled):
                self.pipeline.take_garbled(event.raw, event.detail, recv_ns)
            else:
                kinds.add("closes" if isinstance(event, Ended) else "other messages")
        self.pipeline.take(calls, recv_ns, self.line)
        broken = self.check(self.pipeline.step())
        if self.received() > before:
            self.what["ticks"] += 1
        else:
            self.what[min(kinds, default="unfinished or no event")] += 1
        self.silent = 0 if events else self.silent + 1
        if self.silent > SILENT_MAX or any(isinstance(event, Ended) for event in events):
            self.silent = 0
            self.reconnect()
        return broken

    def received(self) -> int:
        """Ticks of all kinds that were counted."""
        return sum(counts.received for counts in self.counts())

    def counts(self) -> tuple[TickCounts, ...]:
        """What became of trades, quotes and rows of depth."""
        pipeline = self.pipeline
        return pipeline.trade_counts(), pipeline.quote_counts(), pipeline.depth.counts()

    def check(self, outputs: Outputs) -> str | None:
        """The promise that these outputs break, or None."""
        closed = []
        for batch in outputs.trades:
            folded = self.bars[batch.contract_id].fold(batch)
            if folded.late:
                return "an accepted print is too late for its bars"
            closed += folded.closed
        self.told += len(closed)
        if closed != outputs.closed:
            return "the bars are not those of the accepted prints"
        if not all(counts.holds for counts in self.counts()):
            return "received is not accepted + duplicate + quarantined"
        return None

    def finish(self, records: int) -> str | None:
        """The promise that the whole run has broken, or None."""
        forming = [bar for each in self.bars.values() for bar in each.forming_all()]
        if forming != self.pipeline.forming_all():
            return "the forming bars are not those of the accepted prints"
        if not all(check.holds for check in self.pipeline.checks()):
            return "the volume of the bars is not that of the accepted prints"
        if sum(self.what.values()) != records:
            return "a record is not accounted for"
        return None


def run(seed: int, count: int | None, seconds: float) -> tuple[int, str]:
    """Fuzz; the exit code and what is to be said."""
    state = Run(Random(seed))
    number = 0
    blocks: list[int] = []
    end = time.monotonic() + seconds
    while number < count if count is not None else time.monotonic() < end:
        number += 1
        try:
            broken = state.feed(number)
        except Exception as error:  # noqa: BLE001 - boundary: any exception is a finding
            broken = f"{type(error).__name__}: {error}"
        if broken is not None:
            return 1, f"seed {seed}, record {number}: {broken}"
        if count is not None and number % max(1, count // LOOKS) == 0:
            gc.collect()
            blocks.append(sys.getallocatedblocks())
    broken = state.finish(number)
    before, after = max(blocks[: LOOKS // 2], default=0), max(blocks[LOOKS // 2 :], default=0)
    if broken is None and number >= FLAT_FROM and after > before * 1.1:
        broken = f"memory is not flat: {before:,} blocks, then {after:,}"
    if broken is not None:
        return 1, f"seed {seed}, after {number} records: {broken}"
    trades = state.pipeline.trade_counts()
    return 0, (
        f"mutated: {number:,} records, seed {seed}, no promise broken; trades: {trades.received:,} "
        f"received, {trades.accepted:,} accepted, {trades.duplicate:,} duplicate, "
        f"{trades.quarantined:,} quarantined {state.pipeline.reasons()}; {state.told:,} bars; "
        f"{state.line:,} connections; records {dict(state.what)}; "
        f"at most {before:,} blocks, then {after:,}"
    )


def main() -> int:
    """Fuzz for a time or a number of records; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--count", type=int, help="so many records instead")
    parser.add_argument("--seed", type=int, default=1, help="seed of the damage (default 1)")
    options = parser.parse_args()
    code, text = run(options.seed, options.count, options.seconds)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
