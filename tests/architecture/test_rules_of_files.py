"""What the repository may hold, and what must stand beside what."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

import tapekeeper

Hold = Callable[[str, Iterable[str]], None]

# The words are written with a class around one letter, so that this file does not hold them.
HOST = re.compile(
    r"py[p]i[.]org|py[t]honhosted|n[p]mjs[.]org|r[e]gistry[.]yarnpkg|deb[.]deb[i]an"
    r"|repo1?[.]mav[e]n|cra[t]es[.]io|an[a]conda[.]org"
)
PLACE = re.compile(
    r"(?:^|[^A-Za-z0-9_.:/-])"
    r"(?:/(?:[w]ork|[f]arm|[r]oot|[h]ome/\w+|[U]sers/\w+)/|[A-Z]:\\\\?[U]sers\\)"
)
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abp]-[0-9A-Za-z-]{20,}"
    r"|\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{30,}"
)


def lines_with(pattern: re.Pattern[str], files: Mapping[str, str]) -> Iterator[str]:
    """`path:line` wherever `pattern` is found."""
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{path}:{number}"


def imports_of(text: str) -> set[str]:
    """Dotted names that a file imports, each with the module it is imported from."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            named.add(node.module)
            named |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
    return named


def modules_without_a_test(product: Mapping[str, str], tests: Mapping[str, str]) -> list[str]:
    """Modules that no test names.

    A test names a module by importing it, by importing what a package re-exports from it, by
    writing its path (`core/skew` or `tapekeeper.core.skew`), or by its own file name.
    """
    named = {name for text in tests.values() for name in imports_of(text)}
    for path, text in product.items():
        package = ".".join(Path(path).parts[1:-1])
        if path.endswith("/__init__.py") and package in named:
            homes = imports_of(text)
            named |= {
                h.rpartition(".")[0] for h in homes if f"{package}.{h.split('.')[-1]}" in named
            }
    everything = "\n".join(tests.values())
    files = {Path(path).stem for path in tests}
    missing = []
    for path in product:
        parts = Path(path).with_suffix("").parts[1:]
        ways = (
            parts[-1] == "__init__",
            ".".join(parts) in named,
            not {f"test_{parts[-1]}", f"test_{'_'.join(parts[-2:])}"}.isdisjoint(files),
            ".".join(parts) in everything,
            len(parts) > 2 and re.search(rf"\b{'/'.join(parts[1:])}\b", everything),
            parts[-1] == "__main__" and re.search(r'"-m",\s*"tapekeeper"', everything),
        )
        if not any(ways):
            missing.append(path)
    return missing


def wrong_surface(module: ModuleType) -> list[str]:
    """What is wrong with a package's `__all__`: order, and names that it misses or invents."""
    listed = list(getattr(module, "__all__", []))
    there = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    wrong = [] if listed == sorted(set(listed)) else ["__all__ is not sorted and free of repeats"]
    wrong += [f"{name} is public but not in __all__" for name in sorted(there - set(listed))]
    missing = sorted(n for n in set(listed) - there if not hasattr(module, n))
    return wrong + [f"{name} is in __all__ but not there" for name in missing]


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by name of a lock file; a name has several where platforms differ."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def wanted(lines: Iterable[str]) -> set[str]:
    """Requirement lines without comments and references, blanks taken out."""
    return {
        line.replace(" ", "")
        for line in lines
        if line.strip() and not line.lstrip().startswith(("#", "-"))
    }


def test_no_file_names_a_registry(tracked: Mapping[str, str], hold: Hold) -> None:
    """Where packages come from is the machine's own setting."""
    hold("no file names the host of a package registry", lines_with(HOST, tracked))


def test_no_file_knows_this_machine(tracked: Mapping[str, str], hold: Hold) -> None:
    """A clone works wherever it lies, so no file holds a path of one machine."""
    hold("no file holds an absolute path of a machine", lines_with(PLACE, tracked))


def test_no_file_holds_a_secret(tracked: Mapping[str, str], hold: Hold) -> None:
    """Test credentials say that they are; nothing that looks like a real one is tracked."""
    hold("no file holds what looks like a real credential", lines_with(SECRET, tracked))


def test_every_module_has_a_test(
    product: Mapping[str, str], tests: Mapping[str, str], hold: Hold
) -> None:
    """Whoever changes a module finds at least one test that names it."""
    hold("every module is named by a test", modules_without_a_test(product, tests))


