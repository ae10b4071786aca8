"""Bursts are measured as wholes: their size, the journal's part, and the way to subscribers."""

from __future__ import annotations

import pytest

from tapekeeper.runtime.stages import Stages
from tapekeeper.sim.manual_clock import ManualClock


def test_each_stage_of_a_burst_has_its_time() -> None:
    """The journal from call to return; publication from the receipt of the oldest frame."""
    clock = ManualClock()
    stages = Stages(clock)
    received_ns = clock.now_ns()
    clock.advance(0.002)
    stages.begin(7)
    clock.advance(0.003)
    stages.written()
    clock.advance(0.005)
    stages.published(received_ns)
    told = stages.statistics()
    assert (told.burst_frames.count, told.burst_frames.sum) == (1, 7)
    assert (told.written_ns.count, told.written_ns.most) == (1, 3_000_000)
    assert (told.published_ns.count, told.published_ns.most) == (1, 10_000_000)


def test_the_rate_is_of_the_last_minute() -> None:
    """It follows what comes, and forgets what came."""
    clock = ManualClock()
    stages = Stages(clock)
    for _ in range(120):
        stages.begin(50)
        clock.advance(1.0)
    assert stages.statistics().frames_per_s == pytest.approx(50, rel=0.1)
    clock.advance(300.0)
    assert stages.statistics().frames_per_s == 0.0
