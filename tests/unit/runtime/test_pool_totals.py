"""What a pool says it received is what arrived, however often its lines were replaced."""

from __future__ import annotations

import asyncio
import itertools

from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import Arrival, Connected, HubCall, Inbound, LineSpec
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import PoolPolicy, PoolStatus
from tapekeeper.sim.scripted_hub import ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_MES = HubCall("SubscribeContractTrades", ("CON.F.US.MES.Z26",))


class _Inbox:
    """Counts what arrives."""

    def __init__(self) -> None:
        self.connections = 0
        self.frames = 0
        self.bytes = 0

    def __call__(self, arrival: Arrival, /) -> bool:
        if isinstance(arrival, Connected):
            self.connections += 1
        elif isinstance(arrival, Inbound):
            self.frames += 1
            self.bytes += len(arrival.data)
        return True

    async def wait_room(self) -> None:
        raise AssertionError("it is never full")

    def agrees(self, status: PoolStatus) -> bool:
        """Whether the pool counted each arrival once."""
        counted = (status.connections, status.frames, status.bytes)
        return counted == (self.connections, self.frames, self.bytes)


class _Tokens:
    async def __call__(self) -> Secret:
        return Secret("test-token-not-a-secret")

    def invalidate(self, refused: Secret) -> None:
        raise AssertionError("no token is refused")


class _Half:
    def random(self) -> float:
        return 0.5


def _unsaid(_event: str, /, **_fields: object) -> None:
    return


def test_what_replaced_lines_received_stays_counted() -> None:
    """Connections, frames and bytes are of all lines, once each: during hand-overs and after."""

    async def main(clock: VirtualClock) -> None:
        hub, inbox = ScriptedHub(clock), _Inbox()
        pool = LinePool(
            LineSpec(
                name="market",
                hub_url="https://hub.test/hubs/market",
                negotiate=False,
                backoff_base_ms=200,
            ),
            PoolPolicy(redundancy=2),
            transport=hub,
            tokens=_Tokens(),
            clock=clock,
            random=_Half(),
            inbox=inbox,
            log=_unsaid,
            numbers=itertools.count(1).__next__,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(pool.run())
            await pool.subscribe(_MES)
            for step in range(400):
                if step in {50, 150}:
                    pool.request_handover("a test")
                if step == 300:
                    hub.connections[-1].drop("code 1006")
                for connection in hub.connections:
                    connection.push(encode_invocation("GatewayTrade", [step]))
                await clock.sleep_s(0.1)
                assert inbox.agrees(pool.status())
            status = pool.status()
            assert (status.handovers, status.connections) == (4, 7)
            assert sum(line.frames for line in status.lines) < status.frames
            await pool.stop()
        assert inbox.agrees(pool.status())
        assert pool.status().connections == len(hub.connections)

    run_virtual(main)
