"""The disk as a tape sees it."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.config import load_config
from tapekeeper.app.disk import SPILL_FOLDER, open_disk
from tapekeeper.app.outside import real_outside
from tapekeeper.runtime.patient_files import PatientFiles, PatientScratch


def _silent(_event: str, /, *, level: str = "info", **_fields: object) -> None:
    assert level


def _config(folder: Path) -> Any:
    return load_config({"journal": {"dir": str(folder)}})


def test_all_that_is_asked_of_a_real_disk_is_asked_by_one_thread(tmp_path: Path) -> None:
    """The journal's and that of what is spilled; it ends with the tape, whose files stay."""
    before = threading.active_count()
    disk = open_disk(_config(tmp_path), real_outside(), _silent)
    assert isinstance(disk.files, PatientFiles)
    assert isinstance(disk.scratch, PatientScratch)
    file = disk.files.create("a")
    file.append(b"x")
    spilled = disk.scratch.open()
    spilled.append(b"y")
    assert threading.active_count() == before + 1
    [thread] = [each for each in threading.enumerate() if each.name == "tapekeeper disk"]
    assert (tmp_path / SPILL_FOLDER).is_dir()
    spilled.close()
    file.close()
    disk.close()
    thread.join(10)
    assert not thread.is_alive()
    assert disk.files.read("a") == b"x"


def test_where_time_is_virtual_nothing_is_waited_for(tmp_path: Path) -> None:
    """The disk is asked in the event loop."""
    outside = dataclasses.replace(real_outside(), worker=None)
    disk = open_disk(_config(tmp_path), outside, _silent)
    assert isinstance(disk.files, FolderFiles)
    disk.close()
