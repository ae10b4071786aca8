"""Finds what counts in source text: every place at which an attribute grows."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

UNCOUNTED_ROOMS = ("sim/", "verify/", "cli/")
"""Tests and commands count for themselves; what runs for weeks is the product."""


def increments(text: str) -> Iterator[tuple[str, int]]:
    """`Class.attribute` and line of everything in a module that only ever grows by being counted.

    That is an attribute with `+=` that begins with 0 and is set nowhere else, an attribute of
    another object with `+=`, and a frozen value that is replaced by one with a larger field. Where
    the same attribute of another object is added, as the figures of a connection that has ended
    are to those of its line, nothing is counted.
    """
    for cls in ast.walk(ast.parse(text)):
        if isinstance(cls, ast.ClassDef):
            yield from _of_class(cls)


@dataclass(slots=True)
class _Seen:
    """Attributes of a class: that grow, with their line; that begin with 0; that are set again."""

    grows: dict[str, int] = field(default_factory=dict)
    zeroed: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def see(self, node: ast.AST, *, begins: bool) -> None:
        """Learn from one node of a method."""
        if isinstance(node, ast.AugAssign):
            name = _chain(node.target)
            if not isinstance(node.op, ast.Add):
                self.touched.add(name)
            elif name and not _carries(node):
                self.grows.setdefault(name, node.lineno)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            is_zero = begins and _is_zero(node.value)
            (self.zeroed if is_zero else self.touched).update(_assigned(node))
        elif isinstance(node, ast.keyword) and _replaces(node):
            self.grows.setdefault(f"={node.arg}", node.value.lineno)


def _of_class(cls: ast.ClassDef) -> Iterator[tuple[str, int]]:
    seen = _Seen()
    for each in cls.body:
        if isinstance(each, ast.AnnAssign) and _is_zero(each.value):
            seen.zeroed.update(
                f"self.{name.id}" for name in [each.target] if isinstance(name, ast.Name)
            )
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(each):
                seen.see(node, begins=each.name in {"__init__", "__post_init__"})
    for name, line in seen.grows.items():
        if name.startswith("="):
            yield f"{cls.name}.{name[1:]}", line
        elif not name.startswith("self."):
            yield f"{cls.name}:{name}", line
        elif name.count(".") > 1 or name in seen.zeroed - seen.touched:
            yield f"{cls.name}.{name.removeprefix('self.')}", line


def _chain(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if parts and isinstance(node, ast.Name) else ""


def _assigned(node: ast.Assign | ast.AnnAssign) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    for target in targets:
        for one in target.elts if isinstance(target, ast.Tuple) else [target]:
            if name := _chain(one):
                yield name


def _is_zero(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0 and node.value is not False


def _carries(node: ast.AugAssign) -> bool:
    name = _chain(node.target).rpartition(".")[2].lstrip("_")
    return isinstance(node.value, ast.Attribute) and node.value.attr.lstrip("_") == name


def _replaces(node: ast.keyword) -> bool:
    """Such as `failed=self._statistics.failed + 1`."""
    value = node.value
    return (
        isinstance(value, ast.BinOp)
        and isinstance(value.op, ast.Add)
        and isinstance(value.left, ast.Attribute)
        and value.left.attr == node.arg
    )


def counted(product: Mapping[str, str]) -> dict[str, str]:
    """Where each thing is counted that the product counts: `room/module.Class.attribute`."""
    found = {}
    for path, text in product.items():
        inside = path.removeprefix("src/tapekeeper/")
        if not inside.startswith(UNCOUNTED_ROOMS):
            for name, line in increments(text):
                found[f"{inside.removesuffix('.py')}.{name}"] = f"{path}:{line}"
    return found
