"""A pool is as well as its streams, and says each change of it once."""

from __future__ import annotations

from typing import Any

from tapekeeper.runtime.coverage import UNCOVERED_MAX
from tapekeeper.runtime.line_values import HubCall, LineState, Transition
from tapekeeper.runtime.pool_report import PoolReport
from tapekeeper.runtime.pool_values import HealthChange, LineView, PoolHealth, PoolPolicy
from tapekeeper.sim.manual_clock import ManualClock

_A, _B = (HubCall("SubscribeContractTrades", (name,)) for name in "AB")
_LIVE = LineView(number=1, state=LineState.LIVE)


class _Bench:
    """A report, and what it said."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.told: list[HealthChange] = []
        self.report = PoolReport(
            "market",
            PoolPolicy(),
            clock=self.clock,
            log=lambda event, /, **fields: self.logged.append((event, fields)),
            tell=self._hear,
        )
        self.report.begin()

    def _hear(self, change: Transition | HealthChange) -> None:
        assert isinstance(change, HealthChange)
        assert self.logged[-1][1]["reason"] == change.reason  # the log comes first
        self.told.append(change)

    def judge(self) -> PoolHealth:
        """Of one live line."""
        self.report.judge([_LIVE], asked=(), failing="", restless="")
        return self.report.health


def test_a_stopped_stream_degrades_until_it_flows() -> None:
    """One change to each side, however often it is judged."""
    bench = _Bench()
    assert bench.judge() is PoolHealth.UP
    bench.report.stopped(_A, None, since_ns=0, why="no trades of A")
    bench.report.stopped(_B, None, since_ns=0, why="no trades of B")
    assert bench.judge() is bench.judge() is PoolHealth.DEGRADED
    assert bench.report.reason == "no trades of A"
    bench.report.flows(_A, None)
    bench.judge()
    assert bench.report.reason == "no trades of B"
    bench.report.withdrawn(_B)
    assert bench.judge() is PoolHealth.UP
    assert [(change.before, change.after) for change in bench.told] == [
        (PoolHealth.STARTING, PoolHealth.UP),
        (PoolHealth.UP, PoolHealth.DEGRADED),
        (PoolHealth.DEGRADED, PoolHealth.UP),
    ]


def test_what_was_uncovered_is_said_and_kept_to_a_bound() -> None:
    """The last ones are kept, all are counted, and one that lasts is among them."""
    bench = _Bench()
    for _ in range(UNCOVERED_MAX + 5):
        bench.report.coverage.confirmed(1, _A, bench.clock.now_ns())
        bench.clock.advance(1.0)
        bench.report.stopped(_A, None, since_ns=bench.clock.now_ns() - 1, why="no trades of A")
        bench.clock.advance(1.0)
        bench.report.flows(_A, None)
        bench.report.intervals.tell()
    bench.report.stopped(_A, None, since_ns=bench.clock.now_ns(), why="no trades of A")
    kept, count = bench.report.intervals.intervals(), bench.report.intervals.count
    assert (len(kept), count) == (UNCOVERED_MAX + 1, UNCOVERED_MAX + 6)
    assert kept[-1].to_ns is None
    assert {event for event, _ in bench.logged} == {"uncovered"}
    assert len(bench.logged) == UNCOVERED_MAX + 5
