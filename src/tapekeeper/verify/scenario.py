"""What one seed stands for: a market, a schedule of faults, and how the tape is set up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tapekeeper.app.config import Config
from tapekeeper.model.measure import BarSize, Measure
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.fault_menu import Fault
from tapekeeper.sim.fault_seed import seeded_faults, seeded_losses, seeded_more_faults
from tapekeeper.sim.gateway import MARKET_PATH, MEMORY_PORT, USER_PATH, SimUrls
from tapekeeper.sim.memory_network import HOST
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import DEFAULT_START_NS

CHAOS_S = 60.0
"""Faults begin within so many seconds of the start."""

CALM_S = 10.0
"""How long a recovered tape is watched before it is stopped."""

RECOVERY_S = 240.0
"""The stated bound: after the last fault everything flows again within so many seconds.

The longest chain of patience is a half-open connection (30 s until it is given up), refused
credentials (60 s), the longest delay between attempts (30 s), a connection and a handshake that
time out (15 s each), and a refused subscription (60 s until it is tried again): 210 s.
"""

RETURN_S = 900.0
"""The same for the return to a preferred endpoint, whose cool-down grows up to 600 s, and of every
line that is wanted."""

RESTART_S = 5.0
"""How long it takes until a program that ended by itself is started again."""

SEGMENT_MB = 1
DURABILITIES: tuple[Literal["process"], Literal["power"]] = ("process", "power")
"""Small, so that segments are ended while faults happen."""

PRODUCTS = ("MES", "MNQ")
"""Followed from the start."""

GUEST = "MGC"
"""Subscribed and given up again and again while faults happen."""

TIMEFRAMES = tuple(Timeframe.parse(text) for text in ("1s", "5s", "1m"))
MEASURES = tuple(Measure.parse(text) for text in ("10tick", "100000dollar", "2renko"))
SIZES: tuple[BarSize, ...] = (*TIMEFRAMES, *MEASURES)

ADDED_TIMEFRAMES = tuple(Timeframe.parse(text) for text in ("15s", "1h"))
ADDED: tuple[BarSize, ...] = (
    *ADDED_TIMEFRAMES,
    Timeframe.parse("1d"),
    Measure.parse("25tick"),
)
"""Bar sizes that the first product gets later, in one of four seeds: one that minutes add up to,
one that what is kept reaches back for, one that it does not, and one without history."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run.

    Attributes:
        seed: decides everything that is drawn.
        schedule: the faults.
        negotiate: whether lines negotiate before they connect.
        protocol: what lines speak.
        token_life_s: life of a token.
        trades_per_s: mean rate of one contract.
        redundancy: lines of a hub that serve at the same time.
        single_token: whether a token is refused as soon as it has been renewed.
        overlap_s: how long two lines are heard in a hand-over.
        calm_s: how long the tape is watched after it has recovered.
        guest: whether a further contract comes and goes while faults happen.
        start_ns: wall clock at the start, ns UTC.
        calendar: of the market and of the bars.
        endpoints: addresses of each hub, the preferred one first.
        stateful: whether connections are resumed where their transport is lost.
        durability: of the journal.
        on_failure: what the tape does when its journal cannot accept.
        adds: whether bar sizes are added while faults happen.
        on_full: what becomes of frames that the pipeline has no room for.
        room_frames: how many it has room for.
    """

    seed: int
    schedule: tuple[Fault, ...]
    negotiate: bool
    token_life_s: float
    trades_per_s: float
    redundancy: int
    single_token: bool
    protocol: str = "json"
    overlap_s: float = 2.0
    calm_s: float = CALM_S
    guest: bool = True
    start_ns: int = DEFAULT_START_NS
    calendar: str = "24x7"
    endpoints: int = 1
    stateful: bool = False
    durability: Literal["process", "power"] = "process"
    on_failure: Literal["stop", "shed"] = "stop"
    adds: bool = False
    on_full: Literal["block", "spill", "shed"] = "spill"
    room_frames: int = 8_192

    def gateway(self) -> SimConfig:
        """How the gateway is set up."""
        return SimConfig(
            seed=self.seed,
            products=(*PRODUCTS, GUEST),
            trades_per_s=self.trades_per_s,
            token_life_s=self.token_life_s,
            single_token=self.single_token,
        )

    @property
    def endpoint_ports(self) -> tuple[int, ...]:
        """Ports of the hubs' addresses; REST has one of its own."""
        return tuple(MEMORY_PORT + 1 + number for number in range(self.endpoints))

    def tape(self, urls: SimUrls) -> Config:
        """How the tape is set up; no environment is read."""
        bases = [f"http://{HOST}:{port}" for port in self.endpoint_ports]
        markets = [f"{base}{MARKET_PATH}" for base in bases]
        users = [f"{base}{USER_PATH}" for base in bases]
        return Config.model_validate(
            {
                "gateway": {
                    "rest_url": urls.rest,
                    "market_hub_url": markets[0],
                    "market_hub_fallbacks": markets[1:],
                    "user_hub_url": users[0],
                    "user_hub_fallbacks": users[1:],
                    "user_name": TEST_USER,
                    "api_key": TEST_API_KEY,
                    "negotiate": self.negotiate,
                    "protocol": self.protocol,
                    "stateful_reconnect": self.stateful,
                },
                "pool": {"redundancy": self.redundancy, "overlap_s": self.overlap_s},
                "feed": {"on_full": self.on_full, "max_frames": self.room_frames, "max_mb": 1},
                "journal": {
                    "segment_mb": SEGMENT_MB,
                    "durability": self.durability,
                    "on_failure": self.on_failure,
                },
                "calendar": {"default": self.calendar},
                "bars": {"timeframes": [str(one) for one in TIMEFRAMES]},
            }
        )


