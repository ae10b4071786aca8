"""Addresses: which of them can be used at all, and which a token may be sent to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_ENCRYPTED = frozenset({"https", "wss"})
_PLAIN = frozenset({"http", "ws"})


def is_usable(url: str) -> bool:
    """Whether `url` can be connected to: a scheme, a host that can be looked up, nothing odd.

    A host whose labels are empty or longer than 63 characters is known to nobody, and code that
    looks it up fails in its own way. A user name or password in it is a second, visible credential
    beside the token. Control characters and blanks end a line of the request in its middle.
    """
    if "\\" in url or not url.isprintable() or " " in url:
        return False  # parsers disagree on where a host ends if these are in it
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        host.encode("idna")  # as the resolver does; it refuses bad labels, with a ValueError
        url.encode()  # nor does half a surrogate pair travel
        port = parts.port
    except ValueError:
        return False
    return bool(parts.scheme and host) and "@" not in parts.netloc and port != 0


def is_private_way(url: str) -> bool:
    """Whether what is sent to `url` can be read by nobody on the way.

    True for https and wss, and for http and ws to this machine: `localhost`, or a loopback
    address in its usual spelling. Other spellings that a resolver may accept (`127.1`, a decimal
    number) and other names that may lead here are not taken for loopback.
    """
    if not is_usable(url):
        return False
    parts = urlsplit(url)
    if parts.scheme in _ENCRYPTED:
        return True
    return parts.scheme in _PLAIN and is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether `host`, without brackets and port, is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
