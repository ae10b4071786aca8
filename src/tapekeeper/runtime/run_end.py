"""What the process before left: how its journal ends, and what it followed until then.

Read once, before anything is connected. Every segment repeats in front what its entries depend on,
so the last one says which contracts were followed. Its last frames are run again, which tells the
last trade of each contract that traded in them. For one that did not, those frames are looked up
that name it, in this segment and in the one before. A start must not wait for millions of frames:
to look an entry through takes a fiftieth of running it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from tapekeeper.core.journal import Ending, Entry, EntryKind
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.runlog import Rerun
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
        problem: why not all of it could be read, one clause for a person.
    """

    run: int
    segment: int
    ending: Ending
    cut_bytes: int
    traded_ns: dict[str, int | None]
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
        _note_last(pipeline, traded_ns)
        if quiet := [each for each, ts_ns in traded_ns.items() if ts_ns is None]:
            _note_last(_rerun(_frames_of(reader, quiet))[0], traded_ns)
        if None not in traded_ns.values():
            break
    return RunEnd(run, numbers[-1], ending, cut_bytes, traded_ns, problem)


def _note_last(pipeline: Pipeline, traded_ns: dict[str, int | None]) -> None:
    """Put in the last trades of those contracts of which none is known."""
    for contract_id in [each for each, ts_ns in traded_ns.items() if ts_ns is None]:
        last = pipeline.last_trade(contract_id)
        traded_ns[contract_id] = None if last is None else last.ts_event


def _last_frames(reader: JournalReader) -> list[Entry]:
    """The last frames of a segment, and in their places all entries that say what they mean."""
    frames: deque[tuple[int, Entry]] = deque(maxlen=FRAMES_MAX)
    meaning: list[tuple[int, Entry]] = []
    for place, entry in enumerate(reader):
        if entry.kind is EntryKind.FRAME:
            frames.append((place, entry))
        elif entry.kind is not EntryKind.CLOCK:
            meaning.append((place, entry))
    return [entry for _, entry in sorted([*meaning, *frames], key=lambda each: each[0])]


def _frames_of(reader: JournalReader, contract_ids: list[str]) -> list[Entry]:
    """The same with the last frames that bring trades of each of these contracts."""
    names = [(each.encode(), deque[int](maxlen=FRAMES_MAX)) for each in contract_ids]
    kept: dict[int, Entry] = {}  # bound: the frames of each contract, and what they mean
    for place, entry in enumerate(reader):
        if entry.kind is EntryKind.CLOCK:
            continue
        if entry.kind is not EntryKind.FRAME:
            kept[place] = entry
            continue
        if _TRADE not in entry.payload:
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
