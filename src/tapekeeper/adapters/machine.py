"""The memory and the disk that this process has, on Linux, macOS and Windows."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil

from tapekeeper.adapters.control_groups import ControlGroups
from tapekeeper.adapters.process import resident_bytes
from tapekeeper.model.machine import Memory

COMPUTER = "the computer"


class SystemMachine:
    """The machine that this process runs on; fills `ports.Machine`.

    Args:
        folder: of the journal.
        groups: see `ControlGroups`; None finds them where the system has them.
    """

    def __init__(self, folder: Path, groups: ControlGroups | None = None) -> None:
        self._folder = folder
        if groups is None and sys.platform == "linux":
            groups = ControlGroups()
        self._groups = groups

    def memory(self) -> Memory | None:
        """See `ports.Machine`."""
        try:
            bounds = [(psutil.virtual_memory().available, COMPUTER)]
            resident = resident_bytes()
        except (OSError, psutil.Error):
            return None
        group = None if self._groups is None else self._groups.available()
        if group is not None:
            bounds.append(group)
        available, bound = min(bounds)
        return Memory(resident, available, bound)

    def disk_free(self) -> int | None:
        """See `ports.Machine`."""
        try:
            return psutil.disk_usage(str(self._existing())).free
        except OSError:
            return None

    def _existing(self) -> Path:
        # The folder is made on first use.
        folder = self._folder.absolute()
        return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)
