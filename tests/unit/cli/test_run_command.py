"""`run` and `demo` against the simulated gateway, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.demo import DemoOptions, DemoRow, DemoSummary, DemoView, run_demo
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.service import RunSummary
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.cli import demo
from tapekeeper.cli import run as run_module
from tapekeeper.cli.beginning import can_begin_anew
from tapekeeper.cli.demo import PLAIN_EVERY_S, PlainView
from tapekeeper.cli.exit_codes import RESTART
from tapekeeper.cli.main import main
from tapekeeper.cli.run import status_line, uncovered_lines
from tapekeeper.cli.terminal import console
from tapekeeper.model.snapshot import Census, TickCounts
from tapekeeper.runtime.coverage import Uncovered
from tapekeeper.runtime.feed import FeedStatistics
from tapekeeper.runtime.journaler import Journaler, JournalStatistics
from tapekeeper.runtime.pool_values import PoolHealth, PoolStatus
from tapekeeper.runtime.token_keeper import TokenStatus
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER

STATUS = TapeStatus(
    pools=(),
    trades=TickCounts(received=1_003, accepted=1_000, quarantined=3),
    quotes=TickCounts(received=20, accepted=19, quarantined=1),
    checks=(),
    rejected={},
    journal=JournalStatistics(entries=5, bytes=2_500_000, segments=2),
    feed=FeedStatistics(7, 0, 0),
    token=TokenStatus(tokens=1, failures=0, failing="", renewed_ns=0, due_in_s=None),
    census=Census(),
)
T0_NS = 1_700_000_000_000_000_000
"""2023-11-14 22:13:20 UTC."""


def _pool(
    name: str, health: PoolHealth, uncovered: tuple[Uncovered, ...] = (), count: int = 0
) -> PoolStatus:
    return PoolStatus(
        name=name,
        health=health,
        reason="",
        lines=(),
        subscriptions=0,
        handovers=0,
        handovers_failed=0,
        handover_failing="",
        evictions=0,
        one_session=False,
        lines_most=1,
        connections=1,
        frames=0,
        bytes=0,
        uncovered=uncovered,
        uncovered_count=count,
    )


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TAPEKEEPER_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """Sections of a configuration for a gateway that runs in a process of its own."""
    command = [sys.executable, "-m", "tapekeeper", "gateway", "--port", "0", "--speed", "20"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(6)]
            urls = "".join(line for line in lines if "_url" in line)
            yield f'[gateway]\n{urls}user_name = "{TEST_USER}"\n'
        finally:
            process.kill()


def _config(folder: Path, gateway: str, *, contract: str = "MES", key: str = TEST_API_KEY) -> Path:
    secret = folder / "gateway.key"
    secret.write_text(key, encoding="utf-8")
    secret.chmod(0o600)
    path = folder / "tapekeeper.toml"
    path.write_text(
        f'{gateway}api_key_file = "gateway.key"\n'
        f'[[subscribe]]\ncontract = "{contract}"\ntimeframes = ["1s", "1m"]\n'
        '[log]\nlevel = "error"\n',
        encoding="utf-8",
    )
    return path


def _sentence(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


class TestRun:
    def test_a_status_line_has_the_numbers_that_matter(self) -> None:
        """When (UTC), health, ticks, what waits, the journal; quarantined ticks of both kinds."""
        pools = (_pool("market", PoolHealth.DEGRADED, count=1_002), _pool("user", PoolHealth.UP))
        assert status_line(msgspec.structs.replace(STATUS, pools=pools), T0_NS) == (
            "2023-11-14 22:13:20Z no line; health market degraded, user up; uncovered 1,002; "
            "trades 1,000, quotes 19, quarantined 4; "
            "waiting 7 frames; journal 2.5 MB in 2 segments, survives the process"
        )

        assert "health no pool; uncovered 0; " in status_line(STATUS, T0_NS)
        token = msgspec.structs.replace(STATUS.token, failing="busy")
        status = msgspec.structs.replace(STATUS, token=token, pools=pools)
        assert "user up, token failing; " in status_line(status, T0_NS)

    def test_a_status_line_says_what_the_journal_survives(self) -> None:
        """A figure of the journal names its level, and at power the interval."""
        journal = msgspec.structs.replace(STATUS.journal, sync_every_ms=2_500)
        line = status_line(msgspec.structs.replace(STATUS, journal=journal), T0_NS)
        assert line.endswith("2 segments, survives a power cut but for the last 2,500 ms")

    def test_the_end_names_what_no_connection_covered(self) -> None:
        """How many, the longest, first to last; one that lasts is as long as it is by now."""
        begin, end = "from 2023-11-14 22:13:20Z", "2023-11-14 23:13:24Z"
        spans = ((0, 1), (10, 12.5), (3_600, None))
        gaps = tuple(
            Uncovered(T0_NS + round(a * 1e9), None if b is None else T0_NS + round(b * 1e9), "", ())
            for a, b in spans
        )
        pools = [
            _pool("market", PoolHealth.UP, gaps[:2], count=2),
            _pool("user", PoolHealth.UP, gaps, count=1_500),
            _pool("other", PoolHealth.UP),
        ]
        assert uncovered_lines(pools, T0_NS + 3_604 * 10**9) == [
            f"uncovered: market 2, the longest 2.500 s, {begin} to 2023-11-14 22:13:32Z",
            f"uncovered: user 1,500, of the last 3 the longest 4.000 s, {begin} to {end}",
        ]

    def test_a_folder_that_cannot_be_is_named_before_the_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A night is not recorded first, to say in the morning that its bars have no place."""
        (tmp_path / "file").touch()
        config = _config(tmp_path, "[gateway]\n")
        arguments = ["run", str(config), "--out", str(tmp_path / "file")]
        assert "must be a folder" in _sentence(arguments, 2, capsys)
        assert not (tmp_path / "journal").exists()

    def test_follows_writes_and_sums_up(
        self, gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Bars are written at the end, both identities hold, and the journal gives them again."""
        config = _config(tmp_path, gateway)
        live, again = tmp_path / "live", tmp_path / "again"
        assert main(["run", str(config), "--seconds", "1.5", "--out", str(live)]) == 0
        out = capsys.readouterr().out
        assert "market live" in out.splitlines()[0]
        assert "uncovered 0;" in out.splitlines()[0]
        assert "uncovered: " not in out
        assert "volume: of bars = of accepted trades, in all 2 checks: holds" in out
        assert main(["replay", str(tmp_path / "journal"), "--out", str(again)]) == 0
        for name in ("bars_1s.parquet", "bars_1m.parquet"):
            bars = pl.read_parquet(live / name)
            assert bars.height > 0
            assert bars.equals(pl.read_parquet(again / name))

    def test_a_refused_key_is_3(
        self, gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The gateway's refusal is a sentence, in which the key does not appear."""
        wrong = "other-test-key-not-a-secret"
        error = _sentence(["run", str(_config(tmp_path, gateway, key=wrong))], 3, capsys)
        assert "refused" in error
        assert wrong not in error

    def test_an_unknown_contract_is_2(
        self, gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A contract that does not exist is named."""
        config = _config(tmp_path, gateway, contract="NOPE")
        assert "NOPE" in _sentence(["run", str(config)], 2, capsys)

    def test_a_refused_port_is_3_where_the_start_shall_fail(
        self,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Nobody listens: the sentence says where."""
        monkeypatch.setenv("TAPEKEEPER_SERVICE__START", "fail")
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            section = f'[gateway]\nrest_url = "http://127.0.0.1:{port}"\nuser_name = "test-user"\n'
            error = _sentence(["run", str(_config(tmp_path, section))], 3, capsys)
        assert str(port) in error

    def test_a_start_that_waits_ends_with_its_seconds(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """By default nobody there is no error, but a run of a second is one of a second: 3."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            section = f'[gateway]\nrest_url = "http://127.0.0.1:{port}"\nuser_name = "test-user"\n'
            arguments = ["run", str(_config(tmp_path, section)), "--seconds", "0.5"]
            assert "nothing could be followed within 0.5 s" in _sentence(arguments, 3, capsys)

    def test_a_journal_that_is_being_written_is_4(
        self, gateway: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A journal has one writer; the second one is told."""
        config = _config(tmp_path, gateway)
        writer = Journaler(FolderFiles(tmp_path / "journal"), created_ns=1)
        try:
            assert "journal" in _sentence(["run", str(config)], 4, capsys)
        finally:
            writer.close()

    def test_nothing_to_follow_is_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a contract there is nothing to run."""
        path = tmp_path / "tapekeeper.toml"
        path.write_text("", encoding="utf-8")
        assert "[[subscribe]]" in _sentence(["run", str(path)], 2, capsys)

    @pytest.mark.parametrize("seconds", ["0", "nan", "-1"])
    def test_no_time_to_run_is_2(
        self, seconds: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A duration that is none is refused before anything is read."""
        arguments = ["run", str(tmp_path / "absent.toml"), "--seconds", seconds]
        assert "seconds" in _sentence(arguments, 2, capsys)

    @pytest.mark.skipif(os.name != "posix", reason="Windows cannot send SIGTERM to one process")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_is_the_normal_end(
        self, number: signal.Signals, gateway: str, tmp_path: Path
    ) -> None:
        """Asked to stop, it seals the journal, sums up and exits with 0."""
        config = _config(tmp_path, gateway)
        command = [sys.executable, "-m", "tapekeeper", "run", str(config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert "market live" in process.stdout.readline()
                process.send_signal(number)
                out, _ = process.communicate(timeout=60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        assert process.returncode == 0
        assert "trades: " in out
        assert main(["replay", str(tmp_path / "journal")]) == 0


class TestDemo:
    def test_shows_plain_lines_and_a_summary(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Three contracts over real sockets, both identities, and a journal that was kept."""
        folder = tmp_path / "kept"
        assert main(["demo", "--seconds", "1.5", "--keep", str(folder)]) == 0
        out = capsys.readouterr().out
        assert {line.split()[2] for line in out.splitlines() if "closed=" in line} == {
            word for word in out.split() if word.startswith(("MES", "MNQ", "MGC"))
        }
        assert "trades: " in out
        assert "BROKEN" not in out
        assert main(["replay", str(folder)]) == 0

    @pytest.mark.parametrize(
        "arguments", [["--seconds", "0"], ["--contracts", ""], ["--contracts", "NOPE"]]
    )
    def test_a_wrong_option_is_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What cannot be shown is refused in one sentence."""
        _sentence(["demo", *arguments], 2, capsys)

    def test_a_broken_identity_is_1(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A demonstration that does not add up does not end as if it did."""
        real = run_demo

        async def losing(
            options: DemoOptions, on_view: Callable[[DemoView], None], stop: asyncio.Event
        ) -> DemoSummary:
            summary = await real(options, on_view, stop)
            counts = summary.result.trades
            summary.result.trades = type(counts)(received=counts.received + 1)
            return summary

        monkeypatch.setattr(demo, "run_demo", losing)
        assert main(["demo", "--seconds", "0.1", "--contracts", "MES"]) == 1
        assert "BROKEN" in capsys.readouterr().out

    def test_lines_come_now_and_then(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a terminal there is a line every few seconds, not one for every update."""
        view = PlainView(console())
        row = DemoRow("MESZ6", last=None, bid=None, ask=None, forming=None, closed=0, lag_ms=None)
        printed = []
        for elapsed_s in (0.0, 1.0, PLAIN_EVERY_S - 0.1, PLAIN_EVERY_S):
            view(DemoView(elapsed_s, (row,), STATUS))
            printed.append(capsys.readouterr().out.count("\n"))
        assert printed == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("restart", "options", "in_place"),
    [
        ("in_place", [], True),
        ("in_place", ["--seconds", "5"], False),
        ("exit", [], False),
    ],
)
def test_a_restart_that_is_wanted_is_made_as_the_user_says(
    *,
    restart: str,
    options: list[str],
    in_place: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In place, or with a code of its own for what started the command."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text(f'[limits]\nrestart = "{restart}"\n', encoding="utf-8")
    counts = TickCounts()

    async def done(*_arguments: object) -> RunSummary:
        return RunSummary(STATUS, ReplayResult({}, {}, counts, counts, [], {}), "too much is used")

    def anew() -> None:
        raise SystemExit(0)

    monkeypatch.setattr(run_module, "_run", done)
    monkeypatch.setattr(run_module, "begin_anew", anew)
    code = main(["run", str(path), *options])
    said = capsys.readouterr()
    if in_place and can_begin_anew():
        assert code == 0
        assert "beginning anew: too much is used" in said.out
    else:
        assert code == RESTART
        assert said.err == "stopped to be started again: too much is used\n"
