"""What is said, and what is not."""

from __future__ import annotations

import errno
import io
import json
from typing import Literal

from tapekeeper.adapters.log import open_log
from tapekeeper.model.secret import Secret


def test_events_are_one_json_object_a_line() -> None:
    """Name, level, UTC time and fields."""
    stream = io.StringIO()
    log = open_log("info", "json", stream)
    log("first", number=1)
    log("second", level="warning")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["number"]) == ("first", "info", 1)
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"


class _FullDisk(io.StringIO):
    """A stream that takes nothing, as a file on a full disk does."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    """What is recorded matters more than what is said of it."""
    stream = _FullDisk()
    open_log("info", "console", stream)("line_state", line="market")
    assert stream.getvalue() == ""


def test_lesser_events_are_left_out() -> None:
    """The level is the least that is written."""
    stream = io.StringIO()
    log = open_log("warning", "console", stream)
    log("quiet")
    log("loud", level="error")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_a_secret_is_not_shown() -> None:
    """A secret that reaches the log by mistake stays hidden, in both forms."""
    forms: tuple[Literal["json", "console"], ...] = ("json", "console")
    for form in forms:
        stream = io.StringIO()
        open_log("info", form, stream)("login", key=Secret("test-key-not-a-secret"))
        assert "login" in stream.getvalue()
        assert "test-key-not-a-secret" not in stream.getvalue()
