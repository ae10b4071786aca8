"""Continuous series of a product: one row a bar, each of one contract, with every roll told.

Made when it is read, out of the bars of single contracts; nothing of it is stored.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from tapekeeper.app.frames import SCHEMA, bars_frame
from tapekeeper.app.replay import ReplayOptions, ReplayResult, replay
from tapekeeper.core.calendar import DEFAULT_NAME, Calendar, calendar_by_name
from tapekeeper.core.continuous import (
    ExpiryRule,
    chain_of,
    contracts_of,
    expiry_of,
    front_bars,
    parse_expiry,
    parse_rule,
    rolls_of,
    segments_of,
    session_volumes,
    shifts_of,
    traded,
)
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import PRICE_SCALE, Bar
from tapekeeper.model.continuous import Adjustment, Roll, Segment
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, size_of, size_order, timeframes_of
from tapekeeper.model.timeframe import MINUTE_NS, Timeframe
from tapekeeper.runtime.feed import Feed

DAILY = Timeframe.parse("1d")
"""Bars of it say what was traded in a session."""
MEASURE = Timeframe.parse("1m")
"""Rolls are measured with bars of it, whatever timeframe is read, so that all agree."""

CONTINUOUS_SCHEMA = {**SCHEMA, "adjustment": pl.Float64}
"""Columns of every frame of a continuous series: those of a frame of bars, and what was added to
the prices of the row (`difference`) or what they were multiplied by (`ratio`); null where nothing
was done to them."""

ROLL_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "ts_roll": pl.Int64,
    "session": pl.Date,
    "symbol_from": pl.String,
    "symbol_to": pl.String,
    "difference": pl.Float64,
    "ratio": pl.Float64,
    "measured_timeframe": pl.String,
    "measured_ts_open": pl.Int64,
    "close_from": pl.Float64,
    "close_to": pl.Float64,
    "completeness_from": pl.String,
    "completeness_to": pl.String,
    "reason": pl.String,
    "contract_from": pl.String,
    "contract_to": pl.String,
}
"""Columns of a frame of rolls. Times are ns since 1970-01-01T00:00Z. What was measured is null
where it could not be, as the ratio is of prices that are not above 0."""


@dataclass(frozen=True, slots=True)
class Continuous:
    """A continuous series.

    Attributes:
        product: as it was asked for.
        timeframe: of the bars.
        rule: the roll rule, as it was asked for.
        adjust: what was done to the prices before each roll.
        bars: in order of time, adjusted; each is of one contract, and has its completeness, gap
            ids and revision. The last one may be forming.
        segments: which contract is the front one when, in order of time.
        rolls: the changes between them.
        symbols: short name by contract id.
        adjustments: by contract id, what was added to its prices or what they were multiplied
            by; contracts whose prices are as they were are not in it.
    """

    product: str
    timeframe: str
    rule: str
    adjust: Adjustment
    bars: tuple[Bar, ...]
    segments: tuple[Segment, ...]
    rolls: tuple[Roll, ...]
    symbols: Mapping[str, str]
    adjustments: Mapping[str, float]

    def frame(self, last: int = 0) -> pl.DataFrame:
        """One row a bar, with the columns of `CONTINUOUS_SCHEMA`; the `last` ones, 0 for all."""
        bars = self.bars[-last:] if last else self.bars
        applied = [self.adjustments.get(bar.contract_id) for bar in bars]
        column = pl.Series("adjustment", applied, pl.Float64)
        return bars_frame(bars, self.symbols).with_columns(column)

    def rolls_frame(self) -> pl.DataFrame:
        """One row a roll, with the columns of `ROLL_SCHEMA`."""
        rows = [
            {
                "ts_roll": roll.ts_roll,
                "session": roll.session,
                "symbol_from": self.symbols.get(roll.contract_from, roll.contract_from),
                "symbol_to": self.symbols.get(roll.contract_to, roll.contract_to),
                "difference": roll.difference,
                "ratio": roll.ratio,
                "measured_timeframe": roll.measured and roll.measured.timeframe,
                "measured_ts_open": roll.measured and roll.measured.ts_open,
                "close_from": roll.measured and roll.measured.close_from,
                "close_to": roll.measured and roll.measured.close_to,
                "completeness_from": roll.measured and str(roll.measured.completeness_from),
                "completeness_to": roll.measured and str(roll.measured.completeness_to),
                "reason": roll.reason,
                "contract_from": roll.contract_from,
                "contract_to": roll.contract_to,
            }
            for roll in self.rolls
        ]
        return pl.DataFrame(rows, schema=ROLL_SCHEMA, orient="row")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is wanted of a continuous series; validated before any work.

    Args and attributes:
        product: the exchange's symbol (`ES`), the gateway's code (`EP`) or the symbol id.
        timeframe: of the bars.
        roll: the rule: `volume`, `calendar:N` or `dates:YYYY-MM-DD=CONTRACT,...`.
        adjust: `none`, `difference` or `ratio`.
        last_trading_days: for `calendar:N`, by contract (id, name or month such as `H26`).
        expiries: for `calendar:N`, last trading days by product, as in `third last business day`.

    Raises:
        UsageError: one of them is none of what is allowed.
    """

    product: str
    timeframe: str | BarSize
    roll: str = "volume"
    adjust: str = "none"
    last_trading_days: Mapping[str, dt.date] | None = None
    expiries: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        _ = self.wanted, self.adjustment, parse_rule(self.roll, self.last_trading_days), self.rules

    @property
    def rules(self) -> dict[str, ExpiryRule]:
        """The rules of last trading days that were given, as values."""
        return {product: parse_expiry(text) for product, text in (self.expiries or {}).items()}

    @property
    def wanted(self) -> BarSize:
        """The timeframe, or measure, as a value."""
        return size_of(self.timeframe)

    @property
    def adjustment(self) -> Adjustment:
        """What is to be done to prices, as a value."""
        try:
            return Adjustment(self.adjust)
        except ValueError:
            allowed = ", ".join(Adjustment)
            raise UsageError(f"unknown adjustment {self.adjust!r}: write {allowed}") from None

    @property
    def timeframes(self) -> tuple[BarSize, ...]:
        """All that must be made of the prints to read it."""
        return tuple(dict.fromkeys((self.wanted, MEASURE, DAILY)))


