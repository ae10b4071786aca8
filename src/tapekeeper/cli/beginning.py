"""Beginning a command anew, in the same process."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def can_begin_anew() -> bool:
    """Whether this system replaces a process; Windows starts another and lets go of the first."""
    return os.name == "posix"


def begin_anew() -> NoReturn:
    """Replace this process by one of the same command, whose id is the same.

    All memory is given back, and so is every file and socket: Python opens none for inheritance.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execv(sys.executable, command)  # noqa: S606 - it is this very command, and no shell
