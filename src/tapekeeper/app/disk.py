"""The disk of a tape, as everybody in it sees it: waited for with a bound."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.ports import Files, Log, Scratch
from tapekeeper.runtime.patience import Patience
from tapekeeper.runtime.patient_files import PatientFiles, PatientScratch
from tapekeeper.runtime.slowness import Slowness

SPILL_FOLDER = "spill"
"""Beside the segments of the journal; there is nothing in it that outlives the process."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What holds the journal and what is spilled.

    Attributes:
        files: the folder of the journal.
        scratch: what waits beside it.
        writes: whether it takes what is written in time.
        syncs: whether it confirms it in time.
        close: ends the thread; called when nothing is written any more.
    """

    files: Files
    scratch: Scratch
    writes: Slowness
    syncs: Slowness
    close: Callable[[], object]

    def on_change(self, listener: Callable[[], None]) -> None:
        """Let somebody know when it becomes slow, hangs, or is fine again."""
        self.writes.on_change(listener)
        self.syncs.on_change(listener)


def open_disk(config: Config, outside: Outside, log: Log) -> Disk:
    """The disk of the configuration; nothing is asked of it yet."""
    folder: Path = config.journal.dir
    files, scratch = outside.files(folder), outside.scratch(folder / SPILL_FOLDER)
    limits = config.journal.disk_limits()
    writes = Slowness("writes", limits, clock=outside.clock, log=log)
    syncs = Slowness("syncs", limits, clock=outside.clock, log=log)
    if outside.worker is None:
        return Disk(files, scratch, writes, syncs, ExitStack().close)
    patience = Patience(outside.worker(), writes, clock=outside.clock)
    return Disk(
        PatientFiles(files, patience),
        PatientScratch(scratch, patience),
        writes,
        syncs,
        patience.close,
    )
