"""Who listens to what: (stream, key) to connections. A subscription dies with its connection."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from tapekeeper.sim.connection import HubConnection


class Stream(StrEnum):
    """What a connection can listen to."""

    QUOTES = "quotes"
    TRADES = "trades"
    DEPTH = "depth"
    ACCOUNTS = "accounts"
    ORDERS = "orders"
    POSITIONS = "positions"
    FILLS = "fills"


class Subscriptions:
    """The subscriptions of all live connections of a hub."""

    def __init__(self) -> None:
        # bound: one entry per stream and known contract or account, as callers check the key
        self._listeners: dict[tuple[Stream, str], dict[HubConnection, None]] = {}
        self._present: dict[tuple[Stream, str], asyncio.Event] = {}
        self._changed = asyncio.Event()
        self.version = 0
        """Rises with every change."""

    def add(self, stream: Stream, key: str, connection: HubConnection) -> None:
        """Subscribe; a second time changes nothing."""
        self._listeners.setdefault((stream, key), {})[connection] = None
        self._event(stream, key).set()
        self._change()

    def remove(self, stream: Stream, key: str, connection: HubConnection) -> None:
        """Unsubscribe; without a subscription nothing happens."""
        listeners = self._listeners.get((stream, key), {})
        listeners.pop(connection, None)
        if not listeners:
            self._event(stream, key).clear()
        self._change()

    def remove_all(self, connection: HubConnection) -> None:
        """The connection has ended."""
        for stream, key in list(self._listeners):
            self.remove(stream, key, connection)

    def held_by(self, connection: HubConnection) -> list[tuple[Stream, str]]:
        """What a connection listens to, in order of first subscription by anybody."""
        return [key for key, listeners in self._listeners.items() if connection in listeners]

    def of(self, stream: Stream, key: str) -> list[HubConnection]:
        """The connections that listen, in order of subscription."""
        return list(self._listeners.get((stream, key), ()))

    async def present(self, stream: Stream, key: str) -> None:
        """Wait until somebody listens."""
        await self._event(stream, key).wait()

    async def changed(self, version: int) -> None:
        """Wait until `version` is no longer the current one."""
        while self.version == version:
            self._changed.clear()
            await self._changed.wait()

    def _change(self) -> None:
        self.version += 1
        self._changed.set()

    def _event(self, stream: Stream, key: str) -> asyncio.Event:
        return self._present.setdefault((stream, key), asyncio.Event())
