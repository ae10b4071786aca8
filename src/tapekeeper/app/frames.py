"""Bars and quotes as polars frames and Parquet files."""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import Gap
from tapekeeper.model.tick import Quote

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
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
    "vwap": pl.Float64,
    "revision": pl.Int64,
    "completeness": pl.String,
    "gap_ids": pl.List(pl.Int64),
    "live_share": pl.Float64,
    "ordinal": pl.Int64,
}
"""Columns of every frame of bars. Times are ns since 1970-01-01T00:00Z."""

QUOTE_SCHEMA: dict[str, type[pl.DataType]] = {
    "ts_event": pl.Int64,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "last": pl.Float64,
    "volume": pl.Int64,
    "ts_recv": pl.Int64,
    "seq": pl.Int64,
}
"""Columns of every frame of quotes. Times are ns since 1970-01-01T00:00Z; `volume` is the
session's cumulative volume."""

_NO_VOLUME = -1  # validation lets no negative one through


def bars_frame(bars: Iterable[Bar], symbols: Mapping[str, str]) -> pl.DataFrame:
    """A frame with the columns of `SCHEMA`, one row a bar, in the order given.

    Args:
        bars: of any contracts and one timeframe or measure.
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
            bar.vwap,
            bar.revision,
            str(bar.completeness),
            list(bar.gap_ids),
            bar.live_share,
            bar.ordinal,
        )
        for bar in bars
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


GAP_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "gap_id": pl.Int64,
    "contract_id": pl.String,
    "cause": pl.String,
    "state": pl.String,
    "from_ns": pl.Int64,
    "to_ns": pl.Int64,
    "missing_volume": pl.Int64,
    "evidence": pl.String,
    "note": pl.String,
    "noticed_ns": pl.Int64,
    "unrestored": pl.List(pl.List(pl.Int64)),
    "timeframes": pl.String,
}
"""Columns of a frame of gaps. Times are ns since 1970-01-01T00:00Z, of the exchange but for
`noticed_ns`; no `from_ns` means since ever, no `to_ns` that it lasts. `timeframes` has names with a
comma between; none means all."""


def gaps_frame(gaps: Iterable[Gap]) -> pl.DataFrame:
    """A frame with the columns of `GAP_SCHEMA`, one row a gap, in the order given."""
    rows = [
        (
            gap.gap_id,
            gap.contract_id,
            gap.cause.value,
            gap.state.value,
            gap.from_ns,
            gap.to_ns,
            gap.missing_volume,
            gap.evidence,
            gap.note,
            gap.noticed_ns,
            [list(part) for part in gap.unrestored],
            ",".join(gap.timeframes),
        )
        for gap in gaps
    ]
    return pl.DataFrame(rows, schema=GAP_SCHEMA, orient="row")


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
            _replace(bars_frame(rows, symbols), path)
            written.append(path)
    except OSError as error:
        raise UsageError(f"cannot write bars to {folder}: {error.strerror or error}") from error
    return written


class QuoteColumns:
    """Quotes of any contracts in columns, which take some 60 bytes each.

    Millions of them are kept while a journal is replayed.
    """

    def __init__(self) -> None:
        self._contracts: dict[str, int] = {}  # number by id
        self._contract = array("l")
        self._whole = {name: array("q") for name in ("ts_event", "volume", "ts_recv", "seq")}
        self._prices = {name: array("d") for name in ("bid", "ask", "last")}

    def __len__(self) -> int:
        return len(self._contract)

    def add(self, quotes: Iterable[Quote]) -> None:
        """Append in the order given."""
        for quote in quotes:
            number = self._contracts.setdefault(quote.contract_id, len(self._contracts))
            self._contract.append(number)
            for name, whole in self._whole.items():
                value = getattr(quote, name)
                whole.append(_NO_VOLUME if value is None else value)
            for name, prices in self._prices.items():
                price = getattr(quote, name)
                prices.append(math.nan if price is None else price)

    def frame(self) -> pl.DataFrame:
        """One row a quote, with the columns of `QUOTE_SCHEMA` and `contract_id`."""
        names = list(self._contracts)
        return pl.DataFrame(
            {
                "ts_event": self._column("ts_event"),
                **{
                    name: pl.Series(name, self._prices[name], pl.Float64).fill_nan(None)
                    for name in ("bid", "ask", "last")
                },
                "volume": self._column("volume").replace(_NO_VOLUME, None),
                "ts_recv": self._column("ts_recv"),
                "seq": self._column("seq"),
                "contract_id": pl.Series(
                    [names[number] for number in self._contract], dtype=pl.String
                ),
            }
        )

    def _column(self, name: str) -> pl.Series:
        return pl.Series(name, self._whole[name], pl.Int64)


def quotes_frame(quotes: Iterable[Quote]) -> pl.DataFrame:
    """A frame with the columns of `QUOTE_SCHEMA`, one row a quote, in the order given.

    There are no sizes, because the gateway sends none. What it has not told yet is null.
    """
    columns = QuoteColumns()
    columns.add(quotes)
    return columns.frame().select(list(QUOTE_SCHEMA))


def write_quotes(quotes: QuoteColumns, folder: Path) -> Path:
    """Write `quotes.parquet`, every contract in order of arrival; equal quotes give equal bytes.

    Args:
        quotes: what to write.
        folder: created where absent.

    Raises:
        UsageError: the folder cannot be written.
    """
    require_folder(folder)
    path = folder / "quotes.parquet"
    try:
        _replace(quotes.frame(), path)
    except OSError as error:
        raise UsageError(f"cannot write quotes to {folder}: {error.strerror or error}") from error
    return path


def _replace(frame: pl.DataFrame, path: Path) -> None:
    # Beside it first: what interrupts this leaves the file of an earlier run whole.
    partial = path.with_suffix(".partial")
    frame.write_parquet(partial, compression="zstd", statistics=True)
    partial.replace(path)


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
