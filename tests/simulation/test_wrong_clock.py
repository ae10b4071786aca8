"""Bars come from exchange time: a clock of this host that is wrong changes none of them."""

from __future__ import annotations

from functools import cache

import pytest

from tapekeeper.app.config import Config
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.model.bar import Bar
from tapekeeper.ports import Clock
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual
from tests.simulated_gateway import account_at, outside_in_memory

SECONDS = 300.0


class WrongClock:
    """The clock of a host that is ahead by so much, and is set once in the middle.

    Args:
        true: the clock of the world.
        ahead_s: how far it is ahead until it is set.
        then_s: and from then on.
    """

    def __init__(self, true: Clock, ahead_s: float, then_s: float) -> None:
        self._true = true
        self._ahead_ns, self._then_ns = round(ahead_s * 1e9), round(then_s * 1e9)
        self._set_ns = true.monotonic_ns() + round(SECONDS / 2 * 1e9)

    def now_ns(self) -> int:
        """What this host believes."""
        was_set = self._true.monotonic_ns() >= self._set_ns
        return self._true.now_ns() + (self._then_ns if was_set else self._ahead_ns)

    def monotonic_ns(self) -> int:
        """Durations are right, whatever time it is."""
        return self._true.monotonic_ns()

    async def sleep_s(self, delay_s: float) -> None:
        """As long as asked."""
        await self._true.sleep_s(delay_s)


def ran(ahead_s: float, then_s: float) -> tuple[dict[str, list[Bar]], TapeStatus]:
    """Closed bars and status of five minutes on a host whose clock is so far ahead."""

    async def main(clock: VirtualClock) -> tuple[dict[str, list[Bar]], TapeStatus]:
        network = MemoryNetwork(Seeded(1, "network"))
        files = MemoryFiles()
        gateway = SimGateway(
            SimConfig(products=("MES", "MGC"), trades_per_s=1.0),
            clock,
            Seeded(1, "gateway"),
            network=network,
        )
        outside = outside_in_memory(WrongClock(clock, ahead_s, then_s), network, files)
        async with gateway:
            config = Config.model_validate(
                {
                    "gateway": account_at(gateway.urls),
                    "calendar": {"default": "24x7"},
                    "bars": {"timeframes": ["1s", "5s", "1m"]},
                }
            )
            async with Tape(config, outside=outside) as tape:
                for product in ("MES", "MGC"):
                    await tape.subscribe(product)
                await clock.sleep_s(SECONDS)
                status = tape.status()
            return tape.result().bars, status

    return run_virtual(main)


@cache
def right() -> tuple[dict[str, list[Bar]], TapeStatus]:
    """The same with the right clock."""
    return ran(0.0, 0.0)


def test_the_right_clock_is_found_right() -> None:
    """The answers of the gateway bound it to a second, and the fastest tick from one side."""
    bars, status = right()
    assert sum(map(len, bars.values())) > 300
    host = status.host_clock
    assert host.answers >= 4
    assert host.least_ms is not None
    assert host.most_ms is not None
    assert host.least_ms <= 0.0 <= host.most_ms
    assert host.most_ms - host.least_ms < 2_100
    assert status.fastest_ms is not None
    assert 0.0 <= status.fastest_ms < 50.0
    (trip,) = {line.round_trip for line in status.lines if line.name == "market"}
    assert trip.measured >= SECONDS / 16
    assert trip.unanswered == 0
    assert trip.max_ms is not None
    assert 0.0 < trip.max_ms < 100.0


@pytest.mark.parametrize(
    ("ahead_s", "then_s"),
    [(-7_200.0, -7_200.0), (3_600.0, 3_600.0), (0.0, 90.0), (0.0, -90.0), (86_400.0, -86_400.0)],
)
def test_a_wrong_clock_changes_no_bar(ahead_s: float, then_s: float) -> None:
    """Hours off, or set in mid-run, forward or back: every bar is the same, and it is found out."""
    bars, status = ran(ahead_s, then_s)
    assert bars == right()[0]
    assert status.trades == right()[1].trades
    assert status.host_clock.least_ms is not None
    assert status.host_clock.most_ms is not None
    # Nothing was asked of the gateway since the middle, where the last answers are from before.
    assert status.host_clock.least_ms <= ahead_s * 1e3 <= status.host_clock.most_ms