def test_the_public_names_are_listed(hold: Hold) -> None:
    """`tapekeeper.__all__` is the public surface: sorted, whole and true."""
    hold("__all__ of the package is its public surface", wrong_surface(tapekeeper))


def test_every_public_name_has_a_page(root: Path) -> None:
    """The page of the Python interface shows the module in which each public name lives."""
    page = (root / "docs" / "api.md").read_text(encoding="utf-8")
    homes = {name: getattr(tapekeeper, name) for name in getattr(tapekeeper, "__all__", [])}
    assert [
        name
        for name, value in homes.items()
        if f":: {getattr(value, '__module__', '?')}\n" not in page
        and f"{getattr(value, '__module__', '?')}.{name}\n" not in page
        and not name.startswith("__")
    ] == []


def test_the_lock_is_of_the_dependencies_that_are_declared(root: Path) -> None:
    """`make lock` locks what the package declares: the same names with the same bounds."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime = (root / "requirements" / "runtime.in").read_text(encoding="utf-8")
    assert wanted(runtime.splitlines()) == wanted(project["dependencies"])


def test_what_is_tested_is_what_is_installed(root: Path) -> None:
    """Every run-time pin is also the development pin, so the tests run on what users get."""
    runtime, dev = (
        pins((root / "requirements" / name).read_text(encoding="utf-8"))
        for name in ("runtime.txt", "dev.txt")
    )
    assert runtime
    assert {name: pin for name, pin in runtime.items() if dev.get(name) != pin} == {}


def test_every_pin_has_hashes(root: Path) -> None:
    """A package that was changed after it was locked is not installed."""
    for name in ("runtime.txt", "dev.txt"):
        lock = (root / "requirements" / name).read_text(encoding="utf-8")
        blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)
        pinned = [block for block in blocks if re.match(r"[\w.-]+==", block)]
        assert pinned
        assert [block for block in pinned if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (HOST, "index-url = https://" + "py" + "pi.org/simple"),
        (HOST, '"resolved": "https://registry.' + "np" + 'mjs.org/x"'),
        (PLACE, 'DATA = "/' + 'work/shared"'),
        (PLACE, "see /" + "home/someone/notes"),
        (PLACE, "C:" + r"\Users\someone"),
        (SECRET, "-----BEGIN RSA PRIV" + "ATE KEY-----"),
        (SECRET, "AKIA" + "ABCDEFGHIJKLMNOP"),
    ],
)
def test_a_planted_line_is_found(pattern: re.Pattern[str], line: str) -> None:
    """Each pattern finds what it is for."""
    assert list(lines_with(pattern, {"planted.txt": f"first\n{line}\n"})) == ["planted.txt:2"]


@pytest.mark.parametrize("line", ["../shared/data", "https://host.example/home/you/", "/hubs/x"])
def test_paths_that_are_no_place_are_let_through(line: str) -> None:
    """Relative paths and addresses are not paths of a machine."""
    assert not list(lines_with(PLACE, {"planted.txt": line}))


def test_a_planted_module_without_a_test_is_found() -> None:
    """A module that no test names is found; each way of naming one is enough."""
    product = {
        "src/tapekeeper/core/__init__.py": "from tapekeeper.core.through import Thing\n",
        "src/tapekeeper/core/through.py": "",
        "src/tapekeeper/core/imported.py": "",
        "src/tapekeeper/core/told.py": "",
        "src/tapekeeper/core/own.py": "",
        "src/tapekeeper/core/forgotten.py": "",
    }
    tests = {
        "tests/unit/core/test_own.py": '"""The rules of core/told."""\n',
        "tests/unit/test_x.py": "from tapekeeper.core import Thing, imported\n",
    }
    assert modules_without_a_test(product, tests) == ["src/tapekeeper/core/forgotten.py"]


def test_a_planted_wrong_surface_is_found() -> None:
    """An unsorted list, a name left out and a name made up are each told."""
    module = ModuleType("planted")
    vars(module).update({"__all__": ["b", "a", "ghost"], "a": 1, "b": 2, "c": 3})
    wrong = wrong_surface(module)
    assert len(wrong) == 3
    assert {w.split()[0] for w in wrong} == {"__all__", "c", "ghost"}
