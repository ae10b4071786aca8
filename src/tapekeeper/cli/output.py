"""Frames as files and on standard output, for the commands that write them."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

import polars as pl

from tapekeeper.errors import UsageError


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def require_place(form: Format, out: Path | None) -> None:
    """Refuse what cannot be written, before any work.

    Raises:
        UsageError: this format cannot go there.
    """
    if out is None and sys.stdout is None:  # so Python has it where the descriptor is closed
        raise UsageError("standard output is closed: give --format and --out FILE")
    if form is Format.PARQUET and out is None and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal: give --out FILE, or redirect the output")
    if form is Format.TABLE and out is not None:
        raise UsageError("--out needs --format csv, json or parquet: a table is for reading")


def encode(frame: pl.DataFrame, form: Format) -> bytes:
    """A frame as a file of this format; JSON is one array of objects."""
    buffer = io.BytesIO()
    if form is Format.CSV:
        cells = [_as_text(name, kind) for name, kind in frame.schema.items()]
        frame.with_columns(cells).write_csv(buffer)
    elif form is Format.JSON:
        frame.write_json(buffer)
        buffer.write(b"\n")
    else:
        frame.write_parquet(buffer)
    return buffer.getvalue()


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    """A column for a cell of text, which has no list: items are separated by spaces.

    Items that are lists themselves have a slash between theirs, and nothing for none.
    """
    column = pl.col(name)
    if kind == pl.List(pl.List(pl.Int64)):
        inner = pl.element().list.eval(pl.element().cast(pl.String).fill_null("")).list.join("/")
        return column.list.eval(inner).list.join(" ")
    if kind == pl.List(pl.Int64):
        return column.cast(pl.List(pl.String)).list.join(" ")
    return column


def write_frame(frame: pl.DataFrame, form: Format, out: Path | None) -> None:
    """Write a frame to a file, or to standard output.

    Raises:
        UsageError: the file cannot be written.
    """
    data = encode(frame, form)
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        _write_file(out, data)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from error


def _write_file(path: Path, data: bytes) -> None:
    """Write all of `data`, or leave what was at `path` before.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        path.write_bytes(data)  # a link or a device is to be written to and not to be replaced
        return
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
