"""Replaying what was recorded: a journal folder, a Parquet file of trades, or wire frames."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import polars as pl

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.config import DEFAULT_TIMEFRAMES
from tapekeeper.app.frames import QuoteColumns
from tapekeeper.core.calendar import BY_PRODUCT, Calendar, calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import (
    Rerun,
    absence_told,
    continuation_told,
    ended_by,
    readmitted_later,
)
from tapekeeper.core.validate import EARLIEST_NS
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.audit import AuditTally
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import BookSnapshot
from tapekeeper.model.gap import Gap
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, parse_size, size_order
from tapekeeper.model.snapshot import TickCounts, VolumeCheck
from tapekeeper.model.tick import Side, Trade, TradeBatch
from tapekeeper.runtime.journal_reader import JournalReader

TRADE_COLUMNS = ("ts_event", "price", "size", "side", "symbol")
"""Columns a trades Parquet must have; `seq` and `ts_recv` are used where they are there."""
ROWS_PER_STEP = 65_536
ENTRIES_PER_REPORT = 4_096

Progress = Callable[[int, int], None]
"""Called now and then with (done, total); the unit depends on the source."""


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """How to replay.

    Attributes:
        timeframes: None means those a journal was recorded with, else `DEFAULT_TIMEFRAMES`.
        calendar: of sources that do not name one: Parquet and wire files.
        by_product: whether such a source's contracts have their products' own calendars, as far as
            they are known.
        tick_size: of contracts whose tick size the source does not know; None checks no grid.
        tick_value: the money that a tick of them is worth; None means that it is not known.
        keep_quotes: whether the result has every accepted quote.
    """

    calendar: Calendar
    timeframes: tuple[BarSize, ...] | None = None
    tick_size: float | None = None
    tick_value: float | None = None
    keep_quotes: bool = False
    by_product: bool = False


@dataclass(slots=True)
class ReplayResult:
    """What a replay made.

    Attributes:
        bars: by timeframe, shortest first, then by measure; sorted by contract, open and
            ordinal. The last bars of a contract may still be forming.
        symbols: short name of each contract id.
        trades, quotes: what became of the ticks.
        checks: the volume identity of every contract and timeframe.
        rejected: quarantined ticks by reason.
        depth: what became of the rows of depth.
        audit: of every contract, whether its prints account for the volume that its quotes tell;
            of the latest run.
        books: the order books at the end, by contract; of the latest run that had one.
        quote_rows: every accepted quote, in order of arrival, if that was asked for.
        calendars: the session calendar by contract id; of the latest run.
        problems: what could not be read, one sentence each; the rest was.
        harmless: what is normal after a crash, one sentence each.
    """

    bars: dict[str, list[Bar]]
    symbols: dict[str, str]
    trades: TickCounts
    quotes: TickCounts
    checks: list[VolumeCheck]
    rejected: dict[str, int]
    depth: TickCounts = field(default_factory=TickCounts)
    books: dict[str, BookSnapshot] = field(default_factory=dict)
    audit: tuple[AuditTally, ...] = ()
    quote_rows: QuoteColumns | None = None
    calendars: dict[str, Calendar] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    harmless: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether both identities of the design hold."""
        counts = (self.trades, self.quotes, self.depth)
        return all(each.holds for each in counts) and all(each.holds for each in self.checks)


def replay(
    source: Path, options: ReplayOptions, progress: Progress = lambda _done, _total: None
) -> ReplayResult:
    """Replay `source` through the same stages as live.

    Each run of a journal makes the bars that it made live. One that went on with the state of the
    run before goes on with its bars, too. Where one began with nothing within a bar of the run
    before, both have a bar of that interval: the first is still forming.

    Raises:
        UnreadableSourceError: it is absent, or is not one of the three kinds, or is damaged in
            a way that leaves nothing to keep.
        UsageError: a measure is wanted of a contract of which its ticks are not known.
    """
    if not source.exists():
        raise UnreadableSourceError(f"there is no file or folder {source}")
    if source.is_dir():
        return _replay_journal(source, options, progress)
    if source.name.endswith((".jsonl.gz", ".jsonl")):
        return _replay_wire(source, options, progress)
    if source.suffix == ".parquet":
        return _replay_parquet(source, options, progress)
    raise UnreadableSourceError(
        f"cannot tell what {source} is: give a journal folder, a .parquet file of trades, "
        "or a .jsonl.gz file of frames"
    )


