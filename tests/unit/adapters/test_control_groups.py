"""What control groups leave, read from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from tapekeeper.adapters.control_groups import ControlGroups

MB = 1_000_000
V1_NONE = 9_223_372_036_854_771_712


class Kernel:
    """A /proc/self and the mounted trees, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.proc = folder / "proc"
        self.proc.mkdir()

    def process(self, groups: str, mounts: str) -> None:
        """What /proc/self says."""
        (self.proc / "cgroup").write_text(groups)
        (self.proc / "mountinfo").write_text(mounts)

    def group(self, path: str, **files: object) -> None:
        """A group's files; `_` stands for the dot."""
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            (folder / name.replace("_", ".", 1)).write_text(f"{value}\n")

    def available(self) -> tuple[int, str] | None:
        """What is left to the process."""
        return ControlGroups(self.proc, self.root).available()


V2_MOUNT = "30 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
OTHER_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


def test_the_limit_less_what_is_used_is_left(tmp_path: Path) -> None:
    """Version 2, the own group."""
    kernel = Kernel(tmp_path)
    kernel.process("0::/tape.service\n", V2_MOUNT)
    kernel.group("sys/fs/cgroup/tape.service", memory_max=500 * MB, memory_current=200 * MB)
    assert kernel.available() == (300 * MB, "the control group /tape.service")


def test_max_is_no_limit(tmp_path: Path) -> None:
    """Of version 2; of version 1 it is the largest number of pages."""
    kernel = Kernel(tmp_path)
    kernel.process("4:memory:/tape\n0::/tape\n", V2_MOUNT.replace("cgroup rw", "u rw") + V1_MOUNT)
    kernel.group("sys/fs/cgroup/tape", memory_max="max", memory_high="max", memory_current=1)
    kernel.group(
        "sys/fs/cgroup/memory/tape", memory_limit_in_bytes=V1_NONE, memory_usage_in_bytes=1
    )
    assert kernel.available() is None


def test_beyond_the_high_mark_a_group_is_slowed_down_so_that_is_its_limit(tmp_path: Path) -> None:
    """The less of `memory.max` and `memory.high`."""
    kernel = Kernel(tmp_path)
    kernel.process("0::/tape\n", V2_MOUNT)
    kernel.group(
        "sys/fs/cgroup/tape",
        memory_max=500 * MB,
        memory_high=400 * MB,
        memory_current=100 * MB,
    )
    assert kernel.available() == (300 * MB, "the control group /tape")


def test_the_least_generous_ancestor_counts(tmp_path: Path) -> None:
    """A service within a slice within a machine; what others of the slice use is used there."""
    kernel = Kernel(tmp_path)
    kernel.process("0::/user.slice/app.slice/tape.scope\n", V2_MOUNT)
    base = "sys/fs/cgroup/user.slice"
    kernel.group(f"{base}/app.slice/tape.scope", memory_max=500 * MB, memory_current=100 * MB)
    kernel.group(f"{base}/app.slice", memory_max=900 * MB, memory_current=850 * MB)
    kernel.group(base, memory_max="max", memory_current=2_000 * MB)
    assert kernel.available() == (50 * MB, "the control group /user.slice/app.slice")


def test_clean_pages_of_files_are_free(tmp_path: Path) -> None:
    """Those of the journal that are not on the disk yet are not."""
    kernel = Kernel(tmp_path)
    kernel.process("0::/tape\n", V2_MOUNT)
    kernel.group("sys/fs/cgroup/tape", memory_max=500 * MB, memory_current=490 * MB)
    (tmp_path / "sys/fs/cgroup/tape/memory.stat").write_text(
        f"anon {200 * MB}\nactive_file {90 * MB}\ninactive_file {110 * MB}\n"
        f"file_dirty {30 * MB}\nfile_writeback {20 * MB}\n"
    )
    assert kernel.available() == (160 * MB, "the control group /tape")


def test_version_1_is_read_with_all_that_is_below_a_group(tmp_path: Path) -> None:
    """The totals of its statistics; the tree of another controller says nothing."""
    kernel = Kernel(tmp_path)
    kernel.process("5:cpu:/elsewhere\n4:memory:/docker/abc\n0::/\n", OTHER_MOUNT + V1_MOUNT)
    kernel.group(
        "sys/fs/cgroup/memory/docker/abc",
        memory_limit_in_bytes=500 * MB,
        memory_usage_in_bytes=450 * MB,
    )
    (tmp_path / "sys/fs/cgroup/memory/docker/abc/memory.stat").write_text(
        f"inactive_file 7\ntotal_inactive_file {100 * MB}\ntotal_active_file {50 * MB}\n"
        f"total_dirty {25 * MB}\ntotal_writeback 0\n"
    )
    kernel.group(
        "sys/fs/cgroup/memory/docker",
        memory_limit_in_bytes=V1_NONE,
        memory_usage_in_bytes=450 * MB,
    )
    assert kernel.available() == (175 * MB, "the control group /docker/abc")


def test_in_a_container_the_mount_shows_a_part_of_the_tree(tmp_path: Path) -> None:
    """The path of the process names all of it, or nothing that can be seen."""
    kernel = Kernel(tmp_path)
    mount = V1_MOUNT.replace("0:32 / ", "0:32 /docker/abc ")
    kernel.process("4:memory:/docker/abc/inner\n", mount)
    kernel.group("sys/fs/cgroup/memory", memory_limit_in_bytes=90, memory_usage_in_bytes=50)
    kernel.group("sys/fs/cgroup/memory/inner", memory_limit_in_bytes=70, memory_usage_in_bytes=10)
    assert kernel.available() == (40, "the control group /")
    kernel.process("0::/../../elsewhere\n", V2_MOUNT)
    kernel.group("sys/fs/cgroup", memory_max=90, memory_current=60)
    assert kernel.available() == (30, "the control group /")


def test_more_than_the_limit_is_nothing_left(tmp_path: Path) -> None:
    """A limit that was lowered afterwards."""
    kernel = Kernel(tmp_path)
    kernel.process("0::/tape\n", V2_MOUNT)
    kernel.group("sys/fs/cgroup/tape", memory_max=50, memory_current=60)
    assert kernel.available() == (0, "the control group /tape")


def test_a_system_without_groups_has_no_limit(tmp_path: Path) -> None:
    """Nor has one whose files cannot be understood."""
    assert ControlGroups(tmp_path / "none", tmp_path).available() is None
    kernel = Kernel(tmp_path)
    kernel.process("what\n0::/tape\n", "what - is\n" + V2_MOUNT)
    kernel.group("sys/fs/cgroup/tape", memory_max="odd", memory_current=60)
    assert kernel.available() is None
