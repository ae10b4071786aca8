"""Another process of this program, for work that would hold the interpreter of this one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

import msgspec

STOP_S = 5.0
"""How long one that is to stop may take before it is killed."""

SAID_MAX = 2_000
"""Characters of its last words that are kept."""

_GIVES_WAY: int = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)
"""Windows sets the priority from outside; elsewhere the process lowers its own."""

_OWN = "TAPEKEEPER_"


class Ended(msgspec.Struct, frozen=True):
    """How a process ended.

    Attributes:
        code: its exit code; of a signal, below 0.
        said: the end of what it wrote to standard error.
    """

    code: int
    said: str


class Child:
    """Runs `tapekeeper` with some arguments, one process at a time.

    It gets none of this program's settings from the environment, so no key either, and polars one
    thread.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    async def __call__(self, arguments: Sequence[str]) -> Ended:
        """Run to the end; cancelled, it ends the process first.

        Raises:
            OSError: there can be no process.
        """
        environment = {key: text for key, text in os.environ.items() if not key.startswith(_OWN)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tapekeeper", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=environment | {"POLARS_MAX_THREADS": "1"},
            creationflags=_GIVES_WAY,
        )
        self._process = process
        try:
            _, said = await process.communicate()
        except BaseException:
            await self._end(process)
            raise
        finally:
            self._process = None
        code = process.returncode
        assert code is not None  # noqa: S101 - `communicate` has waited for it
        return Ended(code, said.decode("utf-8", "replace").strip()[-SAID_MAX:])

    def stop(self) -> None:
        """Ask the process to end, if there is one; its call returns when it has."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
