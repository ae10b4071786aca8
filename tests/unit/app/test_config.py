"""The configuration: what is accepted, what wins, and what is said about a mistake."""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from tapekeeper.app.config import Config, load_config
from tapekeeper.app.config_errors import setting_names
from tapekeeper.app.config_example import example
from tapekeeper.core.freshness import FreshnessPolicy
from tapekeeper.errors import ConfigError
from tapekeeper.model.secret import Secret
from tapekeeper.model.timeframe import Timeframe

TEST_KEY = "test-key-not-a-secret"
posix_only = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TAPEKEEPER_"):
            monkeypatch.delenv(name)


def _write(folder: Path, text: str, *, mode: int = 0o600) -> Path:
    path = folder / "tapekeeper.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def _complaint(source: Path | dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(source)
    return str(caught.value)


class TestPrecedence:
    def test_defaults_stand_without_a_file(self) -> None:
        """A configuration that says nothing is the defaults."""
        assert load_config() == Config()

    def test_file_wins_over_default(self, tmp_path: Path) -> None:
        """What the file says replaces the default, and only that."""
        config = load_config(_write(tmp_path, "[line]\nkeep_alive_s = 5\n"))
        assert config.line.keep_alive_s == 5.0
        assert config.line.server_timeout_s == Config().line.server_timeout_s

    def test_environment_wins_over_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A variable replaces one key and leaves its neighbours in the file alone."""
        monkeypatch.setenv("TAPEKEEPER_LINE__KEEP_ALIVE_S", "7.5")
        path = _write(tmp_path, "[line]\nkeep_alive_s = 5\nconnect_timeout_s = 4\n")
        line = load_config(path).line
        assert (line.keep_alive_s, line.connect_timeout_s) == (7.5, 4.0)

    def test_environment_is_laid_over_a_mapping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A mapping has the place of the file."""
        monkeypatch.setenv("TAPEKEEPER_BARS__KEEP", "10")
        assert load_config({"bars": {"keep": 99, "grace_ms": 3}}).bars.keep == 10

    def test_a_config_is_taken_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Config made in code is what the code says, whatever the environment holds."""
        monkeypatch.setenv("TAPEKEEPER_BARS__KEEP", "10")
        config = Config()
        assert load_config(config) is config
        assert config.bars.keep == 20_000

    def test_lists_in_variables_are_written_with_commas(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Timeframes in a variable need no JSON."""
        monkeypatch.setenv("TAPEKEEPER_BARS__TIMEFRAMES", "1s, 15m")
        assert load_config().bars.timeframes == (Timeframe.parse("1s"), Timeframe.parse("15m"))

    def test_subscriptions_in_a_variable_are_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A list of tables can come from a variable too."""
        monkeypatch.setenv("TAPEKEEPER_SUBSCRIBE", '[{"contract": "MES"}]')
        assert [entry.contract for entry in load_config().subscribe] == ["MES"]

    def test_configuration_is_frozen(self) -> None:
        """Nothing changes a setting after validation."""
        config = Config()
        with pytest.raises(ValidationError, match="frozen"):
            config.line.keep_alive_s = 1.0


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("table", "unknown", "nearest"),
        [
            ({"gateway": {"rest_ulr": ""}}, "gateway.rest_ulr", "gateway.rest_url"),
            ({"gatway": {}}, "gatway", "gateway"),
            ({"rest_url": ""}, "rest_url", "gateway.rest_url"),
            ({"journal": {"keep_alive": 1}}, "journal.keep_alive", "line.keep_alive_s"),
            (
                {"calendar": {"exceptions": [{"date": "2026-01-02", "closd": True}]}},
                "calendar.exceptions[0].closd",
                "calendar.exceptions[0].closed",
            ),
        ],
    )
    def test_names_the_nearest(self, table: dict[str, object], unknown: str, nearest: str) -> None:
        """An unknown key is named with its path and the nearest valid name."""
        lines = _complaint(table).splitlines()
        assert f"unknown setting {unknown}: the nearest valid name is {nearest}" in lines

    def test_every_unknown_key_has_a_suggestion(self) -> None:
        """Even a key that resembles nothing is answered with a name that exists."""
        near = _complaint({"line": {"qqq": 1}}).rsplit(" ", 1)[-1]
        assert near in set(setting_names(Config))

    @pytest.mark.parametrize(
        ("variable", "expected"),
        [
            ("TAPEKEEPER_GATEWAY__APIKEY", "gateway.api_key"),
            ("TAPEKEEPER_GATWAY__API_KEY", "TAPEKEEPER_GATEWAY__API_KEY"),
        ],
    )
    def test_variables_too(
        self, variable: str, expected: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A misspelt variable is refused by its name, without its value."""
        monkeypatch.setenv(variable, TEST_KEY)
        text = _complaint({})
        assert variable in text
        assert text.endswith(expected)
        assert TEST_KEY not in text


