"""One reading of everything there is: the archive's files, and what the journal has behind them.

The tiers meet at a place of the journal and not at a time. What is in the archive came of the
segments up to one; the rest is made of those behind it, by the same repetition from the state that
the archive was left with. So nothing is in both, and nothing in neither, whatever stamps it bears.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, overload

import polars as pl

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import default_archive, read_manifest, state_of
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.harvest import Harvest, TradeColumns, stored_bars
from tapekeeper.app.archive.layout import BARS, TRADES
from tapekeeper.app.archive.manifest import Manifest, Part
from tapekeeper.app.archive.rerunning import Continued, Stretch, segments_of
from tapekeeper.app.frames import SCHEMA
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.core.journal import Position
from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.model.bar import BarState, Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, size_of
from tapekeeper.ports import Files

When = int | dt.datetime | dt.date | None
"""A time: ns since 1970-01-01T00:00Z, an aware datetime, or a date, whose midnight in UTC it is."""

HISTORY_TRADES: dict[str, type[pl.DataType]] = {
    "contract_id": pl.String,
    "ts_event": pl.Int64,
    "price": pl.Float64,
    "size": pl.Int64,
    "side": pl.Int8,
    "ts_recv": pl.Int64,
    "seq": pl.Int64,
    "run": pl.Int32,
}
"""Columns of a frame of trades. Times are ns since 1970-01-01T00:00Z; `seq` counts arrivals within
a run, which is named by its first segment."""

HISTORY_BARS = {**SCHEMA, "run": pl.Int32}
"""Columns of a frame of bars: those of `SCHEMA`, and the run that made the bar."""

_WORTH = {
    str(Completeness.COMPLETE): 4,
    str(Completeness.QUIET): 4,
    str(Completeness.BACKFILLED): 3,
    str(Completeness.GAP): 2,
    str(Completeness.PARTIAL_START): 1,
}
"""Of two runs' bars of one interval the one that knows itself to be more complete is given."""

KEEP_ROWS = 2_000_000
"""Some 100 MB of memory."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@overload
def read_history(
    journal: Path | str,
    contract: str,
    timeframe: str | BarSize,
    start: When = ...,
    end: When = ...,
    *,
    columns: Iterable[str] | None = ...,
    lazy: Literal[False] = ...,
    archive: Path | None = ...,
) -> pl.DataFrame: ...
@overload
def read_history(
    journal: Path | str,
    contract: str,
    timeframe: str | BarSize,
    start: When = ...,
    end: When = ...,
    *,
    columns: Iterable[str] | None = ...,
    lazy: Literal[True],
    archive: Path | None = ...,
) -> pl.LazyFrame: ...
def read_history(
    journal: Path | str,
    contract: str,
    timeframe: str | BarSize,
    start: When = None,
    end: When = None,
    *,
    columns: Iterable[str] | None = None,
    lazy: bool = False,
    archive: Path | None = None,
) -> pl.DataFrame | pl.LazyFrame:
    """Everything that a journal and its archive have of a contract, also while they are written.

    Args:
        journal: folder of the journal; of one that has been removed, the archive's is enough.
        contract: a contract id, a name or a product, as in `tapekeeper bars`.
        timeframe: which bars, or "trades" for the accepted prints.
        start: the first event time, of bars their open; None for no bound.
        end: the first one that is no more wanted; None for no bound.
        columns: of `HISTORY_TRADES` or `HISTORY_BARS`; None for all.
        lazy: give a frame that reads its files when it is collected. The journal's part is read
            at once, and the archive must not be moved meanwhile.
        archive: folder of the archive; None is `archive` within the journal's.

    Returns:
        Trades in order of event time, and of arrival where that is equal; or closed bars by open
        and ordinal, each with its latest revision.

    Raises:
        UnreadableSourceError: there is neither a journal nor an archive, or a file is damaged.
        UnknownContractError: no contract, or more than one, matches.
        UsageError: there is no such column, or no such timeframe.
    """
    wanted = HistoryQuery.of(timeframe, start, end, columns)
    folder = Path(journal)
    source = Archive(FolderFiles(folder), archive or default_archive(folder))
    frame = source.read(contract, wanted)
    return frame if lazy else frame.collect()


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked for, checked.

    Attributes:
        timeframe: which bars; "" for trades.
        from_ns, to_ns: event time, ns UTC, half-open; None for no bound.
        columns: in the order asked for.
    """

    timeframe: str
    from_ns: int | None
    to_ns: int | None
    columns: tuple[str, ...]

    @classmethod
    def of(
        cls,
        timeframe: str | BarSize,
        start: When = None,
        end: When = None,
        columns: Iterable[str] | None = None,
    ) -> HistoryQuery:
        """Check what a caller asks for.

        Raises:
            UsageError: there is no such column or timeframe, or a time is without a zone.
        """
        of_trades = timeframe == TRADES
        there = HISTORY_TRADES if of_trades else HISTORY_BARS
        chosen = tuple(there if columns is None else dict.fromkeys(columns))
        unknown = [name for name in chosen if name not in there]
        if unknown or not chosen:
            raise UsageError(
                f"there is no column {', '.join(unknown) or 'chosen'}: known are {', '.join(there)}"
            )
        name = "" if of_trades else str(size_of(timeframe))
        return cls(name, _when_ns(start), _when_ns(end), chosen)

    @property
    def stamps(self) -> str:
        """The column of event times."""
        return "ts_open" if self.timeframe else "ts_event"

    def within(self) -> pl.Expr:
        """Whether a row is in the time that is asked for."""
        is_in = pl.lit(value=True)
        if self.from_ns is not None:
            is_in &= pl.col(self.stamps) >= self.from_ns
        if self.to_ns is not None:
            is_in &= pl.col(self.stamps) < self.to_ns
        return is_in

    def wants(self, part: Part, contract_id: str) -> bool:
        """Whether a file may have a row that is asked for."""
        return (
            part.contract_id == contract_id
            and part.kind == (BARS if self.timeframe else TRADES)
            and part.timeframe == self.timeframe
            and (self.from_ns is None or part.max_ns >= self.from_ns)
            and (self.to_ns is None or part.min_ns < self.to_ns)
        )


