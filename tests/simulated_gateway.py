"""A tape's side of the simulated gateway: who it is there, and what it has of the outside."""

from __future__ import annotations

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.outside import Outside
from tapekeeper.ports import Clock, Log
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER
from tapekeeper.sim.gateway import SimUrls
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.seeded import Seeded


def account_at(urls: SimUrls) -> dict[str, object]:
    """The section [gateway] of a configuration, for the account that the gateway knows."""
    return {
        "rest_url": urls.rest,
        "market_hub_url": urls.market_hub,
        "user_hub_url": urls.user_hub,
        "user_name": TEST_USER,
        "api_key": TEST_API_KEY,
    }


def silent(_event: str, /, **_fields: object) -> None:
    """A log that nobody reads."""


def outside_in_memory(
    clock: Clock, network: MemoryNetwork, files: MemoryFiles | None = None, log: Log = silent
) -> Outside:
    """What a tape has of the outside where all of it is in memory, and seeded.

    Args:
        clock: of its host.
        network: leads to the gateway.
        files: take its journal.
        log: takes what it says.
    """
    kept = MemoryFiles() if files is None else files
    return Outside(
        clock=clock,
        random=Seeded(1, "jitter"),
        files=lambda _: kept,
        session=lambda: open_session(connector=MemoryConnector(network)),
        log=lambda _: log,
    )
