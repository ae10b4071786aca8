"""The one configuration object, read from a TOML file and the environment, validated once.

Precedence: an environment variable (`TAPEKEEPER_<SECTION>__<KEY>`) wins over the file, the file
over the default. What comes out is frozen; nothing reads a file or a variable afterwards.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tapekeeper.app.config_archive import ArchiveConfig, TradesConfig
from tapekeeper.app.config_calendar import CalendarConfig
from tapekeeper.app.config_errors import (
    SENTENCE,
    Variables,
    sentences,
    unknown_variable,
)
from tapekeeper.app.config_journal import JournalConfig
from tapekeeper.app.config_limits import LimitsConfig
from tapekeeper.app.config_line import LINE, LineConfig
from tapekeeper.app.config_queues import QueuesConfig
from tapekeeper.app.config_types import (
    Count,
    Milliseconds,
    Seconds,
    SecretText,
    Section,
    Timeframes,
    Url,
    Urls,
    UserPath,
)
from tapekeeper.app.config_validation import ValidationConfig
from tapekeeper.app.start import StartMode
from tapekeeper.core.bars import BarPolicy
from tapekeeper.core.freshness import FreshnessPolicy
from tapekeeper.errors import ConfigError, UsageError
from tapekeeper.model.secret import Secret
from tapekeeper.model.timeframe import Timeframe

ENV_PREFIX = "TAPEKEEPER_"
ENV_DELIMITER = "__"

DEFAULT_PORT = 8790
"""Where `tapekeeper gateway` listens unless told otherwise; the default addresses point at it,
so that an incomplete configuration never contacts somebody's real gateway."""

DEFAULT_TIMEFRAMES = tuple(
    Timeframe.parse(text) for text in ("1s", "5s", "15s", "1m", "5m", "15m", "1h", "4h", "1d")
)
REDUNDANCY_MAX = 8
SESSION_MIN_S = 60.0
"""No younger connection is replaced for its age: to bring another one up takes half a minute."""


# --- the sections ----------------------------------------------------------------------------


class GatewayConfig(Section):
    """Where the gateway is, and who you are there."""

    rest_url: Url = Field(
        default=f"http://127.0.0.1:{DEFAULT_PORT}",
        description="Base URL of the REST interface, without /api.",
    )
    market_hub_url: Url = Field(
        default=f"http://127.0.0.1:{DEFAULT_PORT}/hubs/market", description="URL of the market hub."
    )
    user_hub_url: Url = Field(
        default=f"http://127.0.0.1:{DEFAULT_PORT}/hubs/user", description="URL of the user hub."
    )
    market_hub_fallbacks: Urls = Field(
        default=(),
        description="More URLs of the market hub, in order. They are used while the first one "
        "fails, and left again when it is back.",
    )
    user_hub_fallbacks: Urls = Field(default=(), description="The same for the user hub.")
    token_refresh_share: float = Field(
        default=0.8,
        ge=0.05,
        lt=1,
        description="Part of a token's life after which it is renewed and every connection is "
        "replaced by one with the new token.",
    )
    user_name: str = Field(default="", description="The user name that the API key belongs to.")
    api_key: SecretText | None = Field(
        default=None,
        description="The API key. Best given as TAPEKEEPER_GATEWAY__API_KEY or in api_key_file; "
        "here only if nobody but you can read this file (chmod 600).",
        examples=["test-key-not-a-secret"],
    )
    api_key_file: UserPath | None = Field(
        default=None,
        description="A file that holds nothing but the API key and that nobody but you can read "
        "(chmod 600).",
        examples=["gateway.key"],
    )
    auth: Literal["header", "query", "auto"] = Field(
        default="header",
        description="How hubs get the token: in the Authorization header, or in the query string "
        "for a gateway that reads it nowhere else. A query string ends up in the logs of others. "
        "auto starts with the header, tries the query string once after a fresh token was "
        "refused, and keeps what works.",
    )
    negotiate: bool = Field(
        default=True, description="Negotiate before a hub connection is opened."
    )
    stateful_reconnect: bool = Field(
        default=False,
        description="Ask for hub connections that outlive a lost network connection: they go on "
        "where they were, with nothing lost. Needs negotiate, and a gateway that offers it; "
        "where it does not, nothing changes.",
    )
    protocol: Literal["json", "messagepack"] = Field(
        default="json",
        description="What hub connections speak: json, which every hub does, or messagepack, which "
        "takes less of the network where the gateway has it.",
    )
    live: bool = Field(
        default=False, description="Search contracts in the live data tier (true) or the sim tier."
    )
    user_hub: bool = Field(
        default=True, description="Connect to the user hub as well (accounts, orders, fills)."
    )

    @model_validator(mode="after")
    def _negotiated(self) -> Self:
        if self.stateful_reconnect and not self.negotiate:
            raise PydanticCustomError(
                SENTENCE, "stateful_reconnect needs negotiate = true: it is agreed on there"
            )
        return self


