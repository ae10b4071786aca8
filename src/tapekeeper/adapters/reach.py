"""How far one gets towards a host: its name, its port, its certificate, its clock.

A connection that fails says only that it failed. These steps are made one by one, so that a
person learns which one it is. They carry no token.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec

from tapekeeper.adapters.http_session import LIBRARY_ERRORS, describe, place
from tapekeeper.deadline import deadline
from tapekeeper.errors import ConnectFailedError, ProtocolError
from tapekeeper.ports import Clock

_CLOSE_TIMEOUT_S = 1.0
_NS_PER_S = 1_000_000_000


class TlsFacts(msgspec.Struct, frozen=True):
    """What a verified TLS handshake showed.

    Attributes:
        version: such as `TLSv1.3`.
        expires: when the certificate ends, UTC.
    """

    version: str
    expires: datetime


async def look_up(host: str, port: int, *, timeout_s: float) -> list[str]:
    """The addresses of a host, each once, in the system's order.

    Raises:
        ConnectFailedError: there is no such name, or nobody to ask.
        DeadlineError: `timeout_s` passed.
    """
    why = ""
    async with deadline(timeout_s, f"looking up {host}"):
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM
            )
            return list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except OSError as error:
            why = error.strerror or type(error).__name__
        except UnicodeError:  # an empty label, or one of more than 63 characters
            why = "no name is spelt like that"
    raise ConnectFailedError(f"the name {host} was not found: {why}")


async def dial(host: str, port: int, *, timeout_s: float) -> None:
    """Open a TCP connection and close it.

    Raises:
        ConnectFailedError: nobody listens, or nothing leads there.
        DeadlineError: `timeout_s` passed, as where a firewall swallows packets.
    """
    await _open(host, port, None, timeout_s=timeout_s)


async def inspect_tls(host: str, port: int, *, timeout_s: float) -> TlsFacts:
    """Make a TLS handshake and verify the certificate as every connection of ours does.

    Raises:
        ConnectFailedError: it failed; the text says why a certificate was not trusted.
        DeadlineError: `timeout_s` passed.
    """
    return await _open(host, port, ssl.create_default_context(), timeout_s=timeout_s)


async def _open(
    host: str, port: int, context: ssl.SSLContext | None, *, timeout_s: float
) -> TlsFacts:
    kind = "TLS" if context else "TCP"
    why = ""
    async with deadline(timeout_s, f"the {kind} connection to {host}:{port}"):
        try:
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=host if context else None
            )
        except ssl.SSLCertVerificationError as error:
            why = f"its certificate is not trusted ({error.verify_message})"
        except ssl.SSLError as error:
            why = f"it does not speak TLS as it should ({error.reason})"
        except OSError as error:
            why = error.strerror or type(error).__name__
        except UnicodeError:
            why = "no host is spelt like that"
        else:
            facts = _facts(writer.get_extra_info("ssl_object"))
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await writer.wait_closed()
            return facts
    raise ConnectFailedError(f"the {kind} connection to {host}:{port} failed: {why}")


def _facts(secured: ssl.SSLObject | None) -> TlsFacts:
    certificate = None if secured is None else secured.getpeercert()
    if secured is None or certificate is None:
        return TlsFacts("none", datetime.max.replace(tzinfo=UTC))
    ends_s = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return TlsFacts(secured.version() or "unknown", datetime.fromtimestamp(ends_s, UTC))


async def clock_difference_s(
    session: aiohttp.ClientSession, url: str, clock: Clock, *, timeout_s: float
) -> tuple[float, float]:
    """How far this host's clock is ahead of a server's, and how wrong that may be, seconds.

    The `Date` header has whole seconds and was written while the request was under way, so the
    difference is known to half a second and half of the time the request took.

    Raises:
        ConnectFailedError: there was no answer.
        DeadlineError: `timeout_s` passed.
        ProtocolError: the answer has no readable `Date`.
    """
    what = f"the request to {place(url)}"
    failure: ConnectFailedError | ProtocolError
    async with deadline(timeout_s, what):
        try:
            before_ns = clock.now_ns()
            async with session.get(url, allow_redirects=False) as response:
                after_ns = clock.now_ns()
                sent_s = _seconds(response.headers.get("Date", ""))
        except LIBRARY_ERRORS as error:
            failure = ConnectFailedError(f"{what} failed: {describe(error)}")
        else:
            if sent_s is not None:
                middle_s = (before_ns + after_ns) / 2 / _NS_PER_S
                took_s = (after_ns - before_ns) / _NS_PER_S
                return middle_s - (sent_s + 0.5), 0.5 + took_s / 2
            failure = ProtocolError(f"{what} was answered without a readable date")
    raise failure


def _seconds(date: str) -> float | None:
    """A `Date` header as seconds since 1970, or None where it cannot be read."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
