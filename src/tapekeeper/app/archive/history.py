"""One reading of everything there is: the archive's files, and what the journal has behind them.

The tiers meet at a place of the journal and not at a time. What is in the archive came of the
segments up to one; the rest is made of those behind it, by the same repetition from the state that
the archive was left with. So nothing is in both, and nothing in neither, whatever stamps it bears.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Literal, overload

import polars as pl
from polars.io.plugins import register_io_source

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.cold import ColdFiles
from tapekeeper.app.archive.compaction import default_archive, read_manifest, state_of
from tapekeeper.app.archive.disk import ArchiveDisk
from tapekeeper.app.archive.harvest import stored_bars
from tapekeeper.app.archive.layout import BARS, BARS_SCHEMA, MANIFEST, TRADES
from tapekeeper.app.archive.manifest import Manifest, Part
from tapekeeper.app.archive.rerunning import segments_of
from tapekeeper.app.archive.warm import Hot, Warm
from tapekeeper.app.frames import SCHEMA
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.model.bar import Bar, BarState, Completeness
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
"""Columns of a frame of bars: those of `SCHEMA`, and the run that made the bar: of runs that went
on from each other the first."""

_WORTH = {
    str(Completeness.COMPLETE): 4,
    str(Completeness.QUIET): 4,
    str(Completeness.BACKFILLED): 3,
    str(Completeness.GAP): 2,
    str(Completeness.PARTIAL_START): 1,
}
"""Of two runs' bars of one interval the one that knows itself to be more complete is given."""

KEEP_BYTES = 128_000_000
"""Memory that is kept between two readings, of all that they keep."""

TRIES = 8
"""Readings after which a disk that changes under each of them is not asked again."""

