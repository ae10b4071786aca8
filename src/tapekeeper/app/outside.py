"""Everything that a tape takes from outside itself, as one value that can be replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.adapters.http_session import open_session
from tapekeeper.adapters.log import open_log
from tapekeeper.adapters.machine import SystemMachine
from tapekeeper.adapters.scratch import FolderScratch
from tapekeeper.adapters.threads import ThreadWorker, in_daemon_thread
from tapekeeper.app.config import LogConfig
from tapekeeper.ports import Clock, Files, Log, Machine, Random, Scratch, Worker
from tapekeeper.runtime.loop_lag import LOOK_S
from tapekeeper.runtime.syncer import InThread


def _log(config: LogConfig) -> Log:
    return open_log(config.level, config.format)


@dataclass(frozen=True, slots=True)
class Outside:
    """Time, chance, disk, network and log of one tape; the defaults are the real ones.

    Attributes:
        clock: time.
        random: jitter of delays.
        files: the folder of a path.
        session: opens the client session that all connections are made with.
        log: opens the log of a configuration.
        loop_look_s: period at which the lateness of the event loop is measured; None measures
            nothing, because where time is virtual nothing is late.
        in_thread: calls what would hold the event loop; None calls it in the loop, because
            virtual time does not wait for a thread.
        scratch: what waits on the disk in the folder of a path.
        worker: gives a thread for what is asked of the disk, which may hang; None asks it in the
            event loop, because where time is virtual nothing hangs.
        machine: memory and disk, of a journal in the folder of a path; None measures neither, and
            limits stay as they are set.
    """

    clock: Clock
    random: Random
    files: Callable[[Path], Files] = FolderFiles
    session: Callable[[], aiohttp.ClientSession] = open_session
    log: Callable[[LogConfig], Log] = _log
    loop_look_s: float | None = None
    in_thread: InThread | None = None
    scratch: Callable[[Path], Scratch] = FolderScratch
    worker: Callable[[], Worker] | None = None
    machine: Callable[[Path], Machine] | None = None


async def in_the_loop(work: Callable[[], None]) -> None:
    """Call `work` here and now: what stands for a thread where there is none."""
    work()


def real_outside() -> Outside:
    """The outside of a program."""
    return Outside(
        SystemClock(),
        SystemRandom(),
        loop_look_s=LOOK_S,
        in_thread=in_daemon_thread,
        worker=ThreadWorker,
        machine=SystemMachine,
    )
