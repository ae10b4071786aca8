"""The two identities that every run must show."""

from __future__ import annotations

import pytest

from tapekeeper.model.snapshot import TickCounts, VolumeCheck


def test_every_received_tick_is_somewhere() -> None:
    """The sum holds: received = accepted + duplicate + quarantined + shed."""
    assert TickCounts().holds
    assert TickCounts(received=10, accepted=4, duplicate=3, quarantined=2, shed=1).holds


@pytest.mark.parametrize("lost", ["accepted", "duplicate", "quarantined", "shed"])
def test_one_tick_too_few_anywhere_shows(lost: str) -> None:
    """A tick missing from any of the four, or counted twice, breaks the identity."""
    whole = {"accepted": 4, "duplicate": 3, "quarantined": 2, "shed": 1}
    for change in (-1, 1):
        assert not TickCounts(received=10, **{**whole, lost: whole[lost] + change}).holds


@pytest.mark.parametrize(
    ("bar_volume", "holds"), [(100, True), (99, False), (101, False), (0, False)]
)
def test_bars_hold_exactly_the_accepted_volume(bar_volume: int, *, holds: bool) -> None:
    """Not a contract more or less than was accepted is in the bars."""
    check = VolumeCheck("CON.F.US.MES.Z26", "1m", 3, bar_volume, 100)
    assert check.holds is holds
