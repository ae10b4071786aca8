"""The ground that tests/conftest.py gives to every test holds."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

# TEST-NET-1 of RFC 5737: reserved for documentation, so it is nobody's address.
NOBODY = "192.0.2.1"


@pytest.mark.parametrize("address", [(NOBODY, 80), ("example.com", 443), ("2001:db8::1", 80)])
def test_a_connection_to_another_machine_is_refused(address: tuple[str, int]) -> None:
    """Both ways of connecting a socket are refused before a packet leaves."""
    with socket.socket() as plain:
        with pytest.raises(AssertionError, match="loopback only"):
            plain.connect(address)
        with pytest.raises(AssertionError, match="loopback only"):
            plain.connect_ex(address)


@pytest.mark.asyncio
async def test_the_event_loop_is_refused_too() -> None:
    """A connection that asyncio makes goes through the same gate."""
    with pytest.raises(AssertionError, match="loopback only"):
        await asyncio.open_connection(NOBODY, 80)


def test_a_name_of_another_machine_is_not_looked_up() -> None:
    """A look-up already tells the network what is asked for, so it is refused as well."""
    with pytest.raises(AssertionError, match="loopback only"):
        socket.getaddrinfo("example.com", 443)


def test_a_name_that_cannot_exist_gets_the_resolvers_answer() -> None:
    """Names under `.invalid` do not exist, and no resolver is asked."""
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("gateway.invalid", 443)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_can_be_reached(host: str) -> None:
    """Servers of the tests themselves listen on loopback and are reached there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection((host, port), timeout=5) as client:
            assert client.getpeername()[1] == port


def test_the_recorded_data_is_whole(shared_data: Path) -> None:
    """Where the recorded data is, every set of it has its trades or its bars, and its origin."""
    sets = [path for path in shared_data.iterdir() if (path / "meta.json").is_file()]
    assert sets
    assert [s.name for s in sets if not list(s.glob("*.parquet"))] == []
