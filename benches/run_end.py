"""What a start costs before it connects: finding out how the run before ended.

    python benches/run_end.py [--frames 300000]

One segment of trades of one contract, and another contract that is followed: one that traded among
the last frames, or one whose trades are at the beginning, which takes a second look. Seconds for
each million frames, beside a bare reading of the segment. Fails where it takes six readings.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import connect_entry, subscribe_entry
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.run_end import read_run_end

START_NS = 1_767_625_200 * 1_000_000_000
EVERY_NS = 10_000_000
BURST = 64
BUSY, OTHER = "CON.F.US.MES.H26", "CON.F.US.MNQ.H26"
MOST_READINGS = 6.0


def follow(contract_id: str) -> Entry:
    """The entry of a contract that is followed from the start."""
    instrument = Instrument(contract_id, contract_id)
    calendar = calendar_by_name("24x7")
    return subscribe_entry(Subscription(instrument, (Timeframe.parse("1m"),), calendar), START_NS)


def trade(contract_id: str, number: int) -> Entry:
    """The frame of one print."""
    ts_ns = START_NS + number * EVERY_NS
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ts_ns // 1_000_000_000))
    row = (
        f'{{"price":{6000 + number * 7 % 11 / 4},"timestamp":"{stamp}.{ts_ns // 100 % 10**7:07}'
        f'+00:00","type":{number % 2},"volume":{number * 977 % 9 + 1}}}'
    )
    record = f'{{"type":1,"target":"GatewayTrade","arguments":["{contract_id}",[{row}]]}}\x1e'
    return Entry(EntryKind.FRAME, 1, ts_ns, record.encode())


def write(folder: Path, frames: int, *, other_at: int) -> FolderFiles:
    """A run of so many frames, with the trade of another contract at one place of it."""
    files = FolderFiles(folder)
    journaler = Journaler(files, created_ns=START_NS, segment_bytes_max=1 << 40)
    journaler.append([connect_entry(1, "market", START_NS), follow(BUSY), follow(OTHER)])
    for first in range(0, frames, BURST):
        numbers = range(first, min(frames, first + BURST))
        journaler.append([trade(OTHER if n == other_at else BUSY, n) for n in numbers])
    journaler.close()
    return files


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=300_000)
    frames: int = parser.parse_args().frames
    print(f"{'other contract traded':<24} {'bare reading':>14} {'end of the run':>14}  s/1M frames")
    worst = 0.0
    for name, other_at in (("lately", frames - 10), ("at the beginning", 10)):
        with tempfile.TemporaryDirectory() as folder:
            files = write(Path(folder), frames, other_at=other_at)
            start = time.perf_counter()
            for _ in JournalReader(files):
                pass
            bare_s = time.perf_counter() - start
            start = time.perf_counter()
            end = read_run_end(files)
            took_s = time.perf_counter() - start
        assert end is not None
        assert None not in end.traded_ns.values()
        worst = max(worst, took_s / bare_s)
        scale = 1e6 / frames
        print(f"{name:<24} {bare_s * scale:>14.2f} {took_s * scale:>14.2f}")
    print(f"at most {worst:.1f} readings of {MOST_READINGS:g}")
    return int(worst > MOST_READINGS)


if __name__ == "__main__":
    sys.exit(main())
