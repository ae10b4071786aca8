"""Imports point one way, and the contracts that say so would notice."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CLI = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the package below `folder`/src with the configuration in `folder`."""
    return subprocess.run(
        [sys.executable, "-c", CLI, "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_imports_point_one_way(root: Path) -> None:
    """Every contract in pyproject.toml is kept by the package as it is."""
    done = lint_imports(root)
    assert done.returncode == 0, done.stdout + done.stderr


PLANTED = {
    "The rooms": ("errors.py", "import tapekeeper.model.tick"),
    "The stages of the core": ("core/backoff.py", "import tapekeeper.core.bars"),
    "The core is pure": ("model/tick.py", "import asyncio"),
    "The network library": ("runtime/planted.py", "import aiohttp"),
    "The one place that wires": ("dashboard.py", "import tapekeeper.app.compose"),
    "No cycles": ("model/instrument.py", "import tapekeeper.model.planted"),
}
PARTNERS = {"model/planted.py": "import tapekeeper.model.instrument"}


def test_each_contract_finds_a_planted_violation(root: Path, tmp_path: Path) -> None:
    """A copy of the package with one forbidden import per contract breaks every contract."""
    shutil.copy(root / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "tapekeeper"
    shutil.copytree(root / "src" / "tapekeeper", package)
    for name, line in [*PLANTED.values(), *PARTNERS.items()]:
        with (package / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    kept = [
        contract
        for contract in PLANTED
        if not re.search(rf"^{contract}.* BROKEN", done.stdout, re.MULTILINE)
    ]
    assert kept == [], done.stdout


def test_a_room_that_no_contract_knows_is_found(root: Path, tmp_path: Path) -> None:
    """A new top-level module is in no layer, so it must be given its place before it lands."""
    shutil.copy(root / "pyproject.toml", tmp_path)
    package = tmp_path / "src" / "tapekeeper"
    shutil.copytree(root / "src" / "tapekeeper", package)
    (package / "leftovers.py").write_text("", encoding="utf-8")
    (package / "core" / "leftovers.py").write_text("", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 1
    assert "leftovers" in done.stdout
