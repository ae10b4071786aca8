"""`gaps`: the ledger of a journal (`tapekeeper.cli.gaps`), in four formats."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.frames import GAP_SCHEMA
from tapekeeper.cli.main import main
from tapekeeper.core.ledger import line_of
from tapekeeper.model.gap import Gap, GapCause, Span

SECOND = 10**9
START = 1_780_000_020 * SECOND
MES, MNQ = "CON.F.US.MES.Z26", "CON.F.US.MNQ.Z26"
GAPS = (
    Gap(1, MES, GapCause.START, None, START, "the contract was not followed before", START),
    Gap(2, MES, GapCause.DISCONNECT, START + SECOND, START + 4 * SECOND, "reset by peer", START),
    Gap(3, MNQ, GapCause.DISCONNECT, START + SECOND, None, "reset by peer", START),
    Gap(
        2,
        MES,
        GapCause.DISCONNECT,
        START + SECOND,
        START + 4 * SECOND,
        "reset by peer",
        START,
        (Span(START + SECOND, START + 2 * SECOND),),
        7,
        "the gateway had no more",
    ),
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A ledger of three gaps, one of which was repaired in part."""
    folder = tmp_path / "journal"
    folder.mkdir()
    (folder / "gaps-000001.jsonl").write_bytes(b"".join(map(line_of, GAPS)))
    return folder


def test_a_table_shows_the_last_word_on_each(
    journal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begin, length, cause, state and the reason that matters now."""
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["gaps", "--journal", str(journal)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "CON." in line]
    assert lines[0][:4] == ["1", MES, "ever", "start"]
    assert lines[1][:6] == ["2", MES, "2026-05-28", "20:27:01", "3.0", "disconnect"]
    assert lines[1][6] == "partly_repaired"
    assert "the gateway had no more" in " ".join(lines[1])
    assert lines[2][4:7] == ["lasts", "disconnect", "lasting"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["MNQ"], [3]),
        ([MES], [1, 2]),
        (["mes", "--cause", "start"], [1]),
        (["--state", "lasting", "--state", "partly_repaired"], [2, 3]),
        (["--last", "1"], [3]),
        (["--last", "0"], [1, 2, 3]),
        (["MNQ", "--cause", "start"], []),
    ],
)
def test_gaps_are_chosen(
    journal: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[int]
) -> None:
    """By contract or product, cause and state; the latest first of all."""
    assert main(["gaps", *arguments, "--format", "json", "--journal", str(journal)]) == 0
    assert [row["gap_id"] for row in json.loads(capsys.readouterr().out)] == expected


def test_a_contract_that_was_never_followed_is_refused(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty table would say that it has no gaps; a part of a product's name is another one."""
    assert main(["gaps", "NQ", "--journal", str(journal)]) == 2
    output = capsys.readouterr()
    assert f"the ledger has nothing of 'NQ'; it has {MES}, {MNQ}" in " ".join(output.err.split())
    assert output.out == ""


def test_files_hold_every_column(journal: Path, tmp_path: Path) -> None:
    """Parquet and CSV; what is left of a gap is a list of pairs, in text with a slash between."""
    for form in ("parquet", "csv"):
        out = tmp_path / f"gaps.{form}"
        assert main(["gaps", "--format", form, "--out", str(out), "--journal", str(journal)]) == 0
    frame = pl.read_parquet(tmp_path / "gaps.parquet")
    assert dict(frame.schema) == GAP_SCHEMA
    left = [[START + 2 * SECOND, START + 4 * SECOND]]
    assert frame["unrestored"].to_list() == [[[None, START]], left, [[START + SECOND, None]]]
    text = pl.read_csv(tmp_path / "gaps.csv")
    assert text["unrestored"].to_list() == [
        f"/{START}",
        f"{START + 2 * SECOND}/{START + 4 * SECOND}",
        f"{START + SECOND}/",
    ]


def test_damage_is_named_and_the_rest_is_shown(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the exit code says that what was shown is not whole."""
    with (journal / "gaps-000001.jsonl").open("ab") as file:
        file.write(b"not a gap\n")
    assert main(["gaps", "--journal", str(journal), "--format", "json"]) == 1
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 3
    assert printed.err.startswith("damaged: gaps-000001.jsonl: line 5 is no gap")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--journal", "nowhere"], "there is no journal in nowhere"),
        (["--journal", "a", "--config", "b"], "give --journal or --config, not both"),
        (["--journal", "a", "--cause", "rain"], "cause"),
        (["--journal", "a", "--out", "x"], "--out needs --format"),
    ],
)
def test_a_wrong_request_is_one_sentence(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It names what is wrong, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert main(["gaps", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
