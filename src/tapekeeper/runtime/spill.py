"""What does not fit into memory waits on the disk, in order, and comes back.

Events are written in chunks. Each says of itself how long it is, how many events it holds and
what its checksum is, so nothing is kept in memory of what is on the disk, however much that is.
Files are of bounded size; one that has been read to its end is given back to the disk at once,
although more wait in the next. They belong to this process alone and hold nothing that could be
of use to another one: what must not be lost is in the journal.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Generic, Protocol, TypeVar

import msgspec

from tapekeeper.errors import JournalError
from tapekeeper.model.queue import QueueLimits
from tapekeeper.ports import Scratch, ScratchFile

T = TypeVar("T")

CHUNK_EVENTS = 512
"""Events that are written at once, and read at once; what a queue holds beyond its limits."""
CHUNK_BYTES = 262_144
"""The same in bytes of memory, unless one event is larger."""
FILE_BYTES_MAX = 16 * 1024 * 1024
"""After this a new file is begun, so that a reader who never catches up gives space back."""

_HEAD = Struct("<III")  # bytes and number of the events, checksum of the bytes


class Codec(Protocol[T]):
    """Turns events into bytes and back."""

    def encode(self, items: Sequence[T]) -> bytes:
        """The events as bytes."""
        ...

    def decode(self, data: bytes) -> list[T]:
        """What `encode` was given."""
        ...


class EventCodec(Generic[T]):
    """Events of one type or of several; the types need no tags.

    Args:
        types: all that there are.
        packed: as MessagePack, for what holds bytes. Otherwise it is JSON, because the sums of
            prices in a bar exceed 64 bits.
    """

    def __init__(self, *types: type[T], packed: bool = False) -> None:
        form = msgspec.msgpack if packed else msgspec.json
        self._places = {each: place for place, each in enumerate(types)}
        self._decoders = [form.Decoder(each) for each in types]
        self._encode = form.Encoder().encode
        self._decode = form.Decoder(list[tuple[int, msgspec.Raw]]).decode

    def encode(self, items: Sequence[T]) -> bytes:
        """The events as bytes."""
        data: bytes = self._encode([(self._places[type(item)], item) for item in items])
        return data

    def decode(self, data: bytes) -> list[T]:
        """What `encode` was given."""
        return [self._decoders[place].decode(raw) for place, raw in self._decode(data)]


class _Part:
    """One file, and how far it has been written and read."""

    __slots__ = ("file", "read", "written")

    def __init__(self, file: ScratchFile) -> None:
        self.file = file
        self.written = 0
        self.read = 0


class Spill(Generic[T]):
    """A queue on the disk; in memory it has at most a chunk that is not written yet.

    The disk may refuse: then `refused` says why, and what was appended so far still comes back,
    in order. When all of it has, the disk is tried again. Whether anything may be appended
    meanwhile is for the owner to decide; what is, waits in memory.

    Args:
        scratch: gives the files.
        codec: of the events.
        size_of: bytes of memory that an event takes.
        bytes_max: what may be on the disk; beyond it, it refuses.
        limits: of the queue in memory; a chunk is at most half of it.
        file_bytes_max: see `FILE_BYTES_MAX`.
    """

    def __init__(
        self,
        scratch: Scratch,
        codec: Codec[T],
        size_of: Callable[[T], int],
        *,
        bytes_max: int,
        limits: QueueLimits,
        file_bytes_max: int = FILE_BYTES_MAX,
    ) -> None:
        self._scratch = scratch
        self._codec = codec
        self._size_of = size_of
        self._bytes_max = bytes_max
        self._chunk_events = max(1, min(CHUNK_EVENTS, limits.events // 2))
        self._chunk_bytes = max(1, min(CHUNK_BYTES, limits.bytes // 2))
        self._file_bytes_max = file_bytes_max
        self._parts: deque[_Part] = deque()  # bound: bytes_max / file_bytes_max
        self._tail: list[T] = []  # bound: a chunk, while the disk does not refuse
        self.tail_bytes = 0
        """Bytes of memory of what is not written yet."""
        self.written = 0
        """Events on the disk."""
        self.written_bytes = 0
        """Bytes of the disk that are in use."""
        self.refused = ""
        """Why the disk took no more; empty while it does."""

    @property
    def unwritten(self) -> int:
        """Events in memory."""
        return len(self._tail)

    def __len__(self) -> int:
        return self.written + len(self._tail)

    def append(self, item: T) -> None:
        """Put one event behind all others."""
        self._tail.append(item)
        self.tail_bytes += self._size_of(item)
        is_chunk = len(self._tail) >= self._chunk_events or self.tail_bytes >= self._chunk_bytes
        if is_chunk and not self.refused:
            try:
                self._write()
            except JournalError as error:
                self.refused = str(error)

    def prepend(self, items: Sequence[T]) -> None:
        """Put events, oldest first, in front of all others.

        Raises:
            JournalError: the disk does not take them; nothing has changed.
        """
        part = _Part(self._scratch.open())
        try:
            for first in range(0, len(items), self._chunk_events):
                chunk = self._packed(items[first : first + self._chunk_events], part.written)
                part.file.append(chunk)
                part.written += len(chunk)
        except JournalError:
            part.file.close()
            raise
        self._parts.appendleft(part)
        self.written_bytes += part.written
        self.written += len(items)

    def take(self) -> list[T]:
        """The next chunk, which is here no more; empty where nothing is left.

        Raises:
            JournalError: the disk did not give it back; see `give_up`.
        """
        if self.written:
            return self._read()
        tail, self._tail, self.tail_bytes, self.refused = self._tail, [], 0, ""
        return tail

    def give_up(self) -> None:
        """Forget everything, and give the files back."""
        self.close()
        self.written = self.written_bytes = self.tail_bytes = 0
        self._tail, self.refused = [], ""

    def close(self) -> None:
        """Give the files back; what is on the disk is lost. Safe to call twice."""
        while self._parts:
            self._parts.popleft().file.close()

    def _write(self) -> None:
        chunk = self._packed(self._tail)
        part = self._parts[-1] if self._parts else None
        if part is None or part.written >= self._file_bytes_max:
            part = _Part(self._scratch.open())
            self._parts.append(part)
        try:
            part.file.append(chunk)
        except JournalError:
            # It may hold a piece of the chunk. Where it holds others, too, it goes with them.
            if not part.written:
                self._parts.pop().file.close()
            raise
        part.written += len(chunk)
        self.written_bytes += len(chunk)
        self.written += len(self._tail)
        self._tail, self.tail_bytes = [], 0

    def _packed(self, items: Sequence[T], more: int = 0) -> bytes:
        """A chunk, if there is room for it and so many bytes more."""
        data = self._codec.encode(items)
        chunk = _HEAD.pack(len(data), len(items), zlib.crc32(data)) + data
        if self.written_bytes + more + len(chunk) > self._bytes_max:
            raise JournalError(
                f"{self.written_bytes / 1e6:,.1f} MB wait on the disk, and no more than "
                f"{self._bytes_max / 1e6:,.1f} may"
            )
        return chunk

    def _read(self) -> list[T]:
        part = self._parts[0]
        head = part.file.read(part.read, _HEAD.size)
        if len(head) != _HEAD.size:
            raise JournalError("the disk gave back less than was spilled to it")
        size, count, checksum = _HEAD.unpack(head)
        data = part.file.read(part.read + _HEAD.size, size)
        if len(data) != size or zlib.crc32(data) != checksum:
            raise JournalError("the disk gave back something else than was spilled to it")
        items = self._codec.decode(data)
        part.read += _HEAD.size + size
        self.written -= count
        self.written_bytes -= _HEAD.size + size
        if part.read == part.written:
            # Also where it is the one that is written: a drained queue holds no disk.
            self._parts.popleft()
            part.file.close()
        return items
