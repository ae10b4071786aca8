"""The audit on the simulated market: what is removed is found, and nothing else ever is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.audit import AuditFinding, AuditKind, AuditState, AuditTally, AuditVerdict
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.sim.contracts import PRODUCTS, listed
from tapekeeper.sim.losses import Loss, PrintLosses
from tapekeeper.sim.market import MarketSpec, SyntheticMarket
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.wire import MarketEvent, Print, QuoteDelta, Trades, quote_record, trades_record

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_767_625_200 * SECOND
"""2026-01-05T15:00Z, a Monday in the middle of a session of CME."""

ARGUMENTS = b'"arguments":'


@dataclass
class Ran:
    """What a run found, each with the exchange time at which it was told."""

    findings: list[tuple[int, AuditFinding]] = field(default_factory=list)
    verdicts: list[AuditVerdict] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)
    tally: AuditTally = field(default_factory=lambda: AuditTally(""))

    def of(self, kind: AuditKind) -> list[tuple[int, AuditFinding]]:
        """Findings of one kind."""
        return [each for each in self.findings if each[1].kind is kind]

    @property
    def volume(self) -> int:
        """Volume that was removed."""
        return sum(size for _, size in self.removed)


def events(*, seed: int, hours: float, trades_per_s: float) -> Iterator[MarketEvent]:
    """The ticks of one contract on the calendar of CME."""
    product = PRODUCTS["MES"]
    calendar = calendar_by_name("cme")
    front, _ = listed(product, calendar.session_of(START).date)
    market = SyntheticMarket(MarketSpec(front, product, seed, START, trades_per_s), calendar)
    for event in market.events():
        if event.ts_ns >= START + round(hours * 3_600) * SECOND:
            return
        yield event


def run(
    *,
    seed: int = 1,
    hours: float,
    trades_per_s: float = 4.0,
    loss: Loss | None = None,
    between: Callable[[int], bool] = lambda _: True,
    quotes_share: float = 1.0,
    apart_s: float = 0.0,
) -> Ran:
    """Carry the market through the stages, one record at a time.

    Args:
        seed: of the market and of what is removed.
        hours: of exchange time.
        trades_per_s: prints a second.
        loss: what is removed, while `between` says so of the seconds since the start.
        between: see `loss`.
        quotes_share: part of the quotes that the gateway sends.
        apart_s: quotes are stamped, and arrive, up to so much before or after their prints.
    """
    ran = Ran()
    numbers = random.Random(seed)
    losses = PrintLosses(Seeded(seed, "removed"))

    def note(_contract_id: str, ts_ns: int, one: Print) -> None:
        ran.removed.append((ts_ns, one.size))

    losses.taps.append(note)
    if loss is not None:
        losses.begin(loss)
    arrivals: list[tuple[int, int, Invocation]] = []
    contract_id = ""
    for number, event in enumerate(events(seed=seed, hours=hours, trades_per_s=trades_per_s)):
        contract_id = event.contract_id
        if isinstance(event, Trades):
            lossy = between((event.ts_ns - START) // SECOND)
            left = losses.left_of(event) if lossy else event
            if left is not None:
                arrivals.append((event.ts_ns, number, call("GatewayTrade", trades_record(left))))
        elif numbers.random() < quotes_share:
            by_ns = round(numbers.uniform(-apart_s, apart_s) * SECOND)
            moved = QuoteDelta(event.contract_id, event.ts_ns - by_ns, event.members)
            at_ns = event.ts_ns + max(0, by_ns)
            arrivals.append((at_ns, number, call("GatewayQuote", quote_record(moved))))
    arrivals.sort(key=lambda each: each[:2])
    pipeline = followed(contract_id)
    for at_ns, _, each in arrivals:
        pipeline.take([each], at_ns)
        outputs = pipeline.step()
        ran.findings += ((at_ns, one) for one in outputs.findings)
        ran.verdicts += outputs.verdicts
    (ran.tally,) = pipeline.audit.tallies()
    return ran


def followed(contract_id: str) -> Pipeline:
    """The stages with one subscription."""
    calendar = calendar_by_name("cme")
    front, _ = listed(PRODUCTS["MES"], calendar.session_of(START).date)
    assert front.contract_id == contract_id
    pipeline = Pipeline(grace_ns=0)
    pipeline.subscribe(Subscription(front, (Timeframe.parse("1m"),), calendar))
    return pipeline


def call(target: str, record: bytes) -> Invocation:
    """The hub's call in a record."""
    return Invocation(target, record[record.index(ARGUMENTS) + len(ARGUMENTS) : -2])


