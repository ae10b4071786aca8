"""Which addresses a token may be sent to."""

from __future__ import annotations

import pytest

from tapekeeper.model.address import is_loopback, is_private_way, is_usable


@pytest.mark.parametrize(
    "url",
    [
        "https://gateway.test",
        "wss://gateway.test:8443/hubs/market?x=1",
        "HTTPS://gateway.test",
        "http://127.0.0.1:8790",
        "ws://127.9.9.9/hub",
        "http://localhost:8790/hubs/user",
        "ws://LOCALHOST/hub",
        "http://[::1]:8790/hub",
    ],
)
def test_encryption_or_this_machine_is_private(url: str) -> None:
    """TLS protects the way to anybody; no way leads to this machine itself."""
    assert is_private_way(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.test",
        "ws://gateway.test/hub",
        "http://127.0.0.1.gateway.test",
        "http://localhost.gateway.test",
        "http://127.0.0.1@gateway.test",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://127.1",
        "http://2130706433",
        "http://[::ffff:10.0.0.1]",
        "http://localhost\\@gateway.test",
        "http://gateway.test\\@localhost",
        "http://local\nhost",
        "http:// localhost",
        "http://[::1",
        "https://",
        "ftp://localhost",
        "localhost",
        "",
    ],
)
def test_anything_else_is_not(url: str) -> None:
    """A host that only looks like this machine, or an address that is none, gets no token."""
    assert not is_private_way(url)


def test_loopback_is_a_name_or_an_address() -> None:
    """Both families and the one reserved name; a name is never resolved for it."""
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1")] == [True] * 3
    assert [is_loopback(host) for host in ("", "localhost.test", "::", "192.168.0.1")] == [
        False
    ] * 4


@pytest.mark.parametrize(
    "url",
    ["https://hub.test", "wss://hub.test.:8443/x?y=1", "http://[::1]:8790", "ws://10.0.0.1/x"],
)
def test_an_address_with_a_host_is_usable(url: str) -> None:
    """Encrypted or not is another question."""
    assert is_usable(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://api..firm.test",
        "https://.firm.test",
        f"https://{'a' * 64}.test",
        "https://user@hub.test",
        "https://user:word@hub.test",
        "https://@hub.test",
        "https://hub.test:0",
        "https://hub.test:99999",
        "https://hub.test/\ud800",
        "https://hub.test/a b",
        "https://hub.test/\r\n",
        "https:///path",
        "hub.test",
    ],
)
def test_an_address_that_the_network_code_would_choke_on_is_not(url: str) -> None:
    """Names that cannot be looked up, credentials, and what ends a line of the request."""
    assert not is_usable(url)