class Archive:
    """A journal and its archive, for reading; see `read_history`.

    What the journal has behind the archive is kept between two readings and only gone on with.

    It may be asked from several threads.

    Args:
        files: of the journal.
        archive: folder of the archive.
        keep_rows: prints and bars that may be kept between two readings; beyond it they are read
            again.
    """

    def __init__(self, files: Files, archive: Path, *, keep_rows: int = KEEP_ROWS) -> None:
        self._files = files
        self._disk = ArchiveDisk(archive)
        self._turn = Lock()
        self._keep_rows = keep_rows
        self._manifest = Manifest()
        self._warm: _Warm | None = None
        self._problems: list[str] = []

    def read(self, contract: str, wanted: HistoryQuery) -> pl.LazyFrame:
        """What is asked for of a contract.

        Raises:
            UnreadableSourceError: there is neither a journal nor an archive, or one is damaged.
            UnknownContractError: no contract, or more than one, matches.
        """
        with self._turn:
            return self._read(contract, wanted)

    def _read(self, contract: str, wanted: HistoryQuery) -> pl.LazyFrame:
        warm = self._refreshed()
        known = {each.contract_id: each for each in self._manifest.instruments}
        known |= {each.contract_id: each for each in warm.instruments()}
        instrument = match_contract(contract, list(known.values()))
        contract_id = instrument.contract_id
        parts = [part for part in self._manifest.parts if wanted.wants(part, contract_id)]
        frames = [] if not parts else self._cold(parts, wanted)
        frames.append(warm.frame(contract_id, wanted).lazy().filter(wanted.within()))
        if warm.rows > self._keep_rows:
            self._warm = None
        if wanted.timeframe:
            return _bars(pl.concat(frames), instrument).select(wanted.columns)
        trades = pl.concat(frames).sort("ts_event", maintain_order=True)
        return trades.with_columns(contract_id=pl.lit(contract_id)).select(wanted.columns)

    @property
    def problems(self) -> list[str]:
        """What the last reading could not read of the journal, one sentence each."""
        return [*self._manifest.problems, *self._problems]

    def _refreshed(self) -> _Warm:
        manifest = read_manifest(self._disk)
        warm = self._warm
        if warm is None or manifest.through_segment != self._manifest.through_segment:
            if not manifest.parts and not segments_of(self._files):
                raise UnreadableSourceError(f"there is no journal in {self._files}")
            state, _ = state_of(self._disk, self._files, manifest)
            warm = _Warm(self._files, manifest.through_segment, state)
        self._manifest = manifest
        self._warm = warm
        warm.refresh()
        self._problems = warm.problems
        return warm

    def _cold(self, parts: list[Part], wanted: HistoryQuery) -> list[pl.LazyFrame]:
        paths = [self._disk.path(part.path) for part in parts]
        if wanted.timeframe or "seq" not in wanted.columns:
            rows = pl.scan_parquet(paths, hive_partitioning=False)
            if wanted.timeframe:
                return [rows.filter(wanted.within())]
            return [_as_trades(rows.filter(wanted.within()), pl.lit(0, pl.Int64))]
        # The steps of arrival numbers are added up file by file, before rows are left out.
        number = pl.col("seq_step").cum_sum()
        return [
            _as_trades(pl.scan_parquet(path, hive_partitioning=False), number).filter(
                wanted.within()
            )
            for path in paths
        ]


