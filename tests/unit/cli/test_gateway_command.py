"""`gateway`: its options, what it announces, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from tapekeeper.cli.gateway import announcement, parse_products, parse_speed
from tapekeeper.cli.main import main
from tapekeeper.errors import UsageError
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimUrls


def test_speed_is_a_number_or_max() -> None:
    """What else is given is refused by name."""
    assert parse_speed("2.5") == 2.5
    assert parse_speed("max") == "max"
    with pytest.raises(UsageError, match="'fast' is neither"):
        parse_speed("fast")


def test_products_are_read_without_regard_to_case() -> None:
    """What the demonstration takes, the gateway takes too."""
    assert parse_products("mes, MNQ,") == ("MES", "MNQ")


def test_the_announcement_says_that_credentials_are_for_tests() -> None:
    """Nobody takes the printed key for a real one; addresses can be pasted into a file."""
    lines = announcement(SimConfig(), SimUrls("http://x", "http://x/m", "http://x/u"), ["A", "B"])
    assert 'rest_url       = "http://x"' in lines
    assert "contracts      = A, B" in lines
    assert lines[-1].startswith("test credentials, good for this simulator only: ")


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["--port", "70000"], "port 70000 cannot be used"),
        (["--host", "192.0.2.1"], "serves this machine only"),
        (["--speed", "-1"], "speed"),
        (["--products", "nope", "--port", "0"], "unknown product 'NOPE'"),
        (["--products", " , "], "name at least one product"),
        (["--token-life-s", "0"], "more than 0 seconds, and 0.0 is not"),
        (["--token-life-s", "nan"], "more than 0 seconds, and nan is not"),
        (["--play", "no-such-file.parquet", "--port", "0"], "no-such-file.parquet"),
    ],
)
def test_a_wrong_option_is_refused(
    arguments: list[str], clause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence and exit code 2."""
    assert main(["gateway", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert clause in error
    assert error.count("\n") == 1


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """Two gateways on one port: the second one says which port it is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["gateway", "--port", str(port)]) == 2
    assert f"port {port} on 127.0.0.1 is in use" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot send SIGTERM to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_asked_to(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM are the normal end: exit code 0, nothing on stderr."""
    command = [sys.executable, "-m", "tapekeeper", "gateway", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(6)]
            assert lines[-1].startswith("test credentials")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (0, "stopped\n", "")
