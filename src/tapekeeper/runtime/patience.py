"""Waits for a disk with a bound: what hangs holds a thread, and neither the loop nor the program.

A write to a disk may never return: a network file system whose server is gone, a frozen volume, a
drive that retries for minutes. So all of them are made by one thread, and the event loop waits for
it, but not for ever. Whoever asked is told that the disk has failed, as if it had said so itself,
and the policy for failures does the rest. Until the thread has come back, nothing is asked of the
disk: every request is refused at once, so that one hang costs one wait and one thread.

Waiting was chosen over going on and publishing later: what is not in the journal must not leave
the process, and a write that is fine takes microseconds. The hand-over to the thread costs about
16 µs a burst, which is what `benches/journal.py` measures. Sockets are not served meanwhile, so
the bound is below what a server bears of silence (30 s, of which 15 s may have gone).

Other threads wait for as long as it takes: they hold up nobody but themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import TypeVar

from tapekeeper.errors import JournalError
from tapekeeper.ports import Clock, Worker
from tapekeeper.runtime.slowness import Slowness

T = TypeVar("T")

_NS_PER_S = 1_000_000_000


class Patience:
    """See the module's text. Make it in the thread of the event loop.

    Args:
        worker: does what may hang.
        slowness: says what is too long, and is told of it.
        clock: measures what took long.
    """

    def __init__(self, worker: Worker, slowness: Slowness, *, clock: Clock) -> None:
        self._worker = worker
        self._slowness = slowness
        self._clock = clock
        self._thread = get_ident()
        self._late = ""  # what the worker is at, or was when it was last waited for
        self._since_ns = 0  # of what took long, monotonic
        self._left: list[tuple[str, Callable[[], None]]] = []  # bound: what was open
        self._is_closed = False

    def __call__(self, what: str, work: Callable[[], T]) -> T:
        """Let the worker do something, and return or raise what it does.

        Args:
            what: as in "cannot ...".
            work: may hang.

        Raises:
            JournalError: the disk did not answer in time, now or before.
        """
        if self._is_closed or get_ident() != self._thread:
            return work()
        if self._late:
            self._require_answer(what)
        if not self._slowness.is_fine:
            self._slowness.look()
        result: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                result.append(work())
            # boundary: of the thread; it is raised again by whoever asked
            except BaseException as error:  # noqa: BLE001 - the same
                failed.append(error)

        # Set before, so that an interruption at any point leaves a worker that is known to be busy.
        self._late = what
        self._worker.begin(run)
        if not self._worker.wait(self._slowness.limits.slow_s):
            self._go_on_waiting(what)
        self._late = ""
        if failed:
            raise failed.pop()
        return result.pop()

    def let_go(self, what: str, work: Callable[[], None]) -> None:
        """The same of something that only gives back: where the disk hangs, when it does no more.

        Raises:
            JournalError: the disk did not answer in time, now for the first time.
        """
        if self._late and not self._has_come_back():
            self._left.append((what, work))
        else:
            self(what, work)

    def close(self) -> None:
        """Need the worker no more; what is asked from now on is done at once."""
        self._is_closed = True
        self._worker.close()

    def _go_on_waiting(self, what: str) -> None:
        limits = self._slowness.limits
        self._since_ns = self._clock.monotonic_ns() - round(limits.slow_s * _NS_PER_S)
        self._slowness.takes_long(what)
        if not self._worker.wait(limits.stuck_s - limits.slow_s):
            self._slowness.gave_up(what)
            raise self._unanswered(what)
        self._slowness.answered(what, self._clock.monotonic_ns() - self._since_ns)

    def _require_answer(self, what: str) -> None:
        if not self._has_come_back():
            raise self._unanswered(what)

    def _has_come_back(self) -> bool:
        """Whether the worker is free again; then what was left is done first."""
        if not self._worker.wait(0):
            return False
        late, self._late = self._late, ""
        if not self._slowness.is_fine:
            self._slowness.answered(late, self._clock.monotonic_ns() - self._since_ns)
        while self._left and not self._late:
            with suppress(JournalError):
                self(*self._left.pop(0))
        return not self._late

    def _unanswered(self, what: str) -> JournalError:
        since_s = (self._clock.monotonic_ns() - self._since_ns) / _NS_PER_S
        of = "" if what == self._late else f", since it was to {self._late}"
        since = f"{since_s:,.0f}" if since_s >= 1 else f"{since_s:.2g}"
        return JournalError(f"cannot {what}: the disk has not answered for {since} s{of}")
