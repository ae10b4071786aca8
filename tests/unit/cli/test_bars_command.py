"""`bars`: bars of one contract out of a journal, in four formats."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest
from rich.console import Console

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.cli.bars import bars_table, find_contract
from tapekeeper.cli.main import main
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import UnknownContractError
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.journaler import Journaler

MES = "CON.F.US.MES.Z26"
MNQ = "CON.F.US.MNQ.Z26"
START_NS = 1_780_000_020_000_000_000
MINUTES = 5


def _frame(contract_id: str, second: int, price: float, size: int) -> Entry:
    now_ns = START_NS + second * 10**9
    trade = {"price": price, "volume": size, "type": 0, "timestamp": format_ns(now_ns)}
    payload = encode_invocation("GatewayTrade", [contract_id, trade])
    return Entry(EntryKind.FRAME, 1, now_ns, payload)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two contracts; of the first, one print in each of five minutes, of sizes 1 to 5."""
    folder = tmp_path / "journal"
    writer = Journaler(FolderFiles(folder), created_ns=START_NS)
    for contract_id, name in ((MES, "MESZ6"), (MNQ, "MNQZ6")):
        subscription = Subscription(
            Instrument(contract_id, name), (Timeframe.parse("1m"),), calendar_by_name("cme")
        )
        writer.append([subscribe_entry(subscription, START_NS)])
    writer.append([connect_entry(1, "market", START_NS)])
    for minute in range(MINUTES):
        writer.append([_frame(MES, 60 * minute, 6000.25 + minute, minute + 1)])
    writer.append([_frame(MNQ, 61, 21_000.0, 9)])
    writer.close()
    return folder


def _run(*arguments: str) -> int:
    return main(["bars", *arguments])


