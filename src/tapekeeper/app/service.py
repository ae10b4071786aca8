"""Running a tape until somebody or something says that it is enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.config import Config
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.tape import Tape, TapeStatus
from tapekeeper.errors import ConfigError
from tapekeeper.ports import Clock


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to, read after everything that had arrived was processed.

    Attributes:
        status: all counters.
        result: the bars, in the shape of a replay's result; at most `bars.keep` per timeframe.
    """

    status: TapeStatus
    result: ReplayResult


async def run_service(
    config: Config,
    *,
    stop: asyncio.Event,
    on_status: Callable[[TapeStatus], None],
    status_every_s: float = 10.0,
    seconds: float | None = None,
) -> RunSummary | None:
    """Follow the contracts of the configuration until `stop` is set or `seconds` have passed.

    Args:
        config: with at least one `[[subscribe]]`.
        stop: ends the run in order.
        on_status: called once at the start and then every `status_every_s`.
        status_every_s: real time.
        seconds: real time; None runs until `stop`.

    Returns:
        The summary, or None if it was stopped before it was connected.

    Raises:
        ConfigError: there is nothing to follow.
        TapekeeperError: as `Tape` does.
    """
    if not config.subscribe:
        raise ConfigError(
            "there is nothing to follow: add a [[subscribe]] table with a contract to the "
            "configuration"
        )
    started = asyncio.Event()

    async def follow() -> RunSummary:
        tape = Tape(config)
        async with tape:
            for wanted in config.subscribe:
                await tape.subscribe(wanted.contract, wanted.timeframes)
            started.set()
            await watch(
                lambda _elapsed_s: on_status(tape.status()),
                every_s=status_every_s,
                stop=stop,
                seconds=seconds,
                clock=SystemClock(),
            )
        return RunSummary(tape.status(), tape.result())

    return await _unless_stopped(follow(), stop, started)


async def _unless_stopped(
    work: Coroutine[Any, Any, RunSummary], stop: asyncio.Event, started: asyncio.Event
) -> RunSummary | None:
    """What `work` gives, or None if `stop` came before `started` and `work` was cancelled.

    Connecting has deadlines of its own, but a person who changed their mind does not wait for
    them; once it has started, `work` heeds `stop` by itself.
    """

    async def outcome() -> RunSummary | Exception:
        try:
            return await work
        # boundary: of the task, because a group around what failed tells the caller nothing
        except Exception as error:  # noqa: BLE001 - raised again below
            return error

    async def give_up(running: asyncio.Task[RunSummary | Exception]) -> None:
        await stop.wait()
        if not started.is_set():
            running.cancel()

    async with asyncio.TaskGroup() as group:
        running = group.create_task(outcome(), name="service")
        waiting = group.create_task(give_up(running), name="stop")
        await asyncio.wait([running])
        waiting.cancel()
    if running.cancelled():
        return None
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
