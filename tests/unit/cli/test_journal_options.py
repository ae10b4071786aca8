"""Which journal is meant: by its name, by a configuration, or by the default of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tapekeeper.cli.journal_options import journal_folder, journal_source
from tapekeeper.errors import UsageError

Which: TypeAlias = Callable[[Path | None, Path | None], Path]
READ: list[Which] = [journal_folder, journal_source]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose journal is in the folder `kept`, which is not there yet."""
    path = tmp_path / "tape.toml"
    path.write_text(f'[journal]\ndir = "{(tmp_path / "kept").as_posix()}"\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("which", READ)
def test_a_configuration_says_where_it_is(which: Which, config: Path) -> None:
    """A journal that is not there is refused, with the two ways to name one."""
    with pytest.raises(UsageError, match="kept: say where it is with --journal DIR or --config"):
        which(None, config)
    (config.parent / "kept").mkdir()
    assert which(None, config) == config.parent / "kept"


@pytest.mark.parametrize("which", READ)
def test_two_answers_are_none(which: Which, config: Path) -> None:
    """Even where both would be the same."""
    with pytest.raises(UsageError, match="--journal or --config, not both"):
        which(config.parent, config)


def test_a_journal_is_a_folder_and_a_source_may_be_a_file(config: Path) -> None:
    """What replays says itself what it can read; a ledger is in a folder."""
    assert journal_folder(config.parent, None) == config.parent
    assert journal_source(config, None) == config
    with pytest.raises(UsageError, match="there is no journal in"):
        journal_folder(config, None)
