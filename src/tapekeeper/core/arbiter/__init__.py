"""Lets each print through once, whichever lines bring it; see `tapekeeper.core.arbiter.merge`."""

from tapekeeper.core.arbiter.merge import (
    HOLD_NS,
    LEGS_MAX,
    SILENCE_NS,
    TALLIES_MAX,
    WINDOW_NS,
    Admitted,
    Arbiter,
)

__all__ = ["HOLD_NS", "LEGS_MAX", "SILENCE_NS", "TALLIES_MAX", "WINDOW_NS", "Admitted", "Arbiter"]
