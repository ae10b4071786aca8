"""What a journal holds, and what its segments are called."""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum

import msgspec

_NAME = re.compile(r"segment-(\d{6,9})\.tkj", re.ASCII)


class EntryKind(IntEnum):
    """What an entry stands for."""

    META = 1  # JSON: what a run has to know to repeat itself
    FRAME = 2  # one whole WebSocket message as received
    CLOCK = 3  # a timer tick that closed bars
    CONNECT = 4  # a new connection on a line: an unfinished record does not carry over


KINDS = {int(kind): kind for kind in EntryKind}
"""Every kind by its number, which is quicker to ask than the enumeration itself."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to the process, in the order in which it happened.

    Attributes:
        kind: see `EntryKind`.
        line: number of the connection it came by, 0 to 2**32 - 1; 0 where there is none.
        ts_ns: host time of receipt, ns UTC.
        payload: depends on the kind; may be empty.
    """

    kind: EntryKind
    line: int
    ts_ns: int
    payload: bytes = b""


class Position(msgspec.Struct, frozen=True, order=True, gc=False):
    """A place between two entries of a journal, whatever its segments are made of.

    Attributes:
        segment: number of the segment.
        entries: how many of its entries are in front of this place.
    """

    segment: int
    entries: int


class SegmentHeader(msgspec.Struct, frozen=True):
    """What a segment says of itself and of its place in the journal.

    Attributes:
        number: its place, from 1.
        run_first: number of the first segment of the same run of the writer. A segment whose
            successor belongs to the same run was sealed; one whose successor starts a run
            may have been left by a crash.
        created_ns: host time, ns UTC.
        previous_bytes: size of the segment before it when this one was created, 0 where there
            was none. It shows a cut that no checksum inside that segment can.
    """

    number: int
    run_first: int
    created_ns: int
    previous_bytes: int = 0


class Ending(StrEnum):
    """How a segment's bytes end."""

    SEALED = "sealed"  # in order, complete
    OPEN = "open"  # behind a whole burst, without a seal: being written, or its writer died
    TORN = "torn"  # inside a burst, with nothing behind it: its writer died while writing
    CORRUPT = "corrupt"  # bytes that are not what was written


def segment_name(number: int) -> str:
    """The file name of segment `number`; safe on every file system."""
    return f"segment-{number:06d}.tkj"


def segment_number(name: str) -> int | None:
    """The number in a file name that `segment_name` makes, or None for any other name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    number = int(match[1])
    return number if number > 0 and segment_name(number) == name else None
