"""Files for what waits, on a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapekeeper.adapters.scratch import FolderScratch
from tapekeeper.errors import JournalError


def test_what_was_written_is_read_back_in_any_order(tmp_path: Path) -> None:
    """Reading does not move where the next bytes go."""
    file = FolderScratch(tmp_path / "spill").open()
    file.append(b"one")
    assert file.read(1, 2) == b"ne"
    file.append(b"two")
    assert file.read(0, 100) == b"onetwo"
    assert file.read(6, 10) == b""
    file.close()
    file.close()


def test_nothing_is_left_when_it_is_closed(tmp_path: Path) -> None:
    """The folder is empty again."""
    file = FolderScratch(tmp_path).open()
    file.append(bytes(100_000))
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """A file in its place is trouble outside, in a sentence that names the place."""
    (tmp_path / "spill").write_text("in the way")
    with pytest.raises(JournalError, match=r"cannot spill in .*spill"):
        FolderScratch(tmp_path / "spill").open()


def test_a_disk_that_refuses_is_said() -> None:
    """The system's own words, from a device that is always full."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no device that is always full")
    file = FolderScratch(Path("/dev/shm")).open()  # noqa: S108 - any folder will do, the file is swapped
    with full.open("r+b", buffering=0) as device:
        file._file, real = device, file._file
        real.close()
        with pytest.raises(JournalError, match="No space left on device"):
            file.append(b"x")