_ROOMS: tuple[tuple[Literal["block", "spill", "shed"], int], ...] = (
    ("spill", 8_192),
    ("spill", 8_192),
    ("spill", 2),
    ("block", 2),
    ("shed", 2),
)
"""Two frames are so few that every burst of a server has more."""


def scenario(seed: int, schedule: Sequence[Fault] | None = None) -> Scenario:
    """The run of a seed; a `schedule` replaces the one that the seed draws."""
    numbers = Seeded(seed, "scenario")
    menus = (seeded_faults, seeded_more_faults, seeded_losses)
    faults = [fault for menu in menus for fault in menu(seed, within_s=CHAOS_S)]
    drawn = Scenario(
        seed=seed,
        schedule=tuple(sorted(faults, key=lambda fault: fault.first_s)),
        negotiate=numbers.below(2) == 0,
        token_life_s=(86_400.0, 50.0, 20.0)[numbers.below(3)],
        trades_per_s=(0.5, 4.0, 20.0)[numbers.below(3)],
        redundancy=(1, 1, 2, 3)[numbers.below(4)],
        single_token=numbers.below(2) == 0,
        # Drawn last, so that what a seed stood for before is still what it stands for.
        protocol=("json", "json", "messagepack")[numbers.below(3)],
        endpoints=(1, 2, 2, 3)[Seeded(seed, "endpoints").below(4)],
    )
    # Resumption is agreed on when a line negotiates; without that it cannot be had.
    drawn = replace(drawn, stateful=drawn.negotiate and Seeded(seed, "stateful").below(2) == 0)
    on_full, room_frames = _ROOMS[Seeded(seed, "queues").below(len(_ROOMS))]
    drawn = replace(drawn, on_full=on_full, room_frames=room_frames)
    drawn = replace(drawn, durability=DURABILITIES[Seeded(seed, "durability").below(2)])
    drawn = replace(drawn, adds=Seeded(seed, "adds").below(4) == 0)
    return drawn if schedule is None else replace(drawn, schedule=tuple(schedule))
