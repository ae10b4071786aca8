"""The power may fail while a journal is archived: nothing is relied on that the disk has not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.archive.compaction import archive_journal, confirmed_through
from tapekeeper.app.archive.disk import PARTIAL, ArchiveDisk
from tapekeeper.app.archive.layout import MANIFEST
from tapekeeper.app.archive.rerunning import segments_of
from tests.unit.app.archived_journal import session, some_frames


class WatchedDisk(ArchiveDisk):
    """Knows of every file whether its content and its name would survive the power."""

    steps: list[str]

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.forced: set[int] = set()  # numbers of files whose content was
        self.loose: set[Path] = set()  # files whose names were not

    def sync(self, descriptor: int) -> None:
        """Note what was forced, instead of waiting for a disk."""
        self.forced.add(os.fstat(descriptor).st_ino)

    def sync_folder(self, folder: Path) -> None:
        """The names in it are certain from now on."""
        self.loose = {path for path in self.loose if path.parent != folder}

    def publish(self, name: str) -> None:
        """A name is given to content that is certain; to a manifest, when all that it names is."""
        assert self.path(name + PARTIAL).stat().st_ino in self.forced
        if name == MANIFEST:
            assert not self.loose
        super().publish(name)
        self.loose.add(self.path(name))
        WatchedDisk.steps.append(f"publish {name}")

    def append_line(self, path: Path, line: bytes) -> None:
        """The journal is told that it may let go when all that replaces it is certain."""
        assert not self.loose
        super().append_line(path, line)
        assert path.stat().st_ino in self.forced
        WatchedDisk.steps.append("confirm")

    def remove(self, name: str) -> None:
        """What the manifest of before named goes when that of now is certain."""
        assert not self.loose
        super().remove(name)


@pytest.mark.skipif(os.name != "posix", reason="Windows forces no names")
def test_nothing_is_confirmed_that_a_power_cut_could_take(tmp_path: Path) -> None:
    """Content before its name, both before the manifest that names them, that before its word."""
    journal = session(tmp_path / "journal", some_frames(60), seal=False)
    WatchedDisk.steps = []
    archive_journal(journal, rows_per_pass=8, disk_of=WatchedDisk)
    assert WatchedDisk.steps.count(f"publish {MANIFEST}") > 1
    assert len(WatchedDisk.steps) > 10
    last = len(WatchedDisk.steps) - 1 - WatchedDisk.steps[::-1].index("confirm")
    assert WatchedDisk.steps[last - 1] == f"publish {MANIFEST}"
    # Behind it small files are merged, of which the journal needs to be told nothing.
    assert all("part-" in step or MANIFEST in step for step in WatchedDisk.steps[last + 1 :])
    assert confirmed_through(journal) == segments_of(FolderFiles(journal))[-1] - 1
