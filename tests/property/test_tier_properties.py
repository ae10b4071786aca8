"""Memory, journal and archive as one: whatever happens to them, a reading equals the oracle."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, confirmed_through
from tapekeeper.app.archive.history import Archive, HistoryQuery
from tapekeeper.app.archive.warm import Hot
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.hot import ROW_BYTES, HotTrades
from tapekeeper.core.journal import Entry, segment_name
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.runlog import (
    MARKET_HUB,
    Rerun,
    connect_entry,
    connected_entry,
    subscribe_entry,
)
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import SECOND_NS, Timeframe
from tapekeeper.runtime.journaler import Journaler
from tests.unit.app.archived_journal import FRAMES, MES, MNQ, NAMES, START_NS, Oracle, frame

CHUNK_ROWS = 8
CHUNKS_MAX = 4


class Living:
    """A tape that records, makes its ticks and keeps the latest of them in memory."""

    def __init__(self, folder: Path, segment_bytes_max: int) -> None:
        self._journaler = Journaler(
            FolderFiles(folder), created_ns=START_NS, segment_bytes_max=segment_bytes_max
        )
        self.run = self._journaler.run
        self._pipeline = Pipeline(grace_ns=0)
        self._rerun = Rerun(self._pipeline)
        self._hot = HotTrades(CHUNKS_MAX * CHUNK_ROWS * ROW_BYTES)
        first = [
            subscribe_entry(
                Subscription(
                    Instrument(contract_id, name),
                    tuple(map(Timeframe.parse, FRAMES)),
                    calendar_by_name("cme"),
                ),
                START_NS,
            )
            for contract_id, name in NAMES.items()
        ]
        self._journaler.begin_each_with(lambda now: [*first, connected_entry(1, MARKET_HUB, now)])
        self.take([*first, connect_entry(1, MARKET_HUB, START_NS)])

    def take(self, burst: list[Entry]) -> None:
        """A burst goes into the journal first."""
        self._journaler.append(burst)
        for entry in burst:
            for outputs in self._rerun.take(entry):
                self._hot.add(outputs.trades)

    def print(self, prints: object, at_ns: int) -> int:
        """Take a burst of prints behind a time; the time of the last one."""
        burst = []
        assert isinstance(prints, list)
        for contract_id, quarters, ticks, size in prints:
            at_ns += quarters * SECOND_NS // 4
            burst.append(frame(contract_id, at_ns, 6000 + ticks * 0.25, size))
        self.take(burst)
        return at_ns

    def hot(self, contract_id: str) -> Hot:
        """What is in memory."""
        window = self._hot.window(contract_id)
        return Hot(self.run, contract_id, window, tuple(self._pipeline.instruments()))

    def end(self, *, seal: bool) -> None:
        """In order, or as a killed process."""
        if seal:
            self._journaler.close()
        else:
            self._journaler._lock.release()


PRINTS = st.lists(
    st.tuples(
        st.sampled_from((MES, MNQ)),
        st.integers(-4, 8),  # quarters of a second after the print before
        st.integers(0, 4),  # ticks above a price
        st.integers(1, 3),  # contracts
    ),
    min_size=5,
    max_size=40,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), PRINTS),
        st.tuples(st.just("take"), PRINTS),
        st.tuples(st.just("restart"), st.booleans()),
        st.tuples(st.just("archive"), st.sampled_from((1, 10, 1_000))),
        st.tuples(st.just("prune"), st.none()),
        st.tuples(st.just("hold"), st.none()),
        st.tuples(st.just("read"), st.tuples(st.none() | st.integers(0, 90), st.booleans())),
    ),
    min_size=4,
    max_size=16,
)


def require_whole(
    early: list[tuple[Any, ...]], wanted: list[tuple[Any, ...]], hot: Hot, oracle: Oracle
) -> None:
    """With memory as it was a while ago nothing is missed that was there then."""
    assert set(early) <= set(wanted)
    assert len(set(early)) == len(early)
    rows = hot.window.first + sum(map(len, hot.window.views))
    of_run = [row[6] for row in oracle.rows(hot.contract_id) if row[7] == hot.run]
    numbers = set(sorted(of_run)[:rows])
    assert {row for row in wanted if row[7] < hot.run or row[6] in numbers} <= set(early)


@settings(max_examples=25, phases=[Phase.generate])
@given(steps=STEPS, segment_bytes_max=st.sampled_from((1_200, 3_000, 10**6)))
def test_the_tiers_are_one(steps: list[tuple[str, object]], segment_bytes_max: int) -> None:
    """Whatever is taken, rotated, archived, removed and let go of memory: each print once.

    At once, in a frame that is collected, and with memory as it was a while ago.
    """
    with (
        tempfile.TemporaryDirectory() as place,
        patch("tapekeeper.core.hot.CHUNK_ROWS", CHUNK_ROWS),
        patch("tapekeeper.app.archive.warm.MARGIN_ROWS", CHUNK_ROWS),
    ):
        journal, whole = Path(place) / "journal", Path(place) / "whole"
        source = Archive(FolderFiles(journal), journal / "archive", keep_bytes=10**6)
        tape = Living(journal, segment_bytes_max)
        at_ns = START_NS
        held: dict[str, Hot] = {}
        for step, what in [*steps, ("read", (None, False)), ("read", (None, True))]:
            if step == "take":
                at_ns = tape.print(what, at_ns)
            elif step == "restart":
                tape.end(seal=bool(what))
                tape = Living(journal, segment_bytes_max)
                held = {}
            elif step == "archive":
                assert isinstance(what, int)
                assert archive_journal(journal, rows_per_pass=what).problems == ()
            elif step == "prune":
                for number in range(1, confirmed_through(journal) + 1):
                    (journal / segment_name(number)).unlink(missing_ok=True)
            elif step == "hold":
                held = {contract_id: tape.hot(contract_id) for contract_id in NAMES}
            shutil.copytree(journal, whole, dirs_exist_ok=True)
            if step != "read":
                continue
            assert isinstance(what, tuple)
            start_ns = None if what[0] is None else START_NS + what[0] * SECOND_NS // 4
            query = HistoryQuery.of("trades", start_ns)
            oracle = Oracle(whole)
            for contract_id in NAMES:
                wanted = oracle.rows(contract_id, start_ns)
                hot = tape.hot(contract_id)
                if what[1]:
                    found = source.scan(contract_id, query, hot).collect()
                else:
                    found = source.read(contract_id, query, hot)
                assert found.rows() == wanted
                if contract_id in held:
                    early = source.read(contract_id, query, held[contract_id]).rows()
                    require_whole(early, wanted, held[contract_id], oracle)
        tape.end(seal=True)


def test_what_is_in_memory_is_not_made_again(tmp_path: Path) -> None:
    """The journal of a run that is wholly in memory, or archived up to there, is not repeated."""
    with (
        patch("tapekeeper.core.hot.CHUNK_ROWS", CHUNK_ROWS),
        patch("tapekeeper.app.archive.warm.MARGIN_ROWS", CHUNK_ROWS),
    ):
        journal = tmp_path / "journal"
        tape = Living(journal, 1_200)
        entries = [frame(MES, START_NS + n * SECOND_NS, 6000.0, n + 1) for n in range(80)]
        query = HistoryQuery.of("trades")
        done = 0
        for rows, archived in ((20, False), (60, False), (80, True)):
            for entry in entries[done:rows]:
                tape.take([entry])
            done = rows
            if archived:
                archive_journal(journal)
            source = Archive(FolderFiles(journal), journal / "archive")
            found = source.read("MES", query, tape.hot(MES))
            assert found["size"].to_list() == list(range(1, rows + 1))
            warm = source._warm
            assert warm is not None
            made = warm.trades(MES).height
            kept = sum(map(len, tape.hot(MES).window.views))
            assert made == (0 if rows == 20 or archived else rows - kept + CHUNK_ROWS)
        tape.end(seal=True)
