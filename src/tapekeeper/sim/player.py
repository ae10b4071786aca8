"""Plays recorded trades and quotes over the hub, row by row.

The shared format is one `trades.parquet` (ts_event in ns UTC, price, size, side, symbol, seq)
and perhaps a `quotes.parquet` (ts_event, bid, ask, symbol, seq) beside it. Rows go out in `seq`
order; consecutive rows of one symbol and stamp share a record, up to eight. Prices are written
with the shortest digits that give back the same float64. The wire counts in 100 ns: where a
recording has full nanoseconds, their last two digits are cut off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl

from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import DAY_NS
from tapekeeper.sim.contracts import instrument_of_symbol
from tapekeeper.sim.market import RECORD_PRINTS_MAX
from tapekeeper.sim.wire import MarketEvent, Print, QuoteDelta, Trades

TRADES_FILE = "trades.parquet"
QUOTES_FILE = "quotes.parquet"
META_FILE = "meta.json"

_TRADE_COLUMNS = {
    "ts_event": pl.Int64,
    "price": pl.Float64,
    "size": pl.Int64,
    "side": pl.Int64,
    "symbol": pl.String,
    "seq": pl.Int64,
}
_QUOTE_COLUMNS = {
    "ts_event": pl.Int64,
    "bid": pl.Float64,
    "ask": pl.Float64,
    "symbol": pl.String,
    "seq": pl.Int64,
}


class _Meta(msgspec.Struct):
    tick_size: float = 0.0


@dataclass(frozen=True, slots=True)
class Track:
    """The recorded rows of one symbol.

    Attributes:
        instrument: the contract they are played as.
        trades: columns of `trades.parquet`, `seq` order.
        quotes: columns of `quotes.parquet`, `seq` order; None where there are none.
    """

    instrument: Instrument
    trades: pl.DataFrame
    quotes: pl.DataFrame | None

    @property
    def start_ns(self) -> int:
        """The exchange time of the first row, ns UTC."""
        first = int(self.trades["ts_event"][0])
        if self.quotes is not None and self.quotes.height:
            first = min(first, int(self.quotes["ts_event"][0]))
        return first

    def events(self) -> Iterator[MarketEvent]:
        """Trades and quotes merged by exchange time; at the same time trades go first."""
        quotes = iter(()) if self.quotes is None else self._quotes(self.quotes)
        quote = next(quotes, None)
        for trades in self._trades():
            while quote is not None and quote.ts_ns < trades.ts_ns:
                yield quote
                quote = next(quotes, None)
            yield trades
        while quote is not None:
            yield quote
            quote = next(quotes, None)

    def _trades(self) -> Iterator[Trades]:
        contract_id = self.instrument.contract_id
        prints: list[Print] = []
        at_ns = 0
        rows = self.trades.select("ts_event", "price", "size", "side").iter_rows()
        for ts_event, price, size, side in rows:
            if prints and (ts_event != at_ns or len(prints) == RECORD_PRINTS_MAX):
                yield Trades(contract_id, at_ns, tuple(prints))
                prints = []
            at_ns = ts_event
            prints.append(Print(repr(price), size, side))
        if prints:
            yield Trades(contract_id, at_ns, tuple(prints))

    def _quotes(self, frame: pl.DataFrame) -> Iterator[QuoteDelta]:
        sent: dict[str, str] = {}  # bound: two members
        for ts_event, bid, ask in frame.select("ts_event", "bid", "ask").iter_rows():
            members = {
                name: repr(price)
                for name, price in (("bestBid", bid), ("bestAsk", ask))
                if price is not None and price == price  # noqa: PLR0124 - NaN is no price
            }
            changed = {name: text for name, text in members.items() if sent.get(name) != text}
            sent.update(changed)
            yield QuoteDelta(self.instrument.contract_id, ts_event, changed)


def load_tracks(source: Path) -> list[Track]:
    """Read a recording.

    Args:
        source: a `trades.parquet` (any name), or a folder with one.

    Returns:
        One track per symbol, in order of first appearance.

    Raises:
        UnreadableSourceError: a file is absent, not Parquet, empty, or lacks a column or value.
    """
    trades_file = source / TRADES_FILE if source.is_dir() else source
    folder = trades_file.parent
    trades = _read(trades_file, _TRADE_COLUMNS)
    if trades.is_empty():
        raise UnreadableSourceError(f"{trades_file} holds no trades, so there is nothing to play")
    if any(trades.null_count().row(0)) or not trades["price"].is_finite().all():
        raise UnreadableSourceError(
            f"{trades_file} has a row without a time, price, size or side, which cannot be sent"
        )
    quotes_file = folder / QUOTES_FILE
    quotes = _read(quotes_file, _QUOTE_COLUMNS) if quotes_file.is_file() else None
    tick_size = _tick_size(folder / META_FILE)
    tracks = []
    for symbol in trades["symbol"].unique(maintain_order=True).to_list():
        own = trades.filter(pl.col("symbol") == symbol)
        own_quotes = None if quotes is None else quotes.filter(pl.col("symbol") == symbol)
        instrument = instrument_of_symbol(symbol, _year(int(own["ts_event"][0])), tick_size)
        tracks.append(Track(instrument, own, own_quotes))
    return tracks


def _read(path: Path, columns: dict[str, type[pl.DataType]]) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError as error:
        raise UnreadableSourceError(f"there is no file {path}") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UnreadableSourceError(f"{path} is not a readable Parquet file") from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise UnreadableSourceError(f"{path} lacks the column {', '.join(missing)}")
    try:
        frame = frame.select(pl.col(name).cast(kind) for name, kind in columns.items())
    except pl.exceptions.PolarsError as error:
        raise UnreadableSourceError(f"{path} has a column of another type than expected") from error
    return frame.sort("seq", maintain_order=True)


def _tick_size(path: Path) -> float:
    """The tick size a recording says it has; 0 (unknown) where it does not."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Meta).tick_size
    except (OSError, msgspec.DecodeError):
        return 0.0


def _year(ts_ns: int) -> int:
    """The UTC year, by days alone: a contract's year digit needs no more."""
    return 1970 + int(ts_ns // DAY_NS / 365.2425)
