"""Prints as keys: what the arbiter counts, in bytes and numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

Key: TypeAlias = bytes
"""Event time (ns UTC), price, size and side: all that tells one print from another.

Bytes, because the garbage collector never looks into a dictionary that has nothing but bytes and
numbers in it. It would walk tuples, and ten seconds of a busy market are a hundred thousand."""

_KEY = struct.Struct("<qdqb")
_pack_key = _KEY.pack
_TIME = struct.Struct("<q")
_time_in = _TIME.unpack_from

_RECV_SHIFT, _COUNT_SHIFT = 64, 128
_RECV_MASK = (1 << (_COUNT_SHIFT - _RECV_SHIFT)) - 1
_LINE_MASK = (1 << _RECV_SHIFT) - 1


class Prints(Protocol):
    """Columns of prints, one row each."""

    @property
    def ts_event(self) -> Sequence[int]:
        """Event times, ns UTC."""
        ...

    @property
    def price(self) -> Sequence[float]:
        """Prices."""
        ...

    @property
    def size(self) -> Sequence[int]:
        """Sizes, in contracts."""
        ...

    @property
    def side(self) -> Sequence[int]:
        """Codes of the side."""
        ...


def key_of(prints: Prints, row: int) -> Key:
    """The key of one row."""
    return _pack_key(
        prints.ts_event[row], prints.price[row] + 0.0, prints.size[row], prints.side[row]
    )


def keys_of(prints: Prints) -> Iterator[Key]:
    """The keys of all rows, in order."""
    # 0 is added to the price because -0.0 equals 0.0, and its bytes do not.
    columns = zip(prints.ts_event, prints.price, prints.size, prints.side, strict=True)
    return (_pack_key(ts_ns, price + 0.0, size, side) for ts_ns, price, size, side in columns)


def time_of(key: Key) -> int:
    """The event time in a key, ns UTC."""
    ts_ns: int = _time_in(key)[0]
    return ts_ns


def emission(count: int, recv_ns: int, line: int) -> int:
    """How often a key was let through, when that was last, and by which line, in one number."""
    return count << _COUNT_SHIFT | (recv_ns & _RECV_MASK) << _RECV_SHIFT | line & _LINE_MASK


def emitted_count(emission: int) -> int:
    """How often."""
    return emission >> _COUNT_SHIFT


def emitted_first(emission: int) -> tuple[int, int]:
    """Time of receipt, and the line."""
    return emission >> _RECV_SHIFT & _RECV_MASK, emission & _LINE_MASK
