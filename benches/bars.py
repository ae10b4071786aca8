"""What bars cost: CPU nanoseconds for each print, by size of the batch and number of timeframes.

    python benches/bars.py [--prints 200000] [--contracts 1] [--json]

The tape is a session of 23 hours with prints at random times, so that with 200,000 prints a
second with any holds about 2.6 of them, and with 1,000,000 about 12. Batches are made before the
clock starts. Absolute figures are this machine's; the ratios travel:

    / loop   to an empty loop over the same columns
    / naive  to one dictionary of lists per timeframe, updated for every print, which never closes
             a bar and knows no sessions (its bars are compared with ours after the clock stops)
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

from tapekeeper.core.bars import ContractBars
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import HOUR_NS, SECOND_NS, Timeframe

TIMEFRAMES = ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d")
COUNTS = (1, 4, 8)
BATCHES = (1, 8, 64, 512, 4_096)
ROUNDS = 3
OPEN_NS = 1_719_784_800 * SECOND_NS  # 2024-06-30T22:00Z, an open of the calendar `cme`

Tape = dict[str, TradeBatch]


@dataclass(frozen=True)
class Figure:
    """One row: CPU ns per print of each contender, medians."""

    batch: int
    timeframes: int
    bars_ns: float
    loop_ns: float
    naive_ns: float


def tape_of(prints: int, contracts: int, seed: int = 1) -> Tape:
    """A session's prints, in order of time."""
    rng = random.Random(seed)
    names = [f"CON.F.US.BENCH{number}.U24" for number in range(contracts)]
    tape = {name: TradeBatch(name) for name in names}
    price = 20_000
    for seq, ts_ns in enumerate(sorted(rng.randrange(23 * HOUR_NS) for _ in range(prints))):
        price = max(1, price + rng.choice((-1, 0, 0, 1)))
        stamp = OPEN_NS + ts_ns - ts_ns % 1_000_000
        batch = tape[names[seq % contracts]]
        batch.append(stamp, price / 4, rng.randint(1, 9), rng.randint(0, 1), stamp, seq)
    return tape


def cut(tape: Tape, size: int) -> list[TradeBatch]:
    """The tape in batches of at most `size` rows."""
    return [
        TradeBatch(
            name,
            whole.ts_event[start : start + size],
            whole.price[start : start + size],
            whole.size[start : start + size],
            whole.side[start : start + size],
            whole.ts_recv[start : start + size],
            whole.seq[start : start + size],
        )
        for name, whole in tape.items()
        for start in range(0, len(whole), size)
    ]


def fold(batches: list[TradeBatch], timeframes: list[Timeframe]) -> list[Bar]:
    """Ours."""
    calendar = calendar_by_name("cme")
    engines = {
        name: ContractBars(name, timeframes, calendar)
        for name in {batch.contract_id for batch in batches}
    }
    bars: list[Bar] = []
    for batch in batches:
        bars += engines[batch.contract_id].fold(batch).closed
    for engine in engines.values():
        bars += engine.forming_all()
    return bars


def loop(batches: list[TradeBatch], _: list[Timeframe]) -> None:
    """An empty loop over the columns."""
    for batch in batches:
        for _row in zip(batch.ts_event, batch.price, batch.size, batch.side, strict=True):
            pass


def naive(
    batches: list[TradeBatch], timeframes: list[Timeframe]
) -> dict[tuple[str, str, int], list[float]]:
    """One dictionary entry for each bar: open, high, low, close, volume, number."""
    bars: dict[tuple[str, str, int], list[float]] = {}
    grids = [(str(item), item.length_ns) for item in timeframes]
    for batch in batches:
        name = batch.contract_id
        for ts_ns, price, size in zip(batch.ts_event, batch.price, batch.size, strict=True):
            for timeframe, length_ns in grids:
                # Everything from the open on is counted from it: on this tape both grids agree.
                key = (name, timeframe, ts_ns - (ts_ns - OPEN_NS) % length_ns)
                bar = bars.get(key)
                if bar is None:
                    bars[key] = [price, price, price, price, size, 1]
                else:
                    bar[1] = max(bar[1], price)
                    bar[2] = min(bar[2], price)
                    bar[3] = price
                    bar[4] += size
                    bar[5] += 1
    return bars


def check(batches: list[TradeBatch], timeframes: list[Timeframe]) -> None:
    """Ours and the naive ones are the same bars."""
    expected = {
        (bar.contract_id, bar.timeframe, bar.ts_open): [
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.n,
        ]
        for bar in fold(batches, timeframes)
    }
    assert expected == naive(batches, timeframes)


def cpu_ns(
    work: Callable[[list[TradeBatch], list[Timeframe]], object],
    batches: list[TradeBatch],
    timeframes: list[Timeframe],
) -> int:
    """CPU time of one call."""
    start = time.process_time_ns()
    work(batches, timeframes)
    return time.process_time_ns() - start


def measure(tape: Tape, prints: int) -> list[Figure]:
    """All rows; contenders take turns, so that a slow moment hits all of them."""
    figures = []
    for count in COUNTS:
        timeframes = [Timeframe.parse(text) for text in TIMEFRAMES[:count]]
        for size in BATCHES:
            batches = cut(tape, size)
            times: defaultdict[str, list[float]] = defaultdict(list)
            for _ in range(ROUNDS):
                for contender in (fold, loop, naive):
                    spent = cpu_ns(contender, batches, timeframes)
                    times[contender.__name__].append(spent / prints)
            figures.append(
                Figure(size, count, *(median(times[name]) for name in ("fold", "loop", "naive")))
            )
        check(batches, timeframes)
    return figures


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prints", type=int, default=200_000)
    parser.add_argument("--contracts", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()
    figures = measure(tape_of(arguments.prints, arguments.contracts), arguments.prints)
    if arguments.json:
        rows = [asdict(figure) for figure in figures]
        print(
            json.dumps(
                {
                    "python": platform.python_version(),
                    "machine": platform.machine(),
                    "prints": arguments.prints,
                    "contracts": arguments.contracts,
                    "figures": rows,
                }
            )
        )
        return 0
    print(
        f"CPython {platform.python_version()}, {platform.machine()}, {arguments.prints:,} prints "
        f"of {arguments.contracts} contract(s), CPU ns per print, median of {ROUNDS} rounds"
    )
    print(
        f"{'frames':>6} {'batch':>6} {'bars ns':>9} {'loop ns':>9} {'naive ns':>9} "
        f"{'/ loop':>8} {'/ naive':>8}"
    )
    for row in figures:
        print(
            f"{row.timeframes:>6} {row.batch:>6} {row.bars_ns:>9,.0f} {row.loop_ns:>9,.0f} "
            f"{row.naive_ns:>9,.0f} {row.bars_ns / row.loop_ns:>8.1f} "
            f"{row.bars_ns / row.naive_ns:>8.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
