"""Bars as polars frames and Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar

SCHEMA: dict[str, type[pl.DataType]] = {
    "symbol": pl.String,
    "ts_open": pl.Int64,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Int64,
    "n": pl.Int64,
    "buy_vol": pl.Int64,
    "sell_vol": pl.Int64,
    "ts_first": pl.Int64,
    "ts_last": pl.Int64,
    "ts_end": pl.Int64,
    "state": pl.String,
    "contract_id": pl.String,
}
"""Columns of every frame of bars. Times are ns since 1970-01-01T00:00Z."""


def bars_frame(bars: Iterable[Bar], symbols: Mapping[str, str]) -> pl.DataFrame:
    """A frame with the columns of `SCHEMA`, one row a bar, in the order given.

    Args:
        bars: of any contracts and one timeframe.
        symbols: the short name of each contract id; an id without one stands for itself.
    """
    rows = [
        (
            symbols.get(bar.contract_id, bar.contract_id),
            bar.ts_open,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            bar.n,
            bar.buy_vol,
            bar.sell_vol,
            bar.ts_first,
            bar.ts_last,
            bar.ts_end,
            str(bar.state),
            bar.contract_id,
        )
        for bar in bars
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def write_bars(
    bars: Mapping[str, Iterable[Bar]], symbols: Mapping[str, str], folder: Path
) -> list[Path]:
    """Write `bars_<timeframe>.parquet` for each timeframe; equal bars give equal bytes.

    Args:
        bars: by timeframe.
        symbols: as for `bars_frame`.
        folder: created where absent.

    Raises:
        UsageError: the folder cannot be written.
    """
    require_folder(folder)
    written = []
    try:
        for timeframe, rows in bars.items():
            path = folder / f"bars_{timeframe}.parquet"
            # Beside it first: what interrupts this leaves the file of an earlier run whole.
            partial = path.with_suffix(".partial")
            bars_frame(rows, symbols).write_parquet(partial, compression="zstd", statistics=True)
            partial.replace(path)
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write bars to {folder}: {error.strerror or error}") from error
    return written


def require_folder(folder: Path) -> None:
    """Make a folder for bars where absent; to be asked before the work whose bars it is for.

    Raises:
        UsageError: there can be none, or nothing can be written into it.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"cannot write bars to {folder}: it is a file, and must be a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write bars to {folder}: {error.strerror or error}") from error