class PoolConfig(Section):
    """How many connections there are per hub, and how they replace each other."""

    redundancy: Count = Field(
        default=1,
        ge=1,
        le=REDUNDANCY_MAX,
        description="Connections per hub that deliver at the same time; each print counts once. "
        "While one is replaced there is one more.",
    )
    lines_max: Count | None = Field(
        default=None,
        ge=1,
        le=REDUNDANCY_MAX + 1,
        description="Connections per hub that may exist at the same time, where the gateway has a "
        "limit. Without room for one more than redundancy, every replacement leaves a gap.",
        examples=[2],
    )
    overlap_s: Seconds = Field(
        default=2.0,
        description="Seconds the old connection goes on after the new one is subscribed.",
    )
    handover_timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds the new connection has to be subscribed; after them the old one "
        "stays and it is tried again later.",
    )
    max_session_s: Seconds | None = Field(
        default=None,
        ge=SESSION_MIN_S,
        description="Age in seconds at which a connection is replaced, where the gateway limits "
        "it.",
        examples=[43_200.0],
    )
    down_after_s: Seconds = Field(
        default=LINE.down_after_s,
        description="Seconds without any live connection after which a hub is reported as down; "
        "trying goes on.",
    )

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.lines_max is not None and self.lines_max < self.redundancy:
            raise PydanticCustomError(SENTENCE, "lines_max must be at least redundancy")
        return self


class BarsConfig(Section):
    """How bars are made and kept."""

    timeframes: Timeframes = Field(
        default=DEFAULT_TIMEFRAMES,
        description="Timeframes of subscriptions that name none: a whole number and "
        "one of s, m, h, d, w, mo, or of tick, vol, dollar, range, renko (such as 500tick).",
    )
    grace_ms: Milliseconds = Field(
        default=1_500,
        description="Milliseconds after a bar's end during which a print still enters it, "
        "when no later print has closed it.",
    )
    lateness_ms: Milliseconds = Field(
        default=0,
        description="Milliseconds by which a print may be behind the latest one of its contract "
        "before its bar is closed without it. Bars close later by as much.",
    )
    revise_for_s: Seconds = Field(
        default=3_600.0,
        description="Seconds for which a print that is later still revises its closed bars; "
        "beyond them it is quarantined as late.",
    )
    revise_max: Count = Field(
        default=50_000,
        ge=1,
        le=10_000_000,
        description="Closed bars of each measure (such as 10tick) that are kept to be revised, at "
        "most; about 500 bytes each, and up to twice as many for a while. What is older is "
        "forgotten, which is counted and logged.",
    )
    empty: Literal["omit", "carry"] = Field(
        default="omit",
        description="What becomes of an interval without a trade while the market is open: no "
        "bar, or one that repeats the last close and is marked quiet (or gap).",
    )
    carry_max: Count = Field(
        default=1_000,
        ge=1,
        le=1_000_000,
        description="Bars in a row that repeat a close, at most.",
    )
    keep: Count = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Closed bars kept in memory, per timeframe.",
    )

    def policy(self, lateness_ms: int | None = None) -> BarPolicy:
        """The same as the bars have it, with a lateness of one contract's own.

        Raises:
            UsageError: the lateness is negative.
        """
        lateness_ms = self.lateness_ms if lateness_ms is None else lateness_ms
        if lateness_ms < 0:
            raise UsageError(f"lateness_ms is {lateness_ms}, and must be 0 or more")
        carry_max = self.carry_max if self.empty == "carry" else 0
        horizon_ns = round(self.revise_for_s * 1e9)
        return BarPolicy(lateness_ms * 1_000_000, horizon_ns, carry_max, self.revise_max)


