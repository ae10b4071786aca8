"""Closed bars beside the gateway's own."""

from __future__ import annotations

from typing import Any

import pytest

from tapekeeper.core.gateway.rest_payloads import BarUnit, HistoryBar
from tapekeeper.core.ledger import Ledger
from tapekeeper.core.recent import RecentBars
from tapekeeper.errors import ConnectFailedError
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import Trade
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.comparison import BarDifference, Comparison
from tapekeeper.sim.manual_clock import ManualClock

MINUTE = 60_000_000_000
START = 1_767_625_200_000_000_000
MES = "CON.F.US.MES.H26"


class Bench:
    """A gateway with bars, a tape with bars, and what was said."""

    def __init__(self, timeframes: tuple[str, ...] = ("1s", "1m", "1h")) -> None:
        self.theirs: list[HistoryBar] = []
        self.asked: list[dict[str, Any]] = []
        self.fails = False
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.recent = RecentBars()
        self.last_ns = START
        self.ledger = Ledger()
        self.is_end_exclusive = False
        self._timeframes = tuple(map(Timeframe.parse, timeframes))
        self.comparison = Comparison(
            theirs=self,
            ours=self.recent,
            followed=self,
            gaps=self.ledger,
            clock=ManualClock(),
            log=lambda event, /, **fields: self.events.append((event, fields)),
            every_s=900.0,
            settle_s=120.0,
        )

    async def retrieve_bars(
        self,
        contract_id: str,
        *,
        start_ns: int,
        end_ns: int,
        unit: BarUnit,
        unit_number: int = 1,
        limit: int = 20_000,
        include_partial: bool = False,
    ) -> list[HistoryBar]:
        """What the gateway says."""
        self.asked.append({"unit": unit, "count": unit_number, "limit": limit})
        if self.fails:
            raise ConnectFailedError("not there")
        last_ns = end_ns - self.is_end_exclusive
        return [bar for bar in self.theirs if start_ns <= bar.ts_open <= last_ns][-limit:]

    def followed(self) -> list[str]:
        """One contract."""
        return [MES]

    def instruments(self) -> list[Instrument]:
        """One contract."""
        return [Instrument(MES, "MESH6", tick_size=0.25)]

    def timeframes(self, contract_id: str) -> tuple[Timeframe, ...]:
        """Its timeframes."""
        return self._timeframes

    def last_trade(self, contract_id: str) -> Trade | None:
        """The time it has come to."""
        return Trade(MES, self.last_ns, 1.0, 1, 0, 0, 0)

    def minutes(self, count: int, **members: object) -> None:
        """So many minutes of the same bar at both ends, and time beyond them."""
        for _ in range(count):
            self.ours(**members)
            self.theirs.append(HistoryBar(self.last_ns, 1.0, 2.0, 0.5, 1.5, 10))
            self.last_ns += MINUTE

    def ours(self, **members: Any) -> None:
        """One minute of the tape."""
        values: dict[str, Any] = {
            "open": 1.0,
            "high": 2.0,
            "low": 0.5,
            "close": 1.5,
            "volume": 10,
            "n": 3,
            "buy_vol": 5,
            "sell_vol": 5,
            "ts_first": self.last_ns,
            "ts_last": self.last_ns,
            **members,
        }
        self.recent.add([Bar(MES, "1m", self.last_ns, self.last_ns + MINUTE, **values)])


@pytest.mark.asyncio
async def test_equal_bars_are_compared_and_nothing_is_said() -> None:
    """All but the first, which began before we listened, and those that have not settled."""
    bench = Bench()
    bench.minutes(15)
    await bench.comparison.look()
    status = bench.comparison.status()
    assert (status.looks, status.compared, status.different) == (1, 12, 0)
    assert bench.asked == [{"unit": BarUnit.MINUTE, "count": 1, "limit": 13}]
    assert bench.events == []


@pytest.mark.asyncio
async def test_each_bar_is_compared_once() -> None:
    """A second look goes on where the first one ended, and asks for nothing where it need not."""
    bench = Bench()
    bench.minutes(15)
    await bench.comparison.look()
    await bench.comparison.look()
    bench.minutes(5)
    await bench.comparison.look()
    assert [each["limit"] for each in bench.asked] == [13, 6]


