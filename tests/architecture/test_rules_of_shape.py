"""Modules and functions stay readable, classes compose, exemptions give reasons."""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

Hold = Callable[[str, Iterable[str]], None]

MODULE_LINES_MAX = 700
MODULE_LINES_MEDIAN_MAX = 250
FUNCTION_LINES_MAX = 70


def long_functions(text: str) -> Iterator[tuple[int, str]]:
    """Functions longer than the limit; a docstring is not counted, it is for reading."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        first = node.body[0]
        if ast.get_docstring(node) is not None and first.end_lineno is not None:
            lines -= first.end_lineno - first.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield node.lineno, f"{node.name} has {lines} lines"


def heirs_of_two(text: str) -> Iterator[tuple[int, str]]:
    """Classes with two bases that are ours: defined in the module or imported from the package."""
    tree = ast.parse(text)
    ours = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tapekeeper"):
            ours |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).split("[")[0] for base in node.bases]
            if sum(base.split(".")[0] in ours for base in bases) > 1:
                yield node.lineno, f"{node.name}({', '.join(bases)})"


EXEMPTION = re.compile(r"(noqa|type: ignore|pragma: no cover|mypy:|ruff: noqa)")
REASONED = re.compile(
    r"(noqa: [A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|type: ignore\[[\w, -]+\]|pragma: no cover)"
    r"[\s#:-]+(?!noqa|type:)[^\s#].{5,}"
)


def bare_exemptions(text: str) -> Iterator[tuple[int, str]]:
    """Exemptions from a check without codes, or without a reason behind them on the line."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and EXEMPTION.search(token.string):
            comment = token.string.lstrip("# ")
            if EXEMPTION.match(comment) and not REASONED.match(comment):
                yield token.start[0], token.string


EMPTY_WORDS = {"utils", "util", "helpers", "common", "misc", "mixins", "manager"}


def drawers(paths: Iterable[str]) -> list[str]:
    """Modules whose name says nothing, so that anything could be put into them."""
    return [path for path in paths if set(re.split(r"[/_.]", path.lower())) & EMPTY_WORDS]


def test_no_module_is_several_rooms_in_one(code: Mapping[str, str], hold: Hold) -> None:
    """No file is longer than 700 lines, and the package's median module is a short read."""
    sizes = {path: text.count("\n") for path, text in code.items()}
    hold(
        f"a module has at most {MODULE_LINES_MAX} lines: more is several rooms in one",
        [f"{path}: {lines}" for path, lines in sizes.items() if lines > MODULE_LINES_MAX],
    )
    median = statistics.median(
        lines
        for path, lines in sizes.items()
        if path.startswith("src") and not path.endswith("__init__.py")
    )
    assert median <= MODULE_LINES_MEDIAN_MAX


def test_no_function_is_longer_than_a_screen(code: Mapping[str, str], hold: Hold) -> None:
    """Every function can be read without scrolling."""
    hold(
        f"a function has at most {FUNCTION_LINES_MAX} lines",
        [f"{p}:{line}: {what}" for p, t in code.items() for line, what in long_functions(t)],
    )


def test_classes_compose(product: Mapping[str, str], hold: Hold) -> None:
    """State is in one class; what is shared is held, not inherited."""
    hold(
        "no class inherits two of ours: hold the other one instead",
        [f"{p}:{line}: {what}" for p, t in product.items() for line, what in heirs_of_two(t)],
    )


def test_every_exemption_gives_its_reason(code: Mapping[str, str], hold: Hold) -> None:
    """A check is switched off for a line by code and with a reason that a reader can judge."""
    hold(
        "an exemption names its code and a reason: `# noqa: X123 - why` or "
        "`# type: ignore[code]  # why`",
        [f"{p}:{line}: {what}" for p, t in code.items() for line, what in bare_exemptions(t)],
    )


def test_there_is_no_drawer_for_leftovers(product: Mapping[str, str], hold: Hold) -> None:
    """Every module is named after what it knows."""
    hold("a module is named after what it knows, never utils or helpers", drawers(product))


def test_a_planted_long_function_is_found() -> None:
    """A function one line too long is found; one at the limit is not."""
    body = "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert not list(long_functions(f"def f():\n{body}"))
    assert list(long_functions(f"def f():\n{body}    x = 2\n"))
    assert not list(long_functions(f'def f():\n    """One.\n\n    Two."""\n{body}'))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("class A: ...\nclass B: ...\nclass C(A, B): ...", True),
        ("from tapekeeper.ports import Clock, Random\nclass C(Clock, Random): ...", True),
        ("from tapekeeper import ports\nclass C(ports.Clock, ports.Random): ...", True),
        ("class A: ...\nclass C(A): ...", False),
        ("class A: ...\nclass C(A, Protocol): ...", False),
    ],
)
def test_a_planted_heir_of_two_is_found(text: str, *, found: bool) -> None:
    """Two bases of ours are found; one of ours beside a foreign one is not."""
    assert bool(list(heirs_of_two(text))) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x = 1  # noqa\n", True),
        ("x = 1  # noqa: E501\n", True),
        ("x = 1  # type: ignore\n", True),
        ("x = 1  # type: ignore[arg-type]\n", True),
        ("x = 1  # type: ignore[arg-type]  # noqa: E501\n", True),
        ("# ruff: noqa\n", True),
        ("# mypy: ignore-errors\n", True),
        ("x = 1  # noqa: E501 - a URL cannot be wrapped\n", False),
        ("x = 1  # noqa: E501, S101 - a URL cannot be wrapped\n", False),
        ("x = 1  # type: ignore[arg-type]  # the wrong type is the point\n", False),
        ("x = '# noqa'\n", False),
    ],
)
def test_a_planted_bare_exemption_is_found(text: str, *, found: bool) -> None:
    """An exemption without code or reason is found; one with both, or a mere string, is not."""
    assert bool(list(bare_exemptions(text))) is found


def test_a_planted_drawer_is_found() -> None:
    """`utils` is found as a module, as a package and as a part of a name."""
    planted = ["a/utils.py", "a/common/x.py", "a/time_helpers.py"]
    assert drawers([*planted, "a/timeframe.py"]) == planted