_STORED_AS = {"ts_recv": ("delay_ns",), "seq": ("seq_step",), "contract_id": ()}
"""What a column of a frame is made of, where the files have no such column."""

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
        lazy: give a frame that reads when it is collected, and then what there is by that time.
            What is filtered and chosen of it is left out before it is read.
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
    return source.scan(contract, wanted) if lazy else source.read(contract, wanted)


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

    def stored(self) -> list[str]:
        """The columns of files that are needed."""
        if self.timeframe:
            return list(BARS_SCHEMA)
        needed = {"ts_event"}
        for name in self.columns:
            needed.update(_STORED_AS.get(name, (name,)))
        return sorted(needed)

    def holds(self, part: Part) -> bool:
        """Whether every row of a file is in the time that is asked for."""
        return (self.from_ns is None or part.min_ns >= self.from_ns) and (
            self.to_ns is None or part.max_ns < self.to_ns
        )

    def wants(self, part: Part, contract_id: str) -> bool:
        """Whether a file may have a row that is asked for."""
        return (
            part.contract_id == contract_id
            and part.kind == (BARS if self.timeframe else TRADES)
            and part.timeframe == self.timeframe
            and (self.from_ns is None or part.max_ns >= self.from_ns)
            and (self.to_ns is None or part.min_ns < self.to_ns)
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """What is there of a contract at a moment.

    Attributes:
        instrument: the contract.
        parts: files that may have what is wanted.
        trades: what the journal has behind them; None where bars are wanted.
        bars: the same.
        hot: what a tape has in memory, if it goes on from there.
        hot_behind: prints of the tape's run that archive and journal gave.
        hot_parts: files that may have some of the prints that are in memory, too.
    """

    instrument: Instrument
    parts: list[Part]
    trades: pl.DataFrame | None
    bars: list[tuple[int, Bar]]
    hot: Hot | None = None
    hot_behind: int = 0
    hot_parts: tuple[Part, ...] = ()


class Archive:
    """A journal and its archive, for reading; see `read_history`.

    What was read of the files, and what the journal has behind them, is kept between two readings,
    within a limit on the memory of both.

    It may be asked from several threads.

    Args:
        files: of the journal.
        archive: folder of the archive.
        keep_bytes: of memory that may be kept between two readings; what is beyond it is read
            again.
    """

    def __init__(self, files: Files, archive: Path, *, keep_bytes: int = KEEP_BYTES) -> None:
        self._files = files
        self._disk = ArchiveDisk(archive)
        self._turn = Lock()
        self._keep_bytes = keep_bytes
        self._stamp: object = self  # of no manifest
        self._manifest = Manifest()
        self._cold = ColdFiles(self._disk)
        self._warm: Warm | None = None
        self._warm_bytes = 0
        self._lets_go = False
        self._problems: list[str] = []

    def limit(self, keep_bytes: int) -> None:
        """Keep at most so much between two readings from now on; at once, as `shrink`."""
        self._keep_bytes = keep_bytes
        if self.held_bytes > keep_bytes:
            self.shrink(self.held_bytes - keep_bytes)

    def read(self, contract: str, wanted: HistoryQuery, hot: Hot | None = None) -> pl.DataFrame:
        """What is asked for of a contract.

        Args:
            contract: an id, a name or a product.
            wanted: what is asked for.
            hot: the latest prints, where somebody has them in memory: nothing that is there is
                made of the journal.

        Raises:
            UnreadableSourceError: there is neither a journal nor an archive, or one is damaged.
            UnknownContractError: no contract, or more than one, matches.
        """
        return self._collected(contract, wanted, hot)

    def scan(self, contract: str, wanted: HistoryQuery, hot: Hot | None = None) -> pl.LazyFrame:
        """The same, to be read when it is collected; see `read_history`.

        It is read anew at each collection, so that it needs no file that was merged meanwhile.

        Raises:
            As `read`.
        """
        with self._turn:
            contract_id = self._find(contract, wanted, hot).instrument.contract_id

        def rows(
            columns: list[str] | None, chosen: pl.Expr | None, rows_max: int | None, _batch: object
        ) -> Iterator[pl.DataFrame]:
            asked = wanted if columns is None else replace(wanted, columns=tuple(columns))
            if chosen is None and rows_max is None:
                yield self._collected(contract_id, asked, hot)
                return

            def narrowed(found: pl.LazyFrame) -> pl.LazyFrame:
                found = found if chosen is None else found.filter(chosen)
                found = found if columns is None else found.select(columns)
                return found if rows_max is None else found.head(rows_max)

            yield self._collected(contract_id, wanted, hot, narrowed)

        there = HISTORY_BARS if wanted.timeframe else HISTORY_TRADES
        schema = {name: there[name] for name in wanted.columns}
        return register_io_source(rows, schema=schema, explain_name="tapekeeper history")

    @property
    def problems(self) -> list[str]:
        """What the last reading could not read of the journal, one sentence each."""
        return [*self._manifest.problems, *self._problems]

    @property
    def held_bytes(self) -> int:
        """Memory that is kept between two readings."""
        return self._warm_bytes + self._cold.bytes

    def shrink(self, bytes_wanted: int) -> int:
        """Give memory back, at once and from any thread; what is read next takes longer for it.

        Files go before what was made of the journal, which costs more to make again. While a
        reading goes on, what was made of the journal goes at its end.

        Returns:
            The bytes that are gone by now.
        """
        gone = self._cold.shrink_to(self._cold.bytes - bytes_wanted)
        if gone >= bytes_wanted:
            return gone
        if not self._turn.acquire(blocking=False):
            self._lets_go = True
            return gone
        try:
            return gone + self._forget()
        finally:
            self._turn.release()

    def _forget(self) -> int:
        gone, self._warm_bytes, self._warm, self._lets_go = self._warm_bytes, 0, None, False
        return gone

    def _collected(
        self,
        contract: str,
        wanted: HistoryQuery,
        hot: Hot | None,
        narrowed: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None,
    ) -> pl.DataFrame:
        for _ in range(TRIES):
            with self._turn:
                found = self._find(contract, wanted, hot)
                stamp = self._stamp
                room = self._keep_bytes - self._warm_bytes
            # Nothing of polars runs while the turn is held: its threads may be those that wait
            # for the turn.
            try:
                if narrowed is not None:
                    return narrowed(self._rows(found, wanted)).collect()
                whole = [part for part in found.parts if wanted.holds(part)]
                self._cold.load(whole, wanted.stored(), room)
                return self._rows(found, wanted).collect()
            except FileNotFoundError as error:
                if self._disk.stamp(MANIFEST) == stamp:
                    raise UnreadableSourceError(
                        f"a file of the archive is gone: {error}"
                    ) from error
                # It was merged into another one between the two.
            finally:
                self._bound()
        raise UnreadableSourceError(f"{self._disk.root} changes faster than it can be read")

    def _bound(self) -> None:
        """Keep what was kept within its limit."""
        with self._turn:
            if self._lets_go or self._warm_bytes > self._keep_bytes:
                self._forget()
            self._cold.shrink_to(self._keep_bytes - self._warm_bytes)

    def _find(self, contract: str, wanted: HistoryQuery, hot: Hot | None) -> _Found:
        hot = None if wanted.timeframe else hot
        warm = self._refreshed(hot)
        instrument = match_contract(contract, self._known(warm, hot))
        contract_id = instrument.contract_id
        if hot is not None and hot.contract_id != contract_id:
            return self._find(contract_id, wanted, None)
        parts = [part for part in self._manifest.parts if wanted.wants(part, contract_id)]
        if wanted.timeframe:
            return _Found(instrument, parts, None, warm.bars(contract_id, wanted.timeframe))
        trades = warm.trades(contract_id)
        if hot is None:
            return _Found(instrument, parts, trades, [])
        rows = warm.rows(hot)
        both = HistoryQuery(wanted.timeframe, *_bounds_of(hot.frames(rows)[0]), ("seq",))
        shared = [part for part in self._manifest.parts if both.wants(part, contract_id)]
        return _Found(instrument, parts, trades, [], hot, rows, tuple(shared))

    def _known(self, warm: Warm, hot: Hot | None) -> list[Instrument]:
        known = {each.contract_id: each for each in self._manifest.instruments}
        known |= {each.contract_id: each for each in warm.instruments()}
        known |= {each.contract_id: each for each in (() if hot is None else hot.instruments)}
        return list(known.values())

    def _refreshed(self, hot: Hot | None) -> Warm:
        """What the journal has behind the archive, of one moment with the manifest.

        Archiving goes on meanwhile, and what it has confirmed may be removed at once: where
        something is not there, and the archive has changed, it is in the archive by now.
        """
        for _ in range(TRIES):
            self._stamp, before = self._disk.stamp(MANIFEST), self._stamp
            if self._stamp != before:
                self._manifest, through = read_manifest(self._disk), self._manifest.through_segment
                self._cold.keep_only(self._manifest.parts)
                if self._manifest.through_segment != through:
                    self._forget()
            try:
                warm = self._warm or self._begun()
                warm.refresh(hot)
            except UnreadableSourceError:
                if self._disk.stamp(MANIFEST) == self._stamp:
                    raise
                self._forget()
                continue
            if warm.is_cut and self._disk.stamp(MANIFEST) != self._stamp:
                self._forget()
                continue
            self._warm, self._warm_bytes = warm, warm.bytes
            self._problems = warm.problems
            return warm
        raise UnreadableSourceError(f"{self._disk.root} changes faster than it can be read")

    def _begun(self) -> Warm:
        manifest = self._manifest
        if not manifest.parts and not segments_of(self._files):
            raise UnreadableSourceError(f"there is no journal in {self._files}")
        state, note = state_of(self._disk, self._files, manifest)
        size = 0 if manifest.carry is None else self._disk.size(manifest.carry.path)
        return Warm(self._files, manifest.through_segment, state, size, is_cut=bool(note))

    def _hot(self, found: _Found) -> list[pl.DataFrame]:
        """What is in memory and in no other tier.

        By arrival numbers where the two meet, for there they may be in another order.
        """
        if found.hot is None or found.trades is None:
            return []
        shared, behind = found.hot.frames(found.hot_behind)
        if shared.height:
            numbers = [
                _as_trades(frame, ("seq", "run"))
                for frame in self._cold.scan(found.hot_parts, ("seq_step", "run"))
            ]
            given = pl.concat([*numbers, found.trades.lazy().select("seq", "run")]).filter(
                run=found.hot.run
            )
            shared = shared.filter(~pl.col("seq").is_in(given.collect()["seq"].implode()))
        return [shared, behind]

    def _rows(self, found: _Found, wanted: HistoryQuery) -> pl.LazyFrame:
        contract_id = found.instrument.contract_id
        frames = self._cold.scan(found.parts, wanted.stored())
        if found.trades is None:
            rows = [*frames, stored_bars(found.bars).lazy()]
            made = _bars(pl.concat(rows).filter(wanted.within()), found.instrument)
            return made.select(wanted.columns)
        # The steps of arrival numbers are added up file by file, before rows are left out.
        columns = [name for name in wanted.columns if name != "contract_id"]
        chosen = list(dict.fromkeys(["ts_event", *columns]))
        rows = [
            *(_as_trades(frame, chosen) for frame in frames),
            found.trades.lazy().select(chosen),
            *(frame.lazy().select(chosen) for frame in self._hot(found)),
        ]
        trades = pl.concat(rows).filter(wanted.within()).sort("ts_event", maintain_order=True)
        return trades.with_columns(contract_id=pl.lit(contract_id)).select(wanted.columns)


def _bounds_of(rows: pl.DataFrame) -> tuple[int | None, int | None]:
    """The times that some rows are in, half-open; no time where there is none."""
    if not rows.height:
        return 0, 0
    low, high = rows.select(low=pl.col("ts_event").min(), high=pl.col("ts_event").max()).row(0)
    return low, high + 1


_MADE = {
    "ts_recv": pl.col("ts_event") + pl.col("delay_ns"),
    "seq": pl.col("seq_step").cum_sum(),
}


def _as_trades(rows: pl.LazyFrame, columns: Iterable[str]) -> pl.LazyFrame:
    """Rows of a file in columns of `TradeColumns`."""
    return rows.select(_MADE.get(name, pl.col(name)).alias(name) for name in columns)


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
