"""The state between two passes: exact, and nothing but our own."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive import carry
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.harvest import Harvest
from tapekeeper.app.archive.history import read_history
from tapekeeper.app.archive.rerunning import Continued, Stretch, segments_of
from tapekeeper.app.replay import Later
from tapekeeper.core.journal import segment_name
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.timeframe import HOUR_NS
from tests.unit.app.archived_journal import MES, Oracle, archive_first, session, some_frames


def test_a_state_goes_on_as_if_it_had_not_been_put_away(tmp_path: Path) -> None:
    """Put away and taken out between any two entries, it makes the same prints and bars."""
    journal = session(tmp_path / "journal", some_frames(40), seal=False)
    files = FolderFiles(journal)
    found = []
    for put_away in (False, True):
        state, harvest = Continued(), Harvest()
        for read in Stretch(files, 0, segments_of(files)[-1]):
            state.enter(read, Later({}, {}), harvest.take)
            state.take(read.entry, harvest.take)
            if put_away:
                state = carry.load(carry.dump(state), "memory")
        state.leave(harvest.take)
        trades = {key: columns.frame().rows() for key, columns in harvest.trades.items()}
        found.append((trades, harvest.bars()))
    assert found[0] == found[1]


class Trap:
    """What an attacker would like to be called."""

    def __init__(self, call: Any, *arguments: object) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    "trap",
    [
        Trap(eval, "1"),
        Trap(getattr, "text", "format"),
        Trap(getattr, Continued(), "__class__"),
        Trap(Path, "x"),
        [1, 2],
    ],
    ids=["eval", "member", "class", "path", "list"],
)
def test_nothing_but_our_own_state_is_let_in(trap: object) -> None:
    """A file that somebody has put there runs nothing."""
    with pytest.raises(UnreadableSourceError, match="state of an archive"):
        carry.load(pickle.dumps(trap), "here")


@pytest.mark.parametrize("damage", ["other version", "gone", "changed"])
def test_a_state_that_cannot_be_used_is_made_anew(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the segments that it came of, as long as they are there."""
    journal = session(tmp_path / "journal", some_frames(60), seal=False)
    archive_journal(journal)
    kept = next((journal / "archive" / "state").iterdir())
    if damage == "other version":
        monkeypatch.setattr(carry, "fingerprint", lambda: "another")
    elif damage == "gone":
        kept.unlink()
    else:
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    session(journal, some_frames(20, from_ns=some_frames(61)[-1].ts_ns), seal=False)
    oracle = Oracle(journal)
    assert archive_journal(journal).problems == ()
    assert read_history(journal, "MES", "trades").rows() == oracle.rows(MES)


def test_bars_that_begin_anew_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the state nor its segments are there, the cut bar is no complete one."""
    journal = session(tmp_path / "journal", some_frames(60), seal=False)
    for number in range(1, archive_first(journal, 5) + 1):
        (journal / segment_name(number)).unlink()
    monkeypatch.setattr(carry, "fingerprint", lambda: "another")
    done = archive_journal(journal)
    assert any("another version" in note for note in done.notes)
    session(journal, some_frames(4, from_ns=some_frames(61)[-1].ts_ns + HOUR_NS))
    archive_journal(journal)
    minutes = read_history(journal, "MES", "1m")
    assert minutes["completeness"].to_list()[:2] == ["complete", "partial_start"]
