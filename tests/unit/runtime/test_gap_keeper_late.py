"""Prints that come too late for their bars."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.model.tick import Trade
from tapekeeper.runtime.late_prints import LATE_NS, late_runs
from tapekeeper.runtime.line_values import Inbound
from tests.unit.runtime.test_gap_keeper import MES, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A keeper on a new journal."""
    made = Bench(tmp_path / "journal")
    yield made
    made.keeper.close()
    made.journaler.close()


def bring(bench: Bench, at_s: float, second: int) -> None:
    """At START plus `at_s` a print of START plus `second` comes."""
    bench.at(at_s)
    clock = f"{15 + second // 3600:02}:{second % 3600 // 60:02}:{second % 60:02}"
    arguments = (
        f'["{MES}",[{{"timestamp":"2026-01-05T{clock}.000Z","price":6000,"volume":9,"type":0}}]]'
    ).encode()
    data = b'{"type":1,"target":"GatewayTrade","arguments":' + arguments + b"}\x1e"
    call = Invocation("GatewayTrade", arguments)
    bench.feed(Inbound(1, "market", bench.clock.now_ns(), data, (call,), ()))
    bench.feed.drain()


def test_prints_are_told_together_by_contract_and_time() -> None:
    """Of a contract, in the order of time, and no further apart than a minute."""
    prints = [
        Trade(contract_id, ts_ns, 6_000.0, 1, 0, ts_ns, seq)
        for seq, (contract_id, ts_ns) in enumerate(
            [("B", 5), ("A", LATE_NS + 8), ("A", 7), ("A", 2 * LATE_NS + 9)]
        )
    ]
    assert late_runs(prints) == [
        ("A", [7]),
        ("A", [LATE_NS + 8]),
        ("A", [2 * LATE_NS + 9]),
        ("B", [5]),
    ]
    more = msgspec.structs.replace(prints[2], ts_event=8)
    assert late_runs([*prints[1:3], more]) == [("A", [7, 8, LATE_NS + 8])]


def test_a_print_beyond_the_horizon_is_a_gap_of_its_time(bench: Bench) -> None:
    """Larger bars that lack its volume say so; several that come together are one entry."""
    bench.subscribe("1m", "1h", "4h")
    for second in (1, 61, 130, 3_700, 7_300, 7_301):
        bring(bench, second, second)
    bring(bench, 7_302, 70)
    bring(bench, 7_303, 75)
    bring(bench, 7_304, 75)
    bring(bench, 7_400, 7_400)
    (entry,) = bench.gaps()[1:]
    assert entry[:3] == (GapCause.QUARANTINE, GapState.ENDED, 70.0)
    assert entry[3] == pytest.approx(75, abs=1e-6)
    assert "late" in bench.keeper.ledger.find()[-1].evidence
    (day,) = [worth for (frame, _), worth in bench.worth().items() if frame == "4h"]
    assert day is Completeness.GAP
    assert bench.worth()["1m", 7_260] is Completeness.COMPLETE


def test_what_is_late_within_a_known_gap_is_no_gap_of_its_own(bench: Bench) -> None:
    """As what a gateway sends again of the time before it was asked."""
    bring_from = 3_000
    bench.at(bring_from)
    bench.subscribe("1m", "1h")
    for second in (3_001, 7_300, 7_301):
        bring(bench, second, second)
    bring(bench, 7_302, 70)
    assert [cause for cause, *_ in bench.gaps()] == [GapCause.START]