class QuotesConfig(Section):
    """How quotes are kept; the journal has every one."""

    keep: Count = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Quotes kept in memory, per contract.",
    )


class GapsConfig(Section):
    """How gaps are kept; the ledger beside the journal has every one."""

    keep: Count = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Gaps kept in memory, for reading.",
    )


class HistoryConfig(Section):
    """What is asked of the gateway's own bars: what was missed, and what was before."""

    enabled: bool = Field(
        default=True,
        description="Repair gaps from the gateway's bars, and warm up what is newly followed.",
    )
    settle_s: Seconds = Field(
        default=5.0,
        description="Seconds after the end of a bar until the gateway is asked for its own of it.",
    )
    warm_up_bars: Count = Field(
        default=500,
        ge=0,
        le=20_000,
        description="Bars of each timeframe before the moment from which a contract is followed.",
    )


class Subscription(Section):
    """One contract to follow, and its timeframes."""

    contract: str = Field(
        min_length=1,
        description="A contract id, a name such as MESZ6, or a product such as MES for its "
        "front contract.",
        examples=["MES"],
    )
    timeframes: Timeframes | None = Field(
        default=None,
        description="Its timeframes; without them, those of [bars].",
        examples=[["1s", "1m", "1h"]],
    )
    depth: bool = Field(
        default=False,
        description="Whether its depth of book is subscribed, too, if the gateway grants it.",
        examples=[False],
    )
    lateness_ms: Milliseconds | None = Field(
        default=None, description="As in [bars], for this contract.", examples=[250]
    )


class FeedConfig(Section):
    """The queue between the connections and the bars."""

    max_frames: Count = Field(
        default=8_192, ge=1, le=10_000_000, description="Frames that may wait in the queue."
    )
    max_mb: Count = Field(
        default=64, ge=1, le=65_536, description="Megabytes of memory that they may take."
    )
    on_full: Literal["block", "spill", "shed"] = Field(
        default="spill",
        description="What happens when it is full: spill puts frames on the disk, in order; block "
        "lets reading wait, which costs the connection if it lasts; shed gives frames of the "
        "market up, with a gap of cause overflow.",
    )
    spill_mb: Count = Field(
        default=16_384,
        ge=1,
        le=10_000_000,
        description="Megabytes that may wait on the disk, in the folder spill of the journal.",
    )


class FreshnessConfig(Section):
    """When a subscription is taken to have frozen, although its connection is alive.

    Only while its market is open, and by the rate at which its own data come.
    """

    floor_s: Seconds = Field(
        default=60.0, description="Seconds of silence below which nothing is ever stale."
    )
    factor: float = Field(
        default=20.0,
        ge=2,
        le=1_000,
        description="So many times the longest usual gap between its ticks is stale.",
    )
    open_grace_s: Seconds = Field(
        default=120.0, description="Seconds after an open from which on silence counts."
    )
    unknown_s: Seconds = Field(
        default=1_800.0,
        description="Seconds of silence after which a subscription is asked for again whose rate "
        "is not known yet.",
    )
    slow_s: Seconds = Field(
        default=3_600.0,
        description="A subscription that it would take longer to be sure of is not judged. At "
        "least floor_s and unknown_s.",
    )

    @model_validator(mode="after")
    def _judges(self) -> Self:
        if self.slow_s < max(self.floor_s, self.unknown_s):
            raise PydanticCustomError(
                SENTENCE, "slow_s must be at least floor_s and unknown_s, or silence is not judged"
            )
        return self

    def policy(self) -> FreshnessPolicy:
        """The same as the judge has it."""
        return FreshnessPolicy(
            floor_ns=round(self.floor_s * 1e9),
            factor=self.factor,
            open_grace_ns=round(self.open_grace_s * 1e9),
            unknown_ns=round(self.unknown_s * 1e9),
            slow_ns=round(self.slow_s * 1e9),
        )


