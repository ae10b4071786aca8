"""What single settings may be, beyond what the whole configuration proves."""

from __future__ import annotations

import pytest

from tapekeeper.app.config import load_config
from tapekeeper.app.config_types import ENDPOINTS_MAX
from tapekeeper.errors import ConfigError

_URL = "https://hub{}.example.invalid/market"


def test_fallbacks_are_a_list_or_a_text_with_commas() -> None:
    """A variable has no lists, and every address is held to the rules of the first."""
    wanted = (_URL.format(1), _URL.format(2))
    for given in (list(wanted), ", ".join(wanted)):
        config = load_config({"gateway": {"market_hub_fallbacks": given}})
        assert config.gateway.market_hub_fallbacks == wanted
    with pytest.raises(ConfigError, match="plain http:// is for loopback addresses only"):
        load_config({"gateway": {"market_hub_fallbacks": ["http://hub.example.invalid"]}})


def test_fallbacks_are_bounded() -> None:
    """A list without an end is a mistake."""
    urls = [_URL.format(n) for n in range(ENDPOINTS_MAX)]
    with pytest.raises(ConfigError, match="at most"):
        load_config({"gateway": {"market_hub_fallbacks": urls}})


def test_there_is_room_for_the_lines_that_serve() -> None:
    """A limit below the redundancy could never be kept."""
    assert load_config({"pool": {"redundancy": 2, "lines_max": 2}}).pool.lines_max == 2
    with pytest.raises(ConfigError, match="lines_max must be at least redundancy"):
        load_config({"pool": {"redundancy": 2, "lines_max": 1}})


@pytest.mark.parametrize("age_s", [0.001, 59.9])
def test_a_connection_is_not_replaced_all_the_time(age_s: float) -> None:
    """An age that is over before the next connection is up would hand over without end."""
    assert load_config({"pool": {"max_session_s": 60}}).pool.max_session_s == 60
    with pytest.raises(ConfigError, match=r"pool\.max_session_s.* 60"):
        load_config({"pool": {"max_session_s": age_s}})


@pytest.mark.parametrize("table", [{"slow_s": 10, "unknown_s": 5}, {"unknown_s": 7_200}])
def test_no_setting_switches_freshness_off_unnoticed(table: dict[str, float]) -> None:
    """Thresholds that are too slow to be judged would leave every silence untold."""
    freshness = {"floor_s": 60, "unknown_s": 60, "slow_s": 60}
    assert load_config({"freshness": freshness}).freshness.slow_s == 60
    with pytest.raises(ConfigError, match="slow_s must be at least floor_s and unknown_s"):
        load_config({"freshness": table})


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, 1e-9])
def test_a_token_is_renewed_within_its_life(share: float) -> None:
    """Neither at once nor after its end."""
    with pytest.raises(ConfigError, match="token_refresh_share"):
        load_config({"gateway": {"token_refresh_share": share}})
