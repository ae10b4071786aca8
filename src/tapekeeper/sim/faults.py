"""Faults on demand: what the outside does to a client on a bad day."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tapekeeper.sim.connection import HubConnection

REFUSALS_MAX = 10_000
"""Refusals that may be planned ahead for one door."""


class Door(StrEnum):
    """Where a request can be refused."""

    LOGIN = "login"
    NEGOTIATE = "negotiate"
    UPGRADE = "upgrade"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class PlannedRefusal:
    """An HTTP status to answer with, and the value of `Retry-After` or None."""

    status: int
    retry_after_s: int | None = None


class Faults:
    """Calls that make a running gateway misbehave.

    Args:
        connections: the live connections of a hub ("market", "user") or, for None, of both.
    """

    def __init__(self, connections: Callable[[str | None], Iterable[HubConnection]]) -> None:
        self._connections = connections
        self._planned: dict[Door, deque[PlannedRefusal]] = {
            door: deque(maxlen=REFUSALS_MAX) for door in Door
        }

    def refuse(
        self, door: Door, count: int, status: int, *, retry_after_s: int | None = None
    ) -> None:
        """Answer the next `count` requests at a door with an HTTP status."""
        self._planned[door].extend([PlannedRefusal(status, retry_after_s)] * count)

    def take_refusal(self, door: Door) -> PlannedRefusal | None:
        """The refusal planned for the request that is here now, if there is one."""
        planned = self._planned[door]
        return planned.popleft() if planned else None

    def drop_all(self, hub: str | None = None) -> int:
        """Cut all connections: TCP ends, no Close record, no close frame. How many there were."""
        live = list(self._connections(hub))
        for connection in live:
            connection.abort("dropped on demand")
        return len(live)

    def close_all(
        self, hub: str | None = None, *, error: str | None = None, allow_reconnect: bool = False
    ) -> int:
        """Send Close, after what waits to be sent, and end with code 1000."""
        live = list(self._connections(hub))
        for connection in live:
            connection.close(error=error, allow_reconnect=allow_reconnect)
        return len(live)

    def go_silent(self, hub: str | None = None) -> int:
        """Leave all present connections half open: nothing is ever sent on them again.

        Connections made later are not touched.
        """
        live = list(self._connections(hub))
        for connection in live:
            connection.mute()
        return len(live)

    def send_raw(self, data: bytes, hub: str | None = None) -> int:
        """Send bytes that need not be a record, such as half of one, to all connections."""
        live = list(self._connections(hub))
        for connection in live:
            connection.send_raw(data)
        return len(live)
