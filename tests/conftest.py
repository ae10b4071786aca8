"""What every test has: hypothesis profiles, the recorded data, and no way to the internet."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
CI = os.environ.get("CI", "").lower() == "true"

# Deadlines measure the machine, not the code. CI repeats the same examples in every run, so that
# a red build can be repeated; a developer's runs keep looking for new ones.
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", deadline=None, max_examples=50)
settings.register_profile("deep", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if CI else "dev"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded market data beside the repository, described in its README.md.

    Nothing of it is copied into the repository, because each set has a licence of its own. Where
    it is absent the test is skipped; in CI it must be there, so there the test fails.
    """
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        reason = "the recorded market data is not at ../shared/data beside the repository"
        if CI:
            pytest.fail(f"{reason}, and CI=true says that it must be")
        pytest.skip(reason)
    return folder


class OutsideNetworkError(AssertionError):
    """A test tried to reach a host that is not this machine."""


def is_loopback(address: object) -> bool:
    """Whether a socket address stays on this machine; Unix paths do, names are resolved first."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def loopback_only() -> Iterator[None]:
    """Refuse connections and name look-ups that would leave this machine.

    Names under `.invalid` get the answer a resolver must give (RFC 6761: there is no such name),
    so that tests of an unknown host need no resolver.
    """
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: socket.socket, address: object) -> object:
            if not is_loopback(address):
                raise OutsideNetworkError(f"tests talk to loopback only, not to {address!r}")
            return original(self, address)

        return call

    def look_up(host: bytes | str | None, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        name.encode("idna")  # the real one refuses what cannot be a name in the same way
        if name.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        # Addresses need no look-up; a socket that is to be bound to one is not a connection.
        if not is_loopback((name,)) and not _is_address(name):
            raise OutsideNetworkError(f"tests look up loopback only, not {name!r}")
        return getaddrinfo(host, *args, **kwargs)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", guarded(connect))
    patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    patch.setattr(socket, "getaddrinfo", look_up)
    yield
    patch.undo()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
