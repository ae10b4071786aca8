"""Playing recordings: every row, in order, exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.sim.contracts import instrument_of_symbol
from tapekeeper.sim.player import Track, load_tracks
from tapekeeper.sim.wire import WIRE_NS, QuoteDelta, Trades, trades_record

START_NS = 1_719_878_281_218_218_853

SETS = [
    "btcusdt_perp_2024-08-08",
    "esh2_2022-01-24_0830et",
    "esm4_2024-05-08_2s",
    "esu4_2024-07-01_utc_midnight",
    "gc_2013-10-07_08",
    "transplant_dst_2024-03_gc",
    "transplant_dst_2024-11_gc",
]


def write_trades(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A `trades.parquet` with these rows over sensible defaults."""
    whole = [
        {"ts_event": START_NS, "price": 5528.75, "size": 1, "side": 0, "symbol": "ESU4"}
        | {"seq": seq, "ts_recv": START_NS}
        | row
        for seq, row in enumerate(rows)
    ]
    pl.DataFrame(whole).write_parquet(path)
    return path


def records(track: Track) -> list[Trades]:
    """The trade records of a track."""
    return [one for one in track.events() if isinstance(one, Trades)]


@pytest.mark.parametrize(
    ("symbol", "year", "contract_id", "name"),
    [
        ("ESU4", 2024, "CON.F.US.EP.U24", "ESU4"),
        ("ESH2", 2022, "CON.F.US.EP.H22", "ESH2"),
        ("GCZ3", 2013, "CON.F.US.GCE.Z13", "GCZ3"),
        ("GCM5", 2013, "CON.F.US.GCE.M15", "GCM5"),
        ("ESH0", 2029, "CON.F.US.EP.H30", "ESH0"),
        ("6EH24", 2024, "CON.F.US.6E.H24", "6EH4"),
        ("MESZ26", 2026, "CON.F.US.MES.Z26", "MESZ6"),
        ("BTCUSDT", 2024, "CON.F.US.BTCUSDT", "BTCUSDT"),
    ],
)
def test_a_symbol_becomes_the_gateways_contract(
    symbol: str, year: int, contract_id: str, name: str
) -> None:
    """Known roots get their product code; a year digit means the next such year."""
    found = instrument_of_symbol(symbol, year, 0.0)
    assert (found.contract_id, found.name) == (contract_id, name)
    assert found.symbol_id == ".".join(contract_id.split(".")[1:4])


def test_rows_of_one_stamp_share_records_of_up_to_eight(tmp_path: Path) -> None:
    """Consecutive rows of a stamp and symbol travel together; order is that of `seq`."""
    stamps = [START_NS] * 11 + [START_NS + 100] * 2 + [START_NS] * 1
    rows = [{"ts_event": stamp, "size": size} for size, stamp in enumerate(stamps)]
    (track,) = load_tracks(write_trades(tmp_path / "any name.parquet", rows))
    made = records(track)
    assert [len(one.prints) for one in made] == [8, 3, 2, 1]
    assert [print_.size for one in made for print_ in one.prints] == list(range(14))


def test_rows_are_played_in_seq_order_whatever_the_files_order(tmp_path: Path) -> None:
    """`seq` is the order of arrival; the file may be sorted by anything."""
    rows = [{"seq": seq, "size": seq} for seq in (3, 1, 2, 0)]
    (track,) = load_tracks(write_trades(tmp_path / "trades.parquet", rows))
    assert [print_.size for one in records(track) for print_ in one.prints] == [0, 1, 2, 3]


def test_full_nanoseconds_lose_their_last_two_digits_on_the_wire(tmp_path: Path) -> None:
    """100 ns is the wire's resolution; the rest is cut off, not rounded."""
    (track,) = load_tracks(
        write_trades(tmp_path / "trades.parquet", [{"ts_event": 1_719_878_281_218_218_899}])
    )
    (event,) = records(track)
    body = json.loads(trades_record(event)[:-1])
    assert parse_ns(body["arguments"][1][0]["timestamp"]) == 1_719_878_281_218_218_800


def test_a_row_without_a_side_has_no_type(tmp_path: Path) -> None:
    """Unknown is left out, never written as buy."""
    (track,) = load_tracks(write_trades(tmp_path / "trades.parquet", [{"side": -1}]))
    (event,) = records(track)
    assert b'"type":-1' not in trades_record(event)
    assert trades_record(event).count(b'"type"') == 1


