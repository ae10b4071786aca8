"""A progress bar for what takes longer than a second."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

PATIENCE_NS = 1_000_000_000
"""What ends within a second needs no bar."""

REDRAW_NS = 100_000_000


class ReadingProgress:
    """Called with (done, total), draws a bar on a terminal once a second has passed.

    It draws inside the call, so it needs no thread; it leaves no trace when it ends.
    """

    def __init__(self, console: Console, label: str, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._begun_ns = now_ns()
        self._drawn_ns = self._begun_ns
        self._terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task(label, total=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            self._bar.stop()

    @property
    def shown(self) -> bool:
        """Whether the bar is on the screen."""
        return self._bar.live.is_started

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` (of any unit) is done."""
        now_ns = self._now_ns()
        if not self._terminal or now_ns - self._begun_ns < PATIENCE_NS:
            return
        if not self.shown:
            self._bar.start()
        elif now_ns - self._drawn_ns < REDRAW_NS and done < total:
            return
        self._drawn_ns = now_ns
        self._bar.update(self._task, completed=done, total=total, refresh=True)
