"""What the control groups of Linux leave to this process, of both versions and however nested.

A group may have what the least generous of its ancestors leaves: a container's own group often has
no limit at all, and the one above it has. What a limit leaves is the limit less what is used, and
pages of files that are clean count as free: the kernel gives them up before it refuses anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

NO_LIMIT = 1 << 60
"""Version 1 has no word for none: it says the largest number of whole pages instead."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The files of one version."""

    limits: tuple[str, ...]
    used: str
    # Of `memory.stat`, with what is below the group: given up at need, once it is written.
    clean: tuple[str, ...]
    dirty: tuple[str, ...]


# `memory.high` is no wall, but a process beyond it is slowed down until it is below.
_V2 = _Names(
    ("memory.max", "memory.high"),
    "memory.current",
    ("active_file", "inactive_file"),
    ("file_dirty", "file_writeback"),
)
_V1 = _Names(
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
    ("total_dirty", "total_writeback"),
)


class ControlGroups:
    """The groups that hold this process; none where there are none.

    Args:
        proc: `/proc/self`.
        root: of the file system, in front of the mount points.
    """

    def __init__(self, proc: Path = Path("/proc/self"), root: Path = Path("/")) -> None:
        # Found once: a process is moved between groups before it starts, if ever.
        self._levels = list(_levels(proc, root))

    def available(self) -> tuple[int, str] | None:
        """Bytes that the least generous group leaves, and its name; None without any limit."""
        found = [
            (left, name)
            for folder, name, names in self._levels
            if (left := _left(folder, names)) is not None
        ]
        return min(found, default=None)


def _left(folder: Path, names: _Names) -> int | None:
    limits = [limit for name in names.limits if (limit := _number(folder / name)) is not None]
    used = _number(folder / names.used)
    if not limits or used is None:
        return None
    stat = _stat(folder / "memory.stat")
    clean = sum(stat.get(name, 0) for name in names.clean)
    dirty = sum(stat.get(name, 0) for name in names.dirty)
    return max(0, min(limits) - used + max(0, clean - dirty))


def _number(path: Path) -> int | None:
    """What a file says; None where there is no such file, or no limit (`max`)."""
    try:
        number = int(path.read_text("ascii"))
    except (OSError, ValueError):
        return None
    return number if number < NO_LIMIT else None


def _stat(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text("ascii").splitlines()
        return {name: int(value) for name, _, value in (line.partition(" ") for line in lines)}
    except (OSError, ValueError):
        return {}


def _levels(proc: Path, root: Path) -> Iterator[tuple[Path, str, _Names]]:
    """Folder, name and version of the own group and all above it, as far as they are mounted."""
    own = _own(proc)
    for mounted, inside, names in _mounts(proc, root):
        path = own.get(names is _V2)
        if path is None:
            continue
        # In a container the mount shows a part of the tree, and the path may name all of it.
        if path.is_relative_to(inside):
            path = PurePosixPath("/") / path.relative_to(inside)
        folder = mounted / path.relative_to("/")
        if ".." in path.parts or not folder.is_dir():
            folder, path = mounted, PurePosixPath("/")
        for level in (path, *path.parents):
            yield folder, f"the control group {level}", names
            folder = folder.parent


def _own(proc: Path) -> dict[bool, PurePosixPath]:
    """The path of the process in the tree of version 2 (True) and of memory's of version 1."""
    found = {}
    for line in _lines(proc / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/") and (number == "0" or "memory" in controllers.split(",")):
            found[number == "0"] = PurePosixPath(path)
    return found


def _mounts(proc: Path, root: Path) -> Iterator[tuple[Path, PurePosixPath, _Names]]:
    """Where the trees are mounted, and which part of each (proc(5), `mountinfo`)."""
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:  # noqa: PLR2004 - the fields that are read
            continue
        inside, place = PurePosixPath(fields[3]), root / fields[4].lstrip("/")
        if kind[0] == "cgroup2":
            yield place, inside, _V2
        elif kind[0] == "cgroup" and "memory" in kind[-1].split(","):
            yield place, inside, _V1


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
