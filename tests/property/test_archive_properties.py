"""Wherever archive and journal meet, and whatever is asked for: equal to the oracle of all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, confirmed_through
from tapekeeper.app.archive.history import Archive, HistoryQuery
from tapekeeper.core.journal import segment_name
from tapekeeper.model.timeframe import SECOND_NS
from tests.unit.app.archived_journal import MES, MNQ, START_NS, Oracle, frame, session

PRINTS = st.tuples(
    st.sampled_from((MES, MNQ)),
    st.integers(-4, 8),  # quarters of a second after the print before; some are late
    st.integers(0, 4),  # ticks above a price
    st.integers(0, 3),  # contracts
)
STEPS = st.lists(
    st.tuples(
        st.lists(PRINTS, min_size=1, max_size=25),
        st.booleans(),  # whether the run ends in order
        st.sampled_from((1_200, 2_000, 6_000)),  # bytes of its segments
        st.sampled_from((None, 1, 10, 1_000)),  # prints in a pass of archiving behind it, if any
        st.booleans(),  # whether what is confirmed is removed then
    ),
    min_size=1,
    max_size=4,
)
BOUNDS = st.tuples(*[st.none() | st.integers(-8, 120)] * 2)


@settings(max_examples=20)
@given(steps=STEPS, bounds=BOUNDS)
def test_no_seam_shows(steps: list[tuple[object, ...]], bounds: tuple[int | None, ...]) -> None:
    """Trades of any time over any runs, passes, removals, and readings in between."""
    start_ns, end_ns = (None if n is None else START_NS + n * SECOND_NS // 4 for n in bounds)
    with tempfile.TemporaryDirectory() as place:
        journal, whole = Path(place) / "journal", Path(place) / "whole"
        source = Archive(FolderFiles(journal), journal / "archive")
        at_ns = START_NS
        for prints, seal, segment_bytes_max, rows_per_pass, remove in steps:
            assert isinstance(prints, list)
            assert isinstance(segment_bytes_max, int)
            entries = []
            for contract_id, quarters, ticks, size in prints:
                at_ns += quarters * SECOND_NS // 4
                entries.append(frame(contract_id, at_ns, 6000 + ticks * 0.25, size))
            session(journal, entries, segment_bytes_max=segment_bytes_max, seal=bool(seal))
            shutil.copytree(journal, whole, dirs_exist_ok=True)
            if isinstance(rows_per_pass, int):
                assert archive_journal(journal, rows_per_pass=rows_per_pass).problems == ()
            if remove:
                for number in range(1, confirmed_through(journal) + 1):
                    (journal / segment_name(number)).unlink(missing_ok=True)
            oracle = Oracle(whole)
            for contract_id in (MES, MNQ):
                query = HistoryQuery.of("trades", start_ns, end_ns)
                rows = source.read(contract_id, query).rows()
                assert rows == oracle.rows(contract_id, start_ns, end_ns)
                bars = source.read(contract_id, HistoryQuery.of("1s", start_ns, end_ns))
                assert bars.select("ts_open", "ordinal").is_unique().all()
                told = {
                    (bar.ts_open, bar.open, bar.high, bar.low, bar.close, bar.volume, run)
                    for run, all_of in oracle.bars.items()
                    for bar in all_of
                    if bar.contract_id == contract_id and bar.timeframe == "1s"
                }
                columns = ["ts_open", "open", "high", "low", "close", "volume", "run"]
                assert set(bars.select(columns).rows()) <= told
                wanted = {
                    row[0]
                    for row in told
                    if (start_ns is None or row[0] >= start_ns)
                    and (end_ns is None or row[0] < end_ns)
                }
                assert set(bars["ts_open"]) == wanted
