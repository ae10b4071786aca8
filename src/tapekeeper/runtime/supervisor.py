"""Owns every long-running task, and the order in which things stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from tapekeeper.errors import TapekeeperError
from tapekeeper.ports import Clock
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.timer import run_timer


class Supervisor:
    """The one TaskGroup of a running tape.

    It is entered and left by the task that uses the tape: a bug in any part cancels that task
    and is raised from the `async with`, so nothing can die while the program goes on with
    prices that no longer move.

    Stop order: lines (nothing new comes in), what has arrived is processed, the journal is
    sealed, subscribers read what waits for them and end.
    """

    def __init__(
        self, *, feed: Feed, journaler: Journaler, lines: Sequence[Line], clock: Clock
    ) -> None:
        self._feed = feed
        self._journaler = journaler
        self._lines = lines
        self._clock = clock
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start all tasks."""
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        self._spawn(group, self._feed.run(), "feed")
        self._spawn(group, run_timer(self._feed, self._clock), "timer")
        for line in self._lines:
            self._spawn(group, line.run(), f"line {line.status().name}")

    def _spawn(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(group.create_task(work, name=name))

    async def stop(self, error: BaseException | None) -> None:
        """Stop in order; `error` is what the user's block ended with, if anything.

        Raises:
            TapekeeperError: what made a part fail, if that is why the tape stops.
            BaseExceptionGroup: a bug, or several failures at once.
        """
        try:
            if not any(task.done() for task in self._tasks):
                for line in self._lines:
                    await line.stop()
            for task in self._tasks:
                task.cancel()
            await self._leave(error)
            self._feed.drain()
        finally:
            try:
                self._journaler.close()
            finally:
                self._feed.dispatch.close()

    async def _leave(self, error: BaseException | None) -> None:
        try:
            await self._stack.__aexit__(
                None if error is None else type(error),
                error,
                None if error is None else error.__traceback__,
            )
        except BaseExceptionGroup as group:
            only = _only_cause(group)
            if only is error:
                return
            if isinstance(only, TapekeeperError):
                raise only from None
            raise


def _only_cause(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The single exception inside nested groups, or None if there are several."""
    inner: BaseException = group
    while isinstance(inner, BaseExceptionGroup):
        if len(inner.exceptions) != 1:
            return None
        inner = inner.exceptions[0]
    return inner
