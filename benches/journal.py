"""What the journal costs: nanoseconds for each frame of 169 bytes, by size of the burst.

Durability level of all figures: process (one write per burst, no sync but at rotation).

    python benches/journal.py [--frames 200000] [--folder DIR]

`write alone` appends the same number of bytes in the same bursts without the journal's format:
the difference is what records, checksums and the chain cost. `append p99.9` is of whole bursts,
rotations of 64 MiB segments included.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import Entry, EntryKind, SegmentEncoder, SegmentHeader, encoded_bytes
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import DURABILITY, Journaler

FRAME_BYTES = 169  # one trade as the gateway writes it
BURSTS = (1, 8, 64, 256)
ROUNDS = 3


def timed_ns(work: Callable[[], object], repeats: int = 1) -> int:
    """Wall time of so many calls, ns."""
    start = time.perf_counter_ns()
    for _ in range(repeats):
        work()
    return time.perf_counter_ns() - start


def count_entries(folder: Path) -> int:
    """Read a whole journal, which must be without fault."""
    reader = JournalReader(FolderFiles(folder))
    count = sum(1 for _ in reader)
    assert not reader.problems
    return count


def append_ns(folder: Path, burst: list[Entry], repeats: int) -> list[int]:
    """Wall time of each append of a burst, ns."""
    journaler = Journaler(FolderFiles(folder), created_ns=1)
    times = [timed_ns(lambda: journaler.append(burst)) for _ in range(repeats)]
    journaler.close()
    return times


def write_ns(folder: Path, burst: list[Entry], repeats: int) -> int:
    """Wall time of all writes of as many bytes, ns."""
    file = FolderFiles(folder).create("plain")
    data = bytes(encoded_bytes(burst))
    total = timed_ns(lambda: file.append(data), repeats)
    file.close()
    return total


def encode_ns(burst: list[Entry], repeats: int) -> int:
    """Wall time of all encoding, ns."""
    encoder = SegmentEncoder(SegmentHeader(1, 1, 1))
    return timed_ns(lambda: encoder.encode(burst), repeats)


def bench_burst(parent: Path | None, frames: int, size: int) -> None:
    """Measure and print one row of the table."""
    burst = [
        Entry(EntryKind.FRAME, 1, number, bytes([number % 256]) * FRAME_BYTES)
        for number in range(size)
    ]
    repeats = max(1, frames // size)
    count = repeats * size
    rows: list[tuple[float, float, float, float, float]] = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=parent) as name:
            folder = Path(name)
            plain = write_ns(folder, burst, repeats)
            times = append_ns(folder, burst, repeats)
            read = timed_ns(partial(count_entries, folder))
        late = sorted(times)[int(len(times) * 0.999)]
        encode = encode_ns(burst, repeats)
        rows.append((encode / count, plain / count, sum(times) / count, read / count, late / 1e3))
    encode_each, plain_each, append_each, read_each, late_us = (
        median(column) for column in zip(*rows, strict=True)
    )
    print(
        f"{size:>6} {encode_each:>10,.0f} {plain_each:>12,.0f} {append_each:>10,.0f} "
        f"{read_each:>10,.0f} {late_us:>16,.0f} {1e9 / append_each:>12,.0f}"
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to be measured")
    arguments = parser.parse_args()
    print(
        f"CPython {platform.python_version()}, {platform.machine()}, durability: {DURABILITY}, "
        f"{arguments.frames:,} frames of {FRAME_BYTES} bytes, median of {ROUNDS} rounds"
    )
    print(
        f"{'burst':>6} {'encode ns':>10} {'write alone':>12} {'append ns':>10} "
        f"{'read ns':>10} {'append p99.9 us':>16} {'frames/s':>12}"
    )
    for size in BURSTS:
        bench_burst(arguments.folder, arguments.frames, size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
