"""What is missing before the first print, when nobody knows the exchange's clock yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tapekeeper.core.signalr.session import Garbled
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import GapCause, GapState
from tapekeeper.runtime import gap_keeper
from tapekeeper.runtime.line_values import Inbound
from tests.unit.runtime.test_gap_keeper import Bench, hole


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A keeper on a new journal."""
    made = Bench(tmp_path / "journal")
    yield made
    made.keeper.close()
    made.journaler.close()


def spoil(bench: Bench, second: float) -> None:
    """A frame that cannot be read comes at START plus `second`."""
    bench.at(second)
    garbled = (Garbled(b"{", "not JSON"),)
    bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"{\x1e", (), garbled))
    bench.feed.drain()


def test_what_cannot_be_read_before_the_first_print_is_a_gap(bench: Bench) -> None:
    """The start ended with the confirmation, a minute before; several in a row are one gap."""
    bench.subscribe()
    spoil(bench, 65)
    spoil(bench, 66)
    bench.trade(70)
    bench.trade(130)
    start, [cause, state, from_s, to_s] = bench.gaps()
    assert start[0] is GapCause.START
    assert (cause, state) == (GapCause.QUARANTINE, GapState.ENDED)
    assert from_s is not None
    assert to_s is not None
    assert 64 < from_s <= 65
    assert 70 <= to_s < 70.1
    assert bench.worth()["1m", 60] is Completeness.GAP
    assert bench.worth()["1m", 120] is Completeness.COMPLETE


def test_of_too_many_that_wait_none_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told as one that holds them all, and none of them lasts for good."""
    monkeypatch.setattr(gap_keeper, "UNPLACED_MAX", 3)
    bench.subscribe()
    for second in range(10, 70, 10):
        bench.at(second + 1)
        bench.keeper.cover([], [hole(second, None)])
        bench.at(second + 5)
        bench.keeper.cover([hole(second, second + 5)], [])
    bench.trade(100)
    outages = [each for each in bench.gaps() if each[0] is GapCause.DISCONNECT]
    assert all(state is GapState.ENDED for _, state, _, _ in outages)
    for second in range(10, 70, 10):
        assert any(
            (from_s or 0) <= second and (to_s or 0) >= second + 5 for *_, from_s, to_s in outages
        )
    assert len(outages) < 6
    evidence = bench.keeper.ledger.find(causes=[GapCause.DISCONNECT])[-1].evidence
    assert "too much was waiting" in evidence
