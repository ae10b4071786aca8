"""What the rules cost a print, by how many come at once, with and without the columns.

    python benches/validation.py [--trades 60000] [--rounds 5] [--json]

Figures are CPU nanoseconds a print, the median of rounds that are interleaved within this run.
`rows` judges each print by itself; `columns` judges every run by its columns first. Where they
cross is `COLUMNS_FROM` of `tapekeeper.core.validate.rules`; `shipped` is what it makes of both.
`static` is the least: the rules that look at no other print, one print at a time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

from tapekeeper.core.validate import RulePolicy, TradeRules, trade_fault
from tapekeeper.core.validate.rules import COLUMNS_FROM
from tapekeeper.model.tick import TradeBatch

START_NS = 1_767_625_200_000_000_000
SIZES = (1, 2, 3, 4, 6, 8, 16, 64, 1_024)
TICK_SIZE = 0.25
NEVER = 1 << 62


def make_batches(trades: int, each: int) -> list[TradeBatch]:
    """Batches of `each` prints of a market with a trade every 3 ms."""
    batches = []
    for start in range(0, trades, each):
        batch = TradeBatch("C")
        recv_ns = START_NS + (start + each) * 3_000_000 + 1_000_000
        for number in range(start, start + each):
            price = 6000 + (number * 7919 % 41) * TICK_SIZE
            ts_event = START_NS + number * 3_000_000
            batch.append(ts_event, price, 1 + number % 5, number % 2, recv_ns, number)
        batches.append(batch)
    return batches


def static(batches: list[TradeBatch]) -> None:
    """The rules that look at one print alone."""
    for batch in batches:
        for ts_event, price, size in zip(batch.ts_event, batch.price, batch.size, strict=True):
            assert trade_fault(ts_event, price, size, TICK_SIZE) is None


def judging(columns_from: int) -> Callable[[list[TradeBatch]], None]:
    """All rules, with columns from so many prints on."""

    def work(batches: list[TradeBatch]) -> None:
        rules = TradeRules(TICK_SIZE, RulePolicy(), columns_from=columns_from)
        for batch in batches:
            assert rules.judge(batch) is None

    return work


WAYS = {
    "static": static,
    "rows": judging(NEVER),
    "columns": judging(1),
    "shipped": judging(COLUMNS_FROM),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trades", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for each in SIZES:
        batches = make_batches(options.trades, each)
        times: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(options.rounds):
            for name, work in WAYS.items():
                start_ns = time.process_time_ns()
                work(batches)
                spent_ns = time.process_time_ns() - start_ns
                times[name].append(spent_ns / (len(batches) * each))
        rows.append(
            {"prints": each} | {name: round(median(spent)) for name, spent in times.items()}
        )
    if options.json:
        print(json.dumps(rows))
        return
    print(" ".join(f"{name:>8}" for name in rows[0]) + "   ns a print")
    for row in rows:
        print(" ".join(f"{value:>8,}" for value in row.values()))


if __name__ == "__main__":
    main()
