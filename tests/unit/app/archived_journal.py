"""Journals for the tests of the archive, and the oracle of what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.rerunning import Stretch, segments_of
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind, segment_name
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import (
    MARKET_HUB,
    Rerun,
    connect_entry,
    connected_entry,
    subscribe_entry,
)
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import Trade
from tapekeeper.model.timeframe import SECOND_NS, Timeframe
from tapekeeper.runtime.journaler import Journaler

START_NS = 1_767_653_990 * SECOND_NS
"""2026-01-05 22:59:50 UTC: ten seconds later a session opens, and the trade date changes."""
MES, MNQ = "CON.F.US.MES.H26", "CON.F.US.MNQ.H26"
NAMES = {MES: "MESH6", MNQ: "MNQH6"}
FRAMES = ("1s", "1m")


def frame(contract_id: str, at_ns: int, price: float, size: int = 1) -> Entry:
    """A frame with one print."""
    item = {"timestamp": format_ns(at_ns), "price": price, "volume": size, "type": 0}
    data = encode_invocation("GatewayTrade", [contract_id, [item]])
    return Entry(EntryKind.FRAME, 1, at_ns + 1_234_567, data)


def session(
    folder: Path, frames: Iterable[Entry], *, segment_bytes_max: int = 2_000, seal: bool = True
) -> Path:
    """Append a run of two contracts to a journal, of small segments.

    Args:
        folder: of the journal.
        frames: each is a burst of its own.
        segment_bytes_max: of a segment.
        seal: whether it ends in order; otherwise as a killed process leaves it.
    """
    journaler = Journaler(
        FolderFiles(folder), created_ns=START_NS, segment_bytes_max=segment_bytes_max
    )
    first = []
    for contract_id, name in NAMES.items():
        subscription = Subscription(
            Instrument(contract_id, name),
            tuple(map(Timeframe.parse, FRAMES)),
            calendar_by_name("cme"),
        )
        first.append(subscribe_entry(subscription, START_NS))
    # As a tape does it: what later segments depend on stands in front of each.
    journaler.begin_each_with(lambda now: [*first, connected_entry(1, MARKET_HUB, now)])
    journaler.append([*first, connect_entry(1, MARKET_HUB, START_NS)])
    for entry in frames:
        journaler.append([entry])
    if seal:
        journaler.close()
    else:
        journaler._lock.release()
    return folder


def some_frames(
    count: int = 120, *, from_ns: int = START_NS, step_ns: int = 700_000_000
) -> list[Entry]:
    """Prints of both contracts in turns, every seventh three seconds late."""
    return [
        frame(
            (MES, MNQ)[number % 2],
            from_ns + number * step_ns - (3 * SECOND_NS if number % 7 == 6 else 0),
            6000 + number % 5 * 0.25,
            number % 4,
        )
        for number in range(count)
    ]


def archive_first(folder: Path, segments: int) -> int:
    """Archive a journal's first segments, as when there were no more than one behind them.

    Returns:
        The last one that is archived.
    """
    away = folder.parent / "away"
    away.mkdir()
    later = [segment_name(number) for number in segments_of(FolderFiles(folder))[segments + 1 :]]
    for name in later:
        (folder / name).rename(away / name)
    done = archive_journal(folder)
    for name in later:
        (away / name).rename(folder / name)
    return done.confirmed


class Oracle:
    """Every accepted print and the last word on every bar of each run, by one plain repetition."""

    def __init__(self, folder: Path) -> None:
        self.trades: list[tuple[int, Trade]] = []
        self.bars: dict[int, list[Bar]] = {}
        files = FolderFiles(folder)
        run, rerun, pipeline, recent = 0, None, Pipeline(grace_ns=0), RecentBars()
        for read in Stretch(files, 0, segments_of(files)[-1]):
            if read.run != run:
                self._end(run, pipeline, recent)
                run, pipeline, recent = read.run, Pipeline(grace_ns=0), RecentBars()
                rerun = Rerun(pipeline)
            assert rerun is not None
            for outputs in rerun.take(read.entry):
                self._take(run, outputs, recent)
        self.bars[run] = recent.all()

    def _take(self, run: int, outputs: Outputs, recent: RecentBars) -> None:
        recent.add(outputs.closed)
        for batch in outputs.trades:
            self.trades += [(run, batch.row(row)) for row in range(len(batch))]

    def _end(self, run: int, pipeline: Pipeline, recent: RecentBars) -> None:
        self._take(run, pipeline.release(), recent)
        recent.add(pipeline.forming_all())
        self.bars[run] = recent.all()

    def rows(
        self, contract_id: str, from_ns: int | None = None, to_ns: int | None = None
    ) -> list[tuple[Any, ...]]:
        """The prints of a contract in the order and columns of `HISTORY_TRADES`."""
        found = [
            (
                *(each.contract_id, each.ts_event, each.price, each.size, int(each.side)),
                *(each.ts_recv, each.seq, run),
            )
            for run, each in self.trades
            if each.contract_id == contract_id
            and (from_ns is None or each.ts_event >= from_ns)
            and (to_ns is None or each.ts_event < to_ns)
        ]
        return sorted(found, key=lambda row: row[1])
