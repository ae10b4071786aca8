"""Whatever opens a way to the network is counted: the census of sockets has no hole."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

Hold = Callable[[str, Iterable[str]], None]

COUNTS = "src/tapekeeper/adapters/http_session.py"
"""The one place where sockets are made; what it makes, it counts."""

EXEMPT = {
    "src/tapekeeper/adapters/reach.py": "one look of the doctor, closed before it reports",
}
SERVERS = "src/tapekeeper/sim/"
"""The simulated gateway is the other side, and counts for itself."""

OPENERS = {
    "ClientSession",
    "TCPConnector",
    "UnixConnector",
    "socketpair",
    "create_connection",
    "create_datagram_endpoint",
    "create_unix_connection",
    "open_connection",
    "open_unix_connection",
    "sock_connect",
    "start_server",
    "create_server",
    "HTTPConnection",
    "HTTPSConnection",
    "urlopen",
}


def openers(text: str) -> Iterator[tuple[int, str]]:
    """Line and name of every call that makes a socket, and of every class derived from one."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            names = [node.func]
        elif isinstance(node, ast.ClassDef):
            names = node.bases
        else:
            continue
        for name in names:
            written = ast.unparse(name)
            if written.rpartition(".")[2] in OPENERS or written in {"socket.socket", "socket"}:
                yield node.lineno, written


def test_only_the_counting_session_opens_sockets(product: Mapping[str, str], hold: Hold) -> None:
    """A socket that is opened elsewhere would be missing from the census."""
    hold(
        f"sockets are opened in {COUNTS}, which counts them",
        [
            f"{path}:{line}: {name}"
            for path, text in product.items()
            if path not in {COUNTS, *EXEMPT} and not path.startswith(SERVERS)
            for line, name in openers(text)
        ],
    )


def test_the_counting_session_makes_each_thing_once(product: Mapping[str, str]) -> None:
    """One session, over one connector, whose sockets come from one line."""
    made = [name for _, name in openers(product[COUNTS])]
    assert sorted(made) == ["aiohttp.ClientSession", "aiohttp.TCPConnector", "socket.socket"]


@pytest.mark.parametrize(
    "text",
    [
        "s = aiohttp.ClientSession()",
        "from aiohttp import ClientSession\nasync def f():\n    s = ClientSession()",
        "r, w = await asyncio.open_connection('127.0.0.1', 1)",
        "await loop.create_connection(f, sock=s)",
        "import socket\ns = socket.socket()",
        "class C(aiohttp.TCPConnector): ...",
    ],
)
def test_a_planted_socket_is_found(text: str) -> None:
    """Made directly, by a helper, or by a class that makes them."""
    assert list(openers(text))


def test_what_opens_nothing_is_let_through() -> None:
    """Names that merely resemble."""
    assert not list(openers("x = HubSocket(socket)\ny = parse(open_session)\nz = socket_count(s)"))
