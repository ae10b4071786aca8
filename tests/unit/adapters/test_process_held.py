"""What a process holds, as the system counts it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

from tapekeeper.adapters.process import open_handles, open_sockets, resident_bytes


def test_memory_that_is_used_shows() -> None:
    """Fifty megabytes that are written to are resident."""
    before = resident_bytes()
    block = bytearray(b"x") * 50_000_000
    assert resident_bytes() - before > 0.9 * len(block)


def test_files_that_are_open_show(tmp_path: Path) -> None:
    """Each is one more until it is closed."""
    before = open_handles()
    with ExitStack() as stack:
        for number in range(10):
            stack.enter_context((tmp_path / str(number)).open("wb"))
        assert open_handles() - before == 10
    assert open_handles() == before


def test_sockets_that_are_open_show() -> None:
    """Whether they are connected or not; files are none."""
    before = open_sockets()
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        assert open_sockets() - before == 5
    assert open_sockets() == before
