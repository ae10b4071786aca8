"""The doctor against the simulated gateway: every check when all is well, and every failure."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.app.config import Config, load_config
from tapekeeper.app.doctor import DoctorOptions, examine
from tapekeeper.app.doctor_values import Check, Report, Verdict
from tapekeeper.app.outside import Outside
from tapekeeper.cli.doctor import check_line, report_json, summary_line
from tapekeeper.cli.main import main
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, HubLimits, SimConfig
from tapekeeper.sim.faults import Door
from tapekeeper.sim.gateway import SimGateway
from tapekeeper.sim.seeded import Seeded
from tests.simulated_gateway import account_at

BUSY = SimConfig(products=("MES",), speed=50.0)
OPTIONS = DoctorOptions(data_timeout_s=20.0, step_timeout_s=20.0)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TAPEKEEPER_"):
            monkeypatch.delenv(name)


class _Skewed(SystemClock):
    """A host clock that is ten seconds fast."""

    def now_ns(self) -> int:
        """Ten seconds too much."""
        return super().now_ns() + 10_000_000_000


@asynccontextmanager
async def _gateway(config: SimConfig = BUSY) -> AsyncIterator[SimGateway]:
    async with SimGateway(config, SystemClock(), Seeded(1, "gateway")) as gateway:
        yield gateway


def _config(gateway: SimGateway, /, **changes: Mapping[str, Any]) -> Config:
    urls = gateway.urls
    sections: dict[str, dict[str, Any]] = {
        "gateway": account_at(urls),
        # The market of the simulator is always open.
        "calendar": {"default": "24x7"},
    }
    for section, settings in changes.items():
        sections[section] = sections.get(section, {}) | dict(settings)
    return load_config(sections)


async def _examine(
    config: Config | Path, options: DoctorOptions = OPTIONS, *, clock: SystemClock | None = None
) -> dict[str, Check]:
    """The checks by name."""
    outside = Outside(clock or SystemClock(), Seeded(1, "doctor"))
    report = await examine(config, options, outside)
    found = {check.name: check for check in report.checks}
    assert len(found) == len(report.checks), "each check has a name of its own"
    assert TEST_API_KEY not in report_json(report)
    return found


def _verdicts(checks: Mapping[str, Check], verdict: Verdict) -> list[str]:
    return [name for name, check in checks.items() if check.verdict is verdict]


@pytest.mark.asyncio
async def test_all_is_well() -> None:
    """Every step is looked at in order, and the first data comes."""
    async with _gateway() as gateway:
        checks = await _examine(_config(gateway))
        port = gateway.urls.rest.rpartition(":")[2]
    assert _verdicts(checks, Verdict.FAILED) == []
    (data,) = (name for name in checks if name.startswith("first data of MES"))
    assert list(checks) == [
        "configuration",
        "key",
        "dns 127.0.0.1",
        f"tcp 127.0.0.1:{port}",
        f"tls 127.0.0.1:{port}",
        "clock",
        "login",
        "entitlement",
        "accounts",
        "contracts",
        "market hub, token in the header",
        data,
        "user hub, token in the header",
    ]
    assert _verdicts(checks, Verdict.SKIPPED) == [f"tls 127.0.0.1:{port}"]


@pytest.mark.asyncio
async def test_the_entitlement_is_what_the_token_says() -> None:
    """Its `msd` claim, shown as it is; where there is none, that is said and is no failure."""
    entitled = replace(BUSY, market_data="CME_TOB")
    for config, verdict, detail in (
        (entitled, Verdict.OK, "the token names the market data CME_TOB"),
        (BUSY, Verdict.NOTE, "the token does not say; what follows shows it"),
    ):
        async with _gateway(config) as gateway:
            checks = await _examine(_config(gateway))
        assert (checks["entitlement"].verdict, checks["entitlement"].detail) == (verdict, detail)


@pytest.mark.asyncio
@pytest.mark.parametrize("negotiate", [True, False])
async def test_messagepack_is_examined_as_it_is_used(negotiate: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Hubs and first data are looked at in the protocol of the configuration."""
    settings = {"protocol": "messagepack", "negotiate": negotiate}
    async with _gateway() as gateway:
        checks = await _examine(_config(gateway, gateway=settings))
    assert _verdicts(checks, Verdict.FAILED) == []
    (data,) = (check for name, check in checks.items() if name.startswith("first data of MES"))
    assert data.verdict is Verdict.OK


