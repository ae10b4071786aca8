"""Frames as files: what `tapekeeper.cli.output` writes where, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.cli.output import Format, encode, require_place, write_frame
from tapekeeper.errors import UsageError

FRAME = pl.DataFrame({"a": [1], "ids": [[1, 2]], "parts": [[[1, None], [3, 4]]]})


def test_a_cell_of_text_has_no_list() -> None:
    """Items are apart by spaces, items of items by a slash; nothing stands for none."""
    assert encode(FRAME, Format.CSV) == b"a,ids,parts\n1,1 2,1/ 3/4\n"


def test_parquet_and_json_keep_lists() -> None:
    """They are read back as they were."""
    assert pl.read_parquet(io.BytesIO(encode(FRAME, Format.PARQUET))).equals(FRAME)
    assert encode(FRAME, Format.JSON).endswith(b'"parts":[[1,null],[3,4]]}]\n')


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """And what was there stays."""
    with pytest.raises(UsageError, match="cannot write"):
        write_frame(FRAME, Format.CSV, tmp_path / "absent" / "x.csv")
    with pytest.raises(UsageError, match="a table is for reading"):
        require_place(Format.TABLE, tmp_path / "x")