class _Collector:
    """Gathers the last word on every closed bar, and quotes where they are wanted.

    Args:
        pipeline: makes the bars.
        quotes: takes every quote; None leaves them out.
        timeframes: only these are gathered; None gathers all that are made.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        quotes: QuoteColumns | None = None,
        timeframes: Iterable[BarSize] | None = None,
    ) -> None:
        self.pipeline = pipeline
        self._bars = RecentBars()
        self._quotes = quotes
        self._wanted = None if timeframes is None else frozenset(map(str, timeframes))

    def _of_wanted(self, bars: Iterable[Bar]) -> Iterator[Bar]:
        return (bar for bar in bars if self._wanted is None or bar.timeframe in self._wanted)

    def take(self, outputs: Iterable[Outputs]) -> None:
        for each in outputs:
            self._bars.add(self._of_wanted(each.closed))
            if self._quotes is not None:
                self._quotes.add(each.quotes)

    def contract_ids(self) -> list[str]:
        return [each.contract_id for each in self.pipeline.instruments()]

    def result(
        self, calendars: Mapping[str, Calendar], absences: Iterable[Gap] = ()
    ) -> ReplayResult:
        """What there is of a run that is over, with what later runs told of the time behind it."""
        self.take([self.pipeline.release()])
        self.take(ended_by(self.pipeline, absences))
        forming = self._of_wanted(self.pipeline.forming_all())
        result = result_of(self.pipeline, [*self._bars.all(), *forming])
        if self._wanted is not None:
            result.checks = [each for each in result.checks if each.timeframe in self._wanted]
        result.quote_rows = self._quotes
        result.calendars = dict(calendars)
        return result


def result_of(pipeline: Pipeline, bars: Iterable[Bar]) -> ReplayResult:
    """The counts of `pipeline` with `bars` in the order in which results have them."""
    return ReplayResult(
        bars=_ordered(bars),
        symbols={each.contract_id: each.name for each in pipeline.instruments()},
        trades=pipeline.trade_counts(),
        quotes=pipeline.quote_counts(),
        checks=pipeline.checks(),
        rejected=pipeline.reasons(),
        depth=pipeline.depth.counts(),
        books=_books_of(pipeline),
        audit=pipeline.audit.tallies(),
    )


def _books_of(pipeline: Pipeline) -> dict[str, BookSnapshot]:
    books = (
        (one.contract_id, pipeline.depth.book(one.contract_id)) for one in pipeline.instruments()
    )
    return {contract_id: book for contract_id, book in books if book is not None}


def _ordered(bars: Iterable[Bar]) -> dict[str, list[Bar]]:
    by_timeframe: dict[str, list[Bar]] = {}
    for bar in bars:
        by_timeframe.setdefault(bar.timeframe, []).append(bar)
    return {
        name: sorted(by_timeframe[name], key=_place)
        for name in sorted(by_timeframe, key=lambda name: size_order(parse_size(name)))
    }


def _place(bar: Bar) -> tuple[str, int, int]:
    return bar.contract_id, bar.ts_open, bar.ordinal


def _replay_journal(folder: Path, options: ReplayOptions, progress: Progress) -> ReplayResult:
    reader = JournalReader(FolderFiles(folder))
    results: list[ReplayResult] = []
    run = reader.run
    # A scan of its own: a print is let in where it was set aside, and what says so stands behind
    # its run. In one pass each such run would have to be replayed again and what was made of it be
    # taken back; the scan decodes no frame and takes a thousandth of the time of a replay.
    later = told_later(folder)
    # The grace is in the recorded timer entries; nothing here closes a bar by a clock of its own.
    quotes = QuoteColumns() if options.keep_quotes else None
    collector = _Collector(Pipeline(grace_ns=0), quotes, options.timeframes)
    rerun = Rerun(collector.pipeline, timeframes=options.timeframes or ())
    for number, entry in enumerate(reader):
        if reader.run != run and run and continuation_told(entry) is not None:
            run = reader.run
            rerun.pardon(later.pardons.get(run, ()))
        elif reader.run != run:
            # It began with nothing, so what it made is not to be had from what the one before it
            # left: prints would be late that were not, bars whole that were in halves.
            results.append(collector.result(rerun.calendars, later.absences_behind(run)))
            run = reader.run
            collector = _Collector(Pipeline(grace_ns=0), quotes, options.timeframes)
            rerun = Rerun(
                collector.pipeline,
                timeframes=options.timeframes or (),
                pardons=later.pardons.get(run, ()),
            )
        collector.take(rerun.take(entry))
        if number % ENTRIES_PER_REPORT == 0:
            progress(reader.progress.bytes_read, reader.progress.bytes_total)
    progress(reader.progress.bytes_total, reader.progress.bytes_total)
    result = _joined([*results, collector.result(rerun.calendars)])
    for problem in reader.problems:
        (result.harmless if problem.expected else result.problems).append(str(problem))
    return result


def readmissions(folder: Path) -> dict[int, list[Trade]]:
    """The prints that were let in when their run was over, by the run's first segment.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    return told_later(folder).pardons