def test_a_clean_day_raises_no_finding() -> None:
    """24 hours with a close and an open: not one contract is said to be missing or too much."""
    ran = run(seed=7, hours=24, trades_per_s=2.0)
    assert ran.findings == []
    assert ran.verdicts == []
    assert ran.tally.state is AuditState.COMPLETE
    assert ran.tally.quoted > 200_000


@pytest.mark.parametrize(
    ("trades_per_s", "quotes_share", "apart_s"),
    [(0.2, 1.0, 0.0), (20.0, 0.2, 0.0), (4.0, 0.3, 0.4), (50.0, 1.0, 0.4), (200.0, 1.0, 0.0)],
    ids=["quiet", "conflated", "apart", "busy and apart", "a rush without a pause"],
)
def test_a_clean_feed_of_any_pace_raises_no_finding(
    trades_per_s: float, quotes_share: float, apart_s: float
) -> None:
    """Rare quotes, quotes some hundred ms apart from their prints, and rushes are no losses."""
    hours = min(2.0, 4.0 / trades_per_s)
    ran = run(
        seed=3, hours=hours, trades_per_s=trades_per_s, quotes_share=quotes_share, apart_s=apart_s
    )
    assert ran.findings == []


@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize(
    ("loss", "seconds", "apart_s"),
    [
        (Loss(), 10, 0.0),
        (Loss(share=0.3), 180, 0.0),
        (Loss(share=0.5, size_min=3), 120, 0.3),
        (Loss(share=0.02), 200, 0.0),
    ],
    ids=["all for 10 s", "a third for 3 min", "large ones", "single ones"],
)
def test_removed_prints_are_found_within_a_minute(
    seed: int, loss: Loss, seconds: int, apart_s: float
) -> None:
    """At least 99 % is named, each part within a minute, and each interval holds what it says."""
    ran = run(
        seed=seed,
        hours=0.5,
        loss=loss,
        between=lambda second: 900 <= second < 900 + seconds,
        apart_s=apart_s,
        quotes_share=0.8,
    )
    missing = ran.of(AuditKind.MISSING)
    assert ran.volume > 0
    assert 0.99 * ran.volume <= sum(one.volume for _, one in missing) <= ran.volume
    assert len(missing) == len(ran.findings)
    for told_ns, one in missing:
        inside = [size for ts_ns, size in ran.removed if one.from_ns <= ts_ns <= one.to_ns]
        assert sum(inside) >= one.volume
        assert told_ns > one.to_ns
    for ts_ns, _ in ran.removed:
        told_ns = min(at for at, one in missing if one.from_ns <= ts_ns <= one.to_ns)
        assert told_ns - ts_ns <= MINUTE
    assert ran.verdicts == []


def test_a_steady_share_is_one_verdict() -> None:
    """Four hours of a feed that lacks a fifth: some findings, then a verdict with the share."""
    ran = run(hours=4, loss=Loss(share=0.2), trades_per_s=2.0)
    (verdict,) = ran.verdicts
    assert verdict.state is AuditState.INCOMPLETE
    assert verdict.ts_ns < START + 15 * MINUTE
    assert verdict.share == pytest.approx(0.2, abs=0.06)
    assert ran.tally.share == pytest.approx(0.2, abs=0.03)
    assert ran.tally.missing >= 0.97 * ran.volume
    assert len(ran.findings) < 25
