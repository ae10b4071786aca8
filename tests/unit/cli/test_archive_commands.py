"""`archive` and `history` (cli/archive, cli/history), as a user runs them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.archive.compaction import confirmed_through
from tapekeeper.cli.main import main
from tapekeeper.core.journal import segment_name
from tests.unit.app.archived_journal import MES, Oracle, session, some_frames


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that is being written."""
    return session(tmp_path / "journal", some_frames(40), seal=False)


def test_archive_tells_what_it_did(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How far, how much, where; and the second time that there is nothing new."""
    assert main(["archive", "--journal", str(journal)]) == 0
    told = capsys.readouterr().out
    assert f"archived up to segment {confirmed_through(journal)}: " in told
    assert f"archive: {journal / 'archive'}" in told
    assert main(["archive", "--journal", str(journal)]) == 0
    assert "nothing new" in capsys.readouterr().out


def test_history_is_archive_and_journal(
    journal: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """CSV on standard output, Parquet and JSON by name or format; only what is asked for."""
    wanted = Oracle(journal).rows(MES)
    main(["archive", "--journal", str(journal)])
    capsysbinary.readouterr()
    common = ["history", "MESH6", "trades", "--journal", str(journal)]
    assert main(common) == 0
    assert pl.read_csv(io.BytesIO(capsysbinary.readouterr().out)).height == len(wanted)
    assert main([*common, "--out", str(tmp_path / "x.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "x.parquet").rows() == wanted
    bounds = ["--from", "2026-01-05T23:00:00", "--to", "2026-01-05T23:00:05Z"]
    assert main([*common, *bounds, "--columns", "ts_event,price", "--format", "json"]) == 0
    rows = json.loads(capsysbinary.readouterr().out)
    opened, ended = 1_767_654_000 * 10**9, 1_767_654_005 * 10**9
    assert [row["ts_event"] for row in rows] == [
        row[1] for row in wanted if opened <= row[1] < ended
    ]
    assert set(rows[0]) == {"ts_event", "price"}


def test_the_configuration_says_where_both_are(
    journal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`[archive] dir` beside the configuration; an option goes before it."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text('[journal]\ndir = "journal"\n[archive]\ndir = "cold"\n', encoding="utf-8")
    assert main(["archive", "--config", str(path)]) == 0
    assert (tmp_path / "cold" / "manifest.json").is_file()
    assert main(["history", "MES", "1m", "--config", str(path)]) == 0
    assert "ts_open" in capsys.readouterr().out
    other = ["--archive", str(tmp_path / "other")]
    assert main(["history", "MES", "1m", "--config", str(path), *other]) == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["history", "MES", "--from", "noon"], "'noon' is no time"),
        (["history", "MES", "1fortnight"], "1fortnight"),
        (["history", "ZZ"], "ZZ"),
        (["history", "MES", "--format", "table"], "no table for reading"),
        (["history", "MES", "--columns", "colour"], "there is no column colour"),
    ],
)
def test_bad_input_gets_a_sentence(
    journal: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    """And an exit code of wrong usage."""
    assert main([*arguments, "--journal", str(journal)]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.out == ""


def test_damage_is_an_exit_code(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is archived and written; what is damaged is named, with the way on."""
    path = journal / segment_name(2)
    path.write_bytes(path.read_bytes()[:-30])
    assert main(["archive", "--journal", str(journal)]) == 1
    said = capsys.readouterr().err
    assert "segment-000002" in said
    assert "--accept-damage" in said
    assert main(["history", "MES", "trades", "--journal", str(journal)]) == 1
    assert "segment-000002" in capsys.readouterr().err
    assert main(["archive", "--journal", str(journal), "--accept-damage"]) == 1
    assert confirmed_through(journal) > 2
