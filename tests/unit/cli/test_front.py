"""`bars --front`: the continuous series of a product, out of a journal."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.continuous import CONTINUOUS_SCHEMA, ROLL_SCHEMA
from tapekeeper.cli.main import main
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import SECOND_NS, Timeframe
from tapekeeper.runtime.journaler import Journaler

H26, M26 = "CON.F.US.MES.H26", "CON.F.US.MES.M26"
ROWS = [  # of the sessions of 10, 11 and 12 March 2026, which open at 22:00 UTC
    ("09 22:00:00", H26, 6000.25, 5),
    ("10 15:00:10", M26, 6050.25, 1),
    ("10 22:00:00", H26, 6008.0, 5),
    ("11 20:57:10", H26, 6012.0, 1),
    ("11 20:57:50", M26, 6062.25, 7),
    ("11 22:00:00", M26, 6070.75, 3),
    ("12 14:00:00", M26, 6080.0, 2),
]


def _at(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"2026-03-{text}+00:00").timestamp()) * SECOND_NS


def _record(folder: Path, rows: list[tuple[str, str, float, int]], start: str) -> None:
    """One run of two expiries, which adds to the journal."""
    start_ns = _at(start)
    writer = Journaler(FolderFiles(folder), created_ns=start_ns)
    for contract_id in (H26, M26):
        instrument = Instrument(contract_id, f"MES{contract_id[-3]}6", "F.US.MES")
        subscription = Subscription(instrument, (Timeframe.parse("1m"),), calendar_by_name("cme"))
        writer.append([subscribe_entry(subscription, start_ns)])
    writer.append([connect_entry(1, "market", start_ns)])
    for text, contract_id, price, size in rows:
        trade = {"price": price, "volume": size, "type": 0, "timestamp": format_ns(_at(text))}
        payload = encode_invocation("GatewayTrade", [contract_id, trade])
        writer.append([Entry(EntryKind.FRAME, 1, _at(text), payload)])
    writer.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two expiries in three sessions; the later one is the busier in the second."""
    _record(tmp_path / "journal", ROWS, "09 21:59:00")
    return tmp_path / "journal"


def _run(journal: Path, *arguments: str) -> int:
    return main(["bars", *arguments, "--journal", str(journal)])


