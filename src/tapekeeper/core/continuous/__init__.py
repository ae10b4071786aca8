"""Continuous series of the front contract: which contract when, and what lies between two."""

from tapekeeper.core.continuous.adjusting import Shift, measure, rolls_of, shifts_of
from tapekeeper.core.continuous.chain import chain_of, contracts_of, expiring, named
from tapekeeper.core.continuous.expiry import (
    EXPIRIES,
    EXPIRIES_VERSION,
    EXPIRY_SOURCES,
    ExpiryRule,
    expiry_of,
    parse_expiry,
)
from tapekeeper.core.continuous.rules import (
    CalendarRule,
    Choice,
    DatesRule,
    Market,
    RollRule,
    SessionVolume,
    Situation,
    VolumeRule,
    parse_rule,
)
from tapekeeper.core.continuous.segments import (
    cut_ns,
    front_bars,
    segments_of,
    session_volumes,
    traded,
)

__all__ = [
    "EXPIRIES",
    "EXPIRIES_VERSION",
    "EXPIRY_SOURCES",
    "CalendarRule",
    "Choice",
    "DatesRule",
    "ExpiryRule",
    "Market",
    "RollRule",
    "SessionVolume",
    "Shift",
    "Situation",
    "VolumeRule",
    "chain_of",
    "contracts_of",
    "cut_ns",
    "expiring",
    "expiry_of",
    "front_bars",
    "measure",
    "named",
    "parse_expiry",
    "parse_rule",
    "rolls_of",
    "segments_of",
    "session_volumes",
    "shifts_of",
    "traded",
]
