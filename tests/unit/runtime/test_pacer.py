"""Calls are spaced: a burst at once, then a steady rate."""

from __future__ import annotations

import pytest

from tapekeeper.runtime.pacer import Pacer

_NS = 1_000_000_000


def test_a_burst_is_free_and_the_rest_is_spaced() -> None:
    """Of five calls at one moment three go at once, the others a tenth of a second apart."""
    pacer = Pacer(per_s=10, burst=3)
    assert [pacer.take_turn(7 * _NS) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]


def test_a_quiet_spell_gives_the_burst_back_but_no_more() -> None:
    """What was not used is not saved up beyond the burst."""
    pacer = Pacer(per_s=10, burst=3)
    for _ in range(5):
        pacer.take_turn(0)
    assert [pacer.take_turn(3600 * _NS) for _ in range(4)] == [0, 0, 0, 0.1]


def test_in_the_long_run_the_rate_is_kept() -> None:
    """A thousand calls at a rate of fifty take at least nineteen seconds."""
    pacer = Pacer(per_s=50, burst=50)
    now_ns = 0
    for _ in range(1_000):
        now_ns += round(pacer.take_turn(now_ns) * _NS)
    assert now_ns >= 18.9 * _NS


@pytest.mark.parametrize(("per_s", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_pace_that_gives_no_turn_is_refused(per_s: float, burst: int) -> None:
    """Nobody could ever call."""
    with pytest.raises(ValueError, match="above 0 per second"):
        Pacer(per_s, burst)
