"""What the page of verification names is there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "verification.md"
HEADING = "## Policies, and the tests that miss them"
POLICIES_MIN = 40
NAMED = re.compile(r"^\|[^|]+\| `(?P<test>\w+)` \|$", re.MULTILINE)
DEFINED = re.compile(r"^(?:async )?def (?P<test>test_\w+)\(", re.MULTILINE)


def named_tests(page: str) -> list[str]:
    """The tests that the table of policies names."""
    _, _, section = page.partition(HEADING)
    return NAMED.findall(section.partition("\n## ")[0])


def absent(page: str, sources: Iterable[str]) -> Iterator[str]:
    """The tests that are named and that no source defines."""
    defined = {test for source in sources for test in DEFINED.findall(source)}
    return (test for test in named_tests(page) if test not in defined)


def test_every_policy_has_the_test_that_misses_it() -> None:
    """A test that is renamed or removed takes its policy's name with it."""
    page = PAGE.read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(named_tests(page)) >= POLICIES_MIN
    assert list(absent(page, sources)) == []


def test_a_test_that_is_not_there_is_found() -> None:
    """Planted: one of two is defined, and a table behind the next heading does not count."""
    page = (
        f"{HEADING}\n\n| a | `test_here` |\n| b | `test_gone` |\n\n## Else\n| c | `test_else` |\n"
    )
    assert list(absent(page, ["def test_here() -> None:\n    pass\n"])) == ["test_gone"]
