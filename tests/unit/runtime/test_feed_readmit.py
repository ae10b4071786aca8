"""Letting a quarantined print in while the feed runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import ReplayOptions, replay, result_of
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.recent import RecentBars
from tapekeeper.core.runlog import MARKET_HUB
from tapekeeper.core.signalr.records import Invocation, decode, encode_invocation
from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.queue import QueueDefaults, QueueLimits
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.intake import FeedLimits
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line_values import Connected, Inbound

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"


class StandingClock:
    """A clock that does not move: nothing here takes time."""

    def now_ns(self) -> int:
        """The start."""
        return START

    def monotonic_ns(self) -> int:
        """The same."""
        return START

    async def sleep_s(self, delay_s: float) -> None:
        """Nobody sleeps here."""
        raise AssertionError(delay_s)


def inbound(second: float, price: float) -> Inbound:
    """A frame of one print."""
    ts_ns = START + round(second * 1_000) * 1_000_000
    trade = {"timestamp": format_ns(ts_ns), "price": price, "volume": 1, "type": 0}
    data = encode_invocation("GatewayTrade", [MES, trade])
    call = decode(data[:-1])
    assert isinstance(call, Invocation)
    return Inbound(1, MARKET_HUB, ts_ns, data, (call,), ())


def test_what_is_let_in_live_is_let_in_by_a_replay(tmp_path: Path) -> None:
    """Journalled first, then in the bars, byte for byte; a second time is refused."""
    said: list[str] = []

    def log(event: str, /, *, level: str = "info", **fields: object) -> None:
        said.append(event)

    journaler = Journaler(FolderFiles(tmp_path), created_ns=START)
    feed = Feed(
        pipeline=Pipeline(grace_ns=SECOND),
        journaler=journaler,
        recent=RecentBars(1_000),
        dispatch=Dispatch(QueueDefaults(QueueLimits(1_000, 10**9))),
        clock=StandingClock(),
        limits=FeedLimits(10_000, 10**7),
        log=log,
    )
    frames = tuple(map(Timeframe.parse, ("1s", "1m", "1h")))
    instrument = Instrument(MES, "MESH6", tick_size=0.25)
    feed.subscribe(Subscription(instrument, frames, calendar_by_name("cme")))
    feed(Connected(1, MARKET_HUB, START))
    for number in range(50):
        feed(inbound(number / 10, 6_000.0 + number % 5 / 4))
    feed(inbound(5.0, 60.0))
    feed(inbound(80.0, 6_000.0))
    feed.drain()
    (kept,) = feed.pipeline.quarantined()
    feed.readmit(kept.trade)
    with pytest.raises(UsageError, match="not among the latest"):
        feed.readmit(kept.trade)
    journaler.close()
    assert said == ["quarantined", "let_back_in"]
    live = result_of(feed.pipeline, [*feed.recent.all(), *feed.pipeline.forming_all()])
    again = replay(tmp_path, ReplayOptions(calendar=calendar_by_name("cme")))
    assert again.bars == live.bars
    assert min(bar.low for bar in live.bars["1m"]) == 60.0
    assert again.holds
    assert again.rejected == {}
