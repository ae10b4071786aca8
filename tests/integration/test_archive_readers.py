"""DuckDB and pandas read the archive with nothing of ours; the examples of docs/archive.md run."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.history import read_history
from tests.unit.app.archived_journal import MES, session, some_frames

PAGE = Path(__file__).resolve().parents[2] / "docs" / "archive.md"


def reader(name: str) -> ModuleType:
    """A library that only the tests need; in CI it must be there."""
    if os.environ.get("CI", "").lower() == "true":
        return importlib.import_module(name)
    found: ModuleType = pytest.importorskip(name, reason=f"{name} is there for the tests alone")
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """An archive of several passes and two trade dates."""
    folder = session(tmp_path / "journal", some_frames(60))
    archive_journal(folder, rows_per_pass=20)
    return folder


def example(marker: str) -> str:
    """The code block of the page that holds `marker`."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if marker in block]
    return found


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that an example has made, started in the folder above the journal."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - the page's own examples
    return names


def test_duckdb_reads_it(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trades with time of receipt and arrival number, bars in their latest revision."""
    reader("duckdb")
    found = run(example("import duckdb"), journal.parent, monkeypatch)
    wanted = read_history(journal, MES, "trades")
    columns = ["ts_event", "price", "size", "ts_recv", "seq"]
    assert found["trades"] == wanted.select(columns).rows()
    bars = read_history(journal, MES, "1m")
    assert found["bars"] == bars.select("ts_open", "close", "volume").rows()


def test_pandas_reads_it(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, in a DataFrame."""
    reader("pandas")
    reader("pyarrow")
    found = run(example("import pandas"), journal.parent, monkeypatch)
    wanted = read_history(journal, MES, "trades")
    assert found["trades"]["price"].tolist() == wanted["price"].to_list()
    assert found["trades"]["ts_recv"].tolist() == wanted["ts_recv"].to_list()


def test_polars_reads_it(journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, as a lazy frame over the folder."""
    found = run(example("import polars"), journal.parent, monkeypatch)
    wanted = read_history(journal, MES, "trades")
    assert found["trades"]["ts_event"].to_list() == wanted["ts_event"].to_list()


def test_our_own_interface_is_as_the_page_says(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of `read_history`."""
    found = run(example("read_history("), journal.parent, monkeypatch)
    assert found["minutes"].height == read_history(journal, MES, "1m").height