BarsOf = Callable[[str, BarSize], Iterable[Bar]]
"""Gives the bars of a contract id and timeframe, in order of time, the forming one included."""


def make_continuous(
    reading: Reading,
    instruments: Sequence[Instrument],
    calendar_of: Callable[[Instrument], Calendar],
    bars_of: BarsOf,
    measures: Sequence[Timeframe] = (MEASURE,),
) -> Continuous:
    """A continuous series of bars that are there.

    Args:
        reading: what is wanted.
        instruments: the contracts to choose from.
        calendar_of: the session calendar of one.
        bars_of: gives bars of `reading.timeframe`, `DAILY` and `measures`.
        measures: timeframes to measure rolls with, in the order in which they are tried.

    Raises:
        UnknownContractError: no product, or several, has this name, or it does not expire.
        UsageError: the rule cannot be followed, or a roll cannot be measured.
    """
    daily = {
        item: [bar for bar in bars_of(item.contract_id, DAILY) if traded(bar)]
        for item in instruments
    }
    seen = {
        item.contract_id: calendar_of(item).session_of(bars[0].ts_open).date
        for item, bars in daily.items()
        if bars
    }
    chain = chain_of(reading.product, instruments, seen)
    ids = [each.contract_id for each in chain]
    of_chain = {item.contract_id: item for item in instruments}
    # One product has one calendar; where a later contract was given another, that one counts.
    calendar = calendar_of(of_chain[ids[-1]]) if ids else calendar_by_name("24x7")
    expiry = expiry_of(of_chain[ids[-1]], reading.rules) if ids else None
    rule = parse_rule(reading.roll, reading.last_trading_days, expiry)
    volumes = session_volumes((bar for item in ids for bar in daily[of_chain[item]]), calendar)
    segments = segments_of(chain, volumes, calendar, rule)
    fronts = [each.contract_id for each in segments]
    rolls = rolls_of(
        segments,
        {str(each): {item: list(bars_of(item, each)) for item in fronts} for each in measures},
    )
    shifts = dict(zip(fronts, shifts_of(rolls, reading.adjustment), strict=True)) if fronts else {}
    bars = front_bars(
        segments,
        {item: list(bars_of(item, reading.wanted)) for item in fronts},
        reading.wanted,
        calendar,
    )
    ratio = reading.adjustment is Adjustment.RATIO
    return Continuous(
        product=reading.product,
        timeframe=str(reading.wanted),
        rule=reading.roll,
        adjust=reading.adjustment,
        bars=tuple(shifts[bar.contract_id].bar(bar) for bar in bars),
        segments=tuple(segments),
        rolls=tuple(rolls),
        symbols={item.contract_id: item.name for item in instruments},
        adjustments={
            item: shift.numerator / shift.denominator if ratio else shift.add_e9 / PRICE_SCALE
            for item, shift in shifts.items()
            if reading.adjustment is not Adjustment.NONE and item != fronts[-1]
        },
    )


