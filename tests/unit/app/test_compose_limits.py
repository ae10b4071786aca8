"""Every limit that adapts is joined to its ceiling and to what it is a limit of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tapekeeper.app.compose import compose
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.outside import real_outside
from tapekeeper.core.limits import Knob
from tapekeeper.sim.machine import SimMachine
from tapekeeper.sim.manual_clock import ManualClock

CREDENTIALS = {"user_name": "test-user", "api_key": "test-key-not-a-secret"}


def _config(folder: Path, **sections: object) -> Config:
    return load_config({"gateway": CREDENTIALS, "journal": {"dir": str(folder)}, **sections})


async def _ceilings(config: Config) -> dict[Knob, int] | None:
    outside = replace(real_outside(), clock=ManualClock(), machine=lambda _: SimMachine(1_000, 100))
    parts = await compose(config, outside=outside)
    try:
        if parts.limiter is None:
            return None
        return {each.knob: each.ceiling for each in parts.limiter.status().knobs}
    finally:
        await parts.abandon()


@pytest.mark.asyncio
async def test_the_ceilings_are_what_the_user_sets(tmp_path: Path) -> None:
    """Each in its own unit."""
    config = _config(
        tmp_path,
        trades={"keep_mb": 7},
        quotes={"keep": 300},
        limits={"burst_frames": 40},
        journal={"dir": str(tmp_path), "durability": "power", "sync_every_ms": 250},
    )
    assert await _ceilings(config) == {
        Knob.HOT: 7_000_000,
        Knob.QUOTES: 300,
        Knob.HISTORY: 128_000_000,
        Knob.SYNC: 250,
        Knob.BURST: 40,
        Knob.QUEUES: 100,
        Knob.OPTIONAL: 1,
    }


@pytest.mark.asyncio
async def test_what_is_off_has_no_limit(tmp_path: Path) -> None:
    """No trades are kept, and no sync is promised."""
    found = await _ceilings(_config(tmp_path))
    assert found is not None
    assert set(found) == set(Knob) - {Knob.HOT, Knob.SYNC}


@pytest.mark.asyncio
async def test_nothing_is_measured_where_limits_do_not_adapt(tmp_path: Path) -> None:
    """There is nobody who would."""
    assert await _ceilings(_config(tmp_path, limits={"adapt": False})) is None
