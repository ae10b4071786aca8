"""`tape.history` (app/archive/live): a running tape, its journal and its archive as one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.archive.compaction import archive_journal
from tapekeeper.app.archive.history import read_history
from tapekeeper.app.config import Config
from tapekeeper.app.config_archive import TradesConfig
from tapekeeper.app.tape import Tape
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UnknownContractError, UsageError
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway
from tests.integration.test_tape_end_to_end import START_NS, config_for, received


def small_segments(config: Config) -> Config:
    """The same with the smallest segments there are."""
    return config.model_copy(update={"journal": config.journal.model_copy(update=SMALL)})


SMALL = {"segment_mb": 1}
RUNS = 2
DAY_NS = 86_400_000_000_000


@pytest.mark.asyncio
async def test_a_running_tape_reads_everything_that_it_ever_had(tmp_path: Path) -> None:
    """Of this run and the one before, archived or not, at any moment, each print once."""
    journal = tmp_path / "journal"
    seen = came = 0
    for run in range(RUNS):
        # Each market goes on behind the one before: bars do, and prints of long ago would be late.
        start_ns = START_NS + run * DAY_NS
        config = SimConfig(
            seed=7, speed="max", products=("MES",), trades_max=3_000, start_ns=start_ns
        )
        calendar = calendar_by_name("cme")
        async with SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar) as gateway:
            settings = small_segments(config_for(gateway.urls, journal))
            tape = Tape(settings.model_copy(update={"trades": TradesConfig(keep_mb=1)}))
            async with tape, asyncio.timeout(60):
                await tape.subscribe("MES", ["1s"])
                while not gateway.finished.is_set():
                    before = tape.status().trades.accepted  # of both runs: counts go on
                    rows = await tape.history("MES", "trades", columns=["run", "seq"])
                    assert rows.height >= before
                    assert rows.is_unique().all()
                    if run:
                        await asyncio.to_thread(archive_journal, journal)
                await received(tape, came + sum(gateway.statistics().trades_sent.values()))
                came = tape.status().trades.received
                accepted = tape.status().trades.accepted
                whole = await tape.history("MES", "trades")
                assert whole.height == accepted > seen
                views = tape.trades("MES")
                hot = whole.filter(pl.col("run") == whole["run"].max()).sort("seq")
                assert [seq for view in views for seq in view.seq] == hot["seq"].to_list()
                assert [price for view in views for price in view.price] == hot["price"].to_list()
                lazy = await tape.history("MES", "trades", START_NS, columns=["price"], lazy=True)
                assert lazy.collect().height == whole.height
                frame = tape.frame("MES", "1s").filter(pl.col("state") != "forming")
                bars = await tape.history("MES", "1s")
                assert set(frame["ts_open"]) <= set(bars["ts_open"])
                with pytest.raises(UnknownContractError):
                    await tape.history("ZZ", "trades")
            seen = accepted
    assert_frame_equal(read_history(journal, "MES", "trades"), whole)


@pytest.mark.asyncio
async def test_a_running_tape_archives_what_is_settled(tmp_path: Path) -> None:
    """In a process of its own: what the run before has left, and nothing of this one yet."""
    journal = tmp_path / "journal"
    for enabled in (False, True):
        start_ns = START_NS + enabled * DAY_NS
        config = SimConfig(seed=7, speed="max", products=("MES",), trades_max=50, start_ns=start_ns)
        calendar = calendar_by_name("cme")
        async with SimGateway(config, SystemClock(), SystemRandom(), sessions=calendar) as gateway:
            settings = config_for(gateway.urls, journal)
            archive = settings.archive.model_copy(update={"enabled": enabled, "every_s": 0.01})
            tape = Tape(settings.model_copy(update={"archive": archive}))
            async with tape, asyncio.timeout(60):
                await tape.subscribe("MES", ["1s"])
                await received(tape, 100 if enabled else 50)
                with pytest.raises(UsageError, match="no trades are kept"):
                    tape.trades("MES")
                assert (tape.archiving is not None) is enabled
                while enabled and not tape.status().archive.passes:  # noqa: ASYNC110 - a count
                    await asyncio.sleep(0)
            status = tape.status().archive
    assert (status.through_segment, status.confirmed, status.trouble) == (1, 1, "")
    assert read_history(journal, "MES", "trades").height == 100
