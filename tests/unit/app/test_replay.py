"""Replaying files and folders, good and bad."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import MARKET_HUB, connect_entry, subscribe_entry
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.journaler import Journaler

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"
OPTIONS = ReplayOptions(calendar_by_name("cme"))


def trade(second: int, size: int = 1) -> bytes:
    """A GatewayTrade record with one print."""
    stamp = f"2026-01-05T15:00:{second:02}Z"
    return encode_invocation(
        "GatewayTrade", [MES, [{"timestamp": stamp, "price": 6000.25, "volume": size, "type": 0}]]
    )


def trades_frame(rows: int = 4) -> pl.DataFrame:
    """Trades a second apart, alternating between two symbols."""
    return pl.DataFrame(
        {
            "ts_event": [START + number * SECOND for number in range(rows)],
            "price": [6000.0 + number for number in range(rows)],
            "size": [1] * rows,
            "side": [0] * rows,
            "symbol": ["MESH6" if number % 2 else "MNQH6" for number in range(rows)],
            "seq": list(range(rows)),
            "ts_recv": [START + number * SECOND for number in range(rows)],
        }
    )


def write_wire(path: Path, *frames: bytes) -> Path:
    """A wire file with these frames behind the answer to the handshake."""
    lines = [
        msgspec.json.encode({"t": START, "ws": data.decode()}) for data in (b"{}\x1e", *frames)
    ]
    path.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    return path


def write_journal(folder: Path, *frames: bytes, segment_bytes_max: int = 10**6) -> Path:
    """A journal of one subscription and these frames."""
    journaler = Journaler(
        FolderFiles(folder), created_ns=START, segment_bytes_max=segment_bytes_max
    )
    subscription = Subscription(
        Instrument(MES, "MESH6"), (Timeframe.parse("1s"),), calendar_by_name("cme")
    )
    journaler.append([subscribe_entry(subscription, START), connect_entry(1, MARKET_HUB, START)])
    for data in frames:
        journaler.append([Entry(EntryKind.FRAME, 1, START, data)])
    journaler.close()
    return folder


def test_parquet_rows_are_taken_in_order_of_arrival(tmp_path: Path) -> None:
    """`seq` decides, whatever the order in the file; each symbol is a contract."""
    path = tmp_path / "trades.parquet"
    trades_frame().sample(fraction=1.0, shuffle=True, seed=1).write_parquet(path)
    seen: list[tuple[int, int]] = []
    result = replay(path, OPTIONS, lambda done, total: seen.append((done, total)))
    assert result.holds
    assert result.trades.accepted == 4
    assert list(result.bars) == ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "4h", "1d"]
    assert [bar.close for bar in result.bars["1h"]] == [6003.0, 6002.0]
    assert seen[-1] == (4, 4)


def test_parquet_needs_neither_sequence_nor_receive_time(tmp_path: Path) -> None:
    """Then the order of the file is the order of arrival."""
    path = tmp_path / "trades.parquet"
    trades_frame().drop("seq", "ts_recv").write_parquet(path)
    assert replay(path, OPTIONS).trades.accepted == 4


def test_only_the_timeframes_asked_for_are_made(tmp_path: Path) -> None:
    """And a tick size, if given, is checked."""
    path = tmp_path / "trades.parquet"
    trades_frame().write_parquet(path)
    options = ReplayOptions(
        calendar_by_name("24x7"), timeframes=(Timeframe.parse("1m"),), tick_size=2.0
    )
    result = replay(path, options)
    assert list(result.bars) == ["1m"]
    assert result.rejected == {"off_grid": 2}
    assert result.holds


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.drop("price", "side"), "has no column price, side"),
        (lambda frame: frame.with_columns(size=pl.lit("1")), r"wrong type in column size \(String"),
        (lambda frame: frame.with_columns(symbol=pl.lit(1)), "wrong type in column symbol"),
        (lambda frame: frame.with_columns(side=pl.lit(7)), "has side 7: it is 0 for buy"),
        (lambda frame: frame.with_columns(pl.col("ts_event") // 10**6), "looks like another unit"),
        (
            lambda frame: frame.with_columns(price=pl.lit(None, dtype=pl.Float64)),
            "empty values in column price",
        ),
    ],
)
def test_a_parquet_file_of_something_else_is_named(
    change: object, sentence: str, tmp_path: Path
) -> None:
    """The sentence says which column is wrong and what is expected."""
    assert callable(change)
    path = tmp_path / "trades.parquet"
    change(trades_frame()).write_parquet(path)
    with pytest.raises(UnreadableSourceError, match=sentence):
        replay(path, OPTIONS)


@pytest.mark.parametrize("name", ["trades.parquet", "wire.jsonl.gz", "wire.jsonl", "notes.txt"])
def test_a_file_that_is_not_what_its_name_says_is_named(name: str, tmp_path: Path) -> None:
    """No traceback of a library, whatever the bytes."""
    path = tmp_path / name
    path.write_bytes(b"neither one nor the other")
    with pytest.raises(UnreadableSourceError, match=name):
        replay(path, OPTIONS)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A folder without a journal, and no such file."""
    with pytest.raises(UnreadableSourceError, match="there is no"):
        replay(tmp_path / "absent", OPTIONS)
    with pytest.raises(UnreadableSourceError, match="there is no journal"):
        replay(tmp_path, OPTIONS)


