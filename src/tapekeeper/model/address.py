"""Addresses: which of them a token may be sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_ENCRYPTED = frozenset({"https", "wss"})
_PLAIN = frozenset({"http", "ws"})


def is_private_way(url: str) -> bool:
    """Whether what is sent to `url` can be read by nobody on the way.

    True for https and wss, and for http and ws to this machine: `localhost`, or a loopback
    address in its usual spelling. Other spellings that a resolver may accept (`127.1`, a decimal
    number) and other names that may lead here are not taken for loopback.
    """
    # Parsers disagree on where a host ends if these are in it.
    if "\\" in url or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme in _ENCRYPTED:
        return bool(host)
    return parts.scheme in _PLAIN and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether `host`, without brackets and port, is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
