"""What the demonstration says at its end."""

from __future__ import annotations

from tapekeeper.cli.demo import made_line
from tapekeeper.model.snapshot import VolumeCheck


def check(timeframe: str, bars: int, backfilled: int) -> VolumeCheck:
    """A check of so many bars, some of which history put there."""
    return VolumeCheck("C", timeframe, bars, 7, 7, backfilled_bars=backfilled)


def test_bars_of_history_are_not_called_made() -> None:
    """They were there before the first print came."""
    line = made_line(3, 1_234, [check("1s", 1_540, 1_500), check("1m", 502, 500)])
    assert line == (
        "3 contracts, 1,234 prints sent by the gateway, 42 bars made of them, "
        "and 2,000 earlier bars from its history"
    )


def test_where_history_told_of_none_it_is_not_mentioned() -> None:
    """As where it is turned off, or the demonstration ended before."""
    line = made_line(1, 5, [check("1s", 2, 0)])
    assert line == "1 contracts, 5 prints sent by the gateway, 2 bars made of them"
