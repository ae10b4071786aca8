"""The exception tree says of each error whether a retry can help."""

from __future__ import annotations

import inspect
import re

import pytest

from tapekeeper import errors
from tapekeeper.errors import (
    AuthError,
    ConfigError,
    ConnectFailedError,
    ConnectionLostError,
    DeadlineError,
    FellBehindError,
    GatewayError,
    InvocationError,
    JournalError,
    OutsideError,
    ProtocolError,
    RateLimitError,
    TapekeeperError,
    UnknownContractError,
    UnreadableSourceError,
    UsageError,
)

ALL = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, BaseException)
}


RETRYABLE: list[tuple[TapekeeperError, bool]] = [
    (TapekeeperError("x"), False),
    (UsageError("x"), False),
    (ConfigError("x"), False),
    (UnknownContractError("x"), False),
    (UnreadableSourceError("x"), False),
    (JournalError("x"), False),
    (FellBehindError("x", missed=2), False),
    (OutsideError("x"), True),
    (ConnectFailedError("x"), True),
    (ConnectionLostError("x"), True),
    (ProtocolError("x"), True),
    (DeadlineError("x"), True),
    (InvocationError("x"), False),
    (GatewayError("x", status=200), False),
    (GatewayError("x", status=503, retryable=True), True),
    (AuthError("x", status=401), False),
    (RateLimitError("x"), True),
]


def test_the_drawn_tree_is_the_real_one() -> None:
    """The picture at the top of the module names every class, under its real parent."""
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([ │├└─]*)(\w+Error)\b", line)
        if match is None:
            continue
        depth = len(match[1])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        drawn[match[2]] = stack[-1][1] if stack else "Exception"
        stack.append((depth, match[2]))
    assert drawn == {name: kind.__bases__[0].__name__ for name, kind in ALL.items()}


@pytest.mark.parametrize(("error", "retryable"), RETRYABLE)
def test_each_error_says_whether_a_retry_can_help(
    error: TapekeeperError, *, retryable: bool
) -> None:
    """What the caller got wrong stays wrong; what the outside got wrong may pass."""
    assert error.retryable is retryable
    assert str(error) == "x"


def test_every_error_has_been_asked() -> None:
    """A new error must be given its answer above."""
    asked = {type(error).__name__ for error, _ in RETRYABLE}
    assert asked == set(ALL)


def test_a_refused_connection_carries_what_the_peer_said() -> None:
    """Status and waiting time are attributes, so that nobody has to read the sentence."""
    error = ConnectFailedError("refused", status=503, retry_after_s=2.5)
    assert (error.status, error.retry_after_s) == (503, 2.5)
    assert (ConnectFailedError("no route").status, ConnectFailedError("x").retry_after_s) == (
        None,
        None,
    )


def test_a_refused_call_carries_the_gateways_code() -> None:
    """A business refusal comes with status 200 and a code."""
    error = AuthError("wrong key", status=200, code=3)
    assert (error.status, error.code) == (200, 3)


def test_too_many_requests_say_how_long_to_wait() -> None:
    """A rate limit is always status 429; the waiting time may be unknown."""
    error = RateLimitError("slow down", retry_after_s=30.0)
    assert (error.status, error.retry_after_s) == (429, 30.0)
    assert RateLimitError("slow down").retry_after_s is None


def test_a_slow_subscriber_learns_how_much_it_missed() -> None:
    """The number of missed events is an attribute."""
    assert FellBehindError("too slow", missed=17).missed == 17