@dataclass(frozen=True, slots=True)
class Later:
    """What a journal says of runs when they are over.

    Attributes:
        pardons: the prints that were let in, by the run's first segment.
        absences: the last word on each time without a process, by the run that told it.
    """

    pardons: dict[int, list[Trade]]
    absences: dict[int, dict[int, Gap]]

    def absences_behind(self, run: int) -> list[Gap]:
        """Those that runs after this one told of, by number; the last word counts."""
        found: dict[int, Gap] = {}
        for number in sorted(self.absences):
            if number > run:
                found |= self.absences[number]
        return [found[gap_id] for gap_id in sorted(found)]


def told_later(folder: Path) -> Later:
    """Look a journal through for what it says of runs that are over; decodes no frame.

    Raises:
        UnreadableSourceError: there is no journal.
    """
    later = Later({}, {})
    reader = JournalReader(FolderFiles(folder))
    for entry in reader:
        meta, gap = readmitted_later(entry), absence_told(entry)
        if meta is not None:
            later.pardons.setdefault(meta.run, []).append(meta.trade)
        if gap is not None:
            later.absences.setdefault(reader.run, {})[gap.gap_id] = gap
    return later


def _joined(runs: list[ReplayResult]) -> ReplayResult:
    """The bars of all runs side by side, with the sums of their counts."""
    checks: dict[tuple[str, str], VolumeCheck] = {}
    rejected: Counter[str] = Counter()
    symbols: dict[str, str] = {}
    books: dict[str, BookSnapshot] = {}
    calendars: dict[str, Calendar] = {}
    for run in runs:
        for check in run.checks:
            key = (check.contract_id, check.timeframe)
            checks[key] = _check_sum(checks[key], check) if key in checks else check
        rejected.update(run.rejected)
        symbols |= run.symbols
        books |= run.books
        calendars |= run.calendars
    return ReplayResult(
        bars=_ordered(bar for run in runs for bars in run.bars.values() for bar in bars),
        symbols=symbols,
        trades=_count_sum([run.trades for run in runs]),
        quotes=_count_sum([run.quotes for run in runs]),
        checks=list(checks.values()),
        rejected=dict(sorted(rejected.items())),
        depth=_count_sum([run.depth for run in runs]),
        books=books,
        audit=runs[-1].audit,
        quote_rows=runs[-1].quote_rows,
        calendars=calendars,
    )


