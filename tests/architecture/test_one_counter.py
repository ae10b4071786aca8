"""Each thing is counted in one place, and read in one place."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec
import pytest

from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.model.distribution import Distribution, LabelCounts
from tests.architecture.figures import COUNTED, WORKING
from tests.architecture.increments import counted, increments

Hold = Callable[[str, Iterable[str]], None]

PARTS = (Distribution, LabelCounts)
"""What figures are made of has no figures."""


def structs_of(root: type) -> dict[type, dict[str, typing.Any]]:
    """Every frozen value that is reachable from `root`, with the types of its fields."""
    found: dict[type, dict[str, typing.Any]] = {}

    def walk(each: typing.Any) -> None:
        for argument in typing.get_args(each):
            walk(argument)
        is_value = inspect.isclass(each) and (
            issubclass(each, msgspec.Struct) or dataclasses.is_dataclass(each)
        )
        if is_value and each not in found and each not in PARTS:
            found[each] = typing.get_type_hints(each)
            for hint in found[each].values():
                walk(hint)

    walk(root)
    return found


def figures_of(root: type) -> set[str]:
    """`Struct.field` of all whole numbers that can be read from `root`."""
    return {
        f"{struct.__name__}.{name}"
        for struct, hints in structs_of(root).items()
        for name, hint in hints.items()
        if hint is int
    }


def twice(owners: Mapping[str, str]) -> Iterator[str]:
    """Figures that one attribute counts for."""
    for figure, owner in owners.items():
        others = [each for each, its in owners.items() if its == owner and each != figure]
        if others:
            yield f"{figure} and {', '.join(others)} are counted by {owner}"


def test_one_attribute_counts_for_one_figure(hold: Hold) -> None:
    """A number that is told under two names is the start of two numbers."""
    hold("each figure has a counter of its own", twice(COUNTED))


def test_every_counter_of_the_product_is_declared(product: Mapping[str, str], hold: Hold) -> None:
    """What grows is a figure, or a part of how something works: a second counter is neither."""
    known = {*COUNTED.values(), *WORKING}
    hold(
        "what counts is declared in tests/architecture/figures.py, and nothing is counted twice",
        (f"{place}: {name}" for name, place in counted(product).items() if name not in known),
    )


def test_nothing_is_declared_that_is_not_there(product: Mapping[str, str], hold: Hold) -> None:
    """Who counts can be found, and no figure is declared that nobody can read."""
    there = counted(product)
    figures = figures_of(TapeStatus)
    hold(
        "tests/architecture/figures.py is true",
        [
            *(
                f"nothing counts {name}"
                for name in (*COUNTED.values(), *WORKING)
                if name not in there
            ),
            *(f"no status has {figure}" for figure in COUNTED if figure not in figures),
        ],
    )


def test_values_of_a_status_are_frozen(hold: Hold) -> None:
    """What was read does not change behind the back of who reads it."""
    hold(
        "a snapshot is frozen",
        (
            struct.__name__
            for struct in structs_of(TapeStatus)
            if issubclass(struct, msgspec.Struct) and not struct.__struct_config__.frozen
        ),
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("self._n += 1", ["C._n"]),
        ("self._n += len(x)", ["C._n"]),
        ("self._n += other.n", []),
        ("self._n += 1\n        self._n = 5", []),
        ("self._n += 1\n        self._n -= 1", []),
        ("self._part.n += 1", ["C._part.n"]),
        ("part.n += 1", ["C:part.n"]),
        ("self._s = replace(self._s, failed=self._s.failed + 1)", ["C.failed"]),
    ],
)
def test_what_counts_is_found(text: str, found: list[str]) -> None:
    """However it is written; levels, and sums of what others have counted, are none."""
    module = (
        f"class C:\n    def __init__(self):\n        self._n = 0\n"
        f"    def work(self, x, part, other):\n        {text}\n"
    )
    assert [name for name, _ in increments(module)] == found


OWN = """

class Second:
    def __init__(self) -> None:
        self._frames = 0

    def took(self) -> None:
        self._frames += 1
"""
OF_ANOTHER = """

class Second:
    frames: int = 0

    def took(self, line: Second) -> None:
        line.frames += 1
"""


@pytest.mark.parametrize("planted", [OWN, OF_ANOTHER])
def test_a_second_counter_shows(product: Mapping[str, str], hold: Hold, planted: str) -> None:
    """Wherever it is put, and whether or not anybody reads it."""
    path = "src/tapekeeper/runtime/feed.py"
    with pytest.raises(pytest.fail.Exception, match="Second"):
        test_every_counter_of_the_product_is_declared(
            {**product, path: product[path] + planted}, hold
        )