@pytest.mark.asyncio
async def test_a_gateway_without_messagepack_is_told_from_others() -> None:
    """The advice is the protocol, not the token."""
    without = replace(BUSY, hub=HubLimits(has_messagepack=False))
    async with _gateway(without) as gateway:
        checks = await _examine(_config(gateway, gateway={"protocol": "messagepack"}))
    check = checks["market hub, token in the header"]
    assert check.verdict is Verdict.FAILED
    assert "The protocol 'messagepack' is not supported." in check.detail
    assert check.advice == 'set gateway.protocol = "json", which every hub speaks'


@pytest.mark.asyncio
async def test_the_token_goes_into_an_address_only_when_that_is_wanted() -> None:
    """Without --try-query the query form is not tried; with it, what is found out is noted."""
    async with _gateway(replace(BUSY, allow_query_token=True)) as gateway:
        shy = await _examine(_config(gateway))
        bold = await _examine(_config(gateway), replace(OPTIONS, try_query=True))
    assert not [name for name in shy if "query" in name]
    check = bold["market hub, token in the query"]
    assert (check.verdict, check.advice) == (
        Verdict.OK,
        'gateway.auth = "query" would work, too',
    )
    async with _gateway() as gateway:
        refused = await _examine(_config(gateway), replace(OPTIONS, try_query=True))
    assert refused["market hub, token in the query"].verdict is Verdict.NOTE
    assert _verdicts(refused, Verdict.FAILED) == []


@pytest.mark.asyncio
async def test_a_form_that_the_hub_does_not_read_fails_with_the_other_as_advice() -> None:
    """The gateway reads the header only, and the configuration says query."""
    async with _gateway() as gateway:
        checks = await _examine(_config(gateway, gateway={"auth": "query", "user_hub": False}))
    assert _verdicts(checks, Verdict.FAILED) == ["market hub, token in the query"]
    assert checks["market hub, token in the query"].advice == 'set gateway.auth = "header"'


@pytest.mark.asyncio
async def test_the_tape_finds_the_form_out_by_itself_with_auto() -> None:
    """One form that works is enough."""
    async with _gateway(replace(BUSY, allow_query_token=True)) as gateway:
        gateway.faults.refuse(Door.NEGOTIATE, 2, 401)
        config = _config(gateway, gateway={"auth": "auto", "user_hub": False})
        checks = await _examine(config, replace(OPTIONS, try_query=True))
    assert checks["market hub, token in the query"].verdict is Verdict.NOTE
    assert checks["market hub, token in the header"].verdict is Verdict.OK
    assert _verdicts(checks, Verdict.FAILED) == []


@pytest.mark.asyncio
async def test_a_hub_that_refuses_fails_and_its_data_is_skipped() -> None:
    """One cause is one failure; the way to find out about the other form is told."""
    async with _gateway() as gateway:
        gateway.faults.refuse(Door.NEGOTIATE, 1_000, 503)
        checks = await _examine(_config(gateway, gateway={"user_hub": False}))
    failed = checks["market hub, token in the header"]
    assert "503" in failed.detail
    assert "--try-query" in failed.advice
    assert checks["first data"].verdict is Verdict.SKIPPED


@pytest.mark.asyncio
async def test_a_wrong_key_fails_the_login_and_skips_what_needs_it() -> None:
    """The key is in no sentence."""
    async with _gateway() as gateway:
        wrong = "other-test-key-not-a-secret"
        checks = await _examine(_config(gateway, gateway={"api_key": wrong}))
    assert _verdicts(checks, Verdict.FAILED) == ["login"]
    assert "InvalidCredentials" in checks["login"].detail
    assert "API key" in checks["login"].advice
    assert {"accounts", "contracts", "hubs", "first data"} <= set(
        _verdicts(checks, Verdict.SKIPPED)
    )
    assert wrong not in str(checks)