class TestValues:
    @pytest.mark.parametrize(
        ("table", "sentence"),
        [
            ({"line": {"keep_alive_s": "x"}}, "line.keep_alive_s is 'x' but must be a number"),
            ({"line": {"keep_alive_s": True}}, "line.keep_alive_s is True but must be a number"),
            (
                {"line": {"connect_timeout_s": -1}},
                "line.connect_timeout_s is -1 but must be greater than 0",
            ),
            (
                {"line": {"connect_timeout_s": float("inf")}},
                "line.connect_timeout_s is inf but must be a finite number",
            ),
            ({"bars": {"keep": 0}}, "bars.keep is 0 but must be at least 1"),
            ({"bars": {"grace_ms": 1.5}}, "bars.grace_ms is 1.5 but must be a whole number"),
            ({"line": 3}, "line must be a table"),
            ({"subscribe": 3}, "subscribe must be a list"),
            (
                {"subscribe": {"contract": "MES"}},
                "subscribe must be a list: write [[subscribe]] once for each entry",
            ),
            (
                {"subscribe": [{"contract": "MES", "timeframes": []}]},
                "subscribe[0].timeframes is [] but must have at least 1",
            ),
            (
                {"journal": {"dir": 5}},
                "journal.dir is 5 but must be a text that names a file or folder",
            ),
            ({"subscribe": [{}]}, "subscribe[0].contract is missing"),
            (
                {"log": {"level": "loud"}},
                "log.level is 'loud' but must be 'debug', 'info', 'warning' or 'error'",
            ),
            (
                {"line": {"keep_alive_s": 40}},
                "line: server_timeout_s must be greater than keep_alive_s",
            ),
            (
                {"line": {"backoff_base_ms": 5, "backoff_cap_ms": 4}},
                "line: backoff_cap_ms must be at least backoff_base_ms",
            ),
            (
                {"gateway": {"stateful_reconnect": True, "negotiate": False}},
                "gateway: stateful_reconnect needs negotiate = true: it is agreed on there",
            ),
            (
                {"calendar": {"exceptions": [{"date": "2026-12-24"}]}},
                "calendar.exceptions[0]: needs either closed = true or an open or close time",
            ),
        ],
    )
    def test_one_sentence_names_key_value_and_what_is_allowed(
        self, table: dict[str, object], sentence: str
    ) -> None:
        """A wrong value is answered with one sentence."""
        assert _complaint(table) == sentence

    @pytest.mark.parametrize(
        "calendar",
        [
            {"default": "cmee"},
            {"by_product": {"MES": "cmee"}},
            {"exceptions": [{"calendar": "cmee", "date": "2026-12-24", "closed": True}]},
        ],
    )
    def test_an_unknown_calendar_is_named(self, calendar: dict[str, object]) -> None:
        """A calendar that does not exist is refused wherever it is named."""
        text = _complaint({"calendar": calendar})
        assert text == "calendar: unknown calendar 'cmee'; did you mean 'cme'?"

    def test_exceptions_amend_their_calendar(self) -> None:
        """A closed day has no session, an early close ends it, and other calendars do not care."""
        exceptions = [
            {"date": "2026-03-03", "closed": True},
            {"date": "2026-03-04", "close": "12:15"},
        ]
        calendar = load_config({"calendar": {"exceptions": exceptions}}).calendar
        assert calendar.calendar("cme").session_on(dt.date(2026, 3, 3)) is None
        early = calendar.calendar("cme").session_on(dt.date(2026, 3, 4))
        assert early is not None
        close = dt.datetime(2026, 3, 4, 12, 15, tzinfo=ZoneInfo("America/Chicago"))
        assert early.close_ns == int(close.timestamp()) * 10**9
        assert calendar.calendar("24x7").session_on(dt.date(2026, 3, 3)) is not None

    def test_an_exception_given_twice_is_refused(self) -> None:
        """Two exceptions for one date leave open which one counts."""
        twice = [{"date": "2026-03-03", "closed": True}] * 2
        assert "given twice" in _complaint({"calendar": {"exceptions": twice}})

    def test_an_unknown_timeframe_is_named(self) -> None:
        """The timeframe's own rule is what the sentence gives."""
        text = _complaint({"bars": {"timeframes": ["1m", "7q"]}})
        assert text.startswith("bars.timeframes[1]: unknown timeframe '7q': write a whole number")

    def test_several_faults_are_one_line_each(self, tmp_path: Path) -> None:
        """Nobody has to repair a file one run at a time."""
        path = _write(tmp_path, "[line]\nx = 1\n[bars]\nkeep = 0\n[log]\nformat = 'xml'\n")
        lines = _complaint(path).splitlines()
        assert len(lines) == 3
        assert all(line.startswith(f"{path}: ") for line in lines)

    def test_equal_timeframes_count_once(self) -> None:
        """A timeframe given twice is one timeframe, in the order given."""
        config = load_config({"bars": {"timeframes": ["5m", "1s", "5m"]}})
        assert [str(timeframe) for timeframe in config.bars.timeframes] == ["5m", "1s"]

    def test_calendar_of_a_product(self) -> None:
        """A product's calendar is found without regard to case; others have the default."""
        calendar = load_config({"calendar": {"by_product": {"BTCUSDT": "24x7"}}}).calendar
        assert (calendar.name_for("btcusdt"), calendar.name_for("MES")) == ("24x7", "cme")


