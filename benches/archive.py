"""What the archive costs: bytes a trade on the disk, and how long making and reading it takes.

    python benches/archive.py [--data ../shared/data] [--levels 3,9,19,22]

Each set of recorded trades is written into a journal as the gateway would send it, archived by
contract and trade date with all default timeframes, and read back. `bytes/trade` is of the whole
files of trades: footers, statistics and all. With `recv` the recording's own times of receipt are
kept (gold and ES have none, so theirs cost nothing); with `jitter` each frame is received a seeded
1 to 20 ms after its stamp, to the nanosecond, which is the worst that a host's clock can do.

The second table is of reading: of the most traded contract of the first set, of which the last
fifth is in the journal alone. `first` is a reading by somebody who has read nothing yet, `again`
the same reading once more. Below it is what the middle tier could be: how much of repeating a
segment is getting its bytes, which is all that mapping it could save, and what a day costs from a
Parquet file, from an Arrow file of the same rows, and from what was kept in memory.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import polars as pl

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, read_manifest
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.history import Archive, HistoryQuery, read_history
from tapekeeper.app.archive.layout import COMPRESSION_LEVEL, TRADES
from tapekeeper.app.archive.rerunning import Continued, Stretch, segments_of
from tapekeeper.app.archive.warm import Hot
from tapekeeper.app.config import DEFAULT_TIMEFRAMES
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.hot import HotTrades
from tapekeeper.core.journal import Entry, EntryKind, segment_name
from tapekeeper.core.pipeline import Outputs, Subscription
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


def timed(what: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    start = time.perf_counter()
    what()
    return (time.perf_counter() - start) * 1e3


def reading(rows: pl.DataFrame) -> Iterator[str]:
    """Lines of figures of reading, and of what the middle tier could be."""
    symbol = str(rows["symbol"].mode()[0])
    rows = rows.filter(symbol=symbol)
    cut = rows.height * 4 // 5
    with tempfile.TemporaryDirectory() as place:
        journal = Path(place) / "journal"
        write_journal(journal, rows[:cut], jitter=True)
        archive_journal(journal)
        write_journal(journal, rows[cut:], jitter=True)
        archive = ArchiveDisk(journal / "archive")
        files = FolderFiles(journal)
        last = segments_of(files)[-1]
        hot = hot_of(files, last, symbol)
        parts = [part for part in read_manifest(archive).parts if part.kind == TRADES]
        day = max(parts, key=lambda part: part.rows)
        times = (day.min_ns, day.max_ns + 1)
        bars = HistoryQuery.of("1s", columns=["ts_open", "close", "volume"])
        opens = Archive(files, archive.root).read(symbol, bars)["ts_open"]
        many = min(10_000, opens.len())
        last_bars = HistoryQuery.of("1s", opens[-many])
        asked = {
            f"a day of {day.rows:,} trades, archived": (HistoryQuery.of("trades", *times), hot),
            f"{many:,} bars of 1s, the last of them of the journal": (last_bars, None),
            f"{rows.height:,} trades, journal and archive": (HistoryQuery.of("trades"), None),
            f"{rows.height:,} trades, memory and archive": (HistoryQuery.of("trades"), hot),
        }
        for name, (query, memory) in asked.items():
            source = Archive(files, archive.root)
            call = partial(source.read, symbol, query, memory)
            first, again = timed(call), timed(call)
            yield f"{name:55} first {first:9,.1f} ms  again {again:7,.1f} ms"
        got = timed(lambda: files.read(segment_name(last)))
        state, stretch = Continued(), Stretch(files, last - 1, last)
        made = timed(lambda: repeat(state, stretch, HotTrades(0)))
        yield f"bytes of a segment: {got / made:.5f} of the time in which it is repeated"
        frame = pl.read_parquet(archive.path(day.path), hive_partitioning=False)
        plain = Path(place) / "day.arrow"
        frame.write_ipc(plain)
        parquet = min(
            timed(lambda: pl.read_parquet(archive.path(day.path)).sum()) for _ in range(5)
        )
        arrow = min(timed(lambda: pl.read_ipc(plain).sum()) for _ in range(5))
        kept = min(timed(frame.sum) for _ in range(5))
        size = plain.stat().st_size / day.size_bytes
        yield (
            f"a day's columns added up, Parquet 1: an Arrow file {arrow / parquet:.2f} in "
            f"{size:.1f} times the bytes, kept in memory {kept / parquet:.2f}"
        )


def hot_of(files: FolderFiles, first: int, symbol: str) -> Hot:
    """The run of a segment, as a tape has it in memory."""
    trades = HotTrades(100_000_000)
    repeat(Continued(), Stretch(files, first - 1, first), trades)
    return Hot(first, symbol, trades.window(symbol), (Instrument(symbol, symbol),))


def repeat(state: Continued, stretch: Stretch, trades: HotTrades) -> None:
    """Repeat a stretch of a journal."""
    later = stretch.told_later()

    def taken(_first: int, _run: int, outputs: Outputs) -> None:
        trades.add(outputs.trades)

    for read in stretch:
        state.enter(read, later, taken)
        state.take(read.entry, taken)


def main() -> None:
    """Print the tables."""
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
    for line in reading(pl.read_parquet(arguments.data / SETS[0] / "trades.parquet")):
        print(line)


if __name__ == "__main__":
    main()