@pytest.mark.asyncio
async def test_a_gateway_in_trouble_is_not_blamed_on_the_key() -> None:
    """A login that a retry can help says so."""
    async with _gateway() as gateway:
        gateway.faults.refuse(Door.LOGIN, 10, 503)
        checks = await _examine(_config(gateway))
    assert "try again" in checks["login"].advice


@pytest.mark.asyncio
async def test_a_missing_key_fails_and_the_way_is_looked_at_all_the_same() -> None:
    """What needs no key is not skipped."""
    async with _gateway() as gateway:
        settings = {"api_key": None}
        config = _config(gateway)
        bare = config.gateway.model_copy(update=settings)
        checks = await _examine(config.model_copy(update={"gateway": bare}))
    assert _verdicts(checks, Verdict.FAILED) == ["key"]
    assert checks["clock"].verdict is Verdict.OK
    assert checks["login"].verdict is Verdict.SKIPPED


@pytest.mark.asyncio
async def test_an_unknown_host_fails_at_its_name() -> None:
    """The port is not tried, and nothing that needs the host is."""
    async with _gateway() as gateway:
        config = _config(gateway, gateway={"rest_url": "https://api.gateway.invalid"})
        checks = await _examine(config)
    assert _verdicts(checks, Verdict.FAILED) == ["dns api.gateway.invalid"]
    assert not [name for name in checks if name.startswith("tcp api")]
    assert checks["login"].detail == "it needs a way to the gateway"


