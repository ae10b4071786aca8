"""What the journal costs, and how small it gets: on real sessions, as the gateway writes them.

Durability level of all figures: process (one write per burst, no sync but at rotation).

    python benches/journal.py [--frames 50000] [--folder DIR] [--data DIR]

Real frames: the wire captures of the recorded data, and one frame for each of its gold trades.
`of wire` is what the files have, heads and seals included, for each byte that came over the
wire. `encode` is the block alone: checksums and compression, in CPU time. `write alone` appends
as many bytes in as many writes without the journal's format. `append` writes in the caller's
thread, `bounded` as a tape does, by a thread that is waited for with a bound; `by burst` is what
that adds to each burst. `append p99.9` is of whole bursts,
rotations included. `memory` is what one compressor and one reader hold.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import polars as pl
import zstandard

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.adapters.threads import ThreadWorker
from tapekeeper.core.journal import Entry, EntryKind, SegmentEncoder, SegmentHeader
from tapekeeper.core.journal.encoder import LEVEL, WINDOW_LOG
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.patience import Patience
from tapekeeper.runtime.patient_files import PatientFiles
from tapekeeper.runtime.slowness import DiskLimits, Slowness
from tapekeeper.runtime.syncer import Durability

BURSTS = (1, 8, 64, 256)
ROUNDS = 3
DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
RECEIPT_NS = 1_234_567
"""Between two frames, where the recording has no time of receipt: uneven, as real ones are."""


def wire(path: Path, frames: int) -> list[Entry]:
    """The frames of a capture, again and again until there are enough."""
    with gzip.open(path) as lines:
        found = [json.loads(line) for line in lines]
    return [
        Entry(EntryKind.FRAME, 1, one["t"], one["ws"].encode())
        for one in islice(cycle(found), frames)
    ]


def gold(folder: Path, frames: int) -> list[Entry]:
    """A frame for each trade of two days of gold."""
    table = pl.read_parquet(folder / "trades.parquet").head(frames)
    columns = ("ts_event", "price", "size", "side", "symbol")
    entries = []
    for number, (ts_ns, price, size, side, symbol) in enumerate(table.select(columns).iter_rows()):
        second, ns = divmod(ts_ns, 1_000_000_000)
        stamp = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        trade = (
            f'{{"symbolId":"F.US.GCE","price":{price},"timestamp":"{stamp}.{ns // 100:07}+00:00",'
            f'"type":{max(side, 0)},"volume":{size}}}'
        )
        frame = (
            '{"type":1,"target":"GatewayTrade","arguments":'
            f'["CON.F.US.GCE.{symbol[-2:]}",[{trade}]]}}\x1e'
        )
        entries.append(Entry(EntryKind.FRAME, 1, ts_ns + number * 7 % RECEIPT_NS, frame.encode()))
    return entries


def sessions(data: Path, frames: int) -> dict[str, list[Entry]]:
    """The recorded sessions, as the gateway would send them."""
    return {
        "ES quotes": wire(data / "wire" / "esu4_2024-07-01.signalr.jsonl.gz", frames),
        "ES faults": wire(data / "wire" / "esh2_2022-01-24_sparse_faults.signalr.jsonl.gz", frames),
        "gold": gold(data / "gc_2013-10-07_08", frames),
    }


def made_up(frames: int) -> dict[str, list[Entry]]:
    """Trades that nobody made, for where the recorded data are absent."""
    frame = (
        '{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.MES.Z26",[{"symbolId":"F.US.MES",'
        '"price":%d.25,"timestamp":"2026-03-02T15:00:00.%07d+00:00","type":0,"volume":%d}]]}\x1e'
    )
    return {
        "made up": [
            Entry(
                EntryKind.FRAME,
                1,
                number * RECEIPT_NS,
                (frame % (5_000 + number * 7 % 11, number * 977 % 10**7, number % 5 + 1)).encode(),
            )
            for number in range(frames)
        ]
    }


def count_entries(folder: Path) -> int:
    """Read a whole journal, which must be without fault."""
    reader = JournalReader(FolderFiles(folder))
    count = sum(1 for _ in reader)
    assert not reader.problems
    return count


def wall_ns(work: Callable[[], object]) -> int:
    """Wall time of a call, ns."""
    start = time.perf_counter_ns()
    work()
    return time.perf_counter_ns() - start


def encode_ns(bursts: Sequence[Sequence[Entry]]) -> int:
    """CPU time of all encoding, ns."""
    encoder = SegmentEncoder(SegmentHeader(1, 1, 1))
    start = time.process_time_ns()
    for burst in bursts:
        encoder.encode(burst)
    return time.process_time_ns() - start


def write_ns(folder: Path, writes: int, each_bytes: int) -> int:
    """Wall time of as many writes of as many bytes, ns."""
    file = FolderFiles(folder).create("plain")
    data = bytes(each_bytes)
    start = time.perf_counter_ns()
    for _ in range(writes):
        file.append(data)
    total = time.perf_counter_ns() - start
    file.close()
    return total


def bounded_ns(folder: Path, bursts: Sequence[Sequence[Entry]]) -> int:
    """Wall time of appending as a tape does: by a thread that is waited for with a bound, ns."""
    clock = SystemClock()
    slowness = Slowness("writes", DiskLimits(), clock=clock, log=lambda *_, **__: None)
    patience = Patience(ThreadWorker(), slowness, clock=clock)
    journaler = Journaler(PatientFiles(FolderFiles(folder), patience), created_ns=1)
    start = time.perf_counter_ns()
    for burst in bursts:
        journaler.append(burst)
    total = time.perf_counter_ns() - start
    journaler.close()
    patience.close()
    return total


def bench(name: str, entries: list[Entry], size: int, parent: Path | None) -> float:
    """Measure and print one row of the table; the bytes on disk for each byte of wire."""
    bursts = cut(entries, size)
    count = len(entries)
    wire_bytes = sum(len(entry.payload) for entry in entries)
    rows: list[tuple[float, ...]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=parent) as made:
            folder = Path(made)
            journaler = Journaler(FolderFiles(folder), created_ns=1)
            times = [wall_ns(partial(journaler.append, burst)) for burst in bursts]
            journaler.close()
            bounded = bounded_ns(folder / "bounded", bursts)
            disk_bytes = journaler.statistics().bytes
            read = wall_ns(partial(count_entries, folder))
            plain = write_ns(folder, len(bursts), disk_bytes // len(bursts))
        late = sorted(times)[int(len(times) * 0.999)]
        rows.append((encode_ns(bursts), plain, sum(times), bounded, read, late))
    encode, plain, append, bounded, read, late = (median(each) for each in zip(*rows, strict=True))
    share = disk_bytes / wire_bytes
    print(
        f"{name:>10} {size:>5} {wire_bytes / count:>10.1f} {disk_bytes / count:>10.1f} "
        f"{share:>7.1%} {encode / count:>9,.0f} {plain / count:>11,.0f} {append / count:>9,.0f} "
        f"{bounded / count:>10,.0f} {(bounded - append) / len(bursts):>9,.0f} "
        f"{read / count:>8,.0f} {late / 1e3:>15,.0f}"
    )
    return share


def cut(entries: list[Entry], size: int) -> list[list[Entry]]:
    """The same in bursts."""
    return [entries[at : at + size] for at in range(0, len(entries), size)]


def main() -> int:
    """Print the table; 1 if a session takes more than a quarter of its wire bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=50_000, help="of each session, at most")
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    parser.add_argument("--data", type=Path, default=DATA, help="the recorded sessions")
    arguments = parser.parse_args()
    parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, window_log=WINDOW_LOG)
    print(
        f"CPython {platform.python_version()}, {platform.machine()}, durability: "
        f"{Durability.PROCESS}, median of {ROUNDS} rounds, memory: "
        f"{parameters.estimated_compression_context_size() / 1e6:.2f} MB to write, "
        f"{zstandard.estimate_decompression_context_size() / 1e6 + (1 << WINDOW_LOG) / 1e6:.2f} MB "
        "and a segment to read"
    )
    if not arguments.data.is_dir():
        print(f"the recorded sessions are not at {arguments.data}: made-up ones instead")
    print(
        f"{'session':>10} {'burst':>5} {'wire bytes':>10} {'disk bytes':>10} {'of wire':>7} "
        f"{'encode ns':>9} {'write alone':>11} {'append ns':>9} "
        f"{'bounded ns':>10} {'by burst':>9} {'read ns':>8} "
        f"{'append p99.9 us':>15}   (each frame)"
    )
    found = sessions if arguments.data.is_dir() else lambda _, frames: made_up(frames)
    worst = max(
        bench(name, entries, size, arguments.folder)
        for name, entries in found(arguments.data, arguments.frames).items()
        for size in BURSTS
    )
    print(f"at most {worst:.1%} of the wire bytes; a quarter is promised")
    return int(worst > 0.25)


if __name__ == "__main__":
    sys.exit(main())
