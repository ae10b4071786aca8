"""The naive reading of a journal, on entries that were written by hand."""

from __future__ import annotations

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.journal import Entry, EntryKind
from tapekeeper.model.tick import TradeBatch
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.packed import packed_record
from tapekeeper.sim.wire import Print, Trades, trades_record
from tapekeeper.verify.oracle import accepted, naive_bars, what_reached

AT = "2026-01-05T15:00:00.1Z"
RECORD = (
    '{"type":1,"target":"GatewayTrade","arguments":["C",[{"price":1.5,"volume":2,"type":1,'
    f'"timestamp":"{AT}"}},{{"price":1.5,"volume":2,"timestamp":"{AT}"}},{{"price":1}}]]}}\x1e'
).encode()


def test_records_are_read_across_frames_of_one_connection() -> None:
    """Cut records are joined within a connection and not across; what is no trade is skipped."""
    reached = what_reached(
        [
            Entry(EntryKind.CONNECT, 1, 5, b"market"),
            Entry(EntryKind.FRAME, 1, 10, RECORD[:30]),
            Entry(EntryKind.FRAME, 2, 11, RECORD + b'{"type":6}\x1e[]\x1enonsense\x1e'),
            Entry(EntryKind.FRAME, 1, 12, RECORD[30:]),
        ]
    )
    at_ns = parse_ns(AT)
    assert reached.trades == {("C", at_ns, 1.5, 2, 1): 2, ("C", at_ns, 1.5, 2, -1): 2}
    assert reached.connections == 1


def test_packed_records_are_read_as_well() -> None:
    """Cut by their lengths, within the connections that said so; what is no trade is skipped."""
    trades = Trades("C", parse_ns(AT), (Print("1.50", 2, 1), Print("1.50", 2, -1)))
    whole = Trades("C", parse_ns("2026-01-05T15:00:00Z"), (Print("2", 1, 0),))
    wire = packed_record(trades_record(trades)) * 2 + b"\x02\x91\x06\x01\xc1"
    wire += packed_record(trades_record(whole))
    reached = what_reached(
        [
            Entry(EntryKind.CONNECT, 1, 5, b"market messagepack"),
            Entry(EntryKind.CONNECT, 2, 5, b"market"),
            Entry(EntryKind.FRAME, 1, 10, wire[:1]),
            Entry(EntryKind.FRAME, 2, 11, RECORD),
            Entry(EntryKind.FRAME, 1, 12, wire[1:130]),
            Entry(EntryKind.FRAME, 1, 12, wire[130:]),
        ]
    )
    at_ns = parse_ns(AT)
    assert reached.trades == {
        ("C", at_ns, 1.5, 2, 1): 3,
        ("C", at_ns, 1.5, 2, -1): 3,
        ("C", at_ns - 100_000_000, 2.0, 1, 0): 1,
    }


def test_bars_are_sorted_prints() -> None:
    """Open and close by event time, then arrival; the grid is that of the epoch."""
    batches = [
        TradeBatch("C", [1_500, 1_200], [7.0, 5.0], [1, 2], [0, 1], [0, 0], [1, 2]),
        TradeBatch("C", [1_500, 1_000_000_100], [6.0, 9.0], [3, 4], [0, 0], [0, 0], [3, 4]),
    ]
    assert naive_bars(batches, [Timeframe.parse("1s")]) == {
        ("C", "1s", 0): (5.0, 7.0, 5.0, 6.0, 6, 3, 1_200, 1_500),
        ("C", "1s", 1_000_000_000): (9.0, 9.0, 9.0, 9.0, 4, 1, 1_000_000_100, 1_000_000_100),
    }
    assert accepted(batches)["C", 1_500, 6.0, 3, 0] == 1
