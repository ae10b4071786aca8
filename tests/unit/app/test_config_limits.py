"""The section of the limits: its defaults, and what it refuses."""

from __future__ import annotations

import pytest

from tapekeeper.app.config import load_config
from tapekeeper.app.config_limits import LimitsConfig
from tapekeeper.core.limits import LimitsPolicy
from tapekeeper.errors import ConfigError


def test_the_defaults_are_those_of_the_limits() -> None:
    """Said once, and the same in both."""
    assert LimitsConfig().policy() == LimitsPolicy()


def test_what_is_set_arrives() -> None:
    """In the units of the limits."""
    config = LimitsConfig(memory_mb=500, disk_free_mb=7, dwell_s=2.5, tight_share=0.5)
    assert config.policy() == LimitsPolicy(
        memory_bytes=500_000_000,
        disk_free_bytes=7_000_000,
        dwell_ns=2_500_000_000,
        tight_share=0.5,
    )


def test_critical_is_more_than_tight() -> None:
    """Otherwise there would be no state between them."""
    with pytest.raises(ConfigError, match="critical_share must be greater than tight_share"):
        load_config({"limits": {"tight_share": 0.95}})


def test_who_never_restarts_is_never_asked_to() -> None:
    """And in place is what a service does that nobody watches."""
    assert LimitsConfig(restart="never").policy().restart_after_ns is None
    assert LimitsConfig().restart == "in_place"
    assert LimitsConfig(restart_after_s=5).policy().restart_after_ns == 5_000_000_000
