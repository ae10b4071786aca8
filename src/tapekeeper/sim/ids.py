"""Connection ids: negotiated, used once, forgotten when nobody comes."""

from __future__ import annotations

import base64
from enum import Enum

from tapekeeper.ports import Clock, Random
from tapekeeper.sim.session import SECOND_NS

IDS_MAX = 10_000
"""Negotiated ids that may wait; the oldest is forgotten first."""


def random_bytes(random: Random, count: int) -> bytes:
    """`count` bytes from an injected source."""
    return bytes(int(random.random() * 256) for _ in range(count))


def new_id(random: Random) -> str:
    """16 random bytes in base64url without padding: 22 characters."""
    return base64.urlsafe_b64encode(random_bytes(random, 16)).rstrip(b"=").decode()


class Claim(Enum):
    """What became of an attempt to use an id."""

    GRANTED = "granted"
    UNKNOWN = "unknown"
    IN_USE = "in use"


class ConnectionIds:
    """The ids of one hub.

    Args:
        life_s: how long a negotiated id waits for its connection.
        clock: monotonic time.
    """

    def __init__(self, life_s: float, clock: Clock) -> None:
        self._life_ns = round(life_s * SECOND_NS)
        self._clock = clock
        self._waiting: dict[str, int] = {}  # bound: IDS_MAX; id to monotonic ns of expiry
        self._stateful: set[str] = set()  # bound: those that wait
        self._in_use: set[str] = set()  # bound: live connections

    def add(self, id_: str, *, stateful: bool = False) -> None:
        """Negotiated: it may be claimed once, soon; `stateful` if it is to be resumable."""
        now_ns = self._clock.monotonic_ns()
        for old in [one for one, until_ns in self._waiting.items() if until_ns <= now_ns]:
            self._forget(old)
        if len(self._waiting) >= IDS_MAX:
            self._forget(next(iter(self._waiting)))
        if stateful:
            self._stateful.add(id_)
        self._waiting[id_] = now_ns + self._life_ns

    def is_stateful(self, id_: str) -> bool:
        """Whether this id, which waits, was negotiated for a connection that can be resumed."""
        return id_ in self._stateful

    def _forget(self, id_: str) -> None:
        del self._waiting[id_]
        self._stateful.discard(id_)

    def claim(self, id_: str) -> Claim:
        """Use an id for a connection."""
        if id_ in self._in_use:
            return Claim.IN_USE
        until_ns = self._waiting.pop(id_, None)
        self._stateful.discard(id_)
        if until_ns is None or until_ns <= self._clock.monotonic_ns():
            return Claim.UNKNOWN
        self._in_use.add(id_)
        return Claim.GRANTED

    def is_known(self, id_: str) -> bool:
        """Whether the id waits or is in use."""
        return id_ in self._waiting or id_ in self._in_use

    def release(self, id_: str) -> None:
        """Its connection has ended; it is never valid again."""
        self._in_use.discard(id_)
