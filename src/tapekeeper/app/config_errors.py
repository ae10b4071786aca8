"""Validation errors as sentences for people, one per fault, without the values of secrets."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

HIDDEN_VALUE = "hidden_value"
"""Type of the errors whose input must not be shown."""

SENTENCE = "sentence"
"""Type of the errors whose text names the value already."""

VALUE_CHARS_MAX = 60

_SHAPES = {
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
}
_OTHERS = {
    "path_type": "must be a text that names a file or folder",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
}
"""Sentences in place of the library's, which speak of Python; the names are those it gives."""


@dataclass(frozen=True, slots=True)
class Variables:
    """What the environment contributed.

    Attributes:
        prefix, delimiter: how variables are named.
        tree: their values, nested as the settings are.
    """

    prefix: str
    delimiter: str
    tree: Mapping[str, Any]

    def name(self, loc: tuple[int | str, ...]) -> str | None:
        """The variable that gave the setting at `loc`, or None if none did."""
        keys = list(takewhile(lambda key: isinstance(key, str), loc))
        tree: object = self.tree
        for key in keys:
            if not isinstance(tree, Mapping) or key not in tree:
                return None
            tree = tree[key]
        return self.prefix + self.delimiter.join(str(key).upper() for key in keys)


def sentences(
    error: ValidationError, model: type[BaseModel], variables: Variables, place: str
) -> list[str]:
    """One sentence per fault, in the order of the model.

    Args:
        error: what validation found.
        model: the root model, for the names that are valid.
        variables: a fault in one of them is named by the variable.
        place: what to put in front of a fault of the file, such as its path.
    """
    lines = []
    for detail in error.errors(include_url=False):
        variable = variables.name(detail["loc"])
        where = place if variable is None else f"variable {variable}: "
        lines.append(where + _sentence(detail, model))
    return list(dict.fromkeys(lines))


def unknown_variable(name: str, section: str, model: type[BaseModel], env_prefix: str) -> str:
    """The sentence about a variable with our prefix that names no section."""
    near = _nearest(section, list(model.model_fields))
    rest = name.upper().removeprefix(env_prefix)[len(section) :]
    return f"unknown variable {name}: the nearest valid name is {env_prefix}{near.upper()}{rest}"


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all settings, sections included."""
    for key, field in model.model_fields.items():
        name = f"{prefix}{key}"
        yield name
        nested = section_of(field.annotation)
        if nested is not None:
            yield from setting_names(nested, f"{name}.")


def section_of(annotation: object) -> type[BaseModel] | None:
    """The model that a setting's type is, or is a list of; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = section_of(argument)
        if found is not None:
            return found
    return None


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    path = dotted(detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"unknown setting {path}: the nearest valid name is {_suggest(detail['loc'], model)}"
    if detail["type"] == "missing":
        return f"{path} is missing"
    allowed = _allowed(detail)
    if detail["type"] == SENTENCE:
        return f"{path}: {allowed}"
    # The value of a whole table, or of anything called a key, may be a secret.
    hidden = detail["type"] == HIDDEN_VALUE or detail["type"] in _SHAPES
    if hidden or any("key" in str(key) for key in detail["loc"]):
        return f"{path} {allowed}"
    shown = repr(detail["input"])
    if len(shown) > VALUE_CHARS_MAX:
        shown = shown[: VALUE_CHARS_MAX - 3] + "..."
    return f"{path} is {shown} but {allowed}"


def _allowed(detail: ErrorDetails) -> str:
    """What the setting may be, in our words where the library's name a Python type."""
    if detail["type"] in _SHAPES:
        # Single brackets where double ones belong make a table of what must be a list of them.
        if isinstance(detail["input"], Mapping):
            return f"must be a list: write [[{dotted(detail['loc'])}]] once for each entry"
        return _SHAPES[detail["type"]]
    if detail["type"] in _OTHERS:
        return _OTHERS[detail["type"]].format_map(detail.get("ctx", {}))
    text = detail["msg"].removeprefix("Value error, ")
    text = text.replace("Input should be a valid ", "must be a ")
    text = text.replace("Input should be ", "must be ").replace("Input should ", "must ")
    text = text.replace("Tuple should have", "must have").replace("String should", "must")
    for old, new in (
        ("must be a integer", "must be a whole number"),
        (", unable to parse string as an integer", ""),
        (", unable to parse string as a number", ""),
        ("must be a string", "must be a text"),
        ("must be a boolean", "must be true or false"),
        (", unable to interpret input", ""),
        (", got a number with a fractional part", ""),
        ("must be greater than or equal to", "must be at least"),
        ("must be less than or equal to", "must be at most"),
        ("must be a date or datetime, input is too short", "must be a date"),
    ):
        text = text.replace(old, new)
    return text[:1].lower() + text[1:]


def dotted(loc: tuple[int | str, ...]) -> str:
    """A location as it would be written: `subscribe[0].timeframes[1]`."""
    text = ""
    for key in loc:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _suggest(loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    wrong = str(loc[-1])
    home: type[BaseModel] = model
    for key in loc[:-1]:
        if isinstance(key, str) and key in home.model_fields:
            home = section_of(home.model_fields[key].annotation) or home
    siblings = list(home.model_fields)
    prefix = dotted((*loc[:-1], "")) if loc[:-1] else ""
    if difflib.get_close_matches(wrong, siblings, n=1):
        return prefix + _nearest(wrong, siblings)
    # Perhaps it is right and stands in the wrong section.
    elsewhere = {name.rsplit(".", 1)[-1]: name for name in setting_names(model)}
    if difflib.get_close_matches(wrong, elsewhere, n=1, cutoff=0.8):
        return elsewhere[_nearest(wrong, list(elsewhere))]
    return prefix + _nearest(wrong, siblings)


def _nearest(wrong: str, names: list[str]) -> str:
    return difflib.get_close_matches(wrong, names, n=1, cutoff=0.0)[0]
