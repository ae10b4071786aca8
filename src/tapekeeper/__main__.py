"""The start of the program, as `tapekeeper` and as `python -m tapekeeper`.

Loading the program takes most of a second. Ctrl-C in it ends the process at once: nothing was
begun that had to be ended, and libraries that are half loaded answer an exception with others.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130  # cli.exit_codes.INTERRUPTED, which is not loaded yet


def main() -> int:
    """Load the program and run it; its exit code."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # otherwise somebody wants it ignored
        signal.signal(signal.SIGINT, _leave)
    from tapekeeper.cli.main import main as program  # noqa: PLC0415 - see the module's text

    try:
        signal.signal(signal.SIGINT, before)
        return program()
    except KeyboardInterrupt:
        return _INTERRUPTED


def _leave(_signal: int, _frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
