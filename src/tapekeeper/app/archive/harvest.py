"""What a stretch of a journal makes, in columns: every accepted print, the last word on bars."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator

import polars as pl

from tapekeeper.app.archive.layout import BARS_SCHEMA, TRADES_SCHEMA
from tapekeeper.app.frames import bars_frame
from tapekeeper.core.pipeline import Outputs
from tapekeeper.core.recent import RecentBars
from tapekeeper.model.bar import Bar
from tapekeeper.model.tick import TradeBatch

BAR_BYTES = 400
"""Memory of a bar that is kept, with its share of the tables, of recorded gold: 370; rounded up."""

COLUMN_TYPES = {
    "ts_event": pl.Int64,
    "price": pl.Float64,
    "size": pl.Int64,
    "side": pl.Int8,
    "ts_recv": pl.Int64,
    "seq": pl.Int64,
}
"""Of the columns of a batch, by name."""

_KINDS = {"ts_event": "q", "price": "d", "size": "q", "side": "b", "ts_recv": "q", "seq": "q"}


class TradeColumns:
    """Prints of one contract in columns, 45 bytes each, in order of arrival."""

    def __init__(self) -> None:
        self._columns = {name: array(kind) for name, kind in _KINDS.items()}
        self._run = array("i")
        self.volume = 0

    def __len__(self) -> int:
        return len(self._run)

    @property
    def bytes(self) -> int:
        """Memory of the columns, with the room that they have to grow."""
        return sum(map(sys.getsizeof, (*self._columns.values(), self._run)))

    def add(self, run: int, batch: TradeBatch) -> None:
        """Append a batch of a run."""
        for name, column in self._columns.items():
            column.extend(getattr(batch, name))
        self._run.extend([run] * len(batch))
        self.volume += sum(batch.size)

    def frame(self) -> pl.DataFrame:
        """With the columns of `TRADES_SCHEMA`, but `ts_recv` and `seq` as they are."""
        columns = [
            pl.Series(name, self._columns[name], kind) for name, kind in COLUMN_TYPES.items()
        ]
        return pl.DataFrame([*columns, pl.Series("run", self._run, pl.Int32)])


def stored_trades(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of `TradeColumns` as it is stored, with the columns of `TRADES_SCHEMA`."""
    return frame.select(
        "ts_event",
        "price",
        "size",
        "side",
        delay_ns=pl.col("ts_recv") - pl.col("ts_event"),
        seq_step=pl.col("seq").diff().fill_null(pl.col("seq")),
        run="run",
    ).cast(pl.Schema(TRADES_SCHEMA))


def stored_bars(bars: Iterable[tuple[int, Bar]]) -> pl.DataFrame:
    """Bars with their runs as they are stored, with the columns of `BARS_SCHEMA`."""
    runs: list[int] = []
    made: list[Bar] = []
    for run, bar in bars:
        runs.append(run)
        made.append(bar)
    frame = bars_frame(made, {}).with_columns(run=pl.Series(runs, dtype=pl.Int32))
    return frame.select(list(BARS_SCHEMA)).sort("ts_open", "ordinal", "run")


class Harvest:
    """Gathers what came of a stretch; `take` is a `Taken`.

    Args:
        contract_id: only this one's; None gathers all.
        timeframe: only bars of this one, "" none at all; None gathers all.
        trades: whether prints are gathered.
    """

    def __init__(
        self, contract_id: str | None = None, timeframe: str | None = None, *, trades: bool = True
    ) -> None:
        self._contract_id = contract_id
        self._timeframe = timeframe
        self._with_trades = trades
        self.trades: dict[str, TradeColumns] = {}
        self._bars: dict[int, RecentBars] = {}
        self.rows = 0

    def take(self, first: int, run: int, outputs: Outputs) -> None:
        """Add what one step produced in a run; bars as of the `first` that it goes on from."""
        for batch in outputs.trades if self._with_trades else ():
            if self._contract_id is None or batch.contract_id == self._contract_id:
                self.trades.setdefault(batch.contract_id, TradeColumns()).add(run, batch)
                self.rows += len(batch)
        if outputs.closed and self._timeframe != "":
            bars = self._bars.get(first)
            if bars is None:
                bars = self._bars[first] = RecentBars()
            bars.add(self._of_wanted(outputs.closed))

    @property
    def bytes(self) -> int:
        """Memory of what was gathered."""
        trades = sum(columns.bytes for columns in self.trades.values())
        return trades + sum(map(len, self._bars.values())) * BAR_BYTES

    def _of_wanted(self, bars: Iterable[Bar]) -> Iterator[Bar]:
        for bar in bars:
            if (self._contract_id is None or bar.contract_id == self._contract_id) and (
                self._timeframe is None or bar.timeframe == self._timeframe
            ):
                yield bar

    def bars_of(self, contract_id: str, timeframe: str) -> list[tuple[int, Bar]]:
        """The last word of each run on the bars of one kind, with the run."""
        return [
            (run, bar)
            for run, bars in self._bars.items()
            for bar in bars.of(contract_id, timeframe)
        ]

    def bars(self) -> dict[tuple[str, str], list[tuple[int, Bar]]]:
        """The last word of each run on every bar, with the run, by contract and timeframe."""
        found: dict[tuple[str, str], list[tuple[int, Bar]]] = {}
        for run, bars in self._bars.items():
            for bar in bars.all():
                found.setdefault((bar.contract_id, bar.timeframe), []).append((run, bar))
        return found
