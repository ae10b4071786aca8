"""Structured log events, for people or as JSON lines, on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Literal, TextIO

import structlog

from tapekeeper.ports import Log

Level = Literal["debug", "info", "warning", "error"]
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def open_log(level: Level, form: Literal["console", "json"], stream: TextIO | None = None) -> Log:
    """A log that writes to `stream` (default: standard error).

    Standard output belongs to what a command prints. Times are UTC. Fields are shown by their
    `str`, which a `Secret` answers with a placeholder.

    Args:
        level: the least important events that are written; an event states its own with a field
            `level`, and is "info" without one.
        form: lines for people, or one JSON object per line.
        stream: where to.
    """
    target = stream or sys.stderr
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=target.isatty())
    )
    logger = structlog.wrap_logger(
        structlog.PrintLogger(target),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
    )

    def log(event: str, /, *, level: Level = "info", **fields: object) -> None:
        # A full disk or a reader that went away ends the log, and must not end the recording.
        with suppress(OSError):
            getattr(logger, level)(event, **fields)

    return log
