"""Where things are in an archive, what its files hold, and what they are called.

    <archive>/manifest.json
    <archive>/trades/contract=<id>/trade_date=<yyyy-mm-dd>/part-<segment>.parquet
    <archive>/bars/contract=<id>/timeframe=<name>/trade_date=<yyyy-mm-dd>/part-<segment>.parquet
    <archive>/state/carry-<segment>.bin

The folders are those of Hive partitioning, which polars, DuckDB and pandas turn into columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import polars as pl

from tapekeeper.app.frames import SCHEMA
from tapekeeper.core.calendar import Calendar

FORMAT = 1
"""Version of the layout, of the schemas and of the manifest together."""

MANIFEST = "manifest.json"
TRADES, BARS, STATE = "trades", "bars", "state"

Schema = dict[str, pl.DataType | type[pl.DataType]]

TRADES_SCHEMA: Schema = {
    "ts_event": pl.Int64,
    "price": pl.Float64,
    "size": pl.Int64,
    "side": pl.Int8,
    "delay_ns": pl.Int64,
    "seq_step": pl.Int64,
    "run": pl.Int32,
}
"""A file of trades, in order of arrival. `delay_ns` is the host's time of receipt less `ts_event`;
`seq_step` the arrival number less that of the row before, of the first row the number itself: so
written they take next to nothing, where the plain numbers would double the file."""

_IN_THE_FOLDER = {"symbol", "contract_id"}

BARS_SCHEMA: Schema = {
    **{name: kind for name, kind in SCHEMA.items() if name not in _IN_THE_FOLDER},
    "run": pl.Int32,
}
"""A file of bars, by open and ordinal; of one run no bar twice."""

COMPRESSION_LEVEL = 19
"""Of zstd. A day is written once and read often; see benches/archive.py for what it costs."""

ROWS_PER_GROUP = 131_072
"""A reader skips whole groups by their smallest and largest time."""

_SPECIAL = re.compile(r"[^A-Z0-9_.-]|\.\Z")


def folder_text(value: str) -> str:
    """A partition's value as a part of a folder name that is safe everywhere.

    Everything but capitals, digits, `_`, `-` and inner dots is percent-encoded, small letters too:
    two values that differ in case alone are one folder on Windows and macOS. Readers of Hive
    partitions decode it.
    """
    return _SPECIAL.sub(_encoded, value)


def _encoded(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode())


def trades_folder(contract_id: str, trade_date: str) -> str:
    """The folder of a day's trades, relative to the archive."""
    return f"{TRADES}/contract={folder_text(contract_id)}/trade_date={trade_date}"


def bars_folder(contract_id: str, timeframe: str, trade_date: str) -> str:
    """The folder of a day's bars, relative to the archive.

    Names of timeframes are of digits and small letters, and no two differ in case alone.
    """
    contract = folder_text(contract_id)
    return f"{BARS}/contract={contract}/timeframe={timeframe}/trade_date={trade_date}"


def part_name(first_segment: int) -> str:
    """The file of what a pass that began with this segment has for a partition."""
    return f"part-{first_segment:06}.parquet"


def carry_name(through_segment: int) -> str:
    """The file of the state behind this segment, relative to the archive."""
    return f"{STATE}/carry-{through_segment:06}.bin"


def by_trade_date(
    frame: pl.DataFrame, stamps: str, calendar: Calendar
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Parts of a frame by the trade date of the session that each row's stamp is in.

    Args:
        frame: not empty; the order of its rows is kept.
        stamps: the column of event times, ns UTC.
        calendar: of the contract.
    """
    first_ns, last_ns = frame[stamps].min(), frame[stamps].max()
    assert isinstance(first_ns, int)  # noqa: S101 - the column holds integers, and some
    assert isinstance(last_ns, int)  # noqa: S101 - likewise
    session = calendar.session_of(first_ns)
    opens, dates = [], []
    while session.open_ns <= last_ns:
        opens.append(session.open_ns)
        dates.append(session.trade_date.isoformat())
        session = calendar.session_after(session)
    spans: dict[str, list[pl.DataFrame]] = {}
    for date, (from_ns, to_ns) in zip(dates, pairwise([*opens, last_ns + 1]), strict=True):
        rows = frame.filter(pl.col(stamps).is_between(from_ns, to_ns, closed="left"))
        if rows.height:
            spans.setdefault(date, []).append(rows)
    for date, parts in spans.items():
        yield date, parts[0] if len(parts) == 1 else pl.concat(parts)
