"""Owns every long-running task, and the order in which things stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from tapekeeper.core.runlog import USER_HUB
from tapekeeper.errors import TapekeeperError
from tapekeeper.ports import Clock
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.timer import run_timer

_PREFIX = "tape: "
"""Every task of a tape has a name that begins so and holds no number."""


class Helper(Protocol):
    """Something that runs beside the data until it is cancelled."""

    async def run(self) -> None:
        """Work, until cancelled."""
        ...


class Supervisor:
    """The one TaskGroup of a running tape.

    It is entered and left by the task that uses the tape: a bug in any part cancels that task
    and is raised from the `async with`, so nothing can die while the program goes on with
    prices that no longer move.

    Stop order: helpers (nothing new is asked for), lines (nothing new comes in), what has arrived
    is processed, the journal is sealed, subscribers read what waits for them and end.

    Args:
        feed: processes what arrives.
        journaler: sealed at the end.
        pools: the lines of every hub.
        clock: of the timer.
        helpers: what else runs, by its name.
        keepers: what runs until all has arrived, by its name.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        journaler: Journaler,
        pools: Sequence[LinePool],
        clock: Clock,
        helpers: Mapping[str, Helper] | None = None,
        keepers: Mapping[str, Helper] | None = None,
    ) -> None:
        self._feed = feed
        self._journaler = journaler
        self._pools = pools
        self._helpers = dict(helpers or {})
        self._keepers = dict(keepers or {})
        self._clock = clock
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup
        self._tasks: list[asyncio.Task[None]] = []
        self._helping: list[asyncio.Task[None]] = []
        self._passing: list[asyncio.Task[None]] = []  # those that are done have failed

    async def start(self) -> None:
        """Start all tasks."""
        group = self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._spawn(group, self._feed.run(), "feed")
        market = [pool for pool in self._pools if pool.status().name != USER_HUB]
        timer = run_timer(
            self._feed, self._clock, lambda: any(pool.is_resuming() for pool in market)
        )
        self._spawn(group, timer, "timer")
        for pool in self._pools:
            self._spawn(group, pool.run(), f"pool {pool.status().name}")
        for name, helper in self._helpers.items():
            self._helping.append(self._spawn(group, helper.run(), name))
        for name, keeper in self._keepers.items():
            self._spawn(group, keeper.run(), name)

    def beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something that ends by itself, and that a stop cuts short; after `start` only."""
        task = self._group.create_task(work, name=f"{_PREFIX}{name}")
        self._passing.append(task)
        task.add_done_callback(self._passed)

    def _passed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._passing.remove(task)

    def _spawn(
        self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str
    ) -> asyncio.Task[None]:
        task = group.create_task(work, name=f"{_PREFIX}{name}")
        self._tasks.append(task)
        return task

    def census(self) -> dict[str, int]:
        """How many tasks of each kind there are in this event loop, whoever started them.

        Counted from the loop and not from what owners remember, so a task that everybody has
        forgotten is in it, too. Empty where no loop runs any more.
        """
        try:
            names = [task.get_name() for task in asyncio.all_tasks()]
        except RuntimeError:
            return {}
        kinds = Counter(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
        return dict(sorted(kinds.items()))

    async def stop(self, error: BaseException | None) -> None:
        """Stop in order; `error` is what the user's block ended with, if anything.

        Cancellation cuts the farewell of the lines short, never the rest: what has arrived is
        journalled, and the journal is sealed, whatever happens.

        Raises:
            TapekeeperError: what made a part fail, if that is why the tape stops.
            CancelledError: the caller was cancelled, before or meanwhile, and nothing failed.
            BaseExceptionGroup: a bug, or several failures at once.
        """
        try:
            try:
                await self._stop_pools()
            except asyncio.CancelledError as cancelled:
                # A part failed meanwhile, which the group tells below, or patience has ended.
                error = cancelled if error is None else error
            for task in (*self._tasks, *self._passing):
                task.cancel()
            await self._leave(error)
        finally:
            try:
                self._feed.finish()
            finally:
                try:
                    self._journaler.close()
                finally:
                    self._feed.dispatch.close()

    async def _stop_pools(self) -> None:
        if not any(task.done() for task in (*self._tasks, *self._passing)):
            for task in (*self._helping, *self._passing):
                task.cancel()
            for pool in self._pools:
                await pool.stop()

    async def _leave(self, error: BaseException | None) -> None:
        try:
            await self._stack.__aexit__(
                None if error is None else type(error),
                error,
                None if error is None else error.__traceback__,
            )
        except BaseExceptionGroup as group:
            # What the block ended with goes on by itself, in its own shape.
            if all(each is error for each in group.exceptions):
                return
            cause = _one_cause(group)
            if cause is None:
                raise
            if cause is not error:
                raise cause from None


def _one_cause(group: BaseExceptionGroup[BaseException]) -> TapekeeperError | None:
    """The outside trouble that all of `group` tells of; None if it is a bug or several things.

    Several parts may meet the same trouble: a full disk refuses the feed and the timer alike. The
    last one stands for all, because the block's own error is last where it is among them.
    """
    leaves = list(_leaves(group))
    last = leaves[-1]
    if not isinstance(last, TapekeeperError):
        return None
    told = (type(last), str(last))
    return last if all((type(leaf), str(leaf)) == told for leaf in leaves) else None


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _leaves(each)
    else:
        yield failure