def continuous_of(result: ReplayResult, reading: Reading) -> Continuous:
    """The continuous series of what was replayed with `reading.timeframes`.

    Raises:
        UnknownContractError, UsageError: as `make_continuous`.
    """
    by_key: dict[tuple[str, str], list[Bar]] = {}
    for timeframe in reading.timeframes:
        for bar in result.bars.get(str(timeframe), ()):
            by_key.setdefault((bar.contract_id, str(timeframe)), []).append(bar)
    return make_continuous(
        reading,
        [Instrument(contract_id, name) for contract_id, name in result.symbols.items()],
        lambda item: result.calendars[item.contract_id],
        lambda contract_id, timeframe: by_key.get((contract_id, str(timeframe)), ()),
    )


def continuous_of_feed(
    feed: Feed, calendar_of: Callable[[str], Calendar], reading: Reading
) -> Continuous:
    """The continuous series of what a running tape keeps.

    Rolls are measured with the smallest timeframe from a minute on that all contracts of the
    product have and that still holds a common bar.

    Args:
        feed: of the tape.
        calendar_of: the calendar of a name.
        reading: what is wanted.

    Raises:
        UnknownContractError: as `make_continuous`.
        UsageError: likewise, or a contract has no bars of a timeframe that is needed.
    """

    def bars_of(contract_id: str, timeframe: BarSize) -> list[Bar]:
        forming = feed.pipeline.forming(contract_id, timeframe)
        closed = feed.recent.of(contract_id, str(timeframe))
        return list(closed) if forming is None else [*closed, forming]

    instruments = feed.pipeline.instruments()
    chain = contracts_of(reading.product, instruments)
    there = [set(feed.pipeline.timeframes(item.contract_id)) for item in chain]
    for item, timeframes in zip(chain, there, strict=True):
        for needed in (reading.wanted, DAILY):
            if needed not in timeframes:
                raise UsageError(
                    f"{item.name} has no {needed} bars: a continuous series needs those that are "
                    f"read, and {DAILY}, which say when to roll; it was subscribed with "
                    + ", ".join(map(str, sorted(timeframes, key=size_order)))
                )
    measures = measures_of(timeframes_of(set.intersection(*there)))
    return make_continuous(
        reading, chain, lambda item: calendar_of(item.calendar), bars_of, measures
    )


def read_continuous(
    source: Path,
    product: str,
    timeframe: str | BarSize,
    *,
    roll: str = "volume",
    adjust: str = "none",
    last_trading_days: Mapping[str, dt.date] | None = None,
    expiries: Mapping[str, str] | None = None,
    calendar: str | None = None,
) -> Continuous:
    """The continuous series of a product out of a journal, or out of another recording.

    Args:
        source: as for `replay`.
        product: such as `MES`.
        timeframe: any; bars are made of the prints.
        roll: `volume`, `calendar:N` or `dates:YYYY-MM-DD=CONTRACT,...`.
        adjust: `none`, `difference` or `ratio`.
        last_trading_days: for `calendar:N`, by contract (id, name or month such as `H26`).
        expiries: for `calendar:N`, rules of last trading days by product; see `Reading`.
        calendar: of a source that names none; None takes each product's own. A journal brings
            those it was recorded with.

    Raises:
        UnreadableSourceError: as `replay`.
        UnknownContractError: no product, or several, has this name, or it does not expire.
        UsageError: what is wanted cannot be, or a roll cannot be measured.
    """
    reading = Reading(product, timeframe, roll, adjust, last_trading_days, expiries)
    options = ReplayOptions(
        calendar_by_name(calendar or DEFAULT_NAME),
        timeframes=reading.timeframes,
        by_product=calendar is None,
    )
    return continuous_of(replay(source, options), reading)


def measures_of(timeframes: Iterable[Timeframe]) -> tuple[Timeframe, ...]:
    """Which of `timeframes` to measure rolls with, in which order.

    From a minute on the smallest first: shorter bars of two contracts seldom have both traded,
    and closes of longer ones are further apart in time.
    """
    return tuple(sorted(each for each in timeframes if each.length_ns >= MINUTE_NS))