def _count_sum(counts: list[TickCounts]) -> TickCounts:
    return TickCounts(
        received=sum(each.received for each in counts),
        accepted=sum(each.accepted for each in counts),
        duplicate=sum(each.duplicate for each in counts),
        quarantined=sum(each.quarantined for each in counts),
        shed=sum(each.shed for each in counts),
    )


def _check_sum(one: VolumeCheck, other: VolumeCheck) -> VolumeCheck:
    return VolumeCheck(
        one.contract_id,
        one.timeframe,
        bars=one.bars + other.bars,
        bar_volume=one.bar_volume + other.bar_volume,
        accepted_volume=one.accepted_volume + other.accepted_volume,
        backfilled_volume=one.backfilled_volume + other.backfilled_volume,
        backfilled_bars=one.backfilled_bars + other.backfilled_bars,
        forgotten_bars=one.forgotten_bars + other.forgotten_bars,
    )


# -- wire frames --------------------------------------------------------------------------------


class _WireLine(msgspec.Struct):
    """One line of a wire file: host receive time in ns UTC, and the frame's text."""

    t: int
    ws: str


def _replay_wire(path: Path, options: ReplayOptions, progress: Progress) -> ReplayResult:
    pipeline = Pipeline(grace_ns=0, discover=_discover(options))
    rerun = Rerun(pipeline)
    collector = _Collector(pipeline, QuoteColumns() if options.keep_quotes else None)
    problems: list[str] = []
    total = path.stat().st_size
    if path.suffix == ".gz" and total == 0:
        # The library takes it for a whole archive of nothing, but it is what a lost write leaves.
        _or_nothing(path, 0, "it is empty, and compressed data never is", problems)
    for number, (done, line) in enumerate(_wire_lines(path, problems)):
        entry = Entry(EntryKind.FRAME, 0, line.t, line.ws.encode())
        collector.take(rerun.take(entry))
        if number % ENTRIES_PER_REPORT == 0:
            progress(done, total)
    progress(total, total)
    discovered = {each: _calendar_of(options, each) for each in collector.contract_ids()}
    result = collector.result(discovered | rerun.calendars)
    result.problems.extend(problems)
    return result


def _wire_lines(path: Path, problems: list[str]) -> Iterator[tuple[int, _WireLine]]:
    decode = msgspec.json.Decoder(_WireLine).decode
    read = 0
    try:
        with path.open("rb") as raw:
            lines: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            for number, text in enumerate(lines, start=1):
                yield raw.tell(), decode(text)
                read = number
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        _or_nothing(path, read, f"its compressed data ends or breaks: {error}", problems)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _or_nothing(path, read, f"it is not a line of a wire file: {error}", problems)
    except OSError as error:
        raise UnreadableSourceError(f"cannot read {path}: {error.strerror or error}") from error


def _or_nothing(path: Path, read: int, why: str, problems: list[str]) -> None:
    if read < 1:
        raise UnreadableSourceError(f"{path} cannot be read: {why}")
    problems.append(f"{path}: {read} lines were read, then line {read + 1} could not be: {why}")


def _calendar_of(options: ReplayOptions, contract_id: str) -> Calendar:
    instrument = Instrument(contract_id, contract_id)
    names = (BY_PRODUCT.get(each.upper()) for each in (instrument.product, instrument.root))
    known = next((name for name in names if name is not None), None)
    return calendar_by_name(known) if options.by_product and known else options.calendar


def _discover(options: ReplayOptions) -> Callable[[str], Subscription]:
    timeframes = options.timeframes or DEFAULT_TIMEFRAMES

    def subscription(contract_id: str) -> Subscription:
        instrument = Instrument(
            contract_id,
            contract_id,
            tick_size=options.tick_size or 0.0,
            tick_value=options.tick_value or 0.0,
        )
        return Subscription(instrument, timeframes, _calendar_of(options, contract_id), depth=True)

    return subscription


# -- Parquet ------------------------------------------------------------------------------------


