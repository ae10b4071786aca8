"""Prints that the gateway loses inside."""

from __future__ import annotations

from tapekeeper.sim.fault_menu import LosePrints
from tapekeeper.sim.faults import Faults
from tapekeeper.sim.losses import Loss, PrintLosses
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.wire import Print, Trades

EVENT = Trades("a", 1, (Print("1.00", 1, 0), Print("1.00", 5, 0), Print("1.00", 0, 0)))


def test_nothing_is_lost_by_itself() -> None:
    """Without a loss a record is what it was."""
    assert PrintLosses().left_of(EVENT) is EVENT


def test_all_prints_that_count_can_be_lost() -> None:
    """Those of size 0 are left alone, and what was lost is counted and told."""
    losses = PrintLosses()
    told: list[tuple[str, int, Print]] = []
    losses.taps.append(lambda *each: told.append(each))
    losses.begin(Loss())
    left = losses.left_of(EVENT)
    assert left is not None
    assert [one.size for one in left.prints] == [0]
    assert losses.volume == {"a": 6}
    assert told == [("a", 1, EVENT.prints[0]), ("a", 1, EVENT.prints[1])]
    assert losses.left_of(Trades("a", 2, EVENT.prints[:2])) is None


def test_only_large_prints_can_be_lost() -> None:
    """A loss may meet prints from a size on."""
    losses = PrintLosses()
    losses.begin(Loss(size_min=3))
    left = losses.left_of(EVENT)
    assert left is not None
    assert [one.size for one in left.prints] == [1, 0]


def test_a_share_is_drawn_and_repeats() -> None:
    """About the share is lost, the same for the same seed."""

    def lost(seed: int) -> int:
        losses = PrintLosses(Seeded(seed, "test"))
        losses.begin(Loss(share=0.2))
        for _ in range(2_000):
            losses.left_of(Trades("a", 1, EVENT.prints[:1]))
        return losses.volume["a"]

    assert lost(1) == lost(1) != lost(2)
    assert 300 < lost(1) < 500


def test_a_fault_loses_for_as_long_as_it_says() -> None:
    """It ends by itself, never where it has no end, and at once when faults are cleared."""
    faults = Faults(lambda _: [])
    fault = LosePrints(at_s=0.0, for_s=5.0)
    assert fault.apply(faults) == 5.0
    assert faults.losses.left_of(EVENT) is not EVENT
    fault.revert(faults)
    assert faults.losses.left_of(EVENT) is EVENT
    assert LosePrints(at_s=0.0, share=0.5, for_s=None).apply(faults) is None
    faults.clear()
    assert faults.losses.left_of(EVENT) is EVENT
