"""Feeds damaged bytes to the splitters and decoders of both protocols, negotiation and the session.

Prints one line and ends with 0, or with the seed and the bytes that break a promise: no input
raises; any split of a stream gives the same records; malformed and unknown records are kept
whole; a session ends at most once and says nothing after it.

    python fuzz/fuzz_records.py [--seconds 5] [--seed 1]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from random import Random

from tapekeeper.core.signalr.msgpack import framed
from tapekeeper.core.signalr.negotiate import parse_answer
from tapekeeper.core.signalr.protocol import JSON, MESSAGEPACK, HubProtocol
from tapekeeper.core.signalr.records import Malformed, Unknown
from tapekeeper.core.signalr.session import Ended, Session
from tapekeeper.errors import ProtocolError

RECORDS = [
    b"{}",
    b'{"error":"The protocol \'xyz\' is not supported."}',
    b'{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.EP.Z26",[{"price":6841.25}]]}',
    b'{"target":"Up","arguments":[],"invocationId":"3","streamIds":["2"],"type":1}',
    b'{"type":2,"invocationId":"1","item":0}',
    b'{"type":3,"invocationId":"1","result":null}',
    '{"type":3,"invocationId":"1","error":"hé€\\"\\\\/<>&"}'.encode(),
    b'{"target":"Cnt","arguments":[3],"invocationId":"1","type":4}',
    b'{"invocationId":"1","type":5}',
    b'{"type":6}',
    b'{"type":7,"error":"Connection closed with an error.","allowReconnect":true}',
    b'{"type":8,"sequenceId":1}',
    b'{"type":9,"sequenceId":1}',
    b'{"type":99}',
    b"",
]
PACKED = [
    bytes.fromhex(text)
    for text in (
        "91 06",
        "96 01 80 a3 78 79 7a a6 6d 65 74 68 6f 64 91 2a 90",
        "95 01 80 c0 a4 46 69 72 65 95 01 a1 61 c3 c0 81 a1 6b cb 3f f8 00 00 00 00 00 00",
        "95 01 80 c0 a1 54 91 81 a1 74 92 d7 ff 00 00 00 00 65 00 00 00 00",
        "94 02 80 a3 78 79 7a 2a",
        "95 03 80 a3 78 79 7a 01 a5 45 72 72 6f 72",
        "95 03 80 a1 31 03 c0",
        "94 03 80 a3 78 79 7a 02",
        "93 05 80 a3 78 79 7a",
        "93 07 a3 78 79 7a c3",
        "92 08 cc 24",
        "92 09 13",
        "91 63",
        "",
    )
]
ANSWERS = [
    (
        b'{"negotiateVersion":1,"connectionId":"a","connectionToken":"b",'
        b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]}]}'
    ),
    b'{"url":"https://other.test/hub","accessToken":"test-token-not-a-secret"}',
    b'{"error":"no"}',
]
PIECES = [b"\x1e", b"{", b"}", b"[", b"]", b'"', b",", b"null", b"1e999", b"\\ud800", b"\xff", b"0"]
PIECES += [b"\xc1", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 40, b"\x80" * 5]
RECORD_BYTES_MAX = 1_000_000


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
                text[at:at] = text[at : at + random.randrange(1, 20)]
    return bytes(text)


def cut(data: bytes, random: Random) -> list[bytes]:
    """`data` in pieces of random length."""
    pieces = []
    while data:
        length = random.randrange(1, len(data) + 1)
        pieces.append(data[:length])
        data = data[length:]
    return pieces


def read(protocol: HubProtocol, pieces: list[bytes]) -> list[bytes]:
    """The records of a stream up to its end, or to what is no length."""
    splitter, records = protocol.new_splitter(RECORD_BYTES_MAX), []
    with contextlib.suppress(ProtocolError):
        for piece in [*pieces, b"", b""]:
            records += splitter.feed(piece)
    return records


def check(protocol: HubProtocol, stream: bytes, random: Random) -> str | None:
    """The promise that `stream` breaks, or None."""
    records = read(protocol, [stream])
    if read(protocol, cut(stream, random)) != records:
        return "a split changes the records"
    for raw in records:
        record = protocol.decode(raw)
        if isinstance(record, Malformed | Unknown) and record.raw != raw:
            return "a record is not kept whole"
    session = Session(protocol=protocol)
    session.start(0)
    now_ns, events = 0, session.receive(b"{}\x1e", 0)
    for piece in cut(stream, random):
        now_ns += random.randrange(10_000_000_000)
        if session.state == "open" and random.random() < 0.2:  # noqa: PLR2004 - one in five
            session.invoke("T", [], now_ns)
        events += session.receive(piece, now_ns)
        events += session.on_time(now_ns)
        session.outgoing()
    ends = [isinstance(event, Ended) for event in events]
    if True in ends[:-1]:
        return "something is said after the end"
    return None


def damaged_stream(protocol: HubProtocol, random: Random) -> bytes:
    """A few records, each damaged, and at times the framing too."""
    count = random.randrange(1, 9)
    if protocol is JSON:
        return b"".join(damaged(random.choice(RECORDS), random) + b"\x1e" for _ in range(count))
    stream = b"".join(framed(damaged(random.choice(PACKED), random)) for _ in range(count))
    return damaged(stream, random) if random.random() < 0.2 else stream  # noqa: PLR2004 - one in five


def main() -> int:
    """Fuzz for a time; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the damage (default 1)")
    arguments = parser.parse_args()
    random = Random(arguments.seed)
    end, cases = time.monotonic() + arguments.seconds, 0
    while time.monotonic() < end:
        protocol = random.choice((JSON, MESSAGEPACK))
        stream = damaged_stream(protocol, random)
        answer = damaged(random.choice(ANSWERS), random)
        try:
            broken = check(protocol, stream, random)
            with contextlib.suppress(ProtocolError):
                parse_answer(answer)
        except Exception as error:  # noqa: BLE001 - boundary: any exception is a finding
            broken = f"{type(error).__name__}: {error}"
        if broken is not None:
            name = f"seed {arguments.seed}, case {cases}, {protocol.name}"
            print(f"{name}: {broken}\n  {stream!r}\n  {answer!r}")
            return 1
        cases += 1
    print(f"fuzz_records: {cases:,} streams, seed {arguments.seed}, no promise broken")
    return 0


if __name__ == "__main__":
    sys.exit(main())
