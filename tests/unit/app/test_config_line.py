"""The numbers of a connection come from one place."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.app.compose import _pool_policy, line_spec
from tapekeeper.app.config import Config
from tapekeeper.runtime.line_values import LineSpec
from tapekeeper.runtime.pool_values import PoolPolicy

_URL = "https://hub.test/hubs/market"


def config(**line: float) -> Config:
    """Nothing but what has no default, and numbers of a line."""
    addresses = {
        "rest_url": "https://rest.test",
        "market_hub_url": _URL,
        "user_hub_url": "https://hub.test/hubs/user",
    }
    journal = {"dir": "journal"}
    return Config.model_validate({"gateway": addresses, "journal": journal, "line": line})


def test_a_line_without_settings_is_that_of_the_configuration_without_settings() -> None:
    """No default is written twice; whether to negotiate has no default of its own."""
    settings = config()
    spec = line_spec(settings, "market", _URL)
    assert spec == LineSpec(name="market", hub_url=_URL, negotiate=settings.gateway.negotiate)
    assert _pool_policy(settings) == PoolPolicy()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connect_timeout_s", 7.0),
        ("backoff_base_ms", 70),
        ("backoff_cap_ms", 70_000),
        ("healthy_after_s", 7.0),
    ],
)
def test_what_is_set_is_what_the_line_has(name: str, value: float) -> None:
    """A number of the configuration changes that number of the line, and no other."""
    changed = line_spec(config(**{name: value}), "market", _URL)
    plain = line_spec(config(), "market", _URL)
    assert changed == msgspec.structs.replace(plain, **{name: value})
