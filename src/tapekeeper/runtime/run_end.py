"""What the process before left: how its journal ends, and what it followed until then.

Read once, before anything is connected. Every segment repeats in front what its entries depend on,
so the last one says which contracts were followed. Its last frames are run again, which tells the
last trade of each contract that traded in them. For one that did not, those frames are looked up
that name it, in this segment and in the one before. A start must not wait for millions of frames:
to look an entry through takes a fiftieth of running it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from tapekeeper.core.journal import Ending, Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.runlog import MARKET_HUB, Rerun
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.gap import GapCause
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers

SEGMENTS_MAX = 2
"""How many segments are read at most: the last one may have just begun. A contract that did not
trade in them is known by the ledger, which says since when it was followed."""

FRAMES_MAX = 2_000
"""The last frames of a segment that are run again, and likewise of those that name a contract: a
fraction of a second, and more than any rule needs to know what is usual."""

UNTOLD_NS = 60_000_000_000
"""So long before its end a run may not have told all that an outage cost: the first prints of the
new connection are written with the burst that tells of the outage or before it, and where data come
late the outage's end is put anew for a minute (`gap_keeper.SETTLE_NS`)."""

_MARKET = MARKET_HUB.encode()
_TRADE = b"GatewayTrade"
"""In every record of trades, whatever the protocol."""