@pytest.mark.asyncio
async def test_a_difference_is_told_with_both_sides() -> None:
    """One event for a look, every difference in the status, and nothing is changed."""
    bench = Bench()
    bench.minutes(5)
    bench.minutes(1, volume=7, state=BarState.REVISED)
    bench.minutes(1, high=3.0)
    bench.minutes(5)
    before = bench.recent.all()
    await bench.comparison.look()
    status = bench.comparison.status()
    assert (status.different, status.volume) == (2, -3)
    assert status.latest == (
        BarDifference(
            MES, "1m", START + 5 * MINUTE, (1.0, 2.0, 0.5, 1.5, 7), (1.0, 2.0, 0.5, 1.5, 10)
        ),
        BarDifference(
            MES, "1m", START + 6 * MINUTE, (1.0, 3.0, 0.5, 1.5, 10), (1.0, 2.0, 0.5, 1.5, 10)
        ),
    )
    ((event, fields),) = bench.events
    assert (event, fields["bars"], fields["level"]) == ("bars_differ", 2, "warning")
    assert bench.recent.all() == before


@pytest.mark.asyncio
async def test_a_bar_that_only_one_side_has_is_a_difference() -> None:
    """A minute that we lack altogether is not taken for a quiet one."""
    bench = Bench()
    bench.minutes(3)
    bench.theirs.append(HistoryBar(bench.last_ns, 1.0, 1.0, 1.0, 1.0, 4))
    bench.last_ns += MINUTE
    bench.ours()
    bench.last_ns += MINUTE
    bench.minutes(4)
    await bench.comparison.look()
    status = bench.comparison.status()
    assert [(one.ours is None, one.theirs is None) for one in status.latest] == [
        (True, False),
        (False, True),
    ]
    assert status.volume == 6


@pytest.mark.asyncio
async def test_bars_that_know_of_a_gap_are_not_compared() -> None:
    """That they differ is known already."""
    bench = Bench()
    bench.minutes(3)
    bench.minutes(1, volume=1, completeness=Completeness.GAP)
    bench.minutes(4)
    await bench.comparison.look()
    assert bench.comparison.status().different == 0


@pytest.mark.asyncio
async def test_a_look_that_fails_is_made_up_for() -> None:
    """The gateway is away: it is said, and the next look asks for the same bars and more."""
    bench = Bench()
    bench.minutes(6)
    bench.fails = True
    await bench.comparison.look()
    assert bench.comparison.status().failed == 1
    assert [event for event, _ in bench.events] == ["bars_not_compared"]
    bench.fails = False
    bench.minutes(4)
    await bench.comparison.look()
    assert [each["limit"] for each in bench.asked] == [4, 8]


@pytest.mark.parametrize(
    ("timeframes", "count"), [(("1s", "5m", "1h"), 5), (("1s",), None), (("7m",), None)]
)
@pytest.mark.asyncio
async def test_the_shortest_timeframe_on_the_same_grid_is_taken(
    timeframes: tuple[str, ...], count: int | None
) -> None:
    """Seconds are too many, and 7m stands on another grid than an hour."""
    bench = Bench(timeframes)
    for _ in range(20):
        bench.recent.add(
            [
                Bar(
                    MES,
                    each,
                    bench.last_ns,
                    bench.last_ns + 5 * MINUTE,
                    1,
                    1,
                    1,
                    1,
                    1,
                    1,
                    0,
                    0,
                    0,
                    0,
                )
                for each in timeframes
            ]
        )
        bench.last_ns += 5 * MINUTE
    await bench.comparison.look()
    assert [each["count"] for each in bench.asked] == ([] if count is None else [count])
    assert bench.comparison.status().off == ((MES,) if count is None else ())


@pytest.mark.asyncio
async def test_a_bar_that_we_lack_under_a_known_gap_is_no_difference() -> None:
    """As while nobody followed the contract, or in an outage that history does not fill in."""
    bench = Bench()
    bench.minutes(3)
    from_ns = bench.last_ns
    for _ in range(3):
        bench.theirs.append(HistoryBar(bench.last_ns, 1.0, 1.0, 1.0, 1.0, 4))
        bench.last_ns += MINUTE
    gap = Gap(1, MES, GapCause.DISCONNECT, from_ns, bench.last_ns - MINUTE, "a test", START)
    bench.ledger.put(gap)
    bench.minutes(4)
    await bench.comparison.look()
    assert [one.ts_open for one in bench.comparison.status().latest] == [from_ns + 2 * MINUTE]


@pytest.mark.parametrize("is_end_exclusive", [False, True])
@pytest.mark.asyncio
async def test_the_last_bar_is_compared_however_the_gateway_takes_the_end(
    *, is_end_exclusive: bool
) -> None:
    """One that ends before it would otherwise seem to lack a bar in every look."""
    bench = Bench()
    bench.is_end_exclusive = is_end_exclusive
    for _ in range(3):
        bench.minutes(8)
        await bench.comparison.look()
    status = bench.comparison.status()
    assert (status.looks, status.compared, status.different) == (3, 21, 0)
