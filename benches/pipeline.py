"""What a tick costs from wire bytes to eight timeframes, stage by stage, beside the floor.

    python benches/pipeline.py [--trades 50000] [--rounds 5] [--protocol json] [--json]

Each row does the work of the one above and one stage more, on the same records, one trade each
(in JSON about 177 bytes, in MessagePack 106, 20 records a frame). Figures are CPU nanoseconds a
trade, the median of rounds that are interleaved within this run; `x floor` is the ratio to the
floor of the same run, which is what to compare: machines differ. The floor is one typed decode of
a trade, the least that any program must do with these bytes. Durability level of the last row:
process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.signalr.protocol import JSON, HubProtocol, protocol_by_name
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.core.signalr.session import Called, Session
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.syncer import Durability
from tapekeeper.sim.packed import packed_record

MES = "CON.F.US.MES.H26"
START_NS = 1_767_625_200_000_000_000
RECORDS_PER_FRAME = 20
TIMEFRAMES = tuple(map(Timeframe.parse, ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d")))


class _Print(msgspec.Struct, gc=False):
    price: float
    timestamp: str
    volume: int
    type: int


class _Trade(msgspec.Struct, gc=False):
    type: int
    target: str
    arguments: tuple[str, list[_Print]]


class _PackedPrint(msgspec.Struct, gc=False, rename="pascal"):
    price: str
    timestamp: tuple[msgspec.msgpack.Ext, int]
    volume: int
    type: int


class _PackedTrade(msgspec.Struct, gc=False, array_like=True):
    type: int
    headers: msgspec.Raw
    invocation_id: str | None
    target: str
    arguments: tuple[str, list[_PackedPrint]]


def make_frames(trades: int, protocol: HubProtocol = JSON) -> list[bytes]:
    """Frames of a market with a trade every 37 ms."""
    records = []
    for number in range(trades):
        price = 6000 + (number * 7919 % 41) * 0.25
        stamp = format_ns(START_NS + number * 37_000_100)
        trade = {
            "symbolId": "F.US.MES",
            "price": price,
            "timestamp": stamp,
            "type": number % 2,
            "volume": 1 + number % 5,
        }
        record = encode_invocation("GatewayTrade", [MES, [trade]])
        records.append(packed_record(record) if protocol.is_binary else record)
    return [
        b"".join(records[start : start + RECORDS_PER_FRAME])
        for start in range(0, trades, RECORDS_PER_FRAME)
    ]


def opened(protocol: HubProtocol) -> Session:
    """A session behind its handshake."""
    session = Session(protocol=protocol)
    session.start(0)
    session.receive(b"{}\x1e", 0)
    return session


def following() -> Pipeline:
    """A pipeline that follows the contract."""
    pipeline = Pipeline(grace_ns=1_500_000_000)
    instrument = Instrument(MES, "MESH6", tick_size=0.25)
    pipeline.subscribe(Subscription(instrument, TIMEFRAMES, calendar_by_name("cme")))
    return pipeline


def floor(frames: list[bytes], protocol: HubProtocol) -> None:
    """One typed decode of each record, cut beforehand by the cheapest way there is."""
    if protocol.is_binary:
        decode_packed = msgspec.msgpack.Decoder(_PackedTrade).decode
        for frame in frames:
            for record in protocol.new_splitter(len(frame)).feed(frame):
                decode_packed(record)
        return
    decode = msgspec.json.Decoder(_Trade).decode
    for frame in frames:
        for record in frame[:-1].split(b"\x1e"):
            decode(record)


def session(frames: list[bytes], protocol: HubProtocol) -> None:
    """Framing and records."""
    state = opened(protocol)
    for frame in frames:
        state.receive(frame, 0)


def decoded(frames: list[bytes], protocol: HubProtocol) -> None:
    """And payloads into columns."""
    state, decoder = opened(protocol), MarketDecoder()
    for frame in frames:
        burst = Burst()
        for event in state.receive(frame, 0):
            assert isinstance(event, Called)
            decoder.decode(event.invocation, 0, burst)


def barred(frames: list[bytes], protocol: HubProtocol) -> None:
    """And validation and all bars."""
    state, pipeline = opened(protocol), following()
    for frame in frames:
        pipeline.take([e.invocation for e in state.receive(frame, 0) if isinstance(e, Called)], 0)
        pipeline.step()
    assert all(check.holds for check in pipeline.checks())


def journalled(frames: list[bytes], protocol: HubProtocol) -> None:
    """And the journal first, a write for each frame."""
    state, pipeline = opened(protocol), following()
    with tempfile.TemporaryDirectory() as folder:
        journaler = Journaler(FolderFiles(Path(folder)), created_ns=1)
        for frame in frames:
            journaler.append([Entry(EntryKind.FRAME, 1, 1, frame)])
            calls = [e.invocation for e in state.receive(frame, 0) if isinstance(e, Called)]
            pipeline.take(calls, 0)
            pipeline.step()
        journaler.close()


STAGES: dict[str, Callable[[list[bytes], HubProtocol], None]] = {
    "floor: typed decode": floor,
    "session": session,
    "+ payloads to columns": decoded,
    "+ validation and 8 timeframes": barred,
    f"+ journal ({Durability.PROCESS})": journalled,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trades", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--protocol", default="json")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    protocol = protocol_by_name(options.protocol)
    frames = make_frames(options.trades, protocol)
    times: dict[str, list[float]] = {name: [] for name in STAGES}
    for _ in range(options.rounds):
        for name, work in STAGES.items():
            start_ns = time.process_time_ns()
            work(frames, protocol)
            times[name].append((time.process_time_ns() - start_ns) / options.trades)
    least = median(times["floor: typed decode"])
    rows = [
        {"stage": name, "ns_per_trade": round(median(each)), "x_floor": median(each) / least}
        for name, each in times.items()
    ]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['stage']:<32} {row['ns_per_trade']:>7} ns  {row['x_floor']:>5.2f} x floor")


if __name__ == "__main__":
    main()
