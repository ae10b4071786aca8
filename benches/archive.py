"""What the archive costs: bytes a trade on the disk, and how long making and reading it takes.

    python benches/archive.py [--data ../shared/data] [--levels 3,9,19,22]

Each set of recorded trades is written into a journal as the gateway would send it, archived by
contract and trade date with all default timeframes, and read back. `bytes/trade` is of the whole
files of trades: footers, statistics and all. With `recv` the recording's own times of receipt are
kept (gold and ES have none, so theirs cost nothing); with `jitter` each frame is received a seeded
1 to 20 ms after its stamp, to the nanosecond, which is the worst that a host's clock can do.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import polars as pl

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, read_manifest
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.history import read_history
from tapekeeper.app.archive.layout import COMPRESSION_LEVEL, TRADES
from tapekeeper.app.config import DEFAULT_TIMEFRAMES
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import MARKET_HUB, connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize
from tapekeeper.runtime.journaler import Journaler

SETS = ("gc_2013-10-07_08", "esh2_2022-01-24_0830et", "btcusdt_perp_2024-08-08")
PRINTS_MAX = 8
BURST = 64


def frames(rows: pl.DataFrame, *, jitter: bool) -> Iterator[Entry]:
    """Frames of the prints, in order of arrival; equal stamps share a record, up to eight."""
    rng = random.Random(1)
    columns = ("symbol", "ts_event", "ts_recv", "price", "size", "side")
    every = rows.sort("seq").select(columns).iter_rows()
    for (symbol, stamp, _), group in groupby(
        enumerate(every), lambda each: (each[1][0], each[1][1], each[0] // PRINTS_MAX)
    ):
        prints = [row for _, row in group]
        items = [
            {"timestamp": format_ns(stamp), "price": row[3], "volume": row[4], "type": row[5]}
            for row in prints
        ]
        recv_ns = stamp + rng.randrange(1_000_000, 20_000_000) if jitter else prints[0][2]
        data = encode_invocation("GatewayTrade", [symbol, items])
        yield Entry(EntryKind.FRAME, 1, recv_ns, data)


def write_journal(
    folder: Path,
    rows: pl.DataFrame,
    *,
    jitter: bool,
    timeframes: tuple[BarSize, ...] = DEFAULT_TIMEFRAMES,
) -> None:
    """A journal of these prints."""
    journaler = Journaler(FolderFiles(folder), created_ns=1)
    start_ns = int(rows["ts_event"][0])
    journaler.append([connect_entry(1, MARKET_HUB, start_ns)])
    for symbol in rows["symbol"].unique(maintain_order=True):
        subscription = Subscription(Instrument(symbol, symbol), timeframes, calendar_by_name("cme"))
        journaler.append([subscribe_entry(subscription, start_ns)])
    burst: list[Entry] = []
    for entry in frames(rows, jitter=jitter):
        burst.append(entry)
        if len(burst) == BURST:
            journaler.append(burst)
            burst = []
    journaler.append(burst)
    journaler.close()


def measured(rows: pl.DataFrame, level: int, *, jitter: bool) -> str:
    """One line of figures."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal"
        write_journal(journal, rows, jitter=jitter)
        start = time.perf_counter()
        done = archive_journal(journal, compression_level=level)
        made_s = time.perf_counter() - start
        assert done.trades == rows.height
        parts = read_manifest(ArchiveDisk(journal / "archive")).parts
        size = sum(part.size_bytes for part in parts if part.kind == TRADES)
        files = sum(part.kind == TRADES for part in parts)
        start = time.perf_counter()
        for symbol in rows["symbol"].unique():
            read_history(journal, symbol, "trades")
        read_s = time.perf_counter() - start
    rate = rows.height / made_s
    return (
        f"{size / rows.height:6.2f} bytes/trade in {files} files  {rate:9,.0f} trades/s archived"
        f"  {rows.height / read_s:11,.0f} trades/s read"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=beside)
    parser.add_argument("--levels", default=str(COMPRESSION_LEVEL))
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"there is no recorded data in {arguments.data}: nothing to measure")
        return
    for name in SETS:
        rows = pl.read_parquet(arguments.data / name / "trades.parquet")
        for level in map(int, arguments.levels.split(",")):
            for jitter in (False, True):
                line = measured(rows, level, jitter=jitter)
                print(f"{name:26} zstd {level:2} {'jitter' if jitter else 'recv':6} {line}")


if __name__ == "__main__":
    main()
