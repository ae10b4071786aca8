"""What is found of the process before: how it ended, what it followed, and its last trades."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.journal import Ending, Entry, EntryKind, segment_name
from tapekeeper.core.pipeline import Subscription
from tapekeeper.core.runlog import (
    connect_entry,
    connected_entry,
    subscribe_entry,
    unsubscribe_entry,
)
from tapekeeper.model.gap import GapCause
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime import run_end
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.run_end import SEGMENTS_MAX, read_run_end
from tapekeeper.sim.memory_files import MemoryFiles

S = 1_000_000_000
START = 1_767_625_200 * S
MES, MNQ = "CON.F.US.MES.H26", "CON.F.US.MNQ.H26"


def follow(contract_id: str) -> Entry:
    """The entry of a contract that is followed from now on."""
    instrument = Instrument(contract_id, contract_id[-7:])
    calendar = calendar_by_name("cme")
    return subscribe_entry(Subscription(instrument, (Timeframe.parse("1s"),), calendar), START)


def trade(contract_id: str, second: int) -> Entry:
    """The frame of a print at START plus `second`."""
    at = f"15:{second // 60:02}:{second % 60:02}"
    row = f'[{{"timestamp":"2026-01-05T{at}Z","price":6000,"volume":1,"type":0}}]'
    record = f'{{"type":1,"target":"GatewayTrade","arguments":["{contract_id}",{row}]}}\x1e'
    return Entry(EntryKind.FRAME, 1, START + second * S, record.encode())


CONNECT = connect_entry(1, "market", START)


def write(
    files: MemoryFiles, *bursts: Sequence[Entry], seal: bool = True, each: Sequence[Entry] = ()
) -> None:
    """One run of these bursts; of an `each`, which heads its segments, every burst has its own."""
    journaler = Journaler(files, created_ns=START, segment_bytes_max=1 if each else 1 << 20)
    journaler.begin_each_with(lambda _: each)
    for burst in bursts:
        journaler.append(burst)
    if seal:
        journaler.close()
    else:
        files.disk.is_locked = False  # as the system does it for a process that is dead


def test_a_folder_without_a_journal_has_no_run() -> None:
    """A first start recovers nothing."""
    assert read_run_end(MemoryFiles()) is None


def test_a_run_that_was_sealed_has_stopped() -> None:
    """With the last trade of what it followed to its end, and without what it gave up."""
    files = MemoryFiles()
    left = [follow(MNQ), trade(MNQ, 2), unsubscribe_entry(MNQ, START)]
    write(files, [CONNECT, follow(MES), trade(MES, 1), trade(MES, 3), *left])
    end = read_run_end(files)
    assert end is not None
    assert (end.run, end.segment, end.ending, end.cut_bytes) == (1, 1, Ending.SEALED, 0)
    assert end.traded_ns == {MES: START + 3 * S}
    assert end.cause is GapCause.STOPPED
    assert end.evidence == "the last run was sealed in order behind segment 1"


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        (0, "ended without order behind segment 1, which is whole but for its seal"),
        (7, "ended without order behind segment 1, 0 bytes of an unfinished write were cut"),
    ],
)
def test_a_run_without_a_seal_has_crashed(cut: int, told: str) -> None:
    """Half a record at the end is cut, and how much of one is said."""
    files = MemoryFiles()
    write(files, [CONNECT, follow(MES), trade(MES, 1)], [trade(MES, 2)], seal=False)
    content = files.disk.content[segment_name(1)]
    whole = len(content)
    del content[whole - cut :]
    end = read_run_end(files)
    assert end is not None
    assert end.cause is GapCause.CRASH
    assert end.traded_ns == {MES: START + (1 if cut else 2) * S}
    assert (end.ending, end.cut_bytes > 0) == ((Ending.TORN, True) if cut else (Ending.OPEN, False))
    assert end.evidence.replace(f" {end.cut_bytes:,} bytes", " 0 bytes").endswith(told)


def test_damage_is_a_crash_that_says_so() -> None:
    """What is in front of it counts."""
    files, first = MemoryFiles(), MemoryFiles()
    write(first, [CONNECT, follow(MES), trade(MES, 1)], seal=False)
    write(files, [CONNECT, follow(MES), trade(MES, 1)], [trade(MES, 2)])
    files.disk.content[segment_name(1)][first.size(segment_name(1)) + 20] ^= 1
    end = read_run_end(files)
    assert end is not None
    assert (end.cause, end.ending) == (GapCause.CRASH, Ending.CORRUPT)
    assert end.traded_ns == {MES: START + S}
    assert "bytes are damaged" in end.evidence


def test_a_segment_that_was_being_begun_belongs_to_what_is_before_it() -> None:
    """Its number tells where the run ended, and the segment before it what it followed."""
    files = MemoryFiles()
    write(files, [CONNECT, follow(MES), trade(MES, 1)])
    files.disk.content[segment_name(2)] = files.disk.content[segment_name(1)][:20]
    end = read_run_end(files)
    assert end is not None
    assert (end.run, end.segment, end.ending, end.cut_bytes) == (1, 2, Ending.TORN, 20)
    assert end.traded_ns == {MES: START + S}


@pytest.mark.parametrize(("before", "found"), [(1, True), (SEGMENTS_MAX, False)])
def test_a_contract_that_did_not_trade_lately_is_looked_for_further_back(
    before: int, *, found: bool
) -> None:
    """Some segments back and no further: the ledger knows since when it was followed."""
    files = MemoryFiles()
    head = [follow(MES), follow(MNQ), connected_entry(1, "market", START)]
    rest = [[trade(MES, second)] for second in range(2, 2 + before)]
    write(files, [CONNECT, *head, trade(MNQ, 1)], *rest, each=head)
    end = read_run_end(files)
    assert end is not None
    assert end.run == 1
    assert end.traded_ns == {MES: START + (1 + before) * S, MNQ: START + S if found else None}


def test_the_run_before_the_last_is_no_part_of_it() -> None:
    """What it followed was missed by the last run already, and the ledger has that."""
    files = MemoryFiles()
    write(files, [CONNECT, follow(MES), follow(MNQ), trade(MNQ, 1)])
    write(files, [CONNECT, follow(MNQ)], seal=False)
    end = read_run_end(files)
    assert end is not None
    assert (end.run, end.segment, end.traded_ns) == (2, 2, {MNQ: None})


def test_an_entry_of_another_version_ends_the_reading_and_not_the_start() -> None:
    """What stands before it counts, and the end says what could not be read."""
    files = MemoryFiles()
    unknown = Entry(EntryKind.META, 0, START, b'{"kind":"tomorrow"}')
    write(files, [CONNECT, follow(MES), trade(MES, 1), unknown, trade(MES, 2)])
    end = read_run_end(files)
    assert end is not None
    assert end.traded_ns == {MES: START + S}
    assert "cannot be read" in end.problem


@pytest.mark.parametrize("frames_max", [1, 2, 3, 50])
def test_only_so_many_frames_are_run_again(
    monkeypatch: pytest.MonkeyPatch, frames_max: int
) -> None:
    """A start does not wait for a segment of millions: what trades are looked for is found."""
    monkeypatch.setattr(run_end, "FRAMES_MAX", frames_max)
    files = MemoryFiles()
    rest = [trade(MES, second) for second in range(10, 40)]
    quiet = [trade(MNQ, 1), trade(MNQ, 2)]
    ping = Entry(EntryKind.FRAME, 1, START, b'{"type":6}\x1e')
    write(files, [CONNECT, follow(MES), follow(MNQ), *quiet, *rest, ping])
    end = read_run_end(files)
    assert end is not None
    assert end.traded_ns == {MES: START + 39 * S, MNQ: START + 2 * S}


def connect(at_s: int, hub: str = "market") -> Entry:
    """The entry of another connection at START plus `at_s`."""
    return connect_entry(2, hub, START + at_s * S)


@pytest.mark.parametrize(
    ("second", "hub", "assured"),
    [(90, "market", 2), (40, "market", 2), (39, "market", 100), (90, "user", 100)],
    ids=["lately", "a minute ago", "longer ago", "of the user hub"],
)
@pytest.mark.parametrize("seal", [True, False], ids=["in order", "killed"])
def test_what_a_new_connection_brought_is_doubted(
    second: int, hub: str, assured: int, *, seal: bool
) -> None:
    """The outage before it may not have been told yet when the run ended."""
    files = MemoryFiles()
    head = [CONNECT, follow(MES), trade(MES, 1), trade(MES, 2)]
    write(files, head, [connect(second, hub), trade(MES, 100)], seal=seal)
    end = read_run_end(files)
    assert end is not None
    assert end.traded_ns == {MES: START + 100 * S}
    assert end.assured_ns == {MES: START + assured * S}


def test_the_connection_that_a_run_began_with_is_not_doubted() -> None:
    """A start ends with the first print at the latest, so nothing is untold in front of it."""
    files = MemoryFiles()
    write(files, [follow(MES), CONNECT, connect(1), trade(MES, 2)], seal=False)
    end = read_run_end(files)
    assert end is not None
    assert end.assured_ns == end.traded_ns == {MES: START + 2 * S}


def test_what_had_not_traded_before_a_new_connection_has_no_assured_trade() -> None:
    """The ledger knows since when it was followed."""
    files = MemoryFiles()
    head = [CONNECT, follow(MES), follow(MNQ), trade(MES, 1)]
    write(files, head, [connect(10), trade(MNQ, 11)], seal=False)
    end = read_run_end(files)
    assert end is not None
    assert end.traded_ns == {MES: START + S, MNQ: START + 11 * S}
    assert end.assured_ns == {MES: START + S, MNQ: None}


def test_a_new_connection_of_the_segment_before_is_doubted_with_all_behind_it() -> None:
    """Though the last segment, which repeats it, has no such entry."""
    files = MemoryFiles()
    head = [follow(MES), connected_entry(1, "market", START)]
    bursts = [[trade(MES, 2), connect(3), trade(MES, 4)], [trade(MES, 5)]]
    write(files, [CONNECT, *head, trade(MES, 1)], *bursts, seal=False, each=head)
    end = read_run_end(files)
    assert end is not None
    assert end.segment == 3
    assert end.traded_ns == {MES: START + 5 * S}
    assert end.assured_ns == {MES: START + 2 * S}
