"""Which segments of a journal may be removed, and how a reader knows that they were.

Only from the front, only what the archive has confirmed, and never the latest few: a start reads
them. What was removed is told by a marker, a file whose name says through which segment; it is
there before the first segment goes, so that no segment is ever gone without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

CONFIRMATIONS = "archived.jsonl"
"""In the journal's folder, written by whoever archives: the last whole line counts, and says
`{"through_segment": N}`."""

SEGMENTS_MIN = 8
"""So many of the latest segments always stay: recovery looks at the end of the last run."""

_MARKER = re.compile(r"retired-(\d{6,9})\.json", re.ASCII)


class KeptSegment(msgspec.Struct, frozen=True):
    """A segment that is there.

    Attributes:
        number: its number.
        bytes: its size.
        ended_ns: when it was followed by the next one, host time, ns UTC; None where that cannot
            be told, and then it has no age.
    """

    number: int
    bytes: int
    ended_ns: int | None = None


class Retention(msgspec.Struct, frozen=True):
    """How much of a journal is kept; None keeps all.

    Attributes:
        keep_ns: what ended longer ago may go, ns.
        keep_bytes: what makes the whole larger than this may go, oldest first.
    """

    keep_ns: int | None = None
    keep_bytes: int | None = None

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever removed."""
        return self.keep_ns is None and self.keep_bytes is None


def removable(
    segments: Sequence[KeptSegment], policy: Retention, *, confirmed_through: int, now_ns: int
) -> list[int]:
    """The numbers of the segments that may be removed now, in rising order.

    Args:
        segments: all that are there, by number, rising.
        policy: how much is kept.
        confirmed_through: the archive has all up to this one; 0 for none.
        now_ns: host time, ns UTC.
    """
    total = sum(segment.bytes for segment in segments)
    found = []
    for segment in segments[:-SEGMENTS_MIN]:
        if segment.number > confirmed_through:
            break
        is_old = (
            policy.keep_ns is not None
            and segment.ended_ns is not None
            and segment.ended_ns < now_ns - policy.keep_ns
        )
        if not is_old and (policy.keep_bytes is None or total <= policy.keep_bytes):
            break
        found.append(segment.number)
        total -= segment.bytes
    return found


def confirmed_through(lines: bytes) -> int:
    """What the archive says that it has, by the content of `CONFIRMATIONS`; 0 for nothing.

    Half a line at the end is what a crash left, and does not count. A last whole line that says
    nothing confirms nothing, whatever stands in front of it.
    """
    whole, _, _ = lines.rpartition(b"\n")
    last = whole.rpartition(b"\n")[2]
    try:
        said = msgspec.json.decode(last, type=_Confirmation)
    except msgspec.DecodeError:
        return 0
    return max(0, said.through_segment)


class _Confirmation(msgspec.Struct):
    through_segment: int


def marker_name(number: int) -> str:
    """The name of the file that says that all segments through `number` were removed."""
    return f"retired-{number:06d}.json"


def retired_through(names: Iterable[str]) -> int:
    """Through which segment a journal was removed, by the names in its folder; 0 for none."""
    found = (_MARKER.fullmatch(name) for name in names)
    return max((int(match[1]) for match in found if match), default=0)
