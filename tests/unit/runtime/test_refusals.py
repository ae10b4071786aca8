"""A refusal is waited for as long as it says, or as long as it implies, whichever is longer."""

from __future__ import annotations

import pytest

from tapekeeper.errors import (
    AuthError,
    ConnectFailedError,
    ConnectionLostError,
    DeadlineError,
    GatewayError,
    OutsideError,
    ProtocolError,
    RateLimitError,
)
from tapekeeper.runtime.line_values import LineSpec
from tapekeeper.runtime.refusals import delay_of_refusal_s, delay_without_token_s

_SPEC = LineSpec(name="market", hub_url="https://hub.test", negotiate=False)


def _refusal(status: int | None, retry_after_s: float | None = None) -> ConnectFailedError:
    return ConnectFailedError("refused", status=status, retry_after_s=retry_after_s)


@pytest.mark.parametrize(
    ("error", "least_s"),
    [
        (_refusal(403), 60),
        (_refusal(403, 300), 300),
        (_refusal(403, 5), 60),
        (_refusal(401), 60),
        (_refusal(401, 300), 300),
        (_refusal(429), 5),
        (_refusal(429, 1), 1),
        (_refusal(429, 300), 300),
        (_refusal(503), None),
        (_refusal(503, 120), 120),
        (_refusal(404), None),
        (_refusal(None), None),
        (DeadlineError("late"), None),
        (ProtocolError("nonsense"), None),
        (ConnectionLostError("gone"), None),
    ],
)
def test_a_refused_connection(error: OutsideError, least_s: float | None) -> None:
    """401 and 403 are no cause for haste, and what the answer asks for is the least in any case."""
    assert delay_of_refusal_s(error, _SPEC) == least_s


@pytest.mark.parametrize(
    ("error", "least_s"),
    [
        (AuthError("refused", status=200), 60),
        (AuthError("forbidden", status=403, retry_after_s=300), 300),
        (AuthError("forbidden", status=403, retry_after_s=5), 60),
        (RateLimitError("busy"), None),
        (RateLimitError("busy", retry_after_s=42), 42),
        (GatewayError("away", status=503, retryable=True, retry_after_s=120), 120),
        (GatewayError("away", status=503, retryable=True), None),
        (GatewayError("no such thing", status=404), 60),
        (_refusal(None, 12), 12),
        (DeadlineError("late"), None),
    ],
)
def test_a_token_that_is_not_given(error: OutsideError, least_s: float | None) -> None:
    """A login that is refused is not repeated in haste, and one that is to wait does so."""
    assert delay_without_token_s(error, _SPEC) == least_s
