"""Recognises a gateway that allows one session only, from what happens when another one opens.

A line that ends by itself while another one opens, or within a few seconds after it, may have
been evicted by it. One such case proves nothing, because networks fail at any time; some in a row
do. Where the line that opened has ended as well, it was an outage and shows nothing.

    what happens                                            evictions in a row
    ------------------------------------------------------  ------------------
    a line opened, others were open, and all stayed          0
    a line opened, and another one ended                     one more
    both ended                                               as before
    so many that it is believed, and the memory has passed   one less than that

Pure: the caller says what happened, and when on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection

_NS_PER_S = 1_000_000_000


class _Opening:
    """A connection that has opened beside others."""

    __slots__ = ("at_ns", "number", "victims")

    def __init__(self, number: int, at_ns: int, victims: set[int]) -> None:
        self.number = number
        self.at_ns = at_ns
        self.victims = victims


class Evictions:
    """See the module's text.

    Args:
        within_s: how soon after an opening an end counts.
        enough: how many in a row are believed.
        memory_s: for how long.
    """

    def __init__(self, *, within_s: float, enough: int, memory_s: float) -> None:
        self._within_ns = round(within_s * _NS_PER_S)
        self._enough = enough
        self._memory_ns = round(memory_s * _NS_PER_S)
        self._open: set[int] = set()  # bound: the lines of a pool, as are the next two
        self._trying_ns: dict[int, int] = {}  # since when a line tries to connect
        self._ended_ns: dict[int, int] = {}  # when a line last ended by itself
        self._opening: _Opening | None = None
        self._in_row = 0
        self._until_ns: int | None = None
        self.count = 0

    @property
    def one_session(self) -> bool:
        """Whether it is believed that the gateway allows one session only."""
        return self._until_ns is not None

    def trying(self, number: int, now_ns: int) -> None:
        """A line begins to connect."""
        self._trying_ns[number] = now_ns

    def opened(self, number: int, now_ns: int) -> bool:
        """A line has connected; True if it is believed from now on, because of the one before."""
        believed = self.judge(now_ns, force=True)
        since_ns = self._trying_ns.get(number, now_ns)
        # The other end may close the old connection before it has answered on the new one.
        victims = {n for n, at_ns in self._ended_ns.items() if n != number and at_ns >= since_ns}
        if victims or self._open - {number}:
            self._opening = _Opening(number, now_ns, victims)
        self._open.add(number)
        return believed

    def ended(self, number: int, now_ns: int, *, by_itself: bool) -> None:
        """The connection of a line has ended; `by_itself` if nobody here wanted that."""
        if number not in self._open:
            return
        self._open.discard(number)
        if not by_itself:
            return
        self._ended_ns[number] = now_ns
        if self._opening is not None and self._opening.number != number:
            self._opening.victims.add(number)

    def keep_only(self, numbers: Collection[int]) -> None:
        """Forget the lines that are no more."""
        for times in (self._trying_ns, self._ended_ns):
            for number in [n for n in times if n not in numbers]:
                del times[number]

    def judge(self, now_ns: int, *, force: bool = False) -> bool:
        """Take note of the time; True if it is believed from now on.

        Args:
            now_ns: monotonic.
            force: judge by what is known, although the time to watch is not over.
        """
        if self._until_ns is not None and now_ns >= self._until_ns:
            self._until_ns = None
            self._in_row = self._enough - 1
        opening = self._opening
        if opening is None or (not force and now_ns - opening.at_ns < self._within_ns):
            return False
        self._opening = None
        if opening.number not in self._open:
            return False
        if not opening.victims:
            self._in_row = 0
            return False
        self.count += 1
        self._in_row += 1
        if self._in_row < self._enough or self.one_session:
            return False
        self._until_ns = now_ns + self._memory_ns
        return True