def test_quotes_are_merged_by_time_and_sent_sparsely(tmp_path: Path) -> None:
    """At one stamp trades go first; only what changed is sent; an empty book side is no price."""
    write_trades(tmp_path / "trades.parquet", [{"ts_event": 200}, {"ts_event": 300}])
    pl.DataFrame(
        {
            "ts_event": [100, 200, 250, 400],
            "bid": [1.0, 1.0, None, 1.25],
            "ask": [1.5, 1.75, 1.75, float("nan")],
            "symbol": ["ESU4"] * 4,
            "seq": [0, 1, 2, 3],
        }
    ).write_parquet(tmp_path / "quotes.parquet")
    (track,) = load_tracks(tmp_path)
    assert track.start_ns == 100
    assert [
        (one.ts_ns, one.members if isinstance(one, QuoteDelta) else "trade")
        for one in track.events()
    ] == [
        (100, {"bestBid": "1.0", "bestAsk": "1.5"}),
        (200, "trade"),
        (200, {"bestAsk": "1.75"}),
        (250, {}),
        (300, "trade"),
        (400, {"bestBid": "1.25"}),
    ]


def test_the_tick_size_is_the_tables_or_the_recordings_own(tmp_path: Path) -> None:
    """A product in the table needs no meta file; another one reads it there, or stays unknown."""
    write_trades(tmp_path / "trades.parquet", [{}, {"symbol": "BTCUSDT"}])
    assert [one.instrument.tick_size for one in load_tracks(tmp_path)] == [0.25, 0.0]
    (tmp_path / "meta.json").write_text('{"tick_size": 0.1, "source": "x"}', encoding="utf-8")
    assert [one.instrument.tick_size for one in load_tracks(tmp_path)] == [0.25, 0.1]


def test_what_cannot_be_played_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Absent, not Parquet, cut short, without a column, of a wrong type, empty."""
    with pytest.raises(UnreadableSourceError, match="there is no file"):
        load_tracks(tmp_path / "absent.parquet")
    with pytest.raises(UnreadableSourceError, match="there is no file"):
        load_tracks(tmp_path)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    with pytest.raises(UnreadableSourceError, match="not a readable Parquet file"):
        load_tracks(broken)
    whole = write_trades(tmp_path / "whole.parquet", [{}] * 100).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableSourceError, match="not a readable Parquet file"):
        load_tracks(broken)
    pl.DataFrame({"ts_event": [1], "price": [1.0]}).write_parquet(broken)
    with pytest.raises(UnreadableSourceError, match="lacks the column size, side, symbol, seq"):
        load_tracks(broken)
    pl.read_parquet(write_trades(broken, [{}])).with_columns(price=pl.lit("dear")).write_parquet(
        broken
    )
    with pytest.raises(UnreadableSourceError, match="a column of another type"):
        load_tracks(broken)
    write_trades(broken, [{}, {"price": float("inf")}])
    with pytest.raises(UnreadableSourceError, match="a row without a time, price, size or side"):
        load_tracks(broken)
    write_trades(broken, [{}, {"size": None}])
    with pytest.raises(UnreadableSourceError, match="a row without a time, price, size or side"):
        load_tracks(broken)
    write_trades(broken, [{}])
    pl.read_parquet(broken).clear().write_parquet(broken)
    with pytest.raises(UnreadableSourceError, match="holds no trades"):
        load_tracks(broken)


@pytest.mark.data
@pytest.mark.parametrize("name", SETS)
def test_every_recorded_row_is_played_exactly(shared_data: Path, name: str) -> None:
    """Time to 100 ns, price to the last bit, size and side come out as they are in the file."""
    trades = pl.read_parquet(shared_data / name / "trades.parquet").sort("seq")
    for track in load_tracks(shared_data / name):
        own = trades.filter(pl.col("symbol") == track.instrument.name)
        played = [
            (one.ts_ns // WIRE_NS, float(print_.price), print_.size, print_.side)
            for one in records(track)
            for print_ in one.prints
        ]
        recorded = own.select(pl.col("ts_event") // WIRE_NS, "price", "size", "side").rows()
        assert played == recorded
    assert {one.instrument.name for one in load_tracks(shared_data / name)} == set(trades["symbol"])
