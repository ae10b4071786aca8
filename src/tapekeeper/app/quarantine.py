"""What a journal's runs set aside, and letting a print of it in when its run is over.

Nothing is kept of quarantined input but the frames it came in, which are in the journal like all
others: a replay finds every one again, with its reason. So there is no second file that could be
lost, or say something else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import readmissions
from tapekeeper.core.journal import Entry
from tapekeeper.core.pipeline import Outputs, Pipeline
from tapekeeper.core.runlog import Rerun, continuation_told, readmit_entry
from tapekeeper.core.validate import KEPT_MAX, Flagged, is_admissible
from tapekeeper.errors import UsageError
from tapekeeper.model.tick import Reason, Rejected, Trade
from tapekeeper.runtime.journal_reader import JournalReader
from tapekeeper.runtime.journaler import Journaler

FLAGGED_MAX = 10_000
"""Flagged ticks that are listed of a journal; the oldest go first."""

LET_IN_WITHIN = 2 * KEPT_MAX
"""Quarantined prints after which one is not let in any more by a run itself."""

_decode_trade = msgspec.json.Decoder(Trade).decode


class SetAside(msgspec.Struct, frozen=True):
    """One input that was quarantined.

    Attributes:
        run: its run, by the number of its first segment.
        rejected: the input with its reason.
        trade: the print that it is, if it could be let in.
    """

    run: int
    rejected: Rejected
    trade: Trade | None

    @property
    def id(self) -> str:
        """What names it in this journal, or "" if it cannot be let in."""
        return "" if self.trade is None else f"{self.run}:{self.trade.seq}"


class QuarantineList(msgspec.Struct, frozen=True):
    """What is in quarantine.

    Attributes:
        items: the latest, oldest first.
        reasons: ticks by reason, of all.
        problems: what could not be read of the journal, one sentence each.
    """

    items: list[SetAside]
    reasons: dict[str, int]
    problems: list[str]


def quarantine_of(
    folder: Path,
    wanted: Callable[[Rejected], bool] = lambda _rejected: True,
    *,
    last: int | None = None,
) -> QuarantineList:
    """Replay a journal and list what its runs set aside, and never let in.

    Args:
        folder: the journal, which may be written meanwhile.
        wanted: which inputs to list.
        last: how many of the latest; None lists all.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    # By the first run of those that went on from each other and arrival number, or a negative one.
    items: dict[tuple[int, int], SetAside] = {}
    reasons: Counter[str] = Counter()
    broken: dict[tuple[int, int], Reason] = {}  # what the latest prints broke, listed or not
    reader = JournalReader(FolderFiles(folder))
    for first, run, outputs in _outputs(reader, readmissions(folder)):
        for rejected in filter(wanted, outputs.rejected):
            trade = _trade_of(rejected)
            key = (first, -1 - reasons.total() if trade is None else trade.seq)
            items[key] = SetAside(run, rejected, trade)
            reasons[rejected.reason] += rejected.ticks
            if trade is not None:
                broken[key] = rejected.reason
            _bound(items, last)
            _bound(broken, LET_IN_WITHIN)
        for trade in outputs.readmitted:
            items.pop((first, trade.seq), None)
            reason = broken.pop((first, trade.seq), None)
            if reason is not None:
                reasons[reason] -= 1
    problems = [str(each) for each in reader.problems if not each.expected]
    counted = {reason: count for reason, count in sorted(reasons.items()) if count}
    return QuarantineList(list(items.values()), counted, problems)


def flagged_of(folder: Path) -> list[tuple[int, Flagged]]:
    """Replay a journal; the latest flagged ticks of each run, with the run's number.

    Args:
        folder: the journal, which may be written meanwhile.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    found: deque[tuple[int, Flagged]] = deque(maxlen=FLAGGED_MAX)

    def note(run: int, pipeline: Pipeline) -> None:
        found.extend((run, each) for each in pipeline.flagged())

    for _ in _outputs(JournalReader(FolderFiles(folder)), readmissions(folder), note):
        pass
    return list(found)


def _bound(kept: dict[tuple[int, int], Any], most: int | None) -> None:
    if most is not None and len(kept) > most:
        del kept[next(iter(kept))]


def _outputs(
    reader: JournalReader,
    pardons: dict[int, list[Trade]],
    on_end: Callable[[int, Pipeline], None] = lambda _run, _pipeline: None,
) -> Iterator[tuple[int, int, Outputs]]:
    """All that comes of a journal, with the run that it comes of; `on_end` looks at the last ones.

    In front of the run is the first one of those that went on from each other.
    """
    first, run, pipeline = 0, 0, Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    for entry in reader:
        if reader.run != run and run and continuation_told(entry) is not None:
            run = reader.run
            rerun.pardon(pardons.get(run, ()))
        elif reader.run != run:
            yield first, run, pipeline.release()
            on_end(run, pipeline)
            first = run = reader.run
            pipeline = Pipeline(grace_ns=0)
            rerun = Rerun(pipeline, pardons=pardons.get(run, ()))
        for outputs in rerun.take(entry):
            yield first, run, outputs
    yield first, run, pipeline.release()
    on_end(run, pipeline)


def _trade_of(rejected: Rejected) -> Trade | None:
    """The print, where the input is one that was read and could be let in."""
    try:
        trade = _decode_trade(rejected.raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return trade if is_admissible(trade) else None


def readmit(folder: Path, ids: Iterable[str], now_ns: int) -> list[SetAside]:
    """Let prints in that past runs have set aside; every replay from now on does it, too.

    Args:
        folder: the journal, which nobody else may be writing.
        ids: as in `SetAside.id`.
        now_ns: host clock, ns UTC.

    Raises:
        UsageError: an id is not in quarantine, or its bars cannot be revised. Nothing was let in.
        JournalError: the journal cannot be written; a tape that is running has it, say.
        UnreadableSourceError: there is no journal.
    """
    by_id = {item.id: item for item in quarantine_of(folder).items if item.id}
    chosen: list[SetAside] = []
    entries: list[Entry] = []
    pardons = readmissions(folder)
    for each in dict.fromkeys(ids):
        item = by_id.get(each)
        if item is None or item.trade is None:
            raise UsageError(f"there is no print {each} in quarantine: see `quarantine list`")
        chosen.append(item)
        entries.append(readmit_entry(item.trade, now_ns, run=item.run))
        pardons.setdefault(item.run, []).append(item.trade)
    _require_effect(folder, chosen, pardons)
    if entries:
        journaler = Journaler(FolderFiles(folder), created_ns=now_ns)
        try:
            journaler.append(entries)
        finally:
            journaler.close()
    return chosen


def _require_effect(folder: Path, chosen: list[SetAside], pardons: dict[int, list[Trade]]) -> None:
    """Try it out first: what is written into a journal stays there."""
    outside = {(item.run, item.trade) for item in chosen}
    for _, run, outputs in _outputs(JournalReader(FolderFiles(folder)), pardons):
        outside -= {(run, trade) for trade in outputs.readmitted}
    refused = sorted(item.id for item in chosen if (item.run, item.trade) in outside)
    if refused:
        raise UsageError(f"too old to revise their bars: {', '.join(refused)}")