def _replay_parquet(path: Path, options: ReplayOptions, progress: Progress) -> ReplayResult:
    pipeline = Pipeline(grace_ns=0, discover=_discover(options))
    collector = _Collector(pipeline)
    try:
        rows = _trade_rows(path)
        for start in range(0, rows.height, ROWS_PER_STEP):
            part = rows.slice(start, ROWS_PER_STEP)
            for batch in _batches(part):
                pipeline.take_trades(batch)
            collector.take([pipeline.step()])
            progress(start + part.height, rows.height)
    except pl.exceptions.PolarsError as error:
        raise UnreadableSourceError(
            f"{path} is not a Parquet file that can be read: {_first_line(error)}"
        ) from error
    except OSError as error:
        raise UnreadableSourceError(f"cannot read {path}: {error.strerror or error}") from error
    return collector.result(
        {each: _calendar_of(options, each) for each in collector.contract_ids()}
    )


def _trade_rows(path: Path) -> pl.DataFrame:
    """The trades in order of arrival, with every column the batches need."""
    schema = pl.read_parquet_schema(path)
    missing = [name for name in TRADE_COLUMNS if name not in schema]
    if missing:
        raise UnreadableSourceError(
            f"{path} has no column {', '.join(missing)}: a file of trades has "
            f"{', '.join(TRADE_COLUMNS)} (and may have seq and ts_recv)"
        )
    _check_types(path, schema)
    rows = pl.read_parquet(path, columns=[*TRADE_COLUMNS, *_present(schema, "seq", "ts_recv")])
    if "seq" not in rows.columns:
        rows = rows.with_columns(seq=pl.int_range(pl.len(), dtype=pl.Int64))
    if "ts_recv" not in rows.columns:
        rows = rows.with_columns(ts_recv=pl.col("ts_event"))
    empty = [name for name in rows.columns if rows[name].null_count()]
    if empty:
        raise UnreadableSourceError(f"{path} has empty values in column {', '.join(empty)}")
    _check_values(path, rows)
    return rows if rows["seq"].is_sorted() else rows.sort("seq", maintain_order=True)


def _check_values(path: Path, rows: pl.DataFrame) -> None:
    """Refuse what is wrong as a whole; single bad rows are for validation."""
    sides = {int(side) for side in rows["side"].unique()}
    unknown = sides - {int(side) for side in Side}
    if unknown:
        raise UnreadableSourceError(
            f"{path} has side {min(unknown)}: it is 0 for buy, 1 for sell and -1 for unknown"
        )
    latest = rows["ts_event"].max()
    if isinstance(latest, int) and latest < EARLIEST_NS:
        raise UnreadableSourceError(
            f"{path} has no ts_event after the year 2000: times are nanoseconds since 1970, and "
            f"{latest} looks like another unit"
        )


def _check_types(path: Path, schema: Mapping[str, pl.DataType]) -> None:
    whole = ("ts_event", "size", "side", *_present(schema, "seq", "ts_recv"))
    wrong = [name for name in whole if not schema[name].is_integer()]
    wrong += [] if schema["price"].is_numeric() else ["price"]
    wrong += [] if schema["symbol"] in {pl.String, pl.Categorical} else ["symbol"]
    if wrong:
        raise UnreadableSourceError(
            f"{path} has the wrong type in column "
            + ", ".join(f"{name} ({schema[name]})" for name in wrong)
            + ": times (ns), size, side and seq are whole numbers, price a number, symbol a text"
        )


def _present(schema: Mapping[str, pl.DataType], *names: str) -> list[str]:
    return [name for name in names if name in schema]


def _batches(rows: pl.DataFrame) -> Iterator[TradeBatch]:
    groups = rows.partition_by("symbol", maintain_order=True) if rows.height else []
    for group in groups:
        yield TradeBatch(
            str(group["symbol"][0]),
            group["ts_event"].cast(pl.Int64).to_list(),
            group["price"].cast(pl.Float64).to_list(),
            group["size"].cast(pl.Int64).to_list(),
            group["side"].cast(pl.Int64).to_list(),
            group["ts_recv"].cast(pl.Int64).to_list(),
            group["seq"].cast(pl.Int64).to_list(),
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