def test_table_shows_the_latest_bars(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last N bars in time order, the forming one among them."""
    assert _run("MES", "--journal", str(journal), "--last", "2") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    bars = [row for row in rows if {"closed", "forming"} & set(row)]
    assert [row[2:] for row in bars] == [
        ["6003.25", "6003.25", "6003.25", "6003.25", "4", "1", "closed", "complete"],
        ["6004.25", "6004.25", "6004.25", "6004.25", "5", "1", "forming", "complete"],
    ]


def test_a_bar_says_what_it_is_worth(capsys: pytest.CaptureFixture[str]) -> None:
    """Its completeness, and the gaps that touch it by their numbers in the ledger."""
    bar = Bar("X", "1m", 0, 60_000_000_000, 1.0, 1.0, 1.0, 1.0, 1, 1, 0, 0, 0, 1)
    marked = msgspec.structs.replace(bar, completeness=Completeness.GAP, gap_ids=(3, 12))
    Console(width=160).print(bars_table([bar, marked]))
    rows = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [row.endswith(" complete") for row in rows if "1970" in row] == [True, False]
    assert any(row.endswith(" gap #3 #12") for row in rows)


def test_zero_means_all(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--last 0` is every bar of that contract, and of no other one."""
    assert _run("MESZ6", "--journal", str(journal), "--last", "0", "--format", "csv") == 0
    frame = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame["volume"].to_list() == [1, 2, 3, 4, 5]
    assert set(frame["contract_id"]) == {MES}


def test_any_timeframe_can_be_asked_for(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bars are made from the ticks, so a timeframe that was not recorded is there as well."""
    assert _run("MES", "--journal", str(journal), "--timeframe", "1h", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["volume"] for row in rows] == [15]
    assert rows[0]["open"] == 6000.25


def test_parquet_goes_into_a_pipe_or_a_file(
    journal: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Both ways give the same frame."""
    assert _run("MNQ", "--journal", str(journal), "--format", "parquet") == 0
    piped = pl.read_parquet(io.BytesIO(capfdbinary.readouterr().out))
    path = tmp_path / "bars.parquet"
    assert _run("MNQ", "--journal", str(journal), "--format", "parquet", "--out", str(path)) == 0
    assert piped.equals(pl.read_parquet(path))
    assert piped["volume"].to_list() == [9]


FILLED = """
import resource, sys
from tapekeeper.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file sizes to hit")
def test_a_file_is_written_whole_or_not_at_all(journal: Path, tmp_path: Path) -> None:
    """Where the disk takes only a part, the file of before is there, and nothing beside it."""
    path = tmp_path / "bars.csv"
    asked = ["MES", "--journal", str(journal), "--format", "csv", "--out", str(path)]
    path.write_text("of before")
    run = subprocess.run(
        [sys.executable, "-c", FILLED, "bars", *asked], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (2, f"error: cannot write {path}: File too large\n")
    assert path.read_text() == "of before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bars.csv", "journal"]
    assert _run(*asked) == 0
    assert pl.read_csv(path)["volume"].to_list() == [1, 2, 3, 4, 5]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bars.csv", "journal"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_is_written_through(journal: Path, tmp_path: Path) -> None:
    """What is no plain file, such as a link or a pipe, is written to and stays what it is."""
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(tmp_path / "target")
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        for path in (link, pipe):
            arguments = ["MNQ", "--journal", str(journal), "--format", "csv", "--out", str(path)]
            assert _run(*arguments) == 0
        piped = os.read(descriptor, 4096)
    finally:
        os.close(descriptor)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert (tmp_path / "target").read_bytes() == piped
    assert pl.read_csv(piped)["volume"].to_list() == [9]


@pytest.mark.parametrize("form", ["table", "csv", "parquet"])
def test_a_closed_output_is_one_sentence(
    form: str, journal: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is nowhere to write (`>&-`) the way to a file is named."""
    monkeypatch.setattr(sys, "stdout", None)
    assert _run("MES", "--journal", str(journal), "--format", form) == 2
    monkeypatch.undo()
    sentence = "standard output is closed: give --format and --out FILE"
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_the_configuration_says_where_the_journal_is(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--config` nobody has to remember the folder."""
    path = journal.parent / "tapekeeper.toml"
    path.write_text('[journal]\ndir = "journal"\n', encoding="utf-8")
    assert _run("MNQ", "--config", str(path), "--format", "csv") == 0
    assert MNQ in capsys.readouterr().out


def test_a_corrupt_segment_is_named_and_the_rest_is_printed(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damage costs the command its 0, and only the damaged part its bars."""
    segment = next(path for path in sorted(journal.iterdir()) if path.suffix == ".tkj")
    data = bytearray(segment.read_bytes())
    data[-60] ^= 0xFF
    segment.write_bytes(data)
    assert _run("MES", "--journal", str(journal), "--format", "csv") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {segment.name}: corrupt")
    assert pl.read_csv(io.StringIO(captured.out))["volume"].to_list()[:3] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["MES", "--timeframe", "1x"], "unknown timeframe '1x'"),
        (["CL"], "CL"),
        (["MES", "--out", "x.txt"], "--out needs --format"),
        (["MES", "--config", "x.toml"], "give --journal or --config, not both"),
        (["MES", "--format", "csv", "--out", "no/such/folder/x.csv"], "cannot write"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    arguments: list[str], clause: str, journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be answered is refused with exit code 2, without a traceback."""
    assert _run(*arguments, "--journal", str(journal)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert clause in error
    assert error.count("\n") == 1


def test_an_absent_journal_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is not an empty journal."""
    assert _run("MES", "--journal", str(tmp_path / "nothing")) == 2
    assert "nothing" in capsys.readouterr().err


def test_without_a_journal_one_is_told_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that holds none, the sentence says what to give."""
    monkeypatch.chdir(tmp_path)
    assert _run("MES") == 2
    assert capsys.readouterr().err == (
        "error: there is no journal in journal: say where it is with --journal DIR or "
        "--config FILE\n"
    )


def test_a_contract_is_found_by_id_name_or_product() -> None:
    """The three ways in which people name a contract; nothing is guessed."""
    symbols = {MES: "MESZ6", MNQ: "MNQZ6"}
    assert {find_contract(text, symbols) for text in (MES, "mesz6", "MES")} == {MES}
    with pytest.raises(UnknownContractError):
        find_contract("ME", symbols)
