"""The state between two passes: a run that goes on is repeated from where the last pass stopped.

Bars that are forming, prints that wait for another line and every window of the stages are in it,
so that what two passes make is what one would have made. It is the program's own state, pickled:
only classes of this program and a few of the standard library are let in, and only what the very
same program has written, because another one may understand the same members otherwise.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tapekeeper
from tapekeeper.app.archive.rerunning import Continued
from tapekeeper.errors import UnreadableSourceError

_OURS = ("tapekeeper.core.", "tapekeeper.model.", "tapekeeper.app.archive.")
_OTHERS = {
    ("array", "array"),
    ("array", "_array_reconstructor"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "deque"),
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("datetime", "time"),
    ("datetime", "timedelta"),
    ("datetime", "timezone"),
    ("zoneinfo", "ZoneInfo._unpickle"),
    ("zoneinfo", "ZoneInfo"),
    ("builtins", "bytearray"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("builtins", "complex"),
    ("builtins", "range"),
}


def dump(state: Continued) -> bytes:
    """The state as bytes."""
    return pickle.dumps(state, protocol=5)


def load(data: bytes, where: str) -> Continued:
    """The state that `dump` wrote.

    Raises:
        UnreadableSourceError: it holds anything else.
    """
    try:
        state = _Reader(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError) as error:
        raise UnreadableSourceError(f"{where} is not the state of an archive: {error}") from error
    if not isinstance(state, Continued):
        raise UnreadableSourceError(f"{where} is not the state of an archive")
    return state


@cache
def fingerprint() -> str:
    """What the state of a pass depends on: the text of every module whose objects are in it."""
    root = Path(tapekeeper.__file__).parent
    digest = hashlib.sha256()
    for path in _sources(root):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for room in ("core", "model", "app/archive"):
        yield from sorted((root / room).rglob("*.py"))


def _member(owner: object, name: str) -> object:
    """Bound methods of our own objects are written as a member of an object, by name."""
    if name.startswith("__") or not type(owner).__module__.startswith(_OURS):
        if isinstance(owner, type) and (owner.__module__, f"{owner.__name__}.{name}") in _OTHERS:
            return getattr(owner, name)
        raise pickle.UnpicklingError(f"{type(owner).__name__}.{name} is no part of a state")
    return getattr(owner, name)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) == ("builtins", "getattr"):
            return _member
        if "__" in name or not (module.startswith(_OURS) or (module, name) in _OTHERS):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a state")
        return super().find_class(module, name)
