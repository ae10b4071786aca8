"""Threads for what may hang: real threads, and real writes that never return."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tapekeeper.adapters.threads import ThreadWorker, in_daemon_thread


def test_a_worker_does_one_thing_after_the_other() -> None:
    """In a thread of its own, which ends when it is closed."""
    worker = ThreadWorker()
    seen: list[threading.Thread] = []
    for number in range(3):
        worker.begin(lambda: seen.append(threading.current_thread()))
        assert worker.wait(10)
        assert len(seen) == number + 1
    [thread] = set(seen)
    assert thread is not threading.current_thread()
    assert thread.daemon
    worker.close()
    thread.join(10)
    assert not thread.is_alive()


def test_what_is_not_done_is_waited_for_no_longer_than_said() -> None:
    """And is known to be done once it is; closing does not wait for it."""
    worker, may_go_on = ThreadWorker(), threading.Event()

    def work() -> None:
        may_go_on.wait()

    worker.begin(work)
    assert not worker.wait(0)
    worker.close()
    may_go_on.set()
    assert worker.wait(10)
    assert not worker.wait(0)


def test_a_worker_that_was_never_used_has_no_thread() -> None:
    """Closing it is fine, too."""
    before = threading.active_count()
    ThreadWorker().close()
    assert threading.active_count() == before


@pytest.mark.asyncio
async def test_a_daemon_thread_returns_or_raises() -> None:
    """To who awaits it."""
    seen: list[bool] = []
    await in_daemon_thread(lambda: seen.append(threading.current_thread().daemon))
    assert seen == [True]

    def divide() -> None:
        _ = 1 // 0

    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(divide)


@pytest.mark.asyncio
async def test_a_cancelled_caller_leaves_the_thread_to_itself() -> None:
    """Its answer comes too late, and is nobody's."""
    may_go_on, over = threading.Event(), threading.Event()

    def work() -> None:
        may_go_on.wait()
        over.set()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await in_daemon_thread(work)
    may_go_on.set()
    assert over.wait(10)


PROGRAM = """
import asyncio, os, sys
from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.threads import ThreadWorker, in_daemon_thread
from tapekeeper.errors import JournalError
from tapekeeper.runtime.patience import Patience
from tapekeeper.runtime.slowness import DiskLimits, Slowness

reading, writing = os.pipe()  # nobody reads: it is full after 64 kB, and a write never returns

async def main():
    clock = SystemClock()
    slowness = Slowness(
        "writes", DiskLimits(0.01, 0.02), clock=clock,
        log=lambda event, **fields: print(event, fields["state"]),
    )
    patience = Patience(ThreadWorker(), slowness, clock=clock)
    turns = 0
    async def beside():
        await in_daemon_thread(lambda: os.write(writing, bytes(10_000_000)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(beside())
        await asyncio.sleep(0)
        try:
            patience("write a pipe", lambda: os.write(writing, bytes(10_000_000)))
        except JournalError as error:
            print(error)
            task.cancel()
    patience.close()
    return 4

sys.exit(asyncio.run(main()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of Windows has no such bound")
def test_a_program_whose_writes_hang_ends_all_the_same(tmp_path: Path) -> None:
    """Two threads are in a system call for ever; it says what hangs, and ends with its code."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    *states, error = done.stdout.splitlines()
    assert states == ["disk_state slow", "disk_state stuck"]
    assert error.startswith("cannot write a pipe: the disk has not answered for 0.0")
    assert done.returncode == 4
