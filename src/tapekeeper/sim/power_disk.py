"""A disk whose power may fail between any two operations; fills `ports.Files`.

It remembers every operation, so that one run tells what would be left of it had the power failed
at any moment. What was synced is left. Of the rest a disk may have written anything, in any order:
nothing, a part up to some byte, some pages and not those in front of them, a length without the
content, or something that nobody wrote. A file whose name was not synced may not be found at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from itertools import product
from typing import NamedTuple

from tapekeeper.errors import JournalError, UnreadableSourceError
from tapekeeper.ports import Random

PAGE_BYTES = 64
"""What is written at once or not at all; small, so that a burst is several of them."""


class Fate(Enum):
    """What becomes of the bytes of a file that were not synced."""

    LOST = "lost"
    CUT = "cut"  # kept up to some byte
    HOLES = "holes"  # of some pages only the length is kept
    UNFILLED = "unfilled"  # only the length is kept
    GARBAGE = "garbage"  # of some pages something else is there
    KEPT = "kept"


class FileState(NamedTuple):
    """One file at one moment, in bytes of its content.

    Attributes:
        written: what the system was given.
        synced: what the disk has confirmed.
        named: whether the disk has confirmed that it exists.
    """

    written: int
    synced: int
    named: bool


class Moment(NamedTuple):
    """The disk between two operations.

    Attributes:
        files: all of them, by name.
        observed: what the observer said at that moment.
    """

    files: dict[str, FileState]
    observed: object


class PowerDisk:
    """The disk, and the log of its operations.

    Args:
        observe: asked at every moment; its answer is kept with it.
        syncs: whether a sync does anything; a disk that lies is what a check must find.
        names: whether a sync confirms the name as well.
    """

    def __init__(
        self,
        observe: Callable[[], object] = lambda: None,
        *,
        syncs: bool = True,
        names: bool = True,
    ) -> None:
        self.observe = observe
        self.moments: list[Moment] = []  # bound: the length of a run
        self._syncs = syncs
        self._names = names
        self._content: dict[str, bytearray] = {}
        self._states: dict[str, FileState] = {}

    @classmethod
    def of(cls, content: dict[str, bytes]) -> PowerDisk:
        """A disk that has been switched on again with this on it."""
        disk = cls()
        for name, data in content.items():
            disk._content[name] = bytearray(data)
            disk._states[name] = FileState(len(data), len(data), named=True)
        return disk

    def left_at(self, moment: Moment, fate: Fate, random: Random) -> dict[str, bytes]:
        """What is found after the power failed at a moment.

        Args:
            moment: one of `moments`.
            fate: of all that was not synced.
            random: decides which pages, and whether a name that was not synced is found.
        """
        found = {}
        for name, state in moment.files.items():
            if not state.named and random.random() < 0.5:  # noqa: PLR2004 - one of two
                continue
            written = bytes(self._content[name][: state.written])
            rest = _after(written[state.synced :], fate, random)
            found[name] = written[: state.synced] + rest
        return found

    def every_left_at(self, moment: Moment, pages_max: int) -> Iterator[dict[str, bytes]]:
        """Everything that may be found after the power failed at a moment, by whole pages.

        Of what was not synced any pages may be there and any others not, up to any length, which
        may end within a page; in each file on its own, and with a name that was not synced or
        without.

        Args:
            moment: one of `moments`.
            pages_max: into so many pages all that was not synced is divided, at most: each of them
                doubles what may be found.
        """
        unsynced = sum(state.written - state.synced for state in moment.files.values())
        page_bytes = max(PAGE_BYTES, -(-unsynced // pages_max))
        names = list(moment.files)
        of_each = [list(self._every(name, moment.files[name], page_bytes)) for name in names]
        for found in product(*of_each):
            yield {name: data for name, data in zip(names, found, strict=True) if data is not None}

    def _every(self, name: str, state: FileState, page_bytes: int) -> Iterator[bytes | None]:
        """What may be found of one file; None where it is not found at all."""
        if not state.named:
            yield None
        written = bytes(self._content[name][: state.written])
        kept, rest = written[: state.synced], written[state.synced :]
        pages = [rest[at : at + page_bytes] for at in range(0, len(rest), page_bytes)]
        for count in range(len(pages) + 1):
            for there in product((True, False), repeat=count):
                found = [
                    page if is_there else bytes(len(page))
                    for page, is_there in zip(pages, there, strict=False)
                ]
                yield kept + b"".join(found)
                if found and there[-1]:
                    yield kept + b"".join(found)[: -max(1, len(found[-1]) // 2)]

    # --- what files do --------------------------------------------------------------------

    def append(self, name: str, data: bytes) -> None:
        """Take bytes; the power may fail when a part of them is on its way."""
        self._content[name] += data
        state = self._states[name]
        self._set(name, state._replace(written=state.written + len(data)))

    def sync(self, name: str) -> None:
        """Confirm the bytes first and the name behind them; the power may fail in between."""
        state = self._states[name]
        if self._syncs:
            self._set(name, state._replace(synced=state.written))
        if self._names:
            self._set(name, self._states[name]._replace(named=True))

    def _set(self, name: str, state: FileState) -> None:
        self._states[name] = state
        self.moments.append(Moment(dict(self._states), self.observe()))

    # --- ports.Files ----------------------------------------------------------------------

    def __str__(self) -> str:
        return "a disk in memory"

    def names(self) -> list[str]:
        """Names of all files, sorted."""
        return sorted(self._states)

    def size(self, name: str) -> int:
        """Size of a file in bytes."""
        return len(self.read(name))

    def create(self, name: str) -> PowerFile:
        """Create a new file for appending.

        Raises:
            JournalError: it exists.
        """
        if name in self._states:
            raise JournalError(f"cannot create {name} in memory: it exists")
        self._content[name] = bytearray()
        self._set(name, FileState(0, 0, named=False))
        return PowerFile(self, name)

    def read(self, name: str) -> bytes:
        """The whole content, as a running system sees it.

        Raises:
            UnreadableSourceError: it is absent.
        """
        if name not in self._states:
            raise UnreadableSourceError(f"there is no {name} in memory")
        return bytes(self._content[name])

    def head(self, name: str, size: int) -> bytes:
        """The first bytes, at most so many."""
        return self.read(name)[:size]

    def remove(self, name: str) -> None:
        """Remove a file, at once and for ever."""
        self._states.pop(name, None)
        self.moments.append(Moment(dict(self._states), self.observe()))

    def lock(self) -> PowerLock:
        """Take the folder for writing; whoever held it is gone with the power."""
        return PowerLock()


class PowerFile:
    """A file of a `PowerDisk`, open for appending."""

    def __init__(self, disk: PowerDisk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._is_open = True

    def append(self, data: bytes) -> None:
        """Take all of `data`."""
        self._disk.append(self._name, data)

    def sync(self) -> None:
        """Confirm what was appended, and the name.

        Raises:
            JournalError: it is closed.
        """
        if not self._is_open:
            raise JournalError(f"cannot sync {self._name} in memory: it is closed")
        self._disk.sync(self._name)

    def close(self) -> None:
        """Close it; what was not synced is not for that."""
        self._is_open = False


class PowerLock:
    """The right to write into a `PowerDisk`."""

    def release(self) -> None:
        """Give it up."""


def _after(unsynced: bytes, fate: Fate, random: Random) -> bytes:
    size = len(unsynced)
    match fate:
        case Fate.LOST:
            return b""
        case Fate.CUT:
            return unsynced[: int(random.random() * (size + 1))]
        case Fate.UNFILLED:
            return bytes(size)
        case Fate.KEPT:
            return unsynced
        case _:
            return b"".join(
                _page(unsynced[at : at + PAGE_BYTES], fate, random)
                for at in range(0, size, PAGE_BYTES)
            )


def _page(page: bytes, fate: Fate, random: Random) -> bytes:
    if random.random() < 0.5:  # noqa: PLR2004 - one of two
        return page
    if fate is Fate.HOLES:
        return bytes(len(page))
    return bytes(int(random.random() * 256) for _ in page)
