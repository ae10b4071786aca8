"""Secrets: text that no log, traceback, repr or report can show by accident."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """A token, key or password.

    `str`, `repr` and format show a placeholder; pickling is refused; equality works. The only
    way to the text is `reveal`, so every place that uses it can be found by its name.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one header or body that needs it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
