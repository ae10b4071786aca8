"""Recognises a gateway that allows one session only, from what happens when another one opens.

A line that ends by itself while another one opens, or within a few seconds after it, may have
been evicted by it. One such case proves nothing, because networks fail at any time; some in a row
do. Where the line that opened has ended as well, it was an outage and shows nothing.

Two lines that fail by chance, each as another one opens, look like that, too, and to believe it
costs the lines that it forbids. So it is believed for a short time at first, and twice as long
each time that it shows again: chance takes redundancy away for a minute, and a gateway that does
allow one session only throws out half a dozen lines in the first hours, and one an hour after that.

A connection that can be resumed ends with its transport: that is when it was thrown out, if it
was. When it is given up later says how patient its line is; if it goes on, nothing has ended.

    what happens                                            evictions in a row
    ------------------------------------------------------  ------------------
    a line opened, others were open, and all stayed          0, and the memory is short again
    a line opened, and another one ended                     one more
    both ended                                               as before
    so many that it is believed, and the memory has passed   one less than that

One end counts for one opening only, however many lines opened around it.

Pure: the caller says what happened, and when on a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Collection

from tapekeeper.runtime.line_values import LineState, Transition
from tapekeeper.runtime.pool_values import PoolPolicy

_ENDS = frozenset({LineState.BACKING_OFF, LineState.DOWN, LineState.STOPPED})

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
        policy: how soon after an opening an end counts, how many in a row are believed, and for
            how long.
    """

    def __init__(self, policy: PoolPolicy) -> None:
        self._within_ns = round(policy.eviction_within_s * _NS_PER_S)
        self._enough = policy.evictions_max
        self._first_ns = round(policy.eviction_memory_s * _NS_PER_S)
        self._most_ns = round(policy.eviction_memory_max_s * _NS_PER_S)
        self._memory_ns = self._first_ns  # of the next belief
        self._open: set[int] = set()  # bound: the lines of a pool, as are the next three
        self._trying_ns: dict[int, int] = {}  # since when a line tries to connect
        self._ended_ns: dict[int, int] = {}  # when a line last ended by itself
        self._resuming: set[int] = set()  # lines that may not have ended
        self._opening: _Opening | None = None
        self._in_row = 0
        self._until_ns: int | None = None
        self.count = 0

    @property
    def one_session(self) -> bool:
        """Whether it is believed that the gateway allows one session only."""
        return self._until_ns is not None

    def moved(self, number: int, step: Transition, now_ns: int, *, by_itself: bool) -> bool:
        """A line took a step; True if evictions are believed from now on.

        Args:
            number: of the line.
            step: what it did.
            now_ns: monotonic.
            by_itself: whether nobody here wanted its connection to end.
        """
        if step.after is LineState.RESUMING:
            self.interrupted(number, now_ns, by_itself=by_itself)
        elif step.after in _ENDS:
            self.ended(number, now_ns, by_itself=by_itself)
        elif step.before is LineState.RESUMING:
            self.resumed(number)
        elif step.after is LineState.CONNECTING:
            self.trying(number, now_ns)
        elif step.after is LineState.SUBSCRIBING:
            return self.opened(number, now_ns)
        return False

    def trying(self, number: int, now_ns: int) -> None:
        """A line begins to connect."""
        self._trying_ns[number] = now_ns

    def opened(self, number: int, now_ns: int) -> bool:
        """A line has connected; True if it is believed from now on, because of the one before."""
        believed = self.judge(now_ns, force=True)
        since_ns = self._trying_ns.get(number, now_ns)
        # The other end may close the old connection before it has answered on the new one, but
        # not before it has heard of it.
        victims = {n for n, at_ns in self._ended_ns.items() if n != number and at_ns > since_ns}
        if victims or self._open - {number}:
            self._opening = _Opening(number, now_ns, victims)
        self._open.add(number)
        return believed

    def interrupted(self, number: int, now_ns: int, *, by_itself: bool) -> None:
        """The transport of a line has ended, and it may or may not go on by another one."""
        if number in self._open:
            self.ended(number, now_ns, by_itself=by_itself)
            self._resuming.add(number)

    def resumed(self, number: int) -> None:
        """It goes on: it has not ended."""
        if number not in self._resuming:
            return
        self._resuming.discard(number)
        self._open.add(number)
        self._ended_ns.pop(number, None)
        if self._opening is not None:
            self._opening.victims.discard(number)

    def ended(self, number: int, now_ns: int, *, by_itself: bool) -> None:
        """The connection of a line has ended; `by_itself` if nobody here wanted that."""
        self._resuming.discard(number)
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
        self._resuming.intersection_update(numbers)
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
        undecided = opening.number in self._resuming or opening.victims & self._resuming
        if undecided and not force:
            return False
        self._opening = None
        if undecided or opening.number not in self._open:
            return False
        if not opening.victims:
            self._in_row = 0
            self._memory_ns = self._first_ns
            return False
        for number in opening.victims:
            self._ended_ns.pop(number, None)
        self.count += 1
        self._in_row += 1
        if self._in_row < self._enough or self.one_session:
            return False
        self._until_ns = now_ns + self._memory_ns
        self._memory_ns = min(2 * self._memory_ns, self._most_ns)
        return True
