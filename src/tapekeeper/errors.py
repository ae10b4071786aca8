"""Every exception that Tapekeeper raises on purpose.

    TapekeeperError
    ├── UsageError                 the caller asked for something impossible; a retry cannot help
    │   ├── ConfigError            a setting is missing, unknown or out of range
    │   ├── UnknownContractError   no contract, or more than one, matches what was asked
    │   └── UnreadableSourceError  a file is absent, cut short, or not what it claims to be
    ├── JournalError               the journal cannot accept or give back what it should
    ├── FellBehindError            a subscriber did not keep up; says how many events it missed
    └── OutsideError               something outside failed; `retryable` says whether to try again
        ├── ConnectFailedError     no connection: refused, DNS, TLS, negotiate, upgrade, handshake
        ├── ConnectionLostError    an established connection ended
        ├── ProtocolError          the peer broke the SignalR protocol
        ├── DeadlineError          an answer did not come in time
        ├── InvocationError        the hub answered a call with an error
        └── GatewayError           the gateway refused a REST call
            ├── AuthError          the credentials or the token were refused
            └── RateLimitError     too many requests; carries how long to wait

Bad market data is never an exception: it is a `Rejected` value (see `tapekeeper.model.tick`).
Anything that is raised and not in this tree is a bug and stops the service.
"""

from __future__ import annotations


class TapekeeperError(Exception):
    """Base of all errors that Tapekeeper raises on purpose.

    The text is one sentence for the person who reads it at 3 a.m.; it never holds a secret.
    """

    retryable: bool = False
    """Whether doing the same again later can succeed."""


class UsageError(TapekeeperError):
    """The caller asked for something that cannot be done, whatever the weather."""


class ConfigError(UsageError):
    """A setting is missing, unknown, or out of its range."""


class UnknownContractError(UsageError):
    """No contract matches what was asked for, or more than one does."""


class UnreadableSourceError(UsageError):
    """A file or folder is absent, cut short, or not what it claims to be."""


class JournalError(TapekeeperError):
    """The journal cannot accept a record, or cannot give back what it holds."""


class FellBehindError(TapekeeperError):
    """A subscriber's mailbox was full, so events were not delivered to it.

    Attributes:
        missed: how many events it did not get; the tape itself has lost nothing.
    """

    def __init__(self, message: str, *, missed: int) -> None:
        super().__init__(message)
        self.missed = missed


class OutsideError(TapekeeperError):
    """Something outside this process failed."""

    retryable = True
    retry_after_s: float | None = None
    """Seconds the peer asked to wait before the next attempt, or None."""


class ConnectFailedError(OutsideError):
    """A connection could not be established.

    Attributes:
        status: HTTP status of the refusal, or None where there was none.
        retry_after_s: seconds the peer asked to wait, or None.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class ConnectionLostError(OutsideError):
    """An established connection ended without being asked to."""


class ProtocolError(OutsideError):
    """The peer sent something that the SignalR protocol does not allow."""


class DeadlineError(OutsideError):
    """An answer did not come before its deadline."""


class InvocationError(OutsideError):
    """The hub answered a call with an error; the text is the hub's own."""

    retryable = False


class GatewayError(OutsideError):
    """The gateway refused a REST call.

    Attributes:
        status: HTTP status (200 for a business refusal).
        code: the gateway's `errorCode`, or None; its meaning depends on the operation.
        retry_after_s: seconds the gateway asked to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: int | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class AuthError(GatewayError):
    """The credentials or the token were refused."""


class RateLimitError(GatewayError):
    """Too many requests."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, status=429, retryable=True, retry_after_s=retry_after_s)