class _Warm:
    """What the journal makes behind its archive, as far as it has been read."""

    def __init__(self, files: Files, after: int, state: Continued) -> None:
        self._files = files
        self._state = state
        self._harvest = Harvest()
        self._behind = Position(after + 1, 0)
        self._instruments: dict[str, Instrument] = {}
        self.problems: list[str] = []
        self.refresh_instruments()

    @property
    def rows(self) -> int:
        return self._harvest.rows

    def instruments(self) -> list[Instrument]:
        return list(self._instruments.values())

    def refresh_instruments(self) -> None:
        for each in self._state.pipeline.instruments():
            self._instruments[each.contract_id] = each

    def refresh(self) -> None:
        """Go on to the journal's present end."""
        numbers = segments_of(self._files)
        if not numbers or numbers[-1] < self._behind.segment:
            return
        stretch = Stretch(self._files, self._behind.segment - 1, numbers[-1])
        later = stretch.told_later()
        for read in stretch:
            if read.behind <= self._behind:
                continue
            self._behind = read.behind
            if read.run != self._state.run:
                self.refresh_instruments()
            self._state.enter(read, later, self._harvest.take)
            self._state.take(read.entry, self._harvest.take)
        self.refresh_instruments()
        self.problems = [str(each) for each in stretch.problems if not each.expected]

    def frame(self, contract_id: str, wanted: HistoryQuery) -> pl.DataFrame:
        """Rows of a contract, as the files have them."""
        if wanted.timeframe:
            return stored_bars(self._harvest.bars().get((contract_id, wanted.timeframe), ()))
        columns = self._harvest.trades.get(contract_id, TradeColumns())
        return columns.frame()


def _as_trades(rows: pl.LazyFrame, number: pl.Expr) -> pl.LazyFrame:
    """Rows of files in the columns of `TradeColumns`."""
    return rows.select(
        "ts_event",
        "price",
        "size",
        "side",
        ts_recv=pl.col("ts_event") + pl.col("delay_ns"),
        seq=number,
        run="run",
    )


def _bars(rows: pl.LazyFrame, instrument: Instrument) -> pl.LazyFrame:
    """One row a bar: of each run its latest revision, and of several runs the most complete."""
    key = ["ts_open", "ordinal"]
    forming = pl.col("state") == str(BarState.FORMING)
    worth = pl.col("completeness").replace_strict(_WORTH, default=0, return_dtype=pl.Int8)
    return (
        rows.sort([*key, "run", "revision"], maintain_order=True)
        .unique([*key, "run"], keep="last", maintain_order=True)
        .with_columns(_worth=pl.when(forming).then(0).otherwise(worth))
        .sort([*key, "_worth", "run"], maintain_order=True)
        .unique(key, keep="last", maintain_order=True)
        .with_columns(symbol=pl.lit(instrument.name), contract_id=pl.lit(instrument.contract_id))
    )


def _when_ns(when: When) -> int | None:
    if when is None or isinstance(when, int):
        return when
    if not isinstance(when, dt.datetime):
        when = dt.datetime.combine(when, dt.time(), dt.UTC)
    if when.tzinfo is None:
        raise UsageError(f"the time {when} has no time zone: give it one, such as UTC")
    return (when - _EPOCH) // dt.timedelta(microseconds=1) * 1_000