class AuditConfig(Section):
    """How the gateway's own bars are used to check those of the tape; nothing is overwritten."""

    compare: bool = Field(
        default=True, description="Whether closed bars are compared with the gateway's own."
    )
    compare_every_s: Seconds = Field(
        default=900.0,
        description="Seconds between two comparisons; each asks once for each contract.",
    )
    settle_s: Seconds = Field(
        default=120.0,
        description="Seconds after a bar's end before it is compared, so that late prints are in.",
    )


class ServiceConfig(Section):
    """How `tapekeeper run` behaves as a service."""

    start: StartMode = Field(
        default="wait",
        description="What becomes of a start while the gateway cannot be reached: wait goes on "
        "trying for ever and says so, fail ends the command. A refused key, a refused "
        "subscription and an unknown contract are errors at once in both.",
    )


class LogConfig(Section):
    """What is said while running."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important events that are shown."
    )
    format: Literal["console", "json"] = Field(
        default="console", description="Lines for people, or one JSON object per line."
    )


class Config(BaseSettings):
    """All settings. Build one with `load_config`; constructing it reads no environment."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
        env_ignore_empty=True,
    )

    gateway: GatewayConfig = GatewayConfig()
    line: LineConfig = LineConfig()
    pool: PoolConfig = PoolConfig()
    bars: BarsConfig = BarsConfig()
    quotes: QuotesConfig = QuotesConfig()
    trades: TradesConfig = TradesConfig()
    gaps: GapsConfig = GapsConfig()
    validation: ValidationConfig = ValidationConfig()
    history: HistoryConfig = HistoryConfig()
    subscribe: tuple[Subscription, ...] = Field(default=(), description="Contracts to follow.")
    calendar: CalendarConfig = CalendarConfig()
    journal: JournalConfig = JournalConfig()
    archive: ArchiveConfig = ArchiveConfig()
    feed: FeedConfig = FeedConfig()
    queues: QueuesConfig = QueuesConfig()
    limits: LimitsConfig = LimitsConfig()
    freshness: FreshnessConfig = FreshnessConfig()
    audit: AuditConfig = AuditConfig()
    service: ServiceConfig = ServiceConfig()
    log: LogConfig = LogConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - read in load_config, once
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not a source of ours
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not a source of ours
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments, so that a Config made in code is what the code says."""
        return (init_settings,)

    def credentials(self) -> tuple[str, Secret]:
        """User name and API key.

        Raises:
            ConfigError: one of them is not set.
        """
        if not self.gateway.user_name:
            raise ConfigError(
                "gateway.user_name is not set: give it in the file or as "
                f"{ENV_PREFIX}GATEWAY{ENV_DELIMITER}USER_NAME"
            )
        if self.gateway.api_key is None:
            raise ConfigError(
                f"there is no API key: set {ENV_PREFIX}GATEWAY{ENV_DELIMITER}API_KEY or "
                "gateway.api_key_file"
            )
        return self.gateway.user_name, self.gateway.api_key


# --- loading ---------------------------------------------------------------------------------


def load_config(source: Config | Path | str | Mapping[str, Any] | None = None) -> Config:
    """Read, merge and validate a configuration.

    Args:
        source: path of a TOML file, or a mapping in the shape of one, or None for the defaults;
            the environment is laid over it. A `Config` is returned as it is.

    Raises:
        ConfigError: one line per fault, each naming the setting and what it may be.
    """
    try:
        return _loaded(source)
    except ConfigError as error:
        wrong = str(error)
    # Raised here, because the frames below have whole files and variables among their locals,
    # and with them perhaps a key; some reporters show locals.
    raise ConfigError(wrong) from None


def _loaded(source: Config | Path | str | Mapping[str, Any] | None) -> Config:
    if isinstance(source, Config):
        return source
    base = Path(source) if isinstance(source, Path | str) else None
    given: Mapping[str, Any]
    if base is not None:
        given = _read_toml(base)
    elif isinstance(source, Mapping):
        given = source
    else:
        given = {}
    environment = _read_environment()
    try:
        config = Config.model_validate(_overlaid(given, environment))
    except ValidationError as error:
        # `from None`: the original holds the input, and with it perhaps a key.
        variables = Variables(ENV_PREFIX, ENV_DELIMITER, environment)
        place = "" if base is None else f"{base}: "
        raise ConfigError("\n".join(sentences(error, Config, variables, place))) from None
    return _with_key_file(config)


def _read_toml(path: Path) -> dict[str, Any]:
    path = path.expanduser()
    try:
        # utf-8-sig: editors on Windows put a byte order mark in front.
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a TOML file: it is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    _check_key_in_file(path, tables.get("gateway"))
    _anchor(tables, path.parent)
    return tables


def _check_key_in_file(path: Path, gateway: object) -> None:
    if not isinstance(gateway, dict) or "api_key" not in gateway:
        return
    if "api_key_file" in gateway:
        raise ConfigError(f"{path} has both gateway.api_key and gateway.api_key_file: keep one")
    _require_private(path)


def _anchor(tables: dict[str, Any], folder: Path) -> None:
    # A service is started from anywhere; its files stay beside its configuration, the journal
    # also where the file says nothing of it.
    journal = tables.setdefault("journal", {})
    if isinstance(journal, dict):
        journal.setdefault("dir", str(JournalConfig().dir))
    archive, gateway = tables.get("archive"), tables.get("gateway")
    for table, key in ((journal, "dir"), (archive, "dir"), (gateway, "api_key_file")):
        if isinstance(table, dict) and isinstance(table.get(key), str):
            table[key] = str(folder / Path(table[key]).expanduser())


def _read_environment() -> dict[str, Any]:
    for name, value in os.environ.items():
        if name.upper().startswith(ENV_PREFIX):
            section, *keys = name.upper().removeprefix(ENV_PREFIX).lower().split(ENV_DELIMITER)
            if section not in Config.model_fields:
                raise ConfigError(unknown_variable(name, section, Config, ENV_PREFIX))
            if value and not keys and not _is_json(value):
                raise ConfigError(
                    f"variable {name} stands for the whole of {section} and must be JSON: one "
                    f"setting of it is {ENV_PREFIX}{section.upper()}{ENV_DELIMITER}<KEY>"
                )
    try:
        return EnvSettingsSource(Config)()
    except SettingsError as error:
        raise ConfigError(f"cannot read the environment: {error}; it must be JSON") from None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = _overlaid(old, value)
        else:
            merged[key] = value
    return merged


def _with_key_file(config: Config) -> Config:
    path = config.gateway.api_key_file
    if path is None or config.gateway.api_key is not None:
        return config
    try:
        _require_private(path)
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise ConfigError(f"gateway.api_key_file: there is no file {path}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"gateway.api_key_file: {path} is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"gateway.api_key_file: cannot read {path}: {error.strerror}") from None
    if not text:
        raise ConfigError(f"gateway.api_key_file: {path} is empty")
    gateway = config.gateway.model_copy(update={"api_key": Secret(text)})
    return config.model_copy(update={"gateway": gateway})


def _require_private(path: Path) -> None:
    # Windows has no such bits; there the folder's access list is what protects a profile.
    if os.name != "posix":
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} holds an API key and others may read it (mode {mode:04o}): run chmod 600 on it"
        )
