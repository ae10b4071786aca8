"""Files that are kept as frames: what is used stays, what is asked for in vain is not kept."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.archive.cold import ColdFiles
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.manifest import Part

ROWS = 100


@pytest.fixture
def parts(tmp_path: Path) -> list[Part]:
    """Three files of two columns."""
    found = []
    for number in range(3):
        name = f"part-{number}.parquet"
        frame = pl.DataFrame({"a": range(ROWS), "b": [float(number)] * ROWS})
        frame.write_parquet(tmp_path / name)
        found.append(Part(name, "trades", "X", "2026-01-06", 1, ROWS, 0, 0, 0, 0, ""))
    return found


def read(cold: ColdFiles, part: Part, columns: list[str]) -> pl.DataFrame:
    """One file's columns."""
    (rows,) = cold.scan([part], columns)
    return rows.collect()


def test_what_is_kept_needs_no_file(tmp_path: Path, parts: list[Part]) -> None:
    """In the columns that were read, and fewer; for others the file is needed."""
    cold = ColdFiles(ArchiveDisk(tmp_path))
    cold.load(parts[:1], ["a"], 10**6)
    assert cold.bytes == ROWS * 8
    for part in parts:
        (tmp_path / part.path).unlink()
    assert read(cold, parts[0], ["a"])["a"].to_list() == list(range(ROWS))
    for part, columns in ((parts[0], ["a", "b"]), (parts[1], ["a"])):
        with pytest.raises(FileNotFoundError):
            read(cold, part, columns)


def test_what_was_used_last_stays(tmp_path: Path, parts: list[Part]) -> None:
    """The file that was asked for longest ago goes first."""
    cold = ColdFiles(ArchiveDisk(tmp_path))
    cold.load(parts, ["a", "b"], 10**6)
    read(cold, parts[0], ["b"])
    each = ROWS * 16
    assert cold.shrink_to(each) == 2 * each
    (tmp_path / parts[0].path).unlink()
    assert read(cold, parts[0], ["a"]).height == ROWS
    cold.keep_only(parts[1:])
    assert cold.bytes == 0


def test_what_has_no_room_is_not_read_whole(tmp_path: Path, parts: list[Part]) -> None:
    """It is read when it is collected, as far as it is wanted, and not kept."""
    cold = ColdFiles(ArchiveDisk(tmp_path))
    cold.load(parts, ["a"], 3 * ROWS * 8 - 1)
    assert cold.bytes == 0
    assert read(cold, parts[2], ["b"])["b"].to_list() == [2.0] * ROWS
