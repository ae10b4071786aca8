"""Minutes of the run of two days: every tick arrives, nothing grows, and what would is found."""

from __future__ import annotations

import pytest

from tapekeeper.errors import UsageError
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.line_values import Arrival
from tapekeeper.sim.prepared import PreparedMarket
from tapekeeper.verify import sitting
from tapekeeper.verify.endurance import Sample
from tapekeeper.verify.sitting import Sat, SittingPlan, sit

MINUTES = SittingPlan(hours=0.15, ticks_per_s=300, burst_per_s=10_000)
"""Nine minutes with five bursts; what is kept is full before the half of it, as in the whole run
within the first hour."""


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitting, "REVISE_FOR_S", 30.0)
    monkeypatch.setattr(sitting, "HANDOVER_EVERY_S", 60.0)
    monkeypatch.setattr(sitting, "TIMEFRAMES", ("1s", "5s", "1m"))
    monkeypatch.setattr(sitting, "KEEP", 5)


def _sit() -> tuple[Sat, list[str]]:
    """The run, and what is wrong with it besides memory.

    An allocator has not settled within minutes, so the run of hours alone judges that.
    """
    sat = sit(MINUTES, lambda _: None)
    return sat, [problem for problem in sat.problems if "resident" not in problem]


@pytest.mark.usefixtures("_short")
def test_every_tick_is_in_bars_and_nothing_grows() -> None:
    """Bursts, hand-overs and the journal on a disk, and all figures are flat."""
    sat, problems = _sit()
    assert problems == []
    assert sat.made == sat.accepted < sat.received, "hand-overs bring some prints twice"
    assert sat.peak_per_s == 10_000
    assert sat.handovers > 10
    assert sat.hours == pytest.approx(0.15, abs=0.001)
    assert 200 < sat.ticks_per_s < 500
    assert {one.figure for one in sat.trends} == set(sitting.LIMITS_HERE)


@pytest.mark.usefixtures("_short")
def test_an_object_that_is_kept_for_each_burst_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run with a list that never forgets."""
    kept: list[list[list[Arrival]]] = []
    take = Feed.__call__

    def remember(feed: Feed, item: Arrival, /) -> bool:
        kept.append([[item] for _ in range(200)])
        return take(feed, item)

    monkeypatch.setattr(Feed, "__call__", remember)
    _, problems = _sit()
    assert any(problem.startswith("objects grew") for problem in problems)


@pytest.mark.usefixtures("_short")
def test_a_tick_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of a market that counts more than it sends."""
    monkeypatch.setattr(sitting, "DRAIN_S", 2.0)
    step = PreparedMarket.step

    def short(market: PreparedMarket, from_ns: int) -> list[bytes]:
        messages = step(market, from_ns)
        return messages[-1:] if market.quotes == 700 else messages

    monkeypatch.setattr(PreparedMarket, "step", short)
    with pytest.raises(ExceptionGroup) as raised:
        sit(MINUTES, lambda _: None)
    assert "were in bars 2 s later" in str(raised.value.exceptions[0])


def _sample(hour: float, resident_mb: float) -> Sample:
    return Sample(
        hour=hour,
        connections=2,
        tasks=30,
        sockets=2,
        websockets=2,
        waiting=0,
        queue_bytes=0,
        futures=40,
        handles=12,
        objects=100_000,
        resident_mb=resident_mb,
        traced_mb=None,
        accepted=1,
        holds=True,
        full=True,
    )


@pytest.mark.parametrize(("per_hour_mb", "is_wrong"), [(0.0, False), (0.01, False), (0.05, True)])
def test_memory_may_grow_by_a_hundredth_after_the_first_hour(
    per_hour_mb: float, *, is_wrong: bool
) -> None:
    """Of a run of 48 hours; what it took before that hour is not judged."""
    samples = [_sample(0.5, 20.0)]
    samples += [_sample(hour, 100.0 + hour * per_hour_mb) for hour in range(1, 49)]
    assert bool(sitting.grown(samples, SittingPlan())) is is_wrong


def test_a_mean_goes_with_its_bursts() -> None:
    """A thousand a second, twenty thousand within a burst, over all contracts."""
    rates = SittingPlan().rates
    calm = (rates.prints + 1) * 8
    burst = (rates.burst_prints + 1) * 8
    assert burst == 20_000
    assert (99 * calm + burst) / 100 == pytest.approx(1_000, rel=0.01)


@pytest.mark.parametrize(
    "wrong", [{"hours": 0.01}, {"ticks_per_s": 1}, {"burst_per_s": 10}, {"burst_per_s": 90_000}]
)
def test_a_plan_that_shows_nothing_is_refused(wrong: dict[str, float]) -> None:
    """One sentence says what can be."""
    with pytest.raises(UsageError, match="not"):
        SittingPlan(**wrong)  # type: ignore[arg-type]  # floats stand for all numbers here