def test_a_variable_for_a_whole_section_must_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgets the key of a setting is told the name of the variable and its form."""
    monkeypatch.setenv("TAPEKEEPER_GATEWAY", "trader")
    assert _complaint({}) == (
        "variable TAPEKEEPER_GATEWAY stands for the whole of gateway and must be JSON: one "
        "setting of it is TAPEKEEPER_GATEWAY__<KEY>"
    )


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "ftp://gateway.invalid",
            "gateway.invalid",
            "https://",
            "https://me:test-password@gateway.invalid",
            "https://gateway.invalid/hubs?Access_Token=test-token",
            "https://gateway.invalid:99999",
            "https://gateway.invalid:0",
            "https://[::1",
            "https://api..gateway.invalid",
            "http://gateway.invalid/hubs/market",
            "http://127.0.0.1.gateway.invalid",
            "ws://gateway.invalid",
        ],
    )
    def test_refused_without_being_shown(self, url: str) -> None:
        """An address that may hold a credential is refused, and not repeated."""
        text = _complaint({"gateway": {"market_hub_url": url}})
        assert text.startswith("gateway.market_hub_url must ")
        assert url not in text.replace("https:// and", "")
        assert "test-" not in text

    @pytest.mark.parametrize("key", ["rest_url", "market_hub_url", "user_hub_url"])
    def test_plain_http_is_for_this_machine(self, key: str) -> None:
        """A token never crosses a network unencrypted; on loopback there is none to cross."""
        assert _complaint({"gateway": {key: "http://gateway.invalid"}}) == (
            f"gateway.{key} must start with https://: plain http:// is for loopback addresses "
            "only, because anybody on the way could read the token"
        )
        for host in ("127.0.0.1:1", "localhost", "[::1]:8790"):
            config = load_config({"gateway": {key: f"http://{host}"}})
            assert getattr(config.gateway, key) == f"http://{host}"

    def test_trailing_slash_does_not_matter(self) -> None:
        """Paths are appended to the REST address, so it ends without a slash."""
        config = load_config({"gateway": {"rest_url": "https://gateway.invalid/"}})
        assert config.gateway.rest_url == "https://gateway.invalid"


class TestSecrets:
    def test_key_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The key becomes a Secret, which no repr shows."""
        monkeypatch.setenv("TAPEKEEPER_GATEWAY__API_KEY", TEST_KEY)
        config = load_config({"gateway": {"user_name": "trader"}})
        assert config.credentials() == ("trader", Secret(TEST_KEY))
        assert TEST_KEY not in repr(config)

    def test_key_file_is_read_from_beside_the_configuration(self, tmp_path: Path) -> None:
        """A relative path means the configuration's folder, and the line end is no part of it."""
        key = tmp_path / "gateway.key"
        key.write_text(f"{TEST_KEY}\r\n", encoding="utf-8")
        key.chmod(0o600)
        path = _write(tmp_path, "[gateway]\napi_key_file = 'gateway.key'\n", mode=0o644)
        assert load_config(path).gateway.api_key == Secret(TEST_KEY)

    @posix_only
    def test_key_file_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        """A key that others can read is no secret."""
        key = tmp_path / "gateway.key"
        key.write_text(TEST_KEY, encoding="utf-8")
        key.chmod(0o640)
        text = _complaint({"gateway": {"api_key_file": str(key)}})
        assert "others may read it (mode 0640): run chmod 600" in text
        assert TEST_KEY not in text

    def test_key_file_that_is_absent_or_empty_is_named(self, tmp_path: Path) -> None:
        """A missing key is a sentence with the file in it, not a refused login later."""
        key = tmp_path / "gateway.key"
        source: dict[str, object] = {"gateway": {"api_key_file": str(key)}}
        assert _complaint(source) == f"gateway.api_key_file: there is no file {key}"
        key.write_text("\n", encoding="utf-8")
        key.chmod(0o600)
        assert _complaint(source) == f"gateway.api_key_file: {key} is empty"

    def test_variable_wins_over_key_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With the key in the environment the file is not even read."""
        monkeypatch.setenv("TAPEKEEPER_GATEWAY__API_KEY", TEST_KEY)
        config = load_config({"gateway": {"api_key_file": str(tmp_path / "absent")}})
        assert config.gateway.api_key == Secret(TEST_KEY)

    @posix_only
    def test_key_in_the_file_needs_a_private_file(self, tmp_path: Path) -> None:
        """A key in the TOML is accepted from a 0600 file only."""
        text = f"[gateway]\napi_key = '{TEST_KEY}'\n"
        assert load_config(_write(tmp_path, text)).gateway.api_key == Secret(TEST_KEY)
        assert "others may read it (mode 0644)" in _complaint(_write(tmp_path, text, mode=0o644))

    def test_two_keys_are_one_too_many(self, tmp_path: Path) -> None:
        """A key in the file and a key file leave open which one is meant."""
        text = f"[gateway]\napi_key = '{TEST_KEY}'\napi_key_file = 'gateway.key'\n"
        assert _complaint(_write(tmp_path, text)).endswith("keep one")

    @pytest.mark.parametrize(
        "gateway",
        [{"api_key": [TEST_KEY]}, {"api_key": {"x": TEST_KEY}}, {"key": TEST_KEY}, TEST_KEY],
    )
    def test_no_error_shows_a_key(self, gateway: object) -> None:
        """Whatever is wrong with it, the value of a key is not repeated, nor kept as a cause."""
        with pytest.raises(ConfigError) as caught:
            load_config({"gateway": gateway})
        assert TEST_KEY not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    @pytest.mark.parametrize(
        ("gateway", "missing"),
        [({}, "gateway.user_name"), ({"user_name": "trader"}, "TAPEKEEPER_GATEWAY__API_KEY")],
    )
    def test_missing_credentials_say_how_to_give_them(
        self, gateway: dict[str, object], missing: str
    ) -> None:
        """Credentials are asked for when they are needed, and the sentence says where to put them.

        Commands that only read a journal need none.
        """
        config = load_config({"gateway": gateway})
        with pytest.raises(ConfigError, match=re.escape(missing)):
            config.credentials()


class TestFiles:
    def test_syntax_error_names_file_and_line(self, tmp_path: Path) -> None:
        """A slip in the TOML is found without a search."""
        path = _write(tmp_path, "[line]\nkeep_alive_s = = 5\n")
        text = _complaint(path)
        assert text.startswith(f"{path} is not valid TOML: ")
        assert "line 2" in text

    def test_absent_file(self, tmp_path: Path) -> None:
        """A file that is not there is named."""
        path = tmp_path / "nothing.toml"
        assert _complaint(path) == f"there is no configuration file {path}"

    def test_folder_in_place_of_a_file(self, tmp_path: Path) -> None:
        """A folder is not a file, and the sentence says which one it was."""
        assert _complaint(tmp_path).startswith(f"cannot read {tmp_path}: ")

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        """A binary file is not a configuration."""
        path = tmp_path / "tapekeeper.toml"
        path.write_bytes(b"\xff\xfe\x00")
        assert _complaint(path) == f"{path} is not a TOML file: it is not UTF-8 text"

    def test_byte_order_mark_is_no_content(self, tmp_path: Path) -> None:
        """An editor that writes a byte order mark does no harm."""
        path = tmp_path / "tapekeeper.toml"
        path.write_bytes(b"\xef\xbb\xbf[bars]\nkeep = 5\n")
        assert load_config(str(path)).bars.keep == 5

    def test_journal_lies_beside_the_configuration(self, tmp_path: Path) -> None:
        """A relative folder in a file does not depend on where the service was started."""
        assert load_config(_write(tmp_path, "[journal]\ndir = 'j'\n")).journal.dir == tmp_path / "j"
        assert load_config(_write(tmp_path, "")).journal.dir == tmp_path / "journal"
        elsewhere = tmp_path / "elsewhere"
        path = _write(tmp_path, f"[journal]\ndir = '{elsewhere.as_posix()}'\n")
        assert load_config(path).journal.dir == elsewhere


class TestExample:
    def test_example_is_the_defaults(self, tmp_path: Path) -> None:
        """The printed example, unchanged, is the same as no file at all."""
        unchanged, empty = tmp_path / "unchanged.toml", tmp_path / "empty.toml"
        unchanged.write_text(example(), encoding="utf-8")
        empty.write_text("", encoding="utf-8")
        assert load_config(unchanged) == load_config(empty)
        assert load_config(tomllib.loads(example())) == Config()

    def test_every_setting_is_in_it(self) -> None:
        """A setting cannot be added without appearing in the example."""
        text = example()
        for name in setting_names(Config):
            key = re.escape(name.rsplit(".", 1)[-1])
            # On a line of its own, in a table of one line, or as the head of a table.
            place = rf"^#?((.*[{{,] )?{key} = |\[+([a-z_]+\.)?{key}(\.NAME)?\])"
            assert re.search(place, text, re.MULTILINE), name

    def test_what_is_commented_out_is_valid(self, tmp_path: Path) -> None:
        """Removing the bare # gives a configuration that is accepted."""
        lines = [line for line in example().splitlines() if not line.startswith("#api_key")]
        text = "\n".join(re.sub(r"^#(?=[a-zA-Z\[])", "", line) for line in lines)
        config = load_config(_write(tmp_path, text))
        assert [entry.contract for entry in config.subscribe] == ["MES"]
        assert config.calendar.name_for("BTCUSDT") == "24x7"
        assert len(config.calendar.exceptions) == 1
        assert list(config.calendar.own) == ["NAME"]

    def test_every_setting_is_described(self) -> None:
        """No line of the example is left without a sentence that ends."""
        for name, lines in _settings_with_comments(example()):
            # Keys of the user's own stand under their tables' texts.
            if name not in {'#BTCUSDT = "24x7"', '#BTC = "last friday"'}:
                assert "".join(lines[-1:]).endswith("."), name


def _settings_with_comments(text: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    above: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            above.append(line)
        else:
            if line:
                found.append((line, above))
            above = []
    return found


def test_freshness_settings_are_the_judges_policy() -> None:
    """Seconds become nanoseconds; the defaults of the file are those of the judge."""
    assert Config().freshness.policy() == FreshnessPolicy()
    config = load_config({"freshness": {"floor_s": 30, "factor": 5.0}})
    policy = config.freshness.policy()
    assert (policy.floor_ns, policy.factor) == (30_000_000_000, 5.0)
    with pytest.raises(ConfigError, match="factor"):
        load_config({"freshness": {"factor": 1.0}})
