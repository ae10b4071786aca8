"""The ways of a token cannot be opened by a slip: TLS is verified, no redirect is followed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

import pytest

Hold = Callable[[str, Iterable[str]], None]

UNVERIFIED = re.compile(
    r"\b(?:verify_ssl|ssl)\s*=\s*False|\bCERT_NONE\b|check_hostname\s*=\s*False"
    r"|_create_unverified_context|\bverify\s*=\s*False"
)
SENDS = {"get", "post", "put", "patch", "delete", "head", "options", "request"}


def unverified(files: Mapping[str, str]) -> Iterator[str]:
    """`path:line` wherever the verification of certificates is switched off."""
    for path, text in files.items():
        for number, line in enumerate(text.splitlines(), 1):
            if UNVERIFIED.search(line):
                yield f"{path}:{number}"


def following(files: Mapping[str, str]) -> Iterator[str]:
    """`path:line` of every request through a client session that may follow a redirect.

    A session is what ends in `session` by its name. Upgrades are held by the session itself.
    """
    for path, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in SENDS or not ast.unparse(node.func.value).endswith("session"):
                continue
            said = [ast.unparse(k.value) for k in node.keywords if k.arg == "allow_redirects"]
            if said != ["False"]:
                yield f"{path}:{node.lineno}"


def test_certificates_are_always_verified(product: Mapping[str, str], hold: Hold) -> None:
    """Nothing in the package can switch the verification of TLS off."""
    hold("the verification of TLS is never switched off", unverified(product))


def test_no_request_follows_a_redirect(product: Mapping[str, str], hold: Hold) -> None:
    """Where a token goes is decided here, and not by an answer."""
    hold("a request says allow_redirects=False", following(product))


@pytest.mark.parametrize(
    "line",
    [
        "session.get(url, ssl=False)",
        "connector = TCPConnector(verify_ssl = False)",
        "context.check_hostname = False",
        "context.verify_mode = ssl.CERT_NONE",
    ],
)
def test_a_planted_switch_is_found(line: str) -> None:
    """Each way to switch it off is known."""
    assert list(unverified({"planted.py": f"first\n{line}\n"})) == ["planted.py:2"]


@pytest.mark.parametrize(
    "line",
    [
        "session.get(url)",
        "self._session.post(url, allow_redirects=True)",
        "session.request('GET', url, allow_redirects=follow)",
    ],
)
def test_a_planted_request_is_found(line: str) -> None:
    """A request that says nothing, or something else, may follow."""
    assert list(following({"planted.py": f"first\n{line}\n"})) == ["planted.py:2"]


def test_what_is_held_is_let_through() -> None:
    """A request that stays, and what is no session."""
    lines = "session.post(url, allow_redirects=False)\nfields.get(name)\n"
    assert list(following({"planted.py": lines})) == []
