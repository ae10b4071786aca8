"""A tape gets its token from a function of the user's, and gives it in the form a gateway reads."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.tape import Tape
from tapekeeper.errors import ConfigError
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls

QUICK = {"backoff_base_ms": 1, "backoff_cap_ms": 1}


def settings(urls: SimUrls, folder: Path, **gateway: Any) -> dict[str, Any]:
    """A configuration without credentials, as a user with a token source writes it."""
    return {
        "gateway": {
            "rest_url": urls.rest,
            "market_hub_url": urls.market_hub,
            "user_hub_url": urls.user_hub,
            **gateway,
        },
        "line": QUICK,
        "journal": {"dir": str(folder)},
        "log": {"level": "error"},
    }


def blocking_login(rest_url: str) -> str:
    """What a script of a user's may do: log in with a blocking client."""
    connection = http.client.HTTPConnection(urlsplit(rest_url).netloc, timeout=10)
    try:
        body = json.dumps({"userName": TEST_USER, "apiKey": TEST_API_KEY})
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/Auth/loginKey", body, headers)
        token: str = json.loads(connection.getresponse().read())["token"]
    finally:
        connection.close()
    return token


def counted(login: Callable[[], str]) -> tuple[Callable[[], str], list[str]]:
    """`login`, and the tokens it gave."""
    given: list[str] = []

    def source() -> str:
        given.append(login())
        return given[-1]

    return source, given


@pytest.mark.asyncio
async def test_a_tape_runs_on_tokens_of_the_users_own_function(tmp_path: Path) -> None:
    """No key is configured; the function is asked once for all, and again after a refusal."""
    async with SimGateway(
        SimConfig(speed="max", products=("MES",), trades_max=50), SystemClock(), SystemRandom()
    ) as gateway:
        source, given = counted(lambda: blocking_login(gateway.urls.rest))
        async with Tape(settings(gateway.urls, tmp_path), tokens=source) as tape:
            async with asyncio.timeout(30):
                await tape.subscribe("MES", ["1s"])
                await gateway.finished.wait()
                assert len(given) == 1
                gateway.faults.refuse_tokens()
                gateway.faults.drop_all("market")
                while tape.status().lines[0].connections < 2:  # noqa: ASYNC110 - a counter
                    await asyncio.sleep(0)
    assert len(given) == 2
    assert given[0] != given[1]


@pytest.mark.asyncio
async def test_without_key_and_function_the_missing_setting_is_named(tmp_path: Path) -> None:
    """The sentence is the configuration's, before anything is connected."""
    urls = SimUrls("http://127.0.0.1:1", "http://127.0.0.1:1/m", "http://127.0.0.1:1/u")
    with pytest.raises(ConfigError, match=r"gateway\.user_name is not set"):
        async with Tape(settings(urls, tmp_path)):
            raise AssertionError
