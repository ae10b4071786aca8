"""An annotated example of the configuration file, written from the model that validates it."""

from __future__ import annotations

import datetime as dt
import json
import textwrap
from collections.abc import Mapping
from pathlib import PurePath
from typing import get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tapekeeper.app.config import ENV_DELIMITER, ENV_PREFIX, Config
from tapekeeper.app.config_errors import section_of
from tapekeeper.model.measure import Measure
from tapekeeper.model.timeframe import Timeframe

WIDTH = 96

_HEAD = f"""\
# Tapekeeper's configuration. Every value shown is the default; a setting without one is
# commented out with an example behind it. An environment variable wins over this file:
# {ENV_PREFIX}<SECTION>{ENV_DELIMITER}<KEY>, such as {ENV_PREFIX}LINE{ENV_DELIMITER}KEEP_ALIVE_S=10.
"""


def example() -> str:
    """The whole file as TOML; read back, it gives the defaults.

    Text after `# ` explains; what follows a bare `#` is a setting, ready to be uncommented.
    """
    blocks = [_HEAD]
    defaults = Config()
    for key, field in Config.model_fields.items():
        section = section_of(field.annotation)
        if section is None:  # every field of Config is a section; a bare value would be lost here
            raise TypeError(f"Config.{key} is no section")
        if _is_list(field):
            blocks.append(_entry(key, field, section))
        else:
            blocks.extend(_table(key, getattr(defaults, key)))
    return "\n".join(blocks)


def _table(name: str, section: BaseModel) -> list[str]:
    """A table with its settings, then the tables inside it."""
    kind = type(section)
    lines = [*_comment(kind.__doc__ or ""), f"[{name}]"]
    inner = []
    for key, field in kind.model_fields.items():
        value = getattr(section, key)
        nested = section_of(field.annotation)
        if nested is not None and isinstance(value, Mapping):
            inner.append(_named(f"{name}.{key}", field, nested))
        elif nested is not None:
            inner.append(_entry(f"{name}.{key}", field, nested))
        elif isinstance(value, Mapping):
            inner.append(_mapping(f"{name}.{key}", field))
        elif value is None:
            lines += [*_comment(field.description or ""), f"#{key} = {_sample(field)}"]
        else:
            lines += [*_comment(field.description or ""), f"{key} = {_toml(value)}"]
    return ["\n".join(lines) + "\n", *inner]


def _entry(name: str, field: FieldInfo, section: type[BaseModel]) -> str:
    """One commented entry of a list of tables; write it as often as needed."""
    head = [*_comment(f"{field.description} Write this table once for each."), f"#[[{name}]]"]
    return "\n".join([*head, *_samples(section)]) + "\n"


def _named(name: str, field: FieldInfo, section: type[BaseModel]) -> str:
    """One commented table of those that the user names."""
    text = f"{field.description} Write this table once for each, with its name for NAME."
    return "\n".join([*_comment(text), f"#[{name}.NAME]", *_samples(section)]) + "\n"


def _samples(section: type[BaseModel]) -> list[str]:
    """Every setting of a table, commented out with an example."""
    lines = []
    for key, setting in section.model_fields.items():
        lines += [*_comment(setting.description or ""), f"#{key} = {_sample(setting)}"]
    return lines


def _mapping(name: str, field: FieldInfo) -> str:
    lines = [*_comment(field.description or ""), f"#[{name}]"]
    for example_value in field.examples or []:
        lines += [f"#{key} = {_toml(value)}" for key, value in example_value.items()]
    return "\n".join(lines) + "\n"


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _sample(field: FieldInfo) -> str:
    if not field.examples:
        raise TypeError(f"a setting without a default needs an example: {field.description}")
    return _toml(field.examples[0])


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH)]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, str | Timeframe | Measure | PurePath):
        # A JSON string is a TOML basic string.
        return json.dumps(str(value), ensure_ascii=False)
    raise TypeError(f"a setting of type {type(value).__name__} has no TOML form")
