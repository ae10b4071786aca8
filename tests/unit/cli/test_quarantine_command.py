"""`quarantine`: what a journal's runs set aside, and letting it in after all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.quarantine import quarantine_of
from tapekeeper.app.replay import ReplayOptions, ReplayResult, replay
from tapekeeper.cli.main import main
from tapekeeper.cli.quarantine import RAW_SHOWN
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.journaler import Journaler

MES = "CON.F.US.MES.Z26"
SECOND = 10**9
LONG = 1_000
START_NS = 1_780_000_020 * SECOND


def _frame(second: float, price: float, kind: object = 0) -> Entry:
    now_ns = START_NS + round(second * 1_000) * 10**6
    trade = {"price": price, "volume": 1, "type": kind, "timestamp": format_ns(now_ns)}
    return Entry(
        EntryKind.FRAME, 1, now_ns, encode_invocation("GatewayTrade", [MES, trade | {"x": "\x1b"}])
    )


def _run(folder: Path, frames: list[Entry]) -> None:
    """One run of a process, from its subscription to its end."""
    subscription = Subscription(
        Instrument(MES, "MESZ6", tick_size=0.25),
        tuple(map(Timeframe.parse, ("1m", "1h"))),
        calendar_by_name("cme"),
    )
    writer = Journaler(FolderFiles(folder), created_ns=START_NS)
    writer.append([subscribe_entry(subscription, START_NS), connect_entry(1, "market", START_NS)])
    writer.append(frames)
    writer.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two runs of forty calm prints each and a bad one; in the second, other faults as well."""
    folder = tmp_path / "journal"
    calm = [_frame(n / 10, 6_000.0 + n % 5 / 4) for n in range(40)]
    _run(folder, [*calm, _frame(5, 60.0), _frame(6, 6_000.0)])
    garbled = Entry(EntryKind.FRAME, 1, START_NS, b"\x1b[2J{" + LONG * b"z" + b"\x1e")
    late = _frame(-9_000, 6_000.0)
    _run(folder, [*calm, _frame(5, 70.0), garbled, _frame(9_000, 6_000.0), late])
    return folder


def _list(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, object]]:
    assert main(["quarantine", "list", "--journal", str(folder), "--json", *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _replayed(folder: Path) -> ReplayResult:
    return replay(folder, ReplayOptions(calendar=calendar_by_name("cme")))


def test_everything_that_was_set_aside_is_listed_with_its_input(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all runs, in order; what is a print has an id."""
    rows = _list(journal, capsys)
    assert [(row["id"] is None, row["run"], row["reason"]) for row in rows] == [
        (False, 1, "price_band"),
        (False, 2, "price_band"),
        (True, 2, "malformed"),
        (False, 2, "late"),
    ]
    assert '"price":60.0' in str(rows[0]["input"])
    assert [row["reason"] for row in _list(journal, capsys, "--reason", "late")] == ["late"]
    assert len(_list(journal, capsys, "--last", "1")) == 1
    assert _list(journal, capsys, "--contract", "CON.F.US.MNQ.Z26") == []


def test_the_table_counts_all_and_moves_no_cursor(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever bytes came, a terminal gets plain text."""
    assert main(["quarantine", "list", "--journal", str(journal), "--last", "2"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert 0 < out.count("z") <= RAW_SHOWN
    assert main(["quarantine", "list", "--journal", str(journal), "--json"]) == 0
    assert capsys.readouterr().out.count("z") >= LONG
    assert out.splitlines()[-1] == "quarantined: price_band 2, late 1, malformed 1"


def test_what_was_flagged_is_listed_with_what_is_remarkable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The latest of each flag and run, found again in the frames of the journal."""
    folder = tmp_path / "journal"
    _run(folder, [_frame(1, 6_000.0), _frame(1, 6_000.0), _frame(2, 6_000.0, 7)])
    _run(folder, [_frame(3, 6_000.0, 7)])
    assert main(["quarantine", "flagged", "--journal", str(folder)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("unknown_side") == 2
    assert out.count("its aggressor is 7") == 2
    assert out.count("repeated") == 1
    assert "equals print 0" in out
    assert main(["quarantine", "flagged", "--journal", str(folder), "--flag", "crossed"]) == 0
    assert capsys.readouterr().out == "flagged: nothing\n"


def test_a_print_is_let_in_for_every_replay_from_now_on(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bars of its own run have it, and no other run's; it is in quarantine no more."""
    before = _replayed(journal)
    first = str(_list(journal, capsys)[0]["id"])
    assert main(["quarantine", "readmit", first, "--journal", str(journal)]) == 0
    assert first in capsys.readouterr().out
    after = _replayed(journal)
    assert after.holds
    assert [bar.low for bar in after.bars["1h"]].count(60.0) == 1
    assert after.trades.accepted == before.trades.accepted + 1
    assert after.rejected == before.rejected | {"price_band": 1}
    assert [row["run"] for row in _list(journal, capsys)] == [2, 2, 2]
    assert main(["quarantine", "readmit", first, "--journal", str(journal)]) == 2


def test_what_cannot_have_an_effect_is_refused_and_not_written(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown id, or one whose bars are too old: nothing of the command is done."""
    rows = _list(journal, capsys)
    first, late = str(rows[0]["id"]), str(rows[3]["id"])
    files = sorted(journal.iterdir())
    for ids, why in (([first, late], "too old"), ([first, "1:999"], "no print 1:999")):
        assert main(["quarantine", "readmit", *ids, "--journal", str(journal)]) == 2
        assert why in capsys.readouterr().err
    assert sorted(journal.iterdir()) == files
    assert len(quarantine_of(journal).items) == len(rows)


def test_a_journal_that_is_being_written_is_left_alone(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A running tape has the journal; a program lets prints in through it."""
    first = str(_list(journal, capsys)[0]["id"])
    writer = Journaler(FolderFiles(journal), created_ns=START_NS)
    assert main(["quarantine", "readmit", first, "--journal", str(journal)]) == 4
    writer.close()


def test_usage_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there, and two ways to say where it is."""
    missing = str(tmp_path / "none")
    assert main(["quarantine", "list", "--journal", missing]) == 2
    assert "there is no journal" in capsys.readouterr().err
    assert main(["quarantine", "list", "--journal", missing, "--config", missing]) == 2


def test_damage_is_named(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is listed, and the exit code says that it is not all."""
    segment = min(journal.glob("*.tkj"))
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    assert main(["quarantine", "list", "--journal", str(journal)]) == 1
    assert "error:" in capsys.readouterr().err