def test_a_table_shows_rows_rolls_and_reasons(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every row with its contract; every roll with what lies between, where from, and why."""
    assert _run(journal, "--front", "mes", "--timeframe", "1d", "--adjust", "difference") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[2:7] for line in lines if line[0].startswith("2026-03-") and len(line) == 10] == [
        ["MESH6", "6050.5", "6050.5", "6050.5", "6050.5"],
        ["MESH6", "6058.25", "6062.25", "6058.25", "6062.25"],
        ["MESM6", "6070.75", "6080", "6070.75", "6080"],
    ]
    roll = next(line for line in lines if line[2:4] == ["MESH6", "MESM6"])
    assert roll[:2] == ["2026-03-11", "22:00:00"]
    assert roll[4] == "50.25"
    assert " ".join(roll[6:]) == "2026-03-11 20:57:00, closes of 1m: 6012 and 6062.25"
    assert " ".join(lines[-1]) == (
        "MESM6 from 2026-03-12 on: volume 7 (complete) of MESM6 above 6 (complete) of MESH6 in "
        "the session of 2026-03-11"
    )


def test_files_have_the_bars_or_the_rolls(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One frame a file: `--rolls` chooses which; `--last` is for bars."""
    asked = ["--front", "MES", "--roll", "calendar:7", "--timeframe", "1d"]
    assert _run(journal, *asked, "--last", "2", "--format", "csv") == 0
    frame = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame.columns == list(CONTINUOUS_SCHEMA)
    assert frame["symbol"].to_list() == ["MESM6", "MESM6"]
    assert _run(journal, *asked, "--rolls", "--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert list(row) == list(ROLL_SCHEMA)
    # Nothing of both is in one minute before this roll.
    assert (row["session"], row["difference"]) == ("2026-03-11", None)
    assert row["reason"] == (
        "7 trading days before 2026-03-20, the last trading day (third friday) of MESH6"
    )
    own = ["--expiry", "3 business days before third friday", "--rolls", "--format", "json"]
    assert _run(journal, "--front", "MES", "--roll", "calendar:4", *own) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["reason"].startswith("4 trading days before 2026-03-17, the last trading day (3 ")
    path = tmp_path / "rolls.parquet"
    days = ["--last-trading-day", "H26=2026-03-13", "--last-trading-day", "MESM6=2026-06-17"]
    asked = ["--front", "MES", "--roll", "calendar:1", *days, "--rolls"]
    assert _run(journal, *asked, "--format", "parquet", "--out", str(path)) == 0
    assert pl.read_parquet(path)["session"].to_list() == [dt.date(2026, 3, 12)]


def test_rolls_alone_can_be_shown(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a measure the table says so, and there are no rows of bars."""
    assert _run(journal, "--front", "MES", "--roll", "dates:2026-03-11=M26", "--rolls") == 0
    printed = capsys.readouterr().out
    assert "no bar before it in which both traded" in printed
    assert "MESM6 from 2026-03-11 on: given from 2026-03-11 on" in printed
    assert "6070.75" not in printed


def test_runs_of_one_session_are_added_up(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A restart in the deciding session changes no roll and no measure; both parts are rows."""
    folder = tmp_path / "two"
    _record(folder, ROWS[:3], "09 21:59:00")
    _record(folder, ROWS[3:], "11 20:00:00")
    asked = ["--front", "MES", "--timeframe", "1d", "--adjust", "difference"]
    printed = {}
    for each in (journal, folder):
        assert _run(each, *asked, "--rolls", "--format", "csv") == 0
        printed[each] = pl.read_csv(io.StringIO(capsys.readouterr().out))
    columns = ["ts_roll", "difference", "ratio", "measured_ts_open", "reason"]
    assert printed[folder].select(columns).equals(printed[journal].select(columns))
    assert _run(folder, *asked, "--format", "csv") == 0
    frame = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame["symbol"].to_list() == ["MESH6"] * 3 + ["MESM6"]
    assert frame["volume"].to_list() == [5, 5, 1, 5]
    assert frame["close"].to_list() == [6050.5, 6058.25, 6062.25, 6080.0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give a CONTRACT, or --front PRODUCT instead of it"),
        (["MES", "--front", "MES"], "give a CONTRACT, or --front PRODUCT instead of it"),
        (["MES", "--roll", "volume"], "--last-trading-day, --expiry and --rolls go with"),
        (["MES", "--rolls"], "go with --front PRODUCT"),
        (["--front", "NQ"], "no product is named 'NQ': name one without its expiry; there are MES"),
        (["--front", "MES", "--roll", "oi"], "unknown roll rule 'oi': write volume, calendar:N"),
        (["--front", "MES", "--adjust", "x"], "unknown adjustment 'x': write none, difference, "),
        (["--front", "MES", "--timeframe", "1x"], "unknown timeframe '1x'"),
        (["--front", "MES", "--last-trading-day", "H26"], "'H26' is no last trading day: write"),
        (["--front", "MES", "--last-trading-day", "=2026-03-20"], "is no last trading day"),
        (
            ["--front", "MES", "--last-trading-day", "H26=2026-03-20"],
            "last trading days are for the rule calendar:N",
        ),
        (
            ["--front", "MES", "--roll", "calendar:7", "--adjust", "ratio"],
            "H26 -> CON.F.US.MES.M26 of 2026-03-11 cannot be measured: there is no bar before it",
        ),
    ],
)
def test_a_wrong_request_is_one_sentence(
    arguments: list[str], sentence: str, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be answered is refused with exit code 2, and what is allowed is named."""
    assert _run(journal, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