@pytest.mark.asyncio
async def test_a_closed_port_fails_at_the_port() -> None:
    """The name is found and nobody listens; only that hub is skipped."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with _gateway() as gateway:
            url = f"http://127.0.0.1:{port}/hubs/user"
            checks = await _examine(_config(gateway, gateway={"user_hub_url": url}))
    assert _verdicts(checks, Verdict.FAILED) == [f"tcp 127.0.0.1:{port}"]
    assert checks["user hub"].verdict is Verdict.SKIPPED
    assert checks["market hub, token in the header"].verdict is Verdict.OK


@pytest.mark.asyncio
async def test_a_fallback_that_is_away_is_noted() -> None:
    """The tape works without it, until it is needed; one on the same host is not told twice."""
    async with _gateway() as gateway:
        fallbacks = ["https://spare.gateway.invalid/hub", f"{gateway.urls.rest}/hubs/market"]
        checks = await _examine(_config(gateway, gateway={"market_hub_fallbacks": fallbacks}))
    assert checks["dns spare.gateway.invalid"].verdict is Verdict.NOTE
    assert _verdicts(checks, Verdict.FAILED) == []


@pytest.mark.asyncio
async def test_a_port_without_tls_fails_at_tls() -> None:
    """An https address that leads to a plain server."""
    async with _gateway() as gateway, _gateway() as plain:
        url = plain.urls.rest.replace("http://", "https://")
        checks = await _examine(_config(gateway, gateway={"rest_url": url}))
    (failed,) = _verdicts(checks, Verdict.FAILED)
    assert failed.startswith("tls 127.0.0.1:")
    assert "TLS" in checks[failed].detail


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 with its key in one file, good for ten days."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path / "test-certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "10"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    done = subprocess.run(
        [*command, "-keyout", "-", "-out", "-"], capture_output=True, check=True, timeout=60
    )
    path.write_bytes(done.stdout)
    return path


@asynccontextmanager
async def _secure_server(certificate: Path) -> AsyncIterator[str]:
    """A server that answers everything with 404, over TLS; its base URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    runner = web.AppRunner(web.Application(), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_verified(
    trusted: bool,  # noqa: FBT001 - a parameter of the test
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that the system trusts is told with its end; any other one fails."""
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with _secure_server(certificate) as url, _gateway() as gateway:
        checks = await _examine(_config(gateway, gateway={"rest_url": url}))
    (name,) = (name for name in checks if name.startswith("tls") and url[8:] in name)
    if trusted:
        assert checks[name].verdict is Verdict.NOTE, "it ends in less than two weeks"
        assert "TLSv1." in checks[name].detail
    else:
        assert _verdicts(checks, Verdict.FAILED) == [name]
        assert "not trusted" in checks[name].detail


@pytest.mark.asyncio
async def test_a_wrong_clock_is_noted() -> None:
    """It is measured against the gateway's answers, and makes nothing unusable."""
    async with _gateway() as gateway:
        checks = await _examine(_config(gateway), clock=_Skewed())
    assert checks["clock"].verdict is Verdict.NOTE
    assert "s ahead of the gateway's" in checks["clock"].detail
    assert "NTP" in checks["clock"].advice
    assert _verdicts(checks, Verdict.FAILED) == []


@pytest.mark.asyncio
async def test_the_wrong_data_tier_is_named() -> None:
    """It answers empty lists, and the other tier does not."""
    async with _gateway(replace(BUSY, live_tier=True)) as gateway:
        checks = await _examine(_config(gateway))
    assert "contracts" in _verdicts(checks, Verdict.FAILED)
    assert "set gateway.live = true" in checks["contracts"].advice


@pytest.mark.asyncio
async def test_an_unknown_contract_is_named() -> None:
    """The others are looked at all the same."""
    async with _gateway() as gateway:
        subscribe = {"subscribe": [{"contract": "NOPE"}, {"contract": "MES"}]}
        config = _config(gateway).model_copy(update={"subscribe": load_config(subscribe).subscribe})
        checks = await _examine(config)
    assert _verdicts(checks, Verdict.FAILED) == ["contract NOPE"]
    assert [name for name in checks if name.startswith("first data of MES")]


@pytest.mark.asyncio
async def test_a_refused_subscription_fails() -> None:
    """The hub's own words are told."""
    async with _gateway() as gateway:
        gateway.faults.spoil_calls(1, "no market data for this account")
        checks = await _examine(_config(gateway, gateway={"user_hub": False}))
    (failed,) = _verdicts(checks, Verdict.FAILED)
    assert failed.startswith("first data of MES")
    assert "no market data for this account" in checks[failed].detail


@pytest.mark.asyncio
async def test_silence_of_an_open_market_fails() -> None:
    """Subscribed and no data: the entitlement, or a quiet contract."""
    async with _gateway(replace(BUSY, trades_max=0)) as gateway:
        options = replace(OPTIONS, data_timeout_s=0.05)
        checks = await _examine(_config(gateway, gateway={"user_hub": False}), options)
        silent = [name for name in checks if name.startswith("first data")]
    assert _verdicts(checks, Verdict.FAILED) == silent
    assert "entitlement" in checks[silent[0]].advice


@pytest.mark.asyncio
async def test_a_closed_market_is_no_failure() -> None:
    """It says until when, and does not wait."""

    class Sunday(SystemClock):
        """Sunday 2026-01-11, 12:00 in Chicago."""

        def now_ns(self) -> int:
            """The same moment at every look."""
            return 1_768_154_400_000_000_000

    async with _gateway() as gateway:
        config = _config(gateway, calendar={"default": "cme"}, gateway={"user_hub": False})
        checks = await _examine(config, clock=Sunday())
    (data,) = (check for name, check in checks.items() if name.startswith("first data"))
    assert data.verdict is Verdict.NOTE
    assert "closed until 2026-01-11T23:00:00" in data.detail
    assert _verdicts(checks, Verdict.FAILED) == []


@pytest.mark.asyncio
async def test_a_faulty_configuration_is_the_whole_report(tmp_path: Path) -> None:
    """Every fault is a check of its own, and nothing is contacted."""
    path = tmp_path / "tapekeeper.toml"
    path.write_text("[gateway]\nnegotiat = true\n[bars]\nkeep = 0\n", encoding="utf-8")
    report = await examine(path, OPTIONS, Outside(SystemClock(), Seeded(1, "doctor")))
    assert [check.verdict for check in report.checks] == [Verdict.FAILED] * 2
    assert "negotiate" in report.checks[0].detail
    assert not report.configured


@pytest.mark.asyncio
@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
async def test_a_key_file_that_others_may_read_fails(tmp_path: Path) -> None:
    """What to do is in the sentence."""
    (tmp_path / "gateway.key").write_text("test-key-not-a-secret", encoding="utf-8")
    (tmp_path / "gateway.key").chmod(0o644)
    path = tmp_path / "tapekeeper.toml"
    path.write_text('[gateway]\napi_key_file = "gateway.key"\n', encoding="utf-8")
    checks = await _examine(path)
    assert _verdicts(checks, Verdict.FAILED) == ["key"]
    assert "chmod 600" in checks["key"].detail


@pytest.mark.asyncio
@pytest.mark.parametrize("source", ["file", "variable"])
async def test_where_the_key_comes_from_is_told(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place, never the key."""
    async with _gateway() as gateway:
        urls = gateway.urls
        path = tmp_path / "tapekeeper.toml"
        lines = ["[gateway]", f'rest_url = "{urls.rest}"', f'market_hub_url = "{urls.market_hub}"']
        lines += ["user_hub = false", f'user_name = "{TEST_USER}"']
        if source == "file":
            (tmp_path / "gateway.key").write_text(TEST_API_KEY, encoding="utf-8")
            (tmp_path / "gateway.key").chmod(0o600)
            lines.append('api_key_file = "gateway.key"')
        else:
            monkeypatch.setenv("TAPEKEEPER_GATEWAY__API_KEY", TEST_API_KEY)
        lines += ["[calendar]", 'default = "24x7"']
        path.write_text("\n".join(lines), encoding="utf-8")
        checks = await _examine(path)
    assert checks["key"].verdict is Verdict.OK
    expected = "gateway.key" if source == "file" else "TAPEKEEPER_GATEWAY__API_KEY"
    assert expected in checks["key"].detail
    assert _verdicts(checks, Verdict.FAILED) == []


REPORT = Report(
    (
        Check("login", Verdict.OK, "it works"),
        Check("clock", Verdict.FAILED, "it is wrong", "set it"),
    )
)


def test_a_line_has_the_verdict_the_reason_and_what_to_do() -> None:
    """One line a check, and one for the whole."""
    assert [check_line(check) for check in REPORT.checks] == [
        "ok      login: it works",
        "failed  clock: it is wrong -> set it",
    ]
    assert summary_line(REPORT) == "not usable: clock"
    assert summary_line(Report(REPORT.checks[:1])) == "usable"


def test_json_is_one_object_for_programs() -> None:
    """With the same members as the checks."""
    read = json.loads(report_json(REPORT))
    assert read["usable"] is False
    assert read["checks"][1] == {
        "name": "clock",
        "verdict": "failed",
        "detail": "it is wrong",
        "advice": "set it",
    }


class TestCommand:
    def test_a_faulty_configuration_is_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The user can mend it here."""
        assert main(["doctor", str(tmp_path / "absent.toml")]) == 2
        assert "failed  configuration: there is no configuration file" in capsys.readouterr().out

    def test_a_gateway_that_is_away_is_3(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The trouble is outside; with --json there is nothing but the object."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            path = tmp_path / "tapekeeper.toml"
            path.write_text(
                f'[gateway]\nrest_url = "{url}"\nmarket_hub_url = "{url}/hubs/market"\n'
                f'user_hub = false\nuser_name = "{TEST_USER}"\napi_key = "{TEST_API_KEY}"\n',
                encoding="utf-8",
            )
            path.chmod(0o600)
            assert main(["doctor", str(path), "--json"]) == 3
        assert json.loads(capsys.readouterr().out)["usable"] is False

    @pytest.mark.parametrize("seconds", ["0", "nan"])
    def test_no_time_to_wait_is_2(self, seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
        """A wait that is none is refused before anything is read."""
        assert main(["doctor", "absent.toml", "--wait-s", seconds]) == 2
        assert "seconds to wait" in capsys.readouterr().err
