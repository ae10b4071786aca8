"""What the inside needs from the outside, as Protocols. Adapters and the simulator fill them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from tapekeeper.core.gateway.rest_payloads import BARS_MAX, BarUnit, HistoryBar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.machine import Memory
from tapekeeper.model.secret import Secret

TokenSource = Callable[[], Awaitable[Secret]]
"""Gives a token that is valid now; called for every negotiation and every upgrade.

Raises `AuthError` if the credentials are refused, another `OutsideError` if it cannot say.
"""


class Clock(Protocol):
    """Time, and waiting for it."""

    def now_ns(self) -> int:
        """Wall clock, ns since 1970-01-01T00:00Z; may step."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that never steps back; for durations and deadlines only."""
        ...

    async def sleep_s(self, delay_s: float) -> None:
        """Wait `delay_s` seconds of the monotonic clock."""
        ...


class Random(Protocol):
    """Randomness, so that a run can be repeated under a seed."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


class Connection(Protocol):
    """One established WebSocket."""

    async def receive(self) -> bytes:
        """The next whole message, text as UTF-8.

        Raises:
            ConnectionLostError: the connection ended; the text says how (code and reason).
        """
        ...

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        """Send one message, as text (which `data` is in UTF-8) or as binary.

        Raises:
            ConnectionLostError: the connection ended.
        """
        ...

    async def ping(self) -> None:
        """Send a WebSocket ping, and return when its answer has been read.

        That is read by `receive`, so somebody must be receiving. Not bounded in time.

        Raises:
            ConnectionLostError: the connection ended.
        """
        ...

    async def close(self) -> None:
        """Close politely and release the socket; bounded in time, and safe to call twice."""
        ...


class Transport(Protocol):
    """Opens connections to a hub. The token travels in the `Authorization` header.

    Both methods raise `ConnectFailedError` (with the status where there was one), and
    `DeadlineError` when `timeout_s` passes.
    """

    async def post(self, url: str, *, token: Secret | None, timeout_s: float) -> bytes:
        """POST with an empty body (negotiation); the body of a 200 answer."""
        ...

    async def connect(self, url: str, *, token: Secret | None, timeout_s: float) -> Connection:
        """Upgrade `url` (http, https, ws or wss) to a WebSocket."""
        ...


class SegmentFile(Protocol):
    """An append-only file."""

    def append(self, data: bytes) -> None:
        """Hand all of `data` to the operating system in one write.

        Raises:
            JournalError: it did not take all of it.
        """
        ...

    def sync(self) -> None:
        """Force what was appended to the disk, with the file's name. Any thread may call it.

        Raises:
            JournalError: the disk did not confirm it; final, however often it is asked again.
        """
        ...

    def close(self) -> None:
        """Close the file; safe to call twice."""
        ...


class FolderLock(Protocol):
    """The right to write into a folder, until it is released or the process dies."""

    def release(self) -> None:
        """Give it up; safe to call twice."""
        ...


class Files(Protocol):
    """A folder of segments, created on first use. Names have no separators.

    `str()` of it says for a person where it is.
    """

    def names(self) -> list[str]:
        """Names of all files in the folder, sorted; empty where there is no folder yet.

        Raises:
            UnreadableSourceError: it is not a folder, or may not be read.
        """
        ...

    def size(self, name: str) -> int:
        """Size of a file in bytes.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        ...

    def create(self, name: str) -> SegmentFile:
        """Create a new file for appending; it must not exist.

        Raises:
            JournalError: it exists, or cannot be made.
        """
        ...

    def read(self, name: str) -> bytes:
        """The whole content.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        ...

    def head(self, name: str, size: int) -> bytes:
        """The first bytes, at most so many.

        Raises:
            UnreadableSourceError: it is absent or may not be read.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error.

        Raises:
            JournalError: the system refuses.
        """
        ...

    def lock(self) -> FolderLock:
        """Take the folder for writing, alone among all processes of this computer.

        Raises:
            JournalError: somebody else holds it, it cannot be locked, or the folder takes no
                new file.
        """
        ...


class Worker(Protocol):
    """Does one thing at a time beside the caller, for as long as that takes."""

    def begin(self, work: Callable[[], None]) -> None:
        """Begin something that raises nothing; only while nothing else is being done."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Whether what was begun is done within that time; True is said once."""
        ...

    def close(self) -> None:
        """Do nothing more behind what is being done; does not wait."""
        ...


class ScratchFile(Protocol):
    """A file for this process alone, which is gone when it is closed or the process dies."""

    def append(self, data: bytes) -> None:
        """Write all of `data` behind what there is.

        Raises:
            JournalError: the disk did not take all of it. Nothing may be appended afterwards.
        """
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; less only at the end of the file.

        Raises:
            JournalError: the disk did not give them back.
        """
        ...

    def close(self) -> None:
        """Give its space back to the disk; safe to call twice."""
        ...


class Scratch(Protocol):
    """Where what does not fit into memory may wait."""

    def open(self) -> ScratchFile:
        """A new, empty file.

        Raises:
            JournalError: it cannot be made.
        """
        ...


class Machine(Protocol):
    """What a process is told of the machine that it runs on. Each call may wait for the system."""

    def memory(self) -> Memory | None:
        """What it has and could still have; None where that cannot be told."""
        ...

    def disk_free(self) -> int | None:
        """Bytes that may still be written where the journal is; None where that is unknown."""
        ...


class ContractDirectory(Protocol):
    """Looks contracts up at the gateway."""

    async def search(self, text: str) -> list[Instrument]:
        """Contracts that match `text`; fuzzy, so the caller filters."""
        ...

    async def by_id(self, contract_id: str) -> Instrument | None:
        """The contract of this id, or None."""
        ...


class BarHistory(Protocol):
    """The gateway's own bars."""

    async def retrieve_bars(
        self,
        contract_id: str,
        *,
        start_ns: int,
        end_ns: int,
        unit: BarUnit,
        unit_number: int = 1,
        limit: int = BARS_MAX,
    ) -> list[HistoryBar]:
        """One page of bars that start in [start_ns, end_ns] (ns UTC), oldest first.

        The newest `limit` of them, and none that is not finished.

        Raises:
            OutsideError: the gateway did not answer, or refused.
        """
        ...


class Log(Protocol):
    """Structured events for people; fields never hold a secret."""

    def __call__(
        self,
        event: str,
        /,
        *,
        level: Literal["debug", "info", "warning", "error"] = "info",
        **fields: object,
    ) -> None:
        """Record one event."""
        ...
