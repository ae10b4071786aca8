"""How the package is imported and the program started: `tapekeeper` and `tapekeeper.__main__`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tapekeeper
from tapekeeper.cli.exit_codes import INTERRUPTED, OK

INTERRUPTED_WHILE_LOADING = """
import importlib.abc, signal, sys
class Interrupter(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "polars":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
if sys.argv[1] == "ignored":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv[1:] = ["config"]
from tapekeeper.__main__ import main
sys.exit(main())
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_an_interrupt_while_loading_ends_without_a_traceback() -> None:
    """Ctrl-C before the program is there has its exit code and says nothing."""
    run = _run("-c", INTERRUPTED_WHILE_LOADING, "heeded")
    assert (run.returncode, run.stdout, run.stderr) == (INTERRUPTED, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    """A shell that started the program in the background has Ctrl-C ignored."""
    run = _run("-c", INTERRUPTED_WHILE_LOADING, "ignored")
    assert (run.returncode, run.stderr) == (OK, "")
    assert "[journal]" in run.stdout


def test_importing_the_package_loads_no_library() -> None:
    """Public names come when they are asked for; a name that is not there is an error."""
    code = "import sys, tapekeeper; print(*{'polars', 'aiohttp', 'msgspec'} & set(sys.modules))"
    assert _run("-c", code).stdout == "\n"
    with pytest.raises(AttributeError, match="module 'tapekeeper' has no attribute 'Nothing'"):
        _ = getattr(tapekeeper, "Noth" + "ing")
    assert set(tapekeeper.__all__) <= set(dir(tapekeeper))


def test_type_checkers_see_the_public_names_where_they_are() -> None:
    """What is imported for type checkers is what is given at run time, from the same module."""
    source = Path(tapekeeper.__file__).read_text(encoding="utf-8")
    seen = {
        item.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for item in node.names
    }
    assert seen == vars(tapekeeper)["_HOMES"]
    assert sorted(seen) == tapekeeper.__all__
