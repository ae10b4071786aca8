"""The first hand-over is at once, the next ones wait, and a calm time makes it the first again."""

from __future__ import annotations

import pytest

from tapekeeper.runtime.handover_pace import HandoverPace
from tapekeeper.runtime.line_values import LineSpec
from tapekeeper.runtime.pool_values import HandoverReason, PoolPolicy

S = 1_000_000_000
_SPEC = LineSpec(name="market", hub_url="https://hub.test", negotiate=False)


class _Most:
    """A random source that draws the longest delay, or nearly."""

    def random(self) -> float:
        return 0.9999


class _Least:
    def random(self) -> float:
        return 0.0


def test_each_hand_over_that_follows_closely_waits_longer() -> None:
    """Doubling from the base to the cap; time that passes before one is no calm yet."""
    pace = HandoverPace(PoolPolicy(retry_base_ms=5_000, retry_cap_ms=120_000, calm_s=600), _SPEC)
    now_ns, waits_s = 0, []
    for _ in range(7):
        assert pace.not_before_ns(HandoverReason.LOGOUT) <= now_ns
        pace.happened(HandoverReason.LOGOUT, now_ns, _Most())
        waits_s.append(round((pace.not_before_ns(HandoverReason.LOGOUT) - now_ns) / S))
        now_ns += 121 * S
    assert waits_s == [5, 10, 20, 40, 80, 120, 120]
    assert pace.in_row == 7
    pace.happened(HandoverReason.LOGOUT, now_ns + 600 * S, _Most())
    assert pace.in_row == 1


def test_no_draw_makes_it_spin() -> None:
    """Full jitter may draw nothing; the base is kept all the same."""
    pace = HandoverPace(PoolPolicy(retry_base_ms=5_000), _SPEC)
    pace.happened(HandoverReason.STALE, 0, _Least())
    assert pace.not_before_ns(HandoverReason.STALE) == 5 * S


@pytest.mark.parametrize("reason", [HandoverReason.TOKEN_RENEWED, HandoverReason.SESSION_AGE])
def test_what_we_want_ourselves_is_not_held_back(reason: HandoverReason) -> None:
    """A token may be renewed every two seconds, even between logouts."""
    pace = HandoverPace(PoolPolicy(), _SPEC)
    pace.happened(reason, 0, _Most())
    assert pace.in_row == 0
    pace.happened(HandoverReason.LOGOUT, 0, _Most())
    assert pace.not_before_ns(reason) == 0
    assert pace.not_before_ns(None) == 0
