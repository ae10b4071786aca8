"""The section about the journal: `app/config_journal`."""

from __future__ import annotations

import pytest

from tapekeeper.app.config import load_config
from tapekeeper.app.config_journal import retention
from tapekeeper.core.journal.retention import Retention
from tapekeeper.errors import ConfigError


def test_by_default_everything_is_kept() -> None:
    """Removal is asked for, never assumed."""
    assert load_config({}).journal.retention().keeps_all


def test_days_and_gigabytes_are_what_they_are_elsewhere() -> None:
    """Days of 24 hours, and gigabytes of a thousand million bytes."""
    config = load_config({"journal": {"retain_days": 0.5, "retain_gb": 2}})
    assert config.journal.retention() == Retention(43_200 * 10**9, 2 * 10**9)
    assert retention(None, 1) == Retention(None, 10**9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"retain_days": 0},
        {"retain_gb": -1},
        {"durability": "disk"},
        {"sync_every_ms": 0},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """With the name of the setting."""
    with pytest.raises(ConfigError, match=f"journal.{next(iter(wrong))}"):
        load_config({"journal": wrong})
