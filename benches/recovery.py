"""How long a start takes to have the state of the run before again.

    python benches/recovery.py [--ticks 200000]

A journal of one busy contract in seven bar sizes, killed behind its last frame, with one print or
eight in each frame. The state is made again of all its entries: ticks for each second of the
processor, how often that is the 10,000 a second of a busy market, and what the largest journal
takes that a start runs again unless told otherwise. Durability: process. Fails where a market is
faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size
from tapekeeper.runtime.continuing import REPLAY_BYTES_MAX, state_at_end
from tapekeeper.runtime.journaler import Journaler

START_NS = 1_767_625_200 * 1_000_000_000
LIVE_PER_S = 10_000
EVERY_NS = 1_000_000_000 // LIVE_PER_S
BURST = 64
MES = "CON.F.US.MES.H26"
SIZES = ("1s", "5s", "15s", "1m", "5m", "1h", "1d")


def frame(first: int, prints: int) -> Entry:
    """The frame of some prints."""
    rows = [
        {
            "price": 6000 + number * 7 % 11 / 4,
            "timestamp": format_ns(START_NS + number * EVERY_NS),
            "type": number % 2,
            "volume": number * 977 % 9 + 1,
        }
        for number in range(first, first + prints)
    ]
    data = encode_invocation("GatewayTrade", [MES, rows])
    return Entry(EntryKind.FRAME, 1, START_NS + (first + prints) * EVERY_NS, data)


def write(folder: Path, ticks: int, per_frame: int) -> FolderFiles:
    """A run of so many prints, which ends without a seal."""
    files = FolderFiles(folder)
    journaler = Journaler(files, created_ns=START_NS, segment_bytes_max=1 << 40)
    sizes = tuple(map(parse_size, SIZES))
    subscription = Subscription(
        Instrument(MES, "MESH6", tick_size=0.25), sizes, calendar_by_name("24x7")
    )
    begun = [subscribe_entry(subscription, START_NS), connect_entry(1, "market", START_NS)]
    journaler.append(begun)
    for first in range(0, ticks, BURST * per_frame):
        last = min(ticks, first + BURST * per_frame)
        journaler.append([frame(at, per_frame) for at in range(first, last, per_frame)])
    journaler.close()
    (segment,) = folder.glob("*.tkj")
    segment.write_bytes(segment.read_bytes()[:-20])  # the seal
    return files


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ticks", type=int, default=200_000)
    ticks: int = parser.parse_args().ticks
    slowest = float("inf")
    print(
        f"{'prints a frame':>14} {'MB':>6} {'s':>6} {'ticks/s':>9} {'x live':>7} {'s at most':>10}"
    )
    for per_frame in (1, 8):
        with tempfile.TemporaryDirectory() as folder:
            files = write(Path(folder), ticks, per_frame)
            size = sum(files.size(name) for name in files.names() if name.endswith(".tkj"))
            start = time.process_time()
            state = state_at_end(files, grace_ns=0, keep=10_000, bytes_max=1 << 40)
            took_s = time.process_time() - start
            if not state.is_continued:
                sys.exit(f"the state could not be had: {state.why}")
        rate = ticks / took_s
        slowest = min(slowest, rate)
        most_s = took_s * REPLAY_BYTES_MAX / size
        print(
            f"{per_frame:>14} {size / 1e6:>6.1f} {took_s:>6.2f} {rate:>9,.0f} "
            f"{rate / LIVE_PER_S:>7.1f} {most_s:>10.1f}"
        )
    return 0 if slowest > LIVE_PER_S else 1


if __name__ == "__main__":
    sys.exit(main())
