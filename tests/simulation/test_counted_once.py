"""No two figures of a running tape are always the same number, under whatever names."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.model.distribution import Distribution, LabelCounts
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.fault_menu import Drop, Garbage, LosePrints, Refuse, Replay
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

SAMPLES = 70
EVERY_S = 17.0

PARTS: Mapping[frozenset[str], str] = {
    frozenset({"feed.stages.burst_frames.count", "feed.stages.written_ns.count"}): "histograms",
    frozenset({"feed.stages.burst_frames.count", "feed.stages.published_ns.count"}): "histograms",
    frozenset({"feed.stages.published_ns.count", "feed.stages.written_ns.count"}): "histograms",
    frozenset({"rejected", "rejected_contracts"}): "one counter, read by two labels",
    frozenset(
        {"rejected", "trades.quarantined"}
    ): "an identity's side, and why; of trades alone here",
    frozenset({"rejected_contracts", "trades.quarantined"}): "the same",
    frozenset({"census.waiting", "queues.waiting"}): "a level, summed up when it is asked for",
    frozenset({"census.queue_bytes", "queues.waiting_bytes"}): "the same",
}
"""Pairs that are the same number in this run, and why neither is a second counter."""


def flat(value: object, path: str = "") -> Iterator[tuple[str, int]]:
    """Every whole number of a status by its path; those of several of a kind come one by one."""
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield path, value
    elif isinstance(value, Distribution):
        yield f"{path}.count", value.count
        yield f"{path}.sum", value.sum
    elif isinstance(value, LabelCounts):
        yield path, value.total
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from flat(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        for each in value:
            yield from flat(each, path)
    elif isinstance(value, dict):
        yield path, sum(each for each in value.values() if isinstance(each, int))


def sums(status: TapeStatus) -> Counter[str]:
    """The numbers of a status by path, those of several of a kind together."""
    found: Counter[str] = Counter()
    for path, number in flat(status):
        found[path] += number
    return found


def same(samples: Sequence[Counter[str]]) -> Iterator[frozenset[str]]:
    """Pairs of paths that are equal in every sample, and rise."""
    rising: dict[tuple[int, ...], list[str]] = {}
    for path in sorted(samples[-1]):
        series = tuple(sample[path] for sample in samples)
        is_rising = all(a <= b for a, b in itertools.pairwise(series))
        if is_rising and len(set(series)) > 2:
            rising.setdefault(series, []).append(path)
    for paths in rising.values():
        yield from map(frozenset, itertools.combinations(paths, 2))


async def _samples(clock: VirtualClock, folder: Path) -> list[Counter[str]]:
    network = MemoryNetwork(Seeded(3, "network"))
    gateway = SimGateway(
        SimConfig(seed=3, products=("MES", "MNQ"), trades_per_s=3.0),
        clock,
        Seeded(3, "gateway"),
        schedule=(
            Drop(every_s=97.0),
            Refuse(every_s=113.0, door=Door.UPGRADE, status=503),
            Refuse(every_s=71.0, door=Door.REST, status=503),
            Garbage(every_s=67.0, hub="market"),
            LosePrints(every_s=53.0),
            Replay(every_s=31.0),
        ),
        network=network,
    )
    outside = Outside(
        clock=clock,
        random=Seeded(3, "jitter"),
        session=lambda: open_session(connector=MemoryConnector(network)),
        log=lambda _: lambda *_, **__: None,
    )
    config = Config.model_validate(
        {
            "gateway": {
                "rest_url": "http://127.0.0.1:8790",
                "market_hub_url": "http://127.0.0.1:8790/hubs/market",
                "user_hub_url": "http://127.0.0.1:8790/hubs/user",
                "user_name": TEST_USER,
                "api_key": TEST_API_KEY,
            },
            "calendar": {"default": "24x7"},
            "journal": {"dir": str(folder), "segment_mb": 1},
            "pool": {"redundancy": 2, "max_session_s": 60},
            "bars": {"timeframes": ["1s", "1m"], "keep": 50},
        }
    )
    samples = []
    async with gateway, Tape(config, outside=outside) as tape, asyncio.TaskGroup() as tasks:
        await tape.subscribe("MES", depth=True)
        await tape.subscribe("MNQ")
        unread = tape.bars("MNQ", "1s", on_full="shed")
        reader = tasks.create_task(_read(tape.quotes("MES"), clock))
        for _ in range(SAMPLES):
            await clock.sleep_s(EVERY_S)
            samples.append(sums(tape.status()))
        reader.cancel()
        del unread
    return samples


async def _read(stream: AsyncIterator[object], clock: VirtualClock) -> None:
    async for _ in stream:
        await clock.sleep_s(0.3)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Counter[str]]:
    """What a running tape said of itself."""
    folder = tmp_path_factory.mktemp("journal")
    return run_virtual(lambda clock: _samples(clock, folder))


def test_no_two_figures_are_always_the_same(samples: list[Counter[str]]) -> None:
    """Twenty minutes with two lines, cuts, garbage and losses tell all counters apart."""
    assert set(same(samples)) == set(PARTS)


def test_a_second_counter_is_found_under_whatever_name(samples: list[Counter[str]]) -> None:
    """The frames of the lines, counted once more where they are taken from them."""
    planted = [Counter({**each, "feed.frames": each["pools.frames"]}) for each in samples]
    assert set(same(planted)) - set(PARTS) == {frozenset({"feed.frames", "pools.frames"})}
