"""What the arbiter costs: CPU nanoseconds for each row that a line brings.

    python benches/arbiter.py [--prints 200000] [--json]

`alone` is one line, `two` the same prints from two lines in step, and `join` the moment at which
a second line joins after ten seconds of 10,000 prints a second, in milliseconds. Batches are made
before the clock starts, and are handed over in the order of arrival.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median

from tapekeeper.core.arbiter import Arbiter
from tapekeeper.model.tick import TradeBatch

BATCHES = (1, 8, 64, 512)
ROUNDS = 3
START_NS = 1_719_784_800_000_000_000
STEP_NS = 100_000  # 10,000 prints a second


@dataclass(frozen=True)
class Figure:
    """One row of the table; medians."""

    batch: int
    alone_ns: float
    two_ns: float
    join_ms: float


def batches(prints: int, size: int, first: int = 0) -> list[TradeBatch]:
    """Prints in steps of 100 us on a stamp of 1 ms, so that many equal another."""
    rng = random.Random(1)
    made: list[TradeBatch] = []
    for place in range(first, first + prints):
        if (place - first) % size == 0:
            made.append(TradeBatch("CON.F.US.BENCH.U24"))
        ts_ns = START_NS + place * STEP_NS
        made[-1].append(ts_ns - ts_ns % 1_000_000, rng.randint(1, 4) / 4, 1, 0, ts_ns, place)
    return made


def cpu_ns(lines: list[list[TradeBatch]], arbiter: Arbiter) -> tuple[int, int]:
    """CPU time of handing all batches over, line by line in turn; rows that passed."""
    passed = 0
    start = time.process_time_ns()
    for turn in zip(*lines, strict=True):
        for line, batch in enumerate(turn):
            passed += sum(map(len, arbiter.admit(line, batch).batches))
    return time.process_time_ns() - start, passed


def join_ns(size: int) -> int:
    """CPU time of the first batch of a second line that is 200 ms behind."""
    arbiter = Arbiter()
    for batch in batches(100_000, size):
        arbiter.admit(0, batch)
    (late,) = batches(1, 1, 98_000)
    start = time.process_time_ns()
    arbiter.admit(1, late)
    return time.process_time_ns() - start


def measure(prints: int) -> list[Figure]:
    """All rows."""
    figures = []
    for size in BATCHES:
        tape = batches(prints, size)
        alone, two, join = [], [], []
        for _ in range(ROUNDS):
            spent, passed = cpu_ns([tape], Arbiter())
            assert passed == prints
            alone.append(spent / prints)
            arbiter = Arbiter()
            spent, passed = cpu_ns([tape, tape], arbiter)
            assert passed == prints - arbiter.held
            two.append(spent / (2 * prints))
            join.append(join_ns(size) / 1e6)
        figures.append(Figure(size, median(alone), median(two), median(join)))
    return figures


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prints", type=int, default=200_000)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    figures = measure(arguments.prints)
    if arguments.json:
        print(json.dumps({"prints": arguments.prints, "figures": [asdict(f) for f in figures]}))
        return 0
    print(
        f"CPython {platform.python_version()}, {platform.machine()}, {arguments.prints:,} prints, "
        f"CPU ns per row, median of {ROUNDS} rounds"
    )
    print(f"{'batch':>6} {'alone ns':>9} {'two ns':>9} {'join ms':>9}")
    for row in figures:
        print(f"{row.batch:>6} {row.alone_ns:>9,.0f} {row.two_ns:>9,.0f} {row.join_ms:>9,.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
