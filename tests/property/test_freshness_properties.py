"""Markets that rest, markets that turn quiet, and one stream of twenty that freezes."""

from __future__ import annotations

import datetime as dt
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.freshness import Change, Freshness, FreshnessPolicy, Stale, Stream
from tapekeeper.sim.seeded import Seeded

S = 1_000_000_000
LOOK_S = 5
"""Coarser than the once a second of a running tape, to simulate days in a second."""

HOUR_S = 3_600
CME = calendar_by_name("cme")
CONTRACTS = [f"CON.F.US.C{number}.H26" for number in range(20)]

# From ten prints a second to one in five minutes, at an ordinary hour.
RATES = [10 * math.exp(-number * math.log(3_000) / 19) for number in range(20)]


def activity(now_ns: int) -> float:
    """How much more than usual is traded at this hour of Chicago, in steps as hard as a bell."""
    hour = (now_ns // S - 6 * HOUR_S) // HOUR_S % 24
    if hour == 17:
        return 1.0
    if hour >= 18 or hour < 2:
        return 0.12
    return 0.4 if hour < 8 else 2.0 if hour < 15 else 0.5


def changes(
    seed: int, start: str, hours: float, frozen: dict[str, int]
) -> list[tuple[int, Change]]:
    """All transitions of twenty streams with random arrivals, each with its time, ns UTC.

    `frozen` has the seconds after which a contract's data stops.
    """
    random = Seeded(seed, "arrivals")
    freshness = Freshness(FreshnessPolicy())
    freshness.connected(live=True)
    for contract_id in CONTRACTS:
        freshness.follow(contract_id, [Stream.TRADES], CME)
    start_ns = int(dt.datetime.fromisoformat(start).timestamp()) * S
    found = []
    for passed_s in range(0, round(hours * HOUR_S), LOOK_S):
        now_ns = start_ns + passed_s * S
        came = set()
        if CME.is_open(now_ns):
            expected = activity(now_ns) * LOOK_S
            for contract_id, rate in zip(CONTRACTS, RATES, strict=True):
                if random.random() < 1 - math.exp(-rate * expected) and passed_s < frozen.get(
                    contract_id, passed_s + 1
                ):
                    came.add((contract_id, Stream.TRADES))
        look = freshness.look(now_ns, passed_s * S, came)
        found += [(now_ns, change) for change in look.changes]
    return found


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32))
def test_a_weekend_and_daily_breaks_raise_nothing(seed: int) -> None:
    """From Friday morning to Monday night, through every hour of quiet, with default settings."""
    assert changes(seed, "2026-01-09T09:00:00-06:00", 84, {}) == []


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(0, 15),
    frozen_s=st.integers(3 * HOUR_S, 4 * HOUR_S),
)
def test_one_frozen_stream_of_twenty_is_found_and_no_other(
    seed: int, number: int, frozen_s: int
) -> None:
    """It is reported at the first look after its threshold, and nothing else is."""
    contract_id = CONTRACTS[number]
    start = "2026-01-06T09:00:00-06:00"
    found = changes(seed, start, 6.9, {contract_id: frozen_s})
    assert [change.contract_id for _, change in found] == [contract_id]
    ((now_ns, stale),) = found
    assert isinstance(stale, Stale)
    assert 0 <= now_ns - stale.since_ns - stale.threshold_ns < LOOK_S * S
