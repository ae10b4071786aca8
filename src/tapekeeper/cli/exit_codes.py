"""What a command's exit code says."""

from __future__ import annotations

from collections.abc import Iterator

from tapekeeper.errors import JournalError, OutsideError, TapekeeperError, UsageError

OK = 0
UNTRUE = 1
"""The command ran, but what it shows is not whole: an identity is broken, or data is damaged.
Python exits with the same code on a bug, which also leaves its traceback."""
USAGE = 2
OUTSIDE = 3
JOURNAL = 4
RESTART = 75
"""Stopped in order because of its memory, to be started again. The EX_TEMPFAIL of sysexits.h: a
later attempt may succeed."""
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def exit_code(error: TapekeeperError) -> int:
    """The code for an error that ends a command."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, OutsideError):
        return OUTSIDE
    if isinstance(error, JournalError):
        return JOURNAL
    return UNTRUE


def expected_errors(group: BaseExceptionGroup[BaseException]) -> list[TapekeeperError] | None:
    """The errors that tasks of one group ended with, or None if a bug is among them."""
    leaves = list(_leaves(group))
    errors = [leaf for leaf in leaves if isinstance(leaf, TapekeeperError)]
    return errors if len(errors) == len(leaves) else None


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
