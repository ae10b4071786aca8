"""What the arbiter remembers beyond its window: how often single keys were let through.

Beyond the window a print is a duplicate where another line has gone past its time. Two kinds of
prints are not decided by that, and are counted here instead:

- prints with the stamp at which a line begins or ends, of which it may have brought but a part;
- prints that no line covered and that were let through when they came: another line that was
  held up in the same outage may bring them as well.

They are few, and are remembered as long as a line may still bring them: a connection keeps its
order, so it brings nothing of the time that it has passed, and is not believed in for ever while
it brings nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tapekeeper.core.arbiter.keys import Key, time_of


class Late:
    """Counts of keys that are older than the window, of one contract.

    Args:
        keys_max: the oldest to be noted is forgotten beyond it, and may pass again.
    """

    __slots__ = ("_brought", "_keys_max", "_passed")

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._passed: dict[Key, int] = {}  # bound: keys_max
        self._brought: dict[int, dict[Key, int]] = {}  # by line; keys of `_passed` alone

    def __len__(self) -> int:
        return len(self._passed)

    def note(self, key: Key, passed: int, brought: Mapping[int, int]) -> None:
        """Learn how often a key was let through, and how often each line has brought it.

        What is known already is never taken back: one part of the window may tell less than
        another did.
        """
        self._passed[key] = max(passed, self._passed.get(key, 0))
        for line, count in brought.items():
            counts = self._brought.setdefault(line, {})
            counts[key] = max(count, counts.get(key, 0))
        if len(self._passed) > self._keys_max:
            self._forget([next(iter(self._passed))])

    def passes(self, line: int, key: Key) -> bool:
        """Whether what a line brings now is one more than was ever let through."""
        count = self._brought.get(line, {}).get(key, 0) + 1
        is_new = count > self._passed.get(key, 0)
        self.note(key, count if is_new else 0, {line: count})
        return is_new

    def forget_before(self, ts_ns: int) -> None:
        """Forget what no line can bring any more."""
        self._forget([key for key in self._passed if time_of(key) < ts_ns])

    def _forget(self, keys: Iterable[Key]) -> None:
        for key in keys:
            del self._passed[key]
            for counts in self._brought.values():
                counts.pop(key, None)
        self._brought = {line: counts for line, counts in self._brought.items() if counts}
