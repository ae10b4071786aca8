"""Readers of one stream that do not read for ten minutes, each with a policy of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import load_config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import FellBehindError
from tapekeeper.model.queue import Conflated, OnFull, QueuePolicy, Shed
from tapekeeper.model.tick import Quote
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.memory_scratch import MemoryScratch
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

START_NS = 1_767_625_200_000_000_000
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
EVENTS = 50
STALL_S = 600


def _silent(_event: str, /, *, level: str = "info", **_fields: object) -> None:
    assert level


async def _all(stream: AsyncIterator[Any]) -> tuple[list[Any], int]:
    """Everything that comes, and how many events were missed at the end of it."""
    found: list[Any] = []
    try:
        async for item in stream:
            found.append(item)  # noqa: PERF401 - what came before an error counts
    except FellBehindError as error:
        return found, error.missed
    return found, 0


def _config(gateway: SimGateway) -> Any:
    return load_config(
        {
            "gateway": {
                "rest_url": gateway.urls.rest,
                "market_hub_url": gateway.urls.market_hub,
                "user_hub": False,
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "cme"},
        }
    )


def test_every_reader_gets_what_it_chose_and_costs_nobody_else_anything() -> None:
    """Whole from the disk, the latest, the rest with evidence, or an honest end."""
    scratch = MemoryScratch()
    wishes = {each: QueuePolicy(each, events=EVENTS) for each in OnFull if each != OnFull.BLOCK}

    async def main(clock: VirtualClock) -> tuple[TapeStatus, list[Quote], dict[OnFull, Any]]:
        network, files = MemoryNetwork(Seeded(1, "network")), MemoryFiles()
        gateway = SimGateway(
            SimConfig(products=("MES",), trades_per_s=10),
            clock,
            Seeded(1, "gateway"),
            sessions=calendar_by_name("cme"),
            network=network,
        )
        outside = Outside(
            clock=clock,
            random=Seeded(1, "jitter"),
            files=lambda _: files,
            session=lambda: open_session(connector=MemoryConnector(network)),
            log=lambda _: _silent,
            scratch=lambda _: scratch,
        )
        async with gateway, asyncio.TaskGroup() as group:
            tape = Tape(_config(gateway), outside=outside)
            async with tape:
                await tape.subscribe("MES", ["1s"])
                prompt = group.create_task(_all(tape.quotes("MES")))
                slow = {each: tape.quotes("MES", on_full=wish) for each, wish in wishes.items()}
                await clock.sleep_s(STALL_S)
                status = tape.status()
            quotes, missed = await prompt
            assert not missed
            return status, quotes, {each: await _all(stream) for each, stream in slow.items()}

    status, quotes, found = run_virtual(main, start_ns=START_NS)
    assert status.holds
    assert len(quotes) > 1_000
    queues = {queue.on_full: queue for queue in status.queues if queue.waiting or queue.spilled}
    assert set(queues) == set(wishes)
    assert all(queue.waiting <= 1.5 * EVENTS for queue in queues.values())
    assert status.census.spilled_bytes == queues[OnFull.SPILL].spilled_bytes > 0
    assert status.census.queue_bytes < 200_000
    assert found[OnFull.SPILL] == (quotes, 0)
    assert found[OnFull.FAIL] == (quotes[:EVENTS], len(quotes) - EVENTS)
    [evidence, *rest], missed = found[OnFull.SHED]
    assert not missed
    assert evidence == Shed(len(quotes) - len(rest), 1, len(quotes) - len(rest))
    assert rest == quotes[-len(rest) :]
    conflated, missed = found[OnFull.CONFLATE]
    assert not missed
    assert sum(each.stands_for for each in conflated) == len(quotes)
    assert conflated[-1] == Conflated(quotes[-1], conflated[-1].stands_for)
    assert scratch.open_files == 0
