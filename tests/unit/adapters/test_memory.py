"""Resident memory, where the system tells it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tapekeeper.adapters import memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the present size in a file")
def test_memory_that_is_used_shows() -> None:
    """Fifty megabytes that are written to are resident."""
    before = memory.resident_bytes()
    block = bytearray(b"x") * 50_000_000
    after = memory.resident_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 0.9 * len(block)


@pytest.mark.parametrize("text", [None, "", "1", "1 x 3"])
def test_a_system_that_does_not_tell_is_no_error(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no figure then, which is not the same as none being used."""
    file = tmp_path / "statm"
    if text is not None:
        file.write_text(text, encoding="ascii")
    monkeypatch.setattr(memory, "_STATM", file)
    assert memory.resident_bytes() is None
