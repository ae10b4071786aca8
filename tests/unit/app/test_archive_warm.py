"""What a journal makes behind its archive: gone on with, and counted."""

from __future__ import annotations

from pathlib import Path

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.rerunning import Continued
from tapekeeper.app.archive.warm import Warm
from tapekeeper.core.journal import segment_name
from tests.unit.app.archived_journal import MES, START_NS, Oracle, session, some_frames


def test_it_goes_on_and_counts_what_it_holds(tmp_path: Path) -> None:
    """What is repeated once is not repeated again, and all of it is counted."""
    journal = session(tmp_path / "journal", some_frames(20), seal=False)
    warm = Warm(FolderFiles(journal), 0, Continued(), 1_000)
    warm.refresh()
    first, held = warm.trades(MES), warm.bytes
    assert held >= 4_000 + first.height * 45
    session(journal, some_frames(2_000, from_ns=START_NS + 10**11), seal=False)
    (journal / segment_name(1)).write_bytes(b"")
    warm.refresh()
    rows = warm.trades(MES)
    assert rows.height == first.height + 1_000
    assert rows["seq"].to_list() == [
        *first["seq"].to_list(),
        *(each.seq for run, each in Oracle(journal).trades if run > 1 and each.contract_id == MES),
    ]
    assert warm.bytes - held >= 2_000 * 45 + 400 * len(warm.bars(MES, "1s"))
    assert [each.contract_id for each in warm.instruments()][:1] == [MES]
    assert not warm.is_cut
    (journal / segment_name(2)).unlink()
    again = Warm(FolderFiles(journal), 1, Continued(), 0)
    again.refresh()
    assert again.is_cut


def test_nothing_new_is_not_looked_for_again(tmp_path: Path) -> None:
    """A journal that has not grown is not read."""
    journal = session(tmp_path / "journal", some_frames(20), segment_bytes_max=10**6, seal=False)
    warm = Warm(FolderFiles(journal), 0, Continued(), 0)
    warm.refresh()
    rows = warm.trades(MES)
    path = journal / segment_name(1)
    path.write_bytes(bytes(path.stat().st_size))
    warm.refresh()
    assert warm.problems == []
    assert warm.trades(MES).equals(rows)
