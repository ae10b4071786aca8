"""What the process before left: how its journal ends, and what it followed until then.

Read once, before anything is connected. Every segment repeats in front what its entries depend on,
so the last one says which contracts were followed, and rerun by itself it has the last trade of
each that traded in it. For one that did not, segments before it are asked as well, a few.
"""

from __future__ import annotations

import msgspec

from tapekeeper.core.journal import Ending
from tapekeeper.core.pipeline import Pipeline
from tapekeeper.core.runlog import Rerun
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.gap import GapCause
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers

SEGMENTS_MAX = 4
"""How many segments are rerun at most: a contract that did not trade in so many is known by the
ledger, which says since when it was followed."""


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
        pipeline, trouble = _rerun(reader)
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
        for contract_id in [each for each, ts_ns in traded_ns.items() if ts_ns is None]:
            last = pipeline.last_trade(contract_id)
            traded_ns[contract_id] = None if last is None else last.ts_event
        if None not in traded_ns.values():
            break
    return RunEnd(run, numbers[-1], ending, cut_bytes, traded_ns, problem)


def _rerun(reader: JournalReader) -> tuple[Pipeline, str]:
    """What the entries of one segment make, and why not all of them could be taken."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    try:
        for entry in reader:
            for _ in rerun.take(entry):
                pass
    except UnreadableSourceError as error:
        return pipeline, str(error)
    pipeline.release()
    return pipeline, ""
