"""How long a refusal says, or implies, to wait: values in, a number out.

refusal of the upgrade       least delay
---------------------------  ------------------------------------
403, 401 with a fresh token  `refused_delay_s`: haste cannot help
429 without Retry-After      `busy_delay_s`
no token: credentials        `refused_delay_s`
any with Retry-After         what it says, where that is longer
anything else                none: the growing delay alone
"""

from __future__ import annotations

from tapekeeper.errors import AuthError, ConnectFailedError, OutsideError
from tapekeeper.runtime.line_values import LineSpec

_HTTP_REFUSED = frozenset({401, 403})
_HTTP_BUSY = 429


def delay_of_refusal_s(error: OutsideError, spec: LineSpec) -> float | None:
    """Least delay before the address that failed like this is tried again, or None.

    A 401 gets here only if the token was fresh.
    """
    status = error.status if isinstance(error, ConnectFailedError) else None
    least_s = spec.refused_delay_s if status in _HTTP_REFUSED else None
    if status == _HTTP_BUSY and error.retry_after_s is None:
        least_s = spec.busy_delay_s
    return _longer(least_s, error.retry_after_s)


def delay_without_token_s(error: OutsideError, spec: LineSpec) -> float | None:
    """Least delay before a token is asked for again, or None."""
    haste_is_vain = isinstance(error, AuthError) or not error.retryable
    return _longer(spec.refused_delay_s if haste_is_vain else None, error.retry_after_s)


def _longer(one_s: float | None, other_s: float | None) -> float | None:
    return max((each_s for each_s in (one_s, other_s) if each_s is not None), default=None)
