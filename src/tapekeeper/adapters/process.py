"""What this process holds, as the operating system counts it."""

from __future__ import annotations

import sys

import psutil

_SELF = psutil.Process()


def resident_bytes() -> int:
    """Bytes of this process that are in memory now."""
    return _SELF.memory_info().rss


def processor_s() -> float:
    """Seconds that this process has had a processor for."""
    times = _SELF.cpu_times()
    return times.user + times.system


def open_handles() -> int:
    """Files, sockets and whatever else this process has open.

    File descriptors; on Windows handles, among which are those of threads and events.
    """
    if sys.platform == "win32":
        return _SELF.num_handles()
    return _SELF.num_fds()


def open_sockets() -> int:
    """Network sockets that this process has open, whatever their state."""
    return len(_SELF.net_connections("inet"))
