"""Where the host's time lies on the exchange's, over steps of the host's clock."""

from __future__ import annotations

import pytest

from tapekeeper.model.tick import TradeBatch
from tapekeeper.runtime.exchange_time import ExchangeTime

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
DELIVERY_S = 0.002


class Host:
    """A host whose clock is right until it is set, and stands still in its monotonic sleep."""

    def __init__(self) -> None:
        self.true_ns = self.wall_ns = START
        self.passed_ns = 0
        self.exchange = ExchangeTime(self)

    def now_ns(self) -> int:
        """What its clock shows."""
        return self.wall_ns

    def monotonic_ns(self) -> int:
        """How long it was awake."""
        return self.passed_ns

    async def sleep_s(self, delay_s: float) -> None:
        """Nobody waits here."""

    def go(self, seconds: float) -> None:
        """Let time pass."""
        self.true_ns += round(seconds * SECOND)
        self.wall_ns += round(seconds * SECOND)
        self.passed_ns += round(seconds * SECOND)

    def set_by(self, seconds: float) -> None:
        """Set its clock, which was right."""
        self.wall_ns += round(seconds * SECOND)

    def sleep(self, seconds: float) -> None:
        """Be suspended."""
        self.true_ns += round(seconds * SECOND)
        self.wall_ns += round(seconds * SECOND)

    def trade(self, late_s: float = DELIVERY_S, recv_ns: int | None = None) -> None:
        """A trade that was made so long ago comes now."""
        batch = TradeBatch("MES")
        ts_event = self.true_ns - round(late_s * SECOND)
        batch.append(ts_event, 6_000.0, 1, 0, self.wall_ns if recv_ns is None else recv_ns, 0)
        self.exchange.saw([batch])

    def off_s(self) -> tuple[float, float]:
        """By how much the bounds of the present moment are off, seconds."""
        earliest_ns = self.exchange.earliest_ns(self.wall_ns)
        latest_ns = self.exchange.latest_ns(self.wall_ns)
        assert earliest_ns is not None
        assert latest_ns is not None
        return (earliest_ns - self.true_ns) / SECOND, (latest_ns - self.true_ns) / SECOND


def test_before_the_first_trade_nothing_is_known() -> None:
    """The two clocks may be anything apart."""
    host = Host()
    assert host.exchange.earliest_ns(START) is None
    assert host.exchange.latest_ns(START) is None


def test_without_a_step_the_fastest_delivery_decides() -> None:
    """Both bounds are one, and late by that delivery."""
    host = Host()
    for late_s in (3.0, DELIVERY_S, 1.0):
        host.trade(late_s)
        host.go(1.0)
    assert host.off_s() == pytest.approx((-DELIVERY_S, -DELIVERY_S))


@pytest.mark.parametrize("by_s", [5.0, -0.5, 3_600.0])
def test_a_step_leaves_both_possible_until_data_decide(by_s: float) -> None:
    """The clock was set, so the bounds hold the truth between them, and then it is the latest."""
    host = Host()
    host.trade()
    host.go(1.0)
    host.set_by(by_s)
    host.go(0.5)
    low_s, high_s = sorted((0.0, by_s))
    assert host.off_s() == pytest.approx((low_s - DELIVERY_S, high_s - DELIVERY_S))
    host.trade()
    earliest_s, latest_s = host.off_s()
    assert earliest_s <= -DELIVERY_S
    assert latest_s == pytest.approx(-DELIVERY_S)


def test_a_host_that_slept_is_right() -> None:
    """The bounds hold the truth between them at once, and then it is the latest, too."""
    host = Host()
    host.trade()
    host.go(1.0)
    host.sleep(28_800.0)
    host.go(0.5)
    assert host.off_s() == pytest.approx((-28_800.0 - DELIVERY_S, -DELIVERY_S))
    host.trade()
    assert host.off_s()[1] == pytest.approx(-DELIVERY_S)


def test_what_is_late_behind_a_step_moves_no_end_before_its_time() -> None:
    """The clock was set by five seconds, and the first delivery is held up for two more."""
    host = Host()
    host.trade()
    host.set_by(5.0)
    host.go(3.0)
    host.trade(late_s=2.0)
    assert host.off_s()[1] == pytest.approx(-DELIVERY_S)


def test_what_came_before_a_step_tells_nothing_of_the_time_behind_it() -> None:
    """It is seen late: the burst had been received by the old time."""
    host = Host()
    host.trade()
    host.go(1.0)
    received_ns = host.wall_ns
    host.set_by(5.0)
    host.trade(recv_ns=received_ns)
    host.trade()
    assert host.off_s()[1] == pytest.approx(-DELIVERY_S)


def test_a_step_is_forgotten_once_data_came_for_minutes() -> None:
    """What is placed then was heard behind it."""
    host = Host()
    host.trade()
    host.set_by(5.0)
    for _ in range(130):
        host.go(1.0)
        host.trade()
    assert host.off_s() == pytest.approx((-DELIVERY_S, -DELIVERY_S))


def test_a_clock_that_is_slewed_does_not_step() -> None:
    """A second in half an hour, which the deliveries follow."""
    host = Host()
    for _ in range(1_800):
        host.go(1.0)
        host.set_by(1 / 1_800)
        host.trade()
    low_s, high_s = host.off_s()
    assert low_s == high_s
    assert -DELIVERY_S <= low_s <= 0.1
