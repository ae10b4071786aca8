"""Reads a schedule of faults from TOML, and says in one sentence what is wrong with it.

[[fault]]
kind = "drop"          # one of `fault_host.ALL_KINDS`; a gateway has those of `fault_menu`
at_s = 10              # once, 10 s after the start
hub = "market"

[[fault]]
kind = "refuse"
every_s = 60           # again and again
probability = 0.5      # half of the times
door = "negotiate"
status = 503
retry_after_s = 2
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.sim.fault_host import ALL_KINDS
from tapekeeper.sim.fault_menu import BY_KIND, Fault

FAULTS_MAX = 1_000

Kinds: TypeAlias = Mapping[str, type[Fault]]

_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`")


def load_faults(path: Path, kinds: Kinds = BY_KIND) -> tuple[Fault, ...]:
    """The faults of a file.

    Args:
        path: of the file.
        kinds: what there is, by the words of files; default: what can go wrong at a gateway.

    Raises:
        UnreadableSourceError: it cannot be read.
        UsageError: it is not a schedule of faults; the sentence says where and why.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UnreadableSourceError(f"there is no file {path}") from error
    except OSError as error:
        raise UnreadableSourceError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableSourceError(f"{path} is not UTF-8 text") from error
    return parse_faults(text, str(path), kinds)


def parse_faults(text: str, name: str = "the faults", kinds: Kinds = BY_KIND) -> tuple[Fault, ...]:
    """The faults of a TOML text; `name` stands in front of what is wrong.

    Raises:
        UsageError: see `load_faults`.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: not TOML: {error}") from error
    for key in tree:
        if key != "fault":
            raise UsageError(f"{name}: unknown key {key}: the nearest valid name is fault")
    tables = tree.get("fault", [])
    if not isinstance(tables, list) or len(tables) > FAULTS_MAX:
        raise UsageError(f"{name}: fault must be up to {FAULTS_MAX} tables, each [[fault]]")
    return tuple(_fault(table, f"{name}: fault {n}", kinds) for n, table in enumerate(tables, 1))


def _fault(table: object, place: str, kinds: Kinds) -> Fault:
    if not isinstance(table, dict):
        raise UsageError(f"{place} must be a table")
    kind = table.get("kind")
    if kind is None:
        raise UsageError(f"{place} has no kind: it is one of {', '.join(kinds)}")
    cls = kinds.get(str(kind))
    if cls is None and kind in ALL_KINDS:
        raise UsageError(
            f"{place}: a {kind} happens to the client's computer: only simulate has it"
        )
    if cls is None:
        raise UsageError(f"{place}: unknown kind {kind}: the nearest is {_nearest(kind, kinds)}")
    names = ("kind", *cls.__struct_fields__)
    for key in table:
        if key not in names:
            raise UsageError(
                f"{place}: unknown key {key} of a {kind}: the nearest valid name is "
                f"{_nearest(key, names)}"
            )
    fault = _converted(table, cls, place)
    if not fault.has_time:
        raise UsageError(f"{place} says no time: give it at_s, every_s or a probability below 1")
    return fault


def _converted(table: dict[str, Any], cls: type[Fault], place: str) -> Fault:
    try:
        return msgspec.convert(table, cls)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error))
        what = _PATH.sub("", str(error))
        where = f"{found['path']}: " if found and found["path"] else ""
        raise UsageError(f"{place}: {where}{what[:1].lower()}{what[1:]}") from error


def _nearest(wrong: object, names: Iterable[str]) -> str:
    return difflib.get_close_matches(str(wrong), list(names), n=1, cutoff=0.0)[0]
