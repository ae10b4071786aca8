"""What a process is told of its machine."""

from __future__ import annotations

from pathlib import Path

import psutil

from tapekeeper.adapters.control_groups import ControlGroups
from tapekeeper.adapters.machine import COMPUTER, SystemMachine
from tapekeeper.adapters.process import resident_bytes


def _groups(folder: Path, limit: int) -> ControlGroups:
    proc, tree = folder / "proc", folder / "tree"
    proc.mkdir()
    tree.mkdir()
    (proc / "cgroup").write_text("0::/\n")
    (proc / "mountinfo").write_text("30 23 0:28 / /tree rw - cgroup2 cgroup2 rw\n")
    (tree / "memory.max").write_text(f"{limit}\n")
    (tree / "memory.current").write_text("1000\n")
    return ControlGroups(proc, folder)


def test_the_computer_bounds_where_no_group_does(tmp_path: Path) -> None:
    """What it has left, beside what this process has."""
    memory = SystemMachine(tmp_path, _groups(tmp_path, 1 << 59)).memory()
    assert memory is not None
    assert memory.bound == COMPUTER
    assert 0 < memory.available < psutil.virtual_memory().total
    assert 0.5 < memory.resident / resident_bytes() < 2


def test_a_group_that_leaves_less_bounds(tmp_path: Path) -> None:
    """The least of both counts."""
    memory = SystemMachine(tmp_path, _groups(tmp_path, 5_000)).memory()
    assert memory is not None
    assert (memory.available, memory.bound) == (4_000, "the control group /")


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_its_place(tmp_path: Path) -> None:
    """A journal is made on first use."""
    free = SystemMachine(tmp_path / "not" / "yet").disk_free()
    assert free is not None
    assert 0 < free <= psutil.disk_usage(str(tmp_path)).total
