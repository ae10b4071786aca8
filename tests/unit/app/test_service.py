"""Running until it is enough."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.config import Config
from tapekeeper.app.service import run_service, watch
from tapekeeper.errors import ConfigError


class Leaps:
    """A clock that moves a second with every look."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        """Not asked."""
        raise AssertionError("the wall clock has no part in this")

    def monotonic_ns(self) -> int:
        """A second later than the last time."""
        self.ns += 1_000_000_000
        return self.ns

    async def sleep_s(self, delay_s: float) -> None:
        """Not asked."""
        raise AssertionError(delay_s)


@pytest.mark.asyncio
async def test_watching_ends_with_its_time_and_looks_a_last_time() -> None:
    """The first look is at once and the last one when the time is over."""
    seen: list[float] = []
    await watch(seen.append, every_s=0.0, stop=asyncio.Event(), seconds=3.0, clock=Leaps())
    assert seen == [1.0, 2.0, 3.0]


@pytest.mark.asyncio
async def test_watching_ends_when_it_is_told_to() -> None:
    """However much time is left."""
    stop = asyncio.Event()
    seen: list[float] = []

    def look(elapsed_s: float) -> None:
        seen.append(elapsed_s)
        stop.set()

    await watch(look, every_s=3_600.0, stop=stop, seconds=None, clock=SystemClock())
    assert len(seen) == 1


@pytest.mark.asyncio
async def test_a_configuration_without_contracts_is_refused() -> None:
    """Nothing is connected for nothing."""
    with pytest.raises(ConfigError, match="nothing to follow"):
        await run_service(Config(), stop=asyncio.Event(), on_status=lambda _status: None)


@pytest.mark.asyncio
async def test_a_stop_while_connecting_is_heeded_at_once(tmp_path: Path) -> None:
    """A gateway that takes the call and says nothing would hold the login for its deadline."""
    stop = asyncio.Event()

    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stop.set()
        await reader.read()  # until the other side gives up
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = Config.model_validate(
        {
            "gateway": {
                "rest_url": f"http://127.0.0.1:{port}",
                "user_name": "test-user",
                "api_key": "test-key-not-a-secret",
            },
            "journal": {"dir": str(tmp_path)},
            "subscribe": [{"contract": "MES"}],
        }
    )
    async with asyncio.timeout(10):
        assert await run_service(config, stop=stop, on_status=lambda _status: None) is None
        await gone.wait()
    server.close()