def test_an_empty_archive_of_frames_is_named(tmp_path: Path) -> None:
    """Not one byte is no compressed file, and not a day without trades."""
    path = tmp_path / "frames.jsonl.gz"
    path.touch()
    with pytest.raises(
        UnreadableSourceError, match=r"frames\.jsonl\.gz cannot be read: it is empty"
    ):
        replay(path, OPTIONS)


def test_a_truncated_parquet_file_is_named(tmp_path: Path) -> None:
    """A download that broke off."""
    path = tmp_path / "trades.parquet"
    trades_frame(1_000).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UnreadableSourceError, match="not a Parquet file that can be read"):
        replay(path, OPTIONS)


def test_wire_frames_make_bars_and_count_quotes(tmp_path: Path) -> None:
    """Contracts are followed as they appear."""
    path = write_wire(tmp_path / "a.jsonl.gz", trade(0), trade(1) + trade(2))
    result = replay(path, OPTIONS)
    assert result.holds
    assert result.problems == []
    assert [bar.ts_open for bar in result.bars["1s"]] == [START + n * SECOND for n in range(3)]


def test_a_cut_wire_file_gives_what_was_readable(tmp_path: Path) -> None:
    """The bars up to the cut, and a problem that names the line."""
    path = write_wire(tmp_path / "a.jsonl.gz", *(trade(n % 60) for n in range(3_000)))
    path.write_bytes(path.read_bytes()[:-200])
    result = replay(path, OPTIONS)
    assert 0 < result.trades.received < 3_000
    assert len(result.problems) == 1
    assert "lines were read, then line" in result.problems[0]


def test_a_damaged_journal_gives_what_was_readable(tmp_path: Path) -> None:
    """The segment's good prefix and all other segments count; the rest is named."""
    folder = write_journal(tmp_path, *map(trade, range(40)), segment_bytes_max=1_200)
    segments = sorted(folder.glob("*.tkj"))
    assert len(segments) > 2
    middle = segments[1]
    data = bytearray(middle.read_bytes())
    data[len(data) // 2] ^= 0xFF
    middle.write_bytes(bytes(data))
    result = replay(folder, OPTIONS)
    assert result.holds
    assert 0 < result.trades.accepted < 40
    assert result.bars["1s"][-1].ts_open == START + 39 * SECOND, "the last segment was read"
    assert len(result.problems) == 1
    assert result.harmless == []


def test_a_journal_torn_by_a_crash_is_no_problem(tmp_path: Path) -> None:
    """The torn tail is said, but it is what a crash leaves."""
    folder = write_journal(tmp_path, *map(trade, range(3)))
    segment = next(folder.glob("*.tkj"))
    # The seal is the last record; cutting into the one before it is what a kill does.
    segment.write_bytes(segment.read_bytes()[:-60])
    result = replay(folder, OPTIONS)
    assert result.trades.accepted == 2
    assert result.problems == []
    assert len(result.harmless) == 1


def test_every_run_of_a_journal_makes_the_bars_that_it_made_live(tmp_path: Path) -> None:
    """A run begins with nothing: no print is late for what the one before it saw."""
    journal = tmp_path / "journal"
    for first, seconds in enumerate([(50, 51, 59), (58, 59)]):
        journaler = Journaler(FolderFiles(journal), created_ns=START)
        subscription = Subscription(
            Instrument(MES, "MESH6"),
            tuple(map(Timeframe.parse, ("1s", "1m"))),
            calendar_by_name("cme"),
        )
        frames = [Entry(EntryKind.FRAME, first, START, trade(second)) for second in seconds]
        journaler.append(
            [
                subscribe_entry(subscription, START),
                connect_entry(first, MARKET_HUB, START),
                *frames,
            ]
        )
        journaler.close()
    result = replay(journal, OPTIONS)
    assert result.holds
    assert (result.trades.received, result.trades.accepted) == (5, 5)
    opens = [(bar.ts_open - START) // SECOND for bar in result.bars["1s"]]
    assert opens == [50, 51, 58, 59, 59]
    assert [(bar.state, bar.volume) for bar in result.bars["1m"]] == [
        ("forming", 3),
        ("forming", 2),
    ]
    assert [(each.bars, each.bar_volume) for each in result.checks] == [(5, 5), (2, 5)]
    assert result.symbols == {MES: "MESH6"}
