"""The files that the rules read, and how a broken rule is told."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("src", "tests", "benches", "fuzz", "tools", "docs")


def _python_files(*folders: str) -> dict[str, str]:
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"node_modules", "_build"} & set(path.parts)
    }


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def product() -> Mapping[str, str]:
    """The text of every module of the package, by its path below the root."""
    return _python_files("src")


@pytest.fixture(scope="session")
def tests() -> Mapping[str, str]:
    """The text of every test file, by its path below the root."""
    return _python_files("tests")


@pytest.fixture(scope="session")
def code() -> Mapping[str, str]:
    """The text of every Python file, by its path below the root."""
    return _python_files(*CODE_FOLDERS)


@pytest.fixture(scope="session")
def tracked() -> Mapping[str, str]:
    """The text of every text file that git tracks, by its path below the root."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"],  # noqa: S607 - git is wherever the developer has it
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    texts = {}
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (data := path.read_bytes()):
            texts[name] = data.decode("utf-8")
    return texts


@pytest.fixture(scope="session")
def hold() -> Callable[[str, Iterable[str]], None]:
    """Fail with the rule, its reason and every place that breaks it."""

    def check(rule: str, found: Iterable[str]) -> None:
        places = list(found)
        if places:
            pytest.fail(f"{rule}\n  " + "\n  ".join(places), pytrace=False)

    return check
