"""Running a tape until somebody or something says that it is enough."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside, real_outside
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.errors import ConfigError, DeadlineError
from tapekeeper.ports import Clock


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to, read after everything that had arrived was processed.

    Attributes:
        status: all counters.
        result: the bars, in the shape of a replay's result; at most `bars.keep` per timeframe.
        restart: why it stopped to be started anew, one clause; "" if it did not.
    """

    status: TapeStatus
    result: ReplayResult
    restart: str = ""


async def run_service(
    config: Config,
    *,
    stop: asyncio.Event,
    on_status: Callable[[TapeStatus], None],
    status_every_s: float = 10.0,
    seconds: float | None = None,
    outside: Outside | None = None,
) -> RunSummary | None:
    """Follow the contracts of the configuration until `stop` is set or `seconds` have passed.

    Args:
        config: with at least one `[[subscribe]]`; `[service] start` says whether a gateway that
            is away is waited for.
        stop: ends the run in order. It is set here, too, where memory asks for a restart.
        on_status: called once when everything is followed, and every `status_every_s`, before
            that, too.
        status_every_s: time of the event loop.
        seconds: after everything is followed, and at most so long before that; None runs until
            `stop`.
        outside: see `Tape`.

    Returns:
        The summary, or None if it was stopped before anything was followed.

    Raises:
        ConfigError: there is nothing to follow.
        DeadlineError: nothing was followed within `seconds`.
        TapekeeperError: as `Tape` does.
    """
    if not config.subscribe:
        raise ConfigError(
            "there is nothing to follow: add a [[subscribe]] table with a contract to the "
            "configuration"
        )
    outside = outside or real_outside()
    tape = Tape(config, start=config.service.start, outside=outside)
    start = _Start(asyncio.Event(), lambda: on_status(tape.status()), status_every_s, seconds)
    restart = ""

    def look(_elapsed_s: float) -> None:
        nonlocal restart
        status = tape.status()
        on_status(status)
        if status.limits.restart and not stop.is_set():
            restart = status.limits.restart
            stop.set()

    async def follow() -> RunSummary:
        try:
            async with tape:
                start.entered = True
                for wanted in config.subscribe:
                    await tape.subscribe(
                        wanted.contract,
                        wanted.timeframes,
                        depth=wanted.depth,
                        lateness_ms=wanted.lateness_ms,
                    )
                start.done.set()
                await watch(
                    look,
                    every_s=status_every_s,
                    stop=stop,
                    seconds=seconds,
                    clock=outside.clock,
                )
        except asyncio.CancelledError:
            # Stopped while others were waited for: what was followed is a run like any other.
            if not (start.over and tape.instruments()):
                raise
        return RunSummary(tape.status(), tape.result(), restart)

    return await _unless_stopped(follow(), stop, start)


@dataclass(slots=True)
class _Start:
    """The time until everything is followed.

    Attributes:
        done: set when it is.
        report: says how it is going, once it is `entered`.
        report_every_s: how often.
        seconds: how long it may take; None for ever.
        entered: whether there is anything to report.
        over: whether it was ended, by a stop or by its time.
        unsaid: why a report could not be made.
    """

    done: asyncio.Event
    report: Callable[[], None]
    report_every_s: float
    seconds: float | None
    entered: bool = False
    over: bool = False
    unsaid: OSError | None = None

    async def attend(self, stop: asyncio.Event, running: asyncio.Task[Any]) -> None:
        """Report now and then, and cut `running` short at `stop` or at the end of its time."""
        loop = asyncio.get_running_loop()
        end_s = math.inf if self.seconds is None else loop.time() + self.seconds
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self.report_every_s, end_s - loop.time())):
                    await stop.wait()
            if self.done.is_set():
                return
            if stop.is_set() or loop.time() >= end_s or not self._reported():
                self.over = True
                running.cancel()
                return

    def _reported(self) -> bool:
        try:
            if self.entered:
                self.report()
        except OSError as error:  # what it is printed to is full, or gone
            self.unsaid = error
        return self.unsaid is None


async def _unless_stopped(
    work: Coroutine[Any, Any, RunSummary], stop: asyncio.Event, start: _Start
) -> RunSummary | None:
    """What `work` gives, or None if `stop` came before its start was done and it was cancelled.

    Connecting has deadlines of its own, or waits for ever, but a person who changed their mind
    does not wait; once all is followed, `work` heeds `stop` by itself.

    Raises:
        DeadlineError: the start took too long.
    """

    async def outcome() -> RunSummary | Exception:
        try:
            return await work
        # boundary: of the task, because a group around what failed tells the caller nothing
        except Exception as error:  # noqa: BLE001 - raised again below
            return error

    async with asyncio.TaskGroup() as group:
        running = group.create_task(outcome(), name="service")
        attending = group.create_task(start.attend(stop, running), name="stop")
        await asyncio.wait([running])
        attending.cancel()
    if start.unsaid is not None:
        raise start.unsaid
    if running.cancelled():
        if stop.is_set():
            return None
        raise DeadlineError(f"nothing could be followed within {start.seconds:g} s")
    result = running.result()
    if isinstance(result, Exception):
        raise result
    return result


async def watch(
    look: Callable[[float], None],
    *,
    every_s: float,
    stop: asyncio.Event,
    seconds: float | None,
    clock: Clock,
) -> None:
    """Call `look` with the seconds that have passed, now and then, until it is over.

    Args:
        look: called at once, every `every_s`, and at the end of `seconds`.
        every_s: real time.
        stop: ends it at once, without another look.
        seconds: how long; None waits for `stop` alone.
        clock: tells how much has passed.
    """
    start_ns = clock.monotonic_ns()
    while True:
        elapsed_s = (clock.monotonic_ns() - start_ns) / 1e9
        look(elapsed_s)
        left_s = float("inf") if seconds is None else seconds - elapsed_s
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(min(every_s, left_s)):
                await stop.wait()
                return
        except TimeoutError:
            continue
