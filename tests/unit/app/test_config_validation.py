"""The `[validation]` section, and what it means for a contract."""

from __future__ import annotations

import pytest

from tapekeeper.app.config import load_config
from tapekeeper.app.config_validation import ValidationConfig
from tapekeeper.core.validate import RulePolicy
from tapekeeper.errors import ConfigError
from tapekeeper.model.instrument import Instrument

MES = Instrument("CON.F.US.MES.Z26", "MESZ6", tick_size=0.25)
CRUDE = Instrument("CON.F.US.CLE.Z26", "CLZ6", tick_size=0.01)


def test_the_defaults_are_those_of_the_rules() -> None:
    """One source of numbers; crude oil may trade below zero, as it did."""
    section = load_config({}).validation
    assert section.policy(MES) == RulePolicy()
    assert section.policy(CRUDE) == RulePolicy(negative_prices=True)


def test_a_product_has_its_own_thresholds() -> None:
    """By the gateway's code or the exchange's symbol, without regard to case."""
    section = load_config(
        {
            "validation": {
                "max_size": 900,
                "ahead_ms": 0,
                "quiet_s": 5,
                "confirm_prints": 4,
                "by_product": {
                    "mes": {"band_ticks": 9.0, "band_percent": 1.0, "band_factor": 2.0,
                            "max_size": 7, "zero_sizes": "quarantine"},
                    "CL": {"negative_prices": False, "price_band": False},
                },
            }
        }
    ).validation  # fmt: skip
    general = RulePolicy(size_max=900, ahead_ns=0, quiet_ns=5_000_000_000, confirm=4)
    assert section.policy(MES) == RulePolicy(
        size_max=7,
        zero_sizes=False,
        band_ticks=9.0,
        band_percent=1.0,
        band_factor=2.0,
        ahead_ns=0,
        quiet_ns=general.quiet_ns,
        confirm=4,
    )
    assert section.policy(CRUDE) == RulePolicy(
        size_max=900, band=False, ahead_ns=0, quiet_ns=general.quiet_ns, confirm=4
    )
    assert section.policy(Instrument("CON.F.US.GCE.Z26", "GCZ6")) == general


@pytest.mark.parametrize(
    ("setting", "value"),
    [("band_ticks", 0), ("max_size", 0), ("confirm_prints", 1), ("zero_sizes", "drop")],
)
def test_a_threshold_that_makes_no_sense_is_refused_by_name(setting: str, value: object) -> None:
    """One print confirms nothing, a band needs a width, and a size a limit above zero."""
    with pytest.raises(ConfigError, match=setting):
        load_config({"validation": {setting: value}})


def test_every_setting_of_the_rules_can_be_set() -> None:
    """A threshold that no configuration reaches would be one for nobody."""
    assert len(RulePolicy.__struct_fields__) == len(ValidationConfig.model_fields) - 1


def test_quotes_can_be_left_alone() -> None:
    """What each says by itself is judged nevertheless."""
    section = load_config({"validation": {"quotes": False}}).validation
    assert section.policy(MES) == RulePolicy(quotes=False)
