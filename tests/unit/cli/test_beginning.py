"""A command that begins anew, in the same process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tapekeeper.cli.beginning import can_begin_anew

TWICE = """
import os, sys
from tapekeeper.cli.beginning import begin_anew
print(os.getpid(), sys.argv[1:])
if "TEST_BEGUN" not in os.environ:
    os.environ["TEST_BEGUN"] = "1"
    begin_anew()
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot replace a process")
def test_it_is_the_same_command_in_the_same_process() -> None:
    """With its arguments, and with all that it has printed before."""
    assert can_begin_anew()
    command = [sys.executable, "-c", TWICE, "run", "a b.toml"]
    environment = {name: value for name, value in os.environ.items() if name != "TEST_BEGUN"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    first, second = done.stdout.splitlines()
    assert first == second
    assert first.endswith("['run', 'a b.toml']")
