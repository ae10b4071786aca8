"""Wherever a run is cut and gone on with, what comes of it is what one process would have made."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.journal import Entry, EntryKind, Position
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.runlog import (
    MARKET_HUB,
    Rerun,
    clock_entry,
    connect_entry,
    continues_entry,
    disconnected_entry,
    subscribe_entry,
)
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size
from tapekeeper.model.snapshot import TickCounts, VolumeCheck

S = 1_000_000_000
START = 1_767_625_200 * S
MES = "CON.F.US.MES.H26"
FOLLOWED = Subscription(
    Instrument(MES, "MESH6", tick_size=0.25),
    tuple(map(parse_size, ("1s", "5s", "1m", "3tick"))),
    calendar_by_name("24x7"),
)

Print = tuple[int, int, int]
"""Tenths of a second since the one before, ticks above 6,000, size."""

PRINTS = st.lists(
    st.tuples(st.integers(-15, 80), st.integers(-8, 8), st.integers(1, 5)), min_size=1, max_size=40
)

Made = tuple[list[Bar], list[Bar], list[int], TickCounts, list[VolumeCheck]]
"""Told bars, forming bars, numbers of accepted trades, counts and identities."""


def entries_of(prints: Iterable[Print], *, timer_every: int) -> list[Entry]:
    """Frames of one print each, and timers in between."""
    made: list[Entry] = []
    at_ns = START
    for place, (tenths, ticks, size) in enumerate(prints):
        at_ns = max(START, at_ns + tenths * S // 10)
        row = {"timestamp": format_ns(at_ns), "price": 6000 + ticks / 4, "volume": size, "type": 0}
        data = encode_invocation("GatewayTrade", [MES, [row]])
        made.append(Entry(EntryKind.FRAME, 0, at_ns, data))
        if place % timer_every == timer_every - 1:
            made.append(clock_entry(MES, at_ns, at_ns))
    return made


def begun(line: int) -> list[Entry]:
    """What a process writes first, when it follows the contract."""
    return [subscribe_entry(FOLLOWED, START), connect_entry(line, MARKET_HUB, START)]


def made_of(entries: Iterable[Entry]) -> Made:
    """What comes of entries."""
    pipeline = Pipeline(grace_ns=0)
    rerun = Rerun(pipeline)
    outputs = [one for entry in entries for one in rerun.take(entry)]
    closed = [bar for one in outputs for bar in one.closed]
    numbers = [seq for one in outputs for batch in one.trades for seq in batch.seq]
    return closed, pipeline.forming_all(), numbers, pipeline.trade_counts(), pipeline.checks()


@given(PRINTS, st.sets(st.integers(0, 60), max_size=4), st.integers(2, 7))
def test_processes_that_go_on_make_what_one_would(
    prints: list[Print], cuts: set[int], timer_every: int
) -> None:
    """Bars told and forming, numbers, counts and identities: nothing depends on the cuts."""
    frames = entries_of(prints, timer_every=timer_every)
    whole, cut = begun(1), begun(1)
    line = 1
    for place, entry in enumerate(frames):
        if place in cuts:
            # Of a connection alone that ends the bars know nothing, so it is the same for both.
            whole += [disconnected_entry(line, START), connect_entry(line + 1, MARKET_HUB, START)]
            line += 1
            cut += [continues_entry(1, Position(1, place), START), *begun(line)]
        moved = entry
        if entry.kind is EntryKind.FRAME:
            moved = Entry(entry.kind, line, entry.ts_ns, entry.payload)
        whole.append(moved)
        cut.append(moved)
    assert made_of(cut) == made_of(whole)
