"""Feeds damaged segments to the scanner and damaged journals to the reader.

Prints one line and ends with 0, or with the seed and the bytes that break a promise:
no input raises; entries are those that were written, in order, up to the first fault; the good
prefix alone gives the same entries; damage inside what was written is never called sealed.

    python fuzz/fuzz_journal.py [--seconds 5] [--seed 1]
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from tapekeeper.core.journal import (
    BLOCK_HEAD_BYTES,
    HEADER_BYTES,
    Ending,
    Entry,
    EntryKind,
    SegmentEncoder,
    SegmentHeader,
    scan,
    segment_name,
)
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.ports import FolderLock, SegmentFile
from tapekeeper.runtime.journal_reader import JournalReader


class FolderOfBytes:
    """A folder in memory that can only be read; fills `ports.Files`."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents

    def names(self) -> list[str]:
        """Names of all files."""
        return sorted(self.contents)

    def size(self, name: str) -> int:
        """Size in bytes."""
        return len(self.read(name))

    def read(self, name: str) -> bytes:
        """The whole content."""
        return self.contents[name]

    def create(self, name: str) -> SegmentFile:
        """Refused."""
        raise NotImplementedError(name)

    def head(self, name: str, size: int) -> bytes:
        """The first bytes."""
        return self.contents[name][:size]

    def remove(self, name: str) -> None:
        """Refused."""
        raise NotImplementedError(name)

    def lock(self) -> FolderLock:
        """Refused."""
        raise NotImplementedError


def made_entries(random: Random) -> list[Entry]:
    """A few entries of any kind."""
    return [
        Entry(
            random.choice(list(EntryKind)),
            random.getrandbits(32),
            random.getrandbits(63),
            random.randbytes(random.choice((0, 1, 20, 300))),
        )
        for _ in range(random.randrange(8))
    ]


def made_segment(random: Random, number: int, before_bytes: int) -> tuple[list[Entry], bytes]:
    """The entries and the bytes of one segment, sealed or not."""
    entries = made_entries(random)
    run_first = random.randint(1, number)
    encoder = SegmentEncoder(SegmentHeader(number, run_first, 1, before_bytes))
    cut = random.randrange(len(entries) + 1)
    data = encoder.header_bytes + encoder.encode(entries[:cut]) + encoder.encode(entries[cut:])
    return entries, data + encoder.seal(1) if random.choice((True, True, False)) else data


def damaged(random: Random, data: bytes) -> bytes:
    """The same bytes after a few of the things that happen to files."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(7):
            case 0:
                del changed[at:]
            case 1:
                changed[at : at + 1] = random.randbytes(1)
            case 2:
                del changed[at : at + random.randint(1, 60)]
            case 3:
                changed[at:at] = random.randbytes(random.randint(1, 60))
            case 4:
                changed[at:] = bytes(len(changed) - at)
            case 5:
                source = random.randrange(len(changed) + 1)
                changed[at:at] = changed[source : source + BLOCK_HEAD_BYTES]
            case _:
                changed[at : at + 4] = random.choice((b"\xff" * 4, bytes(4), b"\x01\0\0\0"))
    return bytes(changed)


def broken_promise(entries: list[Entry], data: bytes, changed: bytes) -> str:
    """Which promise of `scan` the changed bytes break, or ""."""
    found = scan(changed)
    again = scan(changed[: found.good_bytes])
    if list(found.entries) != entries[: len(found.entries)]:
        return "entries that nobody wrote"
    if found.entries != again.entries:
        return "the good prefix gives other entries"
    if again.end not in {Ending.SEALED, Ending.OPEN} and found.good_bytes >= HEADER_BYTES:
        return "the good prefix is not good"
    if changed[: found.good_bytes] != data[: found.good_bytes]:
        return "the good prefix is not what was written"
    if found.end is Ending.SEALED and changed != data:
        return "damage passes as sealed"
    return ""


def broken_reading(random: Random) -> str:
    """Which promise of the reader a damaged journal breaks, or ""."""
    contents: dict[str, bytes] = {}
    written: list[Entry] = []
    before_bytes = 0
    for number in range(1, random.randint(2, 6)):
        entries, data = made_segment(random, number, before_bytes)
        before_bytes = len(data)
        written += entries
        fate = random.choice(("kept", "kept", "kept", "damaged", "damaged", "gone"))
        if fate != "gone":
            contents[segment_name(number)] = data if fate == "kept" else damaged(random, data)
    if not contents:
        return ""
    reader = JournalReader(FolderOfBytes(contents))
    rest = iter(written)
    # Every entry that is read was written, and in this order.
    if not all(any(entry == candidate for candidate in rest) for entry in reader):
        return "entries that nobody wrote, or in another order"
    if reader.progress.bytes_read != reader.progress.bytes_total:
        return "the progress does not end at its total"
    return ""


def main() -> int:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.seconds
    seed = arguments.seed
    while time.monotonic() < until:
        random = Random(seed)
        entries, data = made_segment(random, 1, 0)
        changed = damaged(random, data)
        try:
            promise = broken_promise(entries, data, changed) or broken_reading(random)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            UnreadableSourceError,
        ) as error:
            promise = f"raises {error!r}"
        if promise:
            print(f"seed {seed}: {promise}\nwritten {data.hex()}\nchanged {changed.hex()}")
            return 1
        seed += 1
    print(f"fuzz_journal: {seed - arguments.seed:,} inputs, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
