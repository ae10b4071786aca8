"""Threads for what may never return. They are daemons: one that hangs does not keep the program.

An executor's threads would, because the interpreter waits for them when it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread


class ThreadWorker:
    """One thread that does one thing at a time; fills `ports.Worker`.

    It is begun with the first thing to do. Two bare locks hand over, because they cost half of
    what a condition or a queue does.
    """

    __slots__ = ("_done", "_go", "_is_closed", "_thread", "_work")

    def __init__(self) -> None:
        self._work: Callable[[], None] | None = None
        self._go, self._done = Lock(), Lock()
        self._go.acquire()
        self._done.acquire()
        self._thread: Thread | None = None
        self._is_closed = False

    def begin(self, work: Callable[[], None]) -> None:
        """Begin something that raises nothing; only while nothing else is being done."""
        if self._thread is None:
            # aside: a disk that hangs must not hold the loop; `close` ends it, or the process does
            self._thread = Thread(target=self._run, name="tapekeeper disk", daemon=True)
            self._thread.start()
        self._work = work
        self._go.release()

    def wait(self, timeout_s: float) -> bool:
        """Whether what was begun is done within that time; True is said once."""
        return self._done.acquire(timeout=max(timeout_s, 0.0))

    def close(self) -> None:
        """End the thread, at once or behind what it is at; does not wait."""
        self._is_closed = True
        with suppress(RuntimeError):  # it has not begun what it was told to: it sees this then
            self._go.release()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            work, self._work = self._work, None
            if work is not None:
                work()
                del work  # nothing of it is kept alive while this waits
                self._done.release()
            if self._is_closed:
                return


async def in_daemon_thread(work: Callable[[], None]) -> None:
    """Call something in a thread of its own; return or raise what it does.

    A cancelled caller leaves it to itself.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        failed: BaseException | None = None
        try:
            work()
        # boundary: of the thread; it is raised again by whoever waits
        except BaseException as error:  # noqa: BLE001 - the same
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, failed)

    # aside: what hangs in it is left behind, and ends with the process
    Thread(target=run, name="tapekeeper beside", daemon=True).start()
    await done
