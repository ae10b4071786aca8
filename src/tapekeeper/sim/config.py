"""What a simulated gateway is told: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from tapekeeper.errors import UsageError
from tapekeeper.model.secret import Secret
from tapekeeper.sim.history import SECONDS_MAX

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

BAD_PORTS = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080}
    | set(range(6665, 6670))
)
"""Ports above 1023 that the Fetch standard blocks: node's `fetch` fails on them unexplained."""

TEST_USER = "test-user"
TEST_API_KEY = "test-key-not-a-secret"

Speed: TypeAlias = float | Literal["max"]
"""Exchange seconds per real second, or as fast as the readers take it."""


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Timers and limits of the hubs; the defaults are those of ASP.NET Core 9.

    Attributes:
        handshake_timeout_s: how long a new connection may take to send its handshake.
        keep_alive_s: least time between two pings; checked once a second.
        client_timeout_s: silence of a client that ends its connection, once it has pinged.
        id_life_s: how long a negotiated id waits for its connection, and a connection that can
            be resumed for another transport.
        send_timeout_s: how long one write may be blocked before the connection is aborted.
        inbound_bytes_max: largest record a client may send.
        send_buffer_bytes: what may wait to be written to one connection.
        stateful_reconnect: whether clients that ask for it get connections that can be resumed.
            The real server does so only where its application was told to.
        stateful_buffer_bytes: what may be sent to such a client without an acknowledgement.
        has_messagepack: whether the server has the MessagePack protocol, which is a package.
    """

    handshake_timeout_s: float = 15.0
    keep_alive_s: float = 15.0
    client_timeout_s: float = 30.0
    id_life_s: float = 15.0
    send_timeout_s: float = 10.0
    inbound_bytes_max: int = 32_768
    send_buffer_bytes: int = 4 * 1024 * 1024
    stateful_reconnect: bool = True
    stateful_buffer_bytes: int = 100_000
    has_messagepack: bool = True


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests a user may make: so many in so many seconds (a sliding window)."""

    history_requests: int = 50
    history_window_s: float = 30.0
    rest_requests: int = 200
    rest_window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class SimConfig:
    """How a simulated gateway behaves.

    Attributes:
        host: a loopback address; anything else is refused.
        port: 0 picks a free one.
        user_name, api_key: the one user who may log in. The defaults are test credentials.
        token_life_s: life of a token.
        market_data: what every token says of the entitlement to market data, or None.
        single_token: whether a renewed token is refused from then on.
        allow_query_token: whether the hubs read `access_token` from the query, too.
        seed: of the synthetic market; the same seed and start give the same ticks.
        products: exchange roots of the synthetic market (see `tapekeeper.sim.contracts`).
        speed: exchange seconds per second, or "max". At "max" a contract's ticks wait while
            nobody has subscribed its trades, and all contracts share one order of time. At any
            speed but 1.0 they also wait for slow readers; at 1.0 a reader whose buffer is full
            is cut off.
        start_ns: exchange time at which the synthetic market starts, ns UTC; None is now.
        trades_per_s: mean rate of one synthetic contract, prints per exchange second.
        trades_max: after so many prints a synthetic contract falls silent; None is never.
        depth_levels: levels of each side of a simulated book; a record of the whole book is longer
            than 64 KiB from some 330 on.
        zero_sizes: whether some synthetic prints have size 0, as real archives have.
        play: a `trades.parquet`, or a folder with one (and perhaps `quotes.parquet`) to play.
        history_days: how far back the synthetic history reaches.
        history_seconds_max: one-second bars of it that are kept for each contract.
        unknown_contract: whether subscribing an unknown contract is an error or stays silent;
            what the real gateway does is not known.
        live_tier: the data tier that has contracts and bars: True live, False simulated, None
            both. The other one answers with empty lists.
        hub, rates: timers and limits.
    """

    host: str = "127.0.0.1"
    port: int = 0
    user_name: str = TEST_USER
    api_key: Secret = field(default_factory=lambda: Secret(TEST_API_KEY))
    token_life_s: float = 86_400.0
    market_data: str | None = None
    single_token: bool = False
    allow_query_token: bool = False
    seed: int = 1
    products: tuple[str, ...] = ("MES", "MNQ", "MGC", "MCL")
    speed: Speed = 1.0
    start_ns: int | None = None
    trades_per_s: float = 4.0
    trades_max: int | None = None
    depth_levels: int = 10
    zero_sizes: bool = False
    play: Path | None = None
    history_days: int = 5
    history_seconds_max: int = SECONDS_MAX
    unknown_contract: Literal["error", "silent"] = "error"
    live_tier: bool | None = None
    hub: HubLimits = field(default_factory=HubLimits)
    rates: RateLimits = field(default_factory=RateLimits)

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            UsageError: the host is not a loopback address, or a number is out of range.
        """
        if self.host not in LOOPBACK_HOSTS:
            raise UsageError(
                f"the simulated gateway serves this machine only: {self.host!r} is not "
                "127.0.0.1, ::1 or localhost"
            )
        if not 0 <= self.port <= 65_535 or self.port in BAD_PORTS:  # noqa: PLR2004 - 16 bits
            raise UsageError(
                f"port {self.port} cannot be used: choose one from 1 to 65535 that web clients "
                "do not block, or 0 for any free one"
            )
        if self.speed != "max" and not (math.isfinite(self.speed) and self.speed > 0):
            raise UsageError(f"speed {self.speed!r} is neither a positive number nor 'max'")
        if not (math.isfinite(self.trades_per_s) and self.trades_per_s > 0):
            raise UsageError(f"trades_per_s {self.trades_per_s!r} is not a positive number")
        if self.depth_levels < 1:
            raise UsageError(f"depth_levels {self.depth_levels} is not a number above 0")
