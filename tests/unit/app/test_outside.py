"""The outside of a tape: the real one by default, any other where it is given."""

from __future__ import annotations

from pathlib import Path

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.config import LogConfig
from tapekeeper.app.outside import real_outside


def test_the_real_outside_is_that_of_the_computer(tmp_path: Path) -> None:
    """Its clock, its randomness, its disk; its log is made from the configuration."""
    outside = real_outside()
    assert isinstance(outside.clock, SystemClock)
    assert isinstance(outside.random, SystemRandom)
    files = outside.files(tmp_path)
    assert isinstance(files, FolderFiles)
    assert files.path == tmp_path
    assert callable(outside.log(LogConfig()))
