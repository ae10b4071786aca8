"""The demonstration: the real job against the simulated gateway on this machine."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tapekeeper.adapters.clock import SystemClock, SystemRandom
from tapekeeper.app.config import Config
from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.service import watch
from tapekeeper.app.tape import Tape
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.timeframe import HOUR_NS, Timeframe
from tapekeeper.sim.config import SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls

TIMEFRAMES = tuple(Timeframe.parse(text) for text in ("1s", "5s", "15s", "1m", "5m", "1h", "1d"))
SHOWN = Timeframe.parse("15s")
"""The timeframe whose forming bar is shown: short enough to see several close."""
UPDATE_S = 1.0
BUSY_AFTER_OPEN_NS = 15 * HOUR_NS + HOUR_NS // 2
"""08:30 in Chicago, when US cash markets open: where the demonstration's market starts."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to demonstrate.

    Attributes:
        seconds: how long, real time.
        seed: of the market.
        products: exchange roots to follow, such as `MES`.
        speed: exchange seconds per second.
        keep: folder that keeps the journal; None throws it away.
    """

    seconds: float = 30.0
    seed: int = 1
    products: tuple[str, ...] = ("MES", "MNQ", "MGC")
    speed: float = 4.0
    keep: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be shown.

        Raises:
            UsageError: a number is out of range, or no product is named.
        """
        if not 0 < self.seconds <= 86_400:  # noqa: PLR2004 - a day
            raise UsageError(f"seconds {self.seconds:g} is not between 0 and 86400")
        if not self.products:
            raise UsageError("name at least one contract to follow, such as MES")


@dataclass(frozen=True, slots=True)
class DemoRow:
    """What is shown of one contract; None is what has not come yet."""

    symbol: str
    last: float | None
    bid: float | None
    ask: float | None
    forming: Bar | None
    closed: int
    lag_ms: float | None


@dataclass(frozen=True, slots=True)
class DemoView:
    """One moment of the demonstration."""

    elapsed_s: float
    rows: tuple[DemoRow, ...]
    status: TapeStatus


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demonstration came to.

    Attributes:
        status: of the tape after it stopped.
        result: its bars, in the shape of a replay's result.
        sent: prints that the gateway handed to the connection, by contract.
        journal: the folder of the journal, where it was kept.
    """

    status: TapeStatus
    result: ReplayResult
    sent: dict[str, int]
    journal: Path | None


async def run_demo(
    options: DemoOptions, on_view: Callable[[DemoView], None], stop: asyncio.Event
) -> DemoSummary:
    """Run the gateway and the tape until `options.seconds` have passed or `stop` is set.

    Args:
        options: see `DemoOptions`.
        on_view: called about once a second.
        stop: ends it early.

    Raises:
        TapekeeperError: as `Tape` does.
    """
    clock = SystemClock()
    calendar = calendar_by_name("cme")
    config = SimConfig(
        seed=options.seed,
        products=options.products,
        speed=options.speed,
        start_ns=_busy_ns(calendar, clock.now_ns()),
    )
    with _journal_folder(options.keep) as folder:
        async with SimGateway(config, clock, SystemRandom(), sessions=calendar) as gateway:
            tape = Tape(_tape_config(config, gateway.urls, folder))
            async with tape:
                for product in options.products:
                    await tape.subscribe(product, TIMEFRAMES)
                await watch(
                    lambda elapsed_s: on_view(_view(tape, elapsed_s)),
                    every_s=UPDATE_S,
                    stop=stop,
                    seconds=options.seconds,
                    clock=clock,
                )
            sent = gateway.statistics().trades_sent
        return DemoSummary(
            status=tape.status(),
            result=tape.result(),
            sent=sent,
            journal=options.keep,
        )


def _view(tape: Tape, elapsed_s: float) -> DemoView:
    return DemoView(elapsed_s, tuple(_rows(tape)), tape.status())


def _rows(tape: Tape) -> Iterator[DemoRow]:
    for instrument in tape.instruments():
        name = instrument.contract_id
        quote, last = tape.quote(name), tape.last_trade(name)
        yield DemoRow(
            symbol=instrument.name,
            last=None if last is None else last.price,
            bid=None if quote is None else quote.bid,
            ask=None if quote is None else quote.ask,
            forming=tape.forming(name, SHOWN),
            closed=tape.closed_count(name, SHOWN),
            lag_ms=tape.lag_ms(name),
        )


def _tape_config(config: SimConfig, urls: SimUrls, folder: Path) -> Config:
    # Not `load_config`: the environment of somebody who has a real account must not reach here.
    return Config.model_validate(
        {
            "gateway": {
                "rest_url": urls.rest,
                "market_hub_url": urls.market_hub,
                "user_hub_url": urls.user_hub,
                "user_name": config.user_name,
                "api_key": config.api_key,
            },
            "journal": {"dir": str(folder)},
            "log": {"level": "warning"},
        }
    )


def _busy_ns(calendar: Calendar, now_ns: int) -> int:
    """The cash open of the last session that had one: there are prints at any hour and day."""
    session = calendar.session_of(now_ns - BUSY_AFTER_OPEN_NS)
    return session.open_ns + BUSY_AFTER_OPEN_NS


@contextmanager
def _journal_folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="tapekeeper-demo-") as folder:
        yield Path(folder)