class RunEnd(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        run: number of its first segment; 0 where no segment says.
        segment: number of the last segment.
        ending: of that segment.
        cut_bytes: behind the last whole record of it, of which nothing can be made.
        traded_ns: event time, ns UTC, of the last trade of each contract that was followed to the
            end; None where none was found.
        assured_ns: of the last one behind which the run had certainly told what was missing; the
            same but for connections made shortly before the end (`UNTOLD_NS`), None where no
            trade in front of them was found.
        problem: why not all of it could be read, one clause for a person.
    """

    run: int
    segment: int
    ending: Ending
    cut_bytes: int
    traded_ns: dict[str, int | None]
    assured_ns: dict[str, int | None]
    problem: str = ""

    @property
    def cause(self) -> GapCause:
        """Of the gap that begins with it."""
        return GapCause.STOPPED if self.ending is Ending.SEALED else GapCause.CRASH

    @property
    def evidence(self) -> str:
        """What was found, one clause for a person."""
        if self.ending is Ending.SEALED:
            return f"the last run was sealed in order behind segment {self.segment}"
        text = f"the last run ended without order behind segment {self.segment}"
        if self.ending is Ending.TORN:
            return f"{text}, {self.cut_bytes:,} bytes of an unfinished write were cut"
        if self.ending is Ending.CORRUPT:
            return f"{text}, of which {self.cut_bytes:,} bytes are damaged"
        return f"{text}, which is whole but for its seal"


def read_run_end(files: Files) -> RunEnd | None:
    """How the latest run of a journal ended; None where there was none.

    Raises:
        UnreadableSourceError: the folder cannot be read.
    """
    numbers = segment_numbers(files)
    if not numbers:
        return None
    run, problem = 0, ""
    ending, cut_bytes = Ending.OPEN, 0
    traded_ns: dict[str, int | None] = {}
    looked: list[_Looked] = []
    for number in reversed(numbers[-SEGMENTS_MAX:]):
        reader = JournalReader(files, {number})
        pipeline, trouble = _rerun(_last_frames(reader))
        problem = problem or trouble
        if number == numbers[-1]:
            ending = reader.ending
            cut_bytes = sum(
                reader.progress.bytes_total - one.lost_from_byte for one in reader.problems
            )
        if not reader.run:
            continue  # it was being begun: what was followed is in the one before
        if not run:
            run = reader.run
            traded_ns = dict.fromkeys(pipeline.followed())
        elif reader.run != run:
            break
        looked.append(_Looked(reader, pipeline))
    for each in looked:
        _note_last(each.reader, each.pipeline, traded_ns)
    assured_ns = _assured(looked, traded_ns)
    return RunEnd(run, numbers[-1], ending, cut_bytes, traded_ns, assured_ns, problem)


class _Looked(msgspec.Struct, frozen=True):
    """A segment of the run, and what its last frames make."""

    reader: JournalReader
    pipeline: Pipeline


def _note_last(
    reader: JournalReader,
    pipeline: Pipeline,
    traded_ns: dict[str, int | None],
    until: int | None = None,
) -> None:
    """Put in the last trades of those contracts of which none is known.

    Args:
        reader: of the segment that they are looked for in.
        pipeline: made of its last frames in front of `until`.
        traded_ns: is filled in; as in `RunEnd`.
        until: place of the first entry whose trades do not count; None for the segment's end.
    """
    if quiet := _note(pipeline, traded_ns):
        _note(_rerun(_frames_of(reader, quiet, until))[0], traded_ns)


def _note(pipeline: Pipeline, traded_ns: dict[str, int | None]) -> list[str]:
    """Put in what a pipeline knows, and give back the contracts of which none is known yet."""
    for contract_id in [each for each, ts_ns in traded_ns.items() if ts_ns is None]:
        last = pipeline.last_trade(contract_id)
        traded_ns[contract_id] = None if last is None else last.ts_event
    return [each for each, ts_ns in traded_ns.items() if ts_ns is None]


def _assured(looked: Sequence[_Looked], traded_ns: dict[str, int | None]) -> dict[str, int | None]:
    """The last trades in front of all connections that were new when the run ended.

    Args:
        looked: the segments of the run, the last one first.
        traded_ns: as in `RunEnd`.
    """
    end_ns = max((entry.ts_ns for each in looked[:1] for entry in each.reader), default=0)
    doubted = [_new_connection(each.reader, end_ns - UNTOLD_NS) for each in looked]
    if all(place is None for place in doubted):
        return traded_ns
    oldest = max(at for at, place in enumerate(doubted) if place is not None)
    assured_ns: dict[str, int | None] = dict.fromkeys(traded_ns)
    for each, until in zip(looked[oldest:], doubted[oldest:], strict=True):
        pipeline = _rerun(_last_frames(each.reader, until))[0]
        _note_last(each.reader, pipeline, assured_ns, until)
    return assured_ns


def _new_connection(reader: JournalReader, since_ns: int) -> int | None:
    """The place of the first connection to the market hub made since; None if there is none.

    One that the run began with is none: a start ends with the first print at the latest.
    """
    has_traded = False
    for place, entry in enumerate(reader):
        if entry.kind is EntryKind.FRAME:
            has_traded = has_traded or _TRADE in entry.payload
        elif entry.kind is EntryKind.CONNECT and entry.payload.startswith(_MARKET):
            is_first = not has_traded and reader.position.segment == reader.run
            if entry.ts_ns >= since_ns and not is_first:
                return place
    return None


def _last_frames(reader: JournalReader, until: int | None = None) -> list[Entry]:
    """The last frames of a segment, and in their places all entries that say what they mean."""
    frames: deque[tuple[int, Entry]] = deque(maxlen=FRAMES_MAX)
    meaning: list[tuple[int, Entry]] = []
    for place, entry in enumerate(reader):
        if entry.kind is not EntryKind.FRAME:
            if entry.kind is not EntryKind.CLOCK:
                meaning.append((place, entry))
        elif until is None or place < until:
            frames.append((place, entry))
    return [entry for _, entry in sorted([*meaning, *frames], key=lambda each: each[0])]


def _frames_of(
    reader: JournalReader, contract_ids: list[str], until: int | None = None
) -> list[Entry]:
    """The same with the last frames that bring trades of each of these contracts."""
    names = [(each.encode(), deque[int](maxlen=FRAMES_MAX)) for each in contract_ids]
    kept: dict[int, Entry] = {}  # bound: the frames of each contract, and what they mean
    for place, entry in enumerate(reader):
        if entry.kind is EntryKind.CLOCK:
            continue
        if entry.kind is not EntryKind.FRAME:
            kept[place] = entry
            continue
        if _TRADE not in entry.payload or (until is not None and place >= until):
            continue
        for name, places in names:
            if name in entry.payload:
                if len(places) == FRAMES_MAX:
                    kept.pop(places[0], None)
                places.append(place)
                kept[place] = entry
    return [entry for _, entry in sorted(kept.items())]


def _rerun(entries: Iterable[Entry]) -> tuple[Pipeline, str]:
    """What entries make, and why not all of them could be taken."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    try:
        for entry in entries:
            for _ in rerun.take(entry):
                pass
    except UnreadableSourceError as error:
        return pipeline, str(error)
    pipeline.release()
    return pipeline, ""
