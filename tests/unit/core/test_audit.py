"""What the audit of one contract finds, and what it must not find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tapekeeper.core.audit import AuditStage
from tapekeeper.core.audit.contract import PENDING_MAX, REPORT_NS, SETTLE_NS
from tapekeeper.core.audit.prints import KEEP_NS, STEP_NS
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.audit import AuditFinding, AuditKind, AuditState, AuditTally, AuditVerdict
from tapekeeper.model.tick import Quote, TradeBatch

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_767_625_200 * SECOND
"""2026-01-05T15:00Z, a Monday in the middle of a session."""
ES = "CON.F.US.EP.H26"


class Market:
    """One print a second with a quote behind it, and an audit that listens."""

    def __init__(self, *, calendar: str = "cme", volume: int = 1_000) -> None:
        self.stage = AuditStage()
        self.stage.follow(ES, calendar_by_name(calendar))
        self.volume = volume
        self.now_ns = START
        self.seq = 0
        self.found: list[AuditFinding] = []
        self.verdicts: list[AuditVerdict] = []

    def print(self, ts_ns: int, size: int) -> None:
        """A print that reaches us."""
        self.seq += 1
        self.stage.take_trades(TradeBatch(ES, [ts_ns], [1.0], [size], [0], [ts_ns], [self.seq]))
        self.collect()

    def quote(self, ts_ns: int, volume: int | None) -> None:
        """A quote that reaches us."""
        self.seq += 1
        self.stage.take_quote(Quote(ES, ts_ns, ts_ns, self.seq, volume=volume))
        self.collect()

    def collect(self) -> None:
        """Keep what was found."""
        findings, verdicts = self.stage.collect()
        self.found += findings
        self.verdicts += verdicts

    def trade(self, seconds: int, size: int = 5, *, lost: int = 0) -> None:
        """For so many seconds a print of `size`, beside `lost` contracts that reach nobody."""
        for _ in range(seconds):
            self.now_ns += SECOND
            self.volume += size + lost
            if size:
                self.print(self.now_ns, size)
            self.quote(self.now_ns, self.volume)

    @property
    def tally(self) -> AuditTally:
        """Its sums."""
        (tally,) = self.stage.tallies()
        return tally

    def gist(self) -> list[tuple[str, int]]:
        """Kind and volume of all findings."""
        return [(one.kind.value, one.volume) for one in self.found]


def settled(**options: str) -> Market:
    """A market whose level has been learned."""
    market = Market(**options)  # type: ignore[arg-type]  # one option has another type, unused here
    market.trade(60)
    assert market.tally.state is AuditState.COMPLETE
    return market


def test_a_feed_that_loses_nothing_is_complete() -> None:
    """No finding, and the whole growth is accounted for once the level is known."""
    market = settled()
    market.trade(600)
    assert market.found == []
    assert market.tally.missing == 0
    assert market.tally.quoted >= 600 * 5


def test_lost_volume_is_found_with_its_interval() -> None:
    """What was quoted and never printed is told within a minute, with bounds around it."""
    market = settled()
    begun_ns = market.now_ns
    market.trade(1, lost=7)
    ended_ns = market.now_ns
    market.trade(40)
    (found,) = market.found
    assert (found.kind, found.volume) == (AuditKind.MISSING, 7)
    assert begun_ns - SECOND <= found.from_ns <= begun_ns
    assert ended_ns <= found.to_ns <= ended_ns + SECOND
    assert market.tally.missing == 7


def test_losses_close_to_each_other_are_one_finding() -> None:
    """A spell is told once, when it is over."""
    market = settled()
    for _ in range(5):
        market.trade(1, lost=3)
        market.trade(3)
    market.trade(30)
    assert market.gist() == [("missing", 15)]


def test_a_loss_that_goes_on_is_told_within_a_minute() -> None:
    """Whoever reads the findings need not wait for its end."""
    market = settled()
    assert SETTLE_NS < REPORT_NS
    market.trade(REPORT_NS // SECOND + 10, lost=1)
    assert market.gist()[0][0] == "missing"
    market.trade(60)
    assert sum(volume for _, volume in market.gist()) == 50


def test_prints_that_nobody_quoted_are_a_surplus() -> None:
    """The other direction is told, too; a bound leaves a single print unproven."""
    market = settled()
    market.print(market.now_ns + 10 * MS, 40)
    market.trade(40)
    assert [kind for kind, _ in market.gist()] == ["surplus"]
    assert 35 <= market.found[0].volume <= 40


@pytest.mark.parametrize("behind_ms", [-450, -200, 0, 200, 450])
def test_quotes_may_be_some_hundred_ms_ahead_or_behind(behind_ms: int) -> None:
    """Neither order between a print and the quote that counts it is a finding."""
    market = Market()
    for _ in range(300):
        market.now_ns += SECOND
        market.volume += 5
        market.print(market.now_ns, 5)
        market.quote(market.now_ns + behind_ms * MS, market.volume)
    assert market.found == []
    assert market.tally.state is AuditState.COMPLETE


def test_quotes_that_come_rarely_cost_time_and_no_volume() -> None:
    """Conflation hides nothing: the next volume that is told counts all before it."""
    market = settled()
    for second in range(120):
        market.now_ns += SECOND
        market.volume += 5 + (9 if second == 30 else 0)
        market.print(market.now_ns, 5)
        if second % 10 == 9:
            market.quote(market.now_ns, market.volume)
    assert market.gist() == [("missing", 9)]


def test_a_quote_without_a_new_volume_teaches_nothing() -> None:
    """A sparse update repeats the merged volume although more was traded: no surplus."""
    market = settled()
    merged = market.volume
    for _ in range(60):
        market.now_ns += SECOND
        market.volume += 5
        market.print(market.now_ns, 5)
        market.quote(market.now_ns, None)
        market.quote(market.now_ns, merged)
    market.trade(60)
    assert market.found == []


def test_the_first_volume_is_a_beginning_and_no_loss() -> None:
    """Whoever joins within a session has not lost what was traded before."""
    market = Market(volume=2_000_000)
    market.quote(market.now_ns - 30 * SECOND, 1_999_000)
    market.trade(120)
    assert market.found == []


def test_a_session_starts_the_volume_anew() -> None:
    """The fall at the open is by the calendar, and what is lost afterwards is found."""
    market = settled()
    market.now_ns = START + 8 * 3_600 * SECOND
    market.volume = 0
    market.trade(60)
    market.trade(1, lost=4)
    market.trade(30)
    assert market.gist() == [("missing", 4)]


def test_a_count_that_starts_anew_within_a_session_is_learned_again() -> None:
    """Some gateway's day may be another than the calendar's."""
    market = settled()
    market.volume = 0
    market.trade(60)
    market.trade(1, lost=4)
    market.trade(30)
    assert market.gist() == [("missing", 4)]


def test_one_volume_that_is_nonsense_is_taken_back() -> None:
    """A jump that the next quote contradicts was no loss."""
    market = settled()
    market.now_ns += 100 * MS
    market.quote(market.now_ns, market.volume + 1_000_000)
    market.trade(60)
    assert market.found == []
    market.trade(1, lost=4)
    market.trade(30)
    assert market.gist() == [("missing", 4)]


def test_one_wild_stamp_moves_nothing() -> None:
    """A print from next year is counted now, and time goes on as it did."""
    market = settled()
    market.volume += 6
    market.print(market.now_ns + 365 * 86_400 * SECOND, 6)
    market.trade(120)
    assert market.found == []


def test_a_print_that_is_late_has_not_been_lost() -> None:
    """It comes while the difference is found out: nothing is told."""
    market = settled()
    market.trade(1, lost=7)
    lost_ns = market.now_ns
    market.trade(6)
    market.print(lost_ns, 7)
    market.trade(60)
    assert market.found == []


def test_a_print_that_is_very_late_has_returned() -> None:
    """It was told as missing, and is told to have come."""
    market = settled()
    market.trade(1, lost=7)
    lost_ns = market.now_ns
    market.trade(60)
    market.print(lost_ns, 7)
    market.trade(60)
    assert market.gist() == [("missing", 7), ("returned", 7)]
    assert (market.tally.missing, market.tally.returned) == (0, 7)


def test_a_late_print_that_was_never_missed_changes_nothing() -> None:
    """Before the level was learned nobody knew: no surplus, and no loss afterwards."""
    market = settled()
    market.print(START - SECOND, 50)
    market.trade(120)
    assert market.found == []


@pytest.mark.parametrize(
    ("aside", "gist"),
    [
        (lambda m: m.stage.set_aside(ES, m.now_ns, 7), [("quarantined", 7)]),
        (lambda m: m.stage.set_aside(ES, m.now_ns, None), [("quarantined", 9)]),
        (lambda m: m.stage.set_aside("", None, None), [("quarantined", 9)]),
        (lambda m: m.stage.set_aside("CON.F.US.MES.H26", None, None), [("missing", 9)]),
    ],
    ids=["of known size", "of unknown size", "of unknown contract", "of another contract"],
)
def test_what_we_quarantined_is_no_loss_of_the_feed(
    aside: Callable[[Market], None], gist: list[tuple[str, int]]
) -> None:
    """It is told apart, and where its size is known only that much is excused."""
    market = settled()
    market.trade(1, lost=9)
    aside(market)
    market.trade(60)
    assert [one for one in market.gist() if one[0] == gist[0][0]] == gist
    assert sum(volume for _, volume in market.gist()) == 9


def test_a_steady_share_is_reported_once_as_such() -> None:
    """A feed that serves four fifths of the market gets a verdict and no endless row of gaps."""
    market = settled()
    market.trade(3_600, size=8, lost=2)
    (verdict,) = market.verdicts
    assert verdict.state is AuditState.INCOMPLETE
    assert verdict.share == pytest.approx(0.2, abs=0.02)
    assert verdict.ts_ns < START + 8 * 60 * SECOND
    assert len(market.found) < 12
    assert market.tally.state is AuditState.INCOMPLETE
    assert market.tally.missing > 0.95 * 3_600 * 2


def test_a_feed_that_was_never_complete_is_recognised() -> None:
    """Nothing ever settles there, so the first level is taken by force."""
    market = Market()
    market.trade(1_800, size=8, lost=2)
    assert market.tally.state is AuditState.INCOMPLETE
    assert market.tally.share == pytest.approx(0.2, abs=0.02)


def test_an_incomplete_feed_may_lose_more_than_usual() -> None:
    """Then the excess is a finding."""
    market = settled()
    market.trade(900, size=8, lost=2)
    before = len(market.found)
    market.trade(30, size=0, lost=10)
    market.trade(60, size=8, lost=2)
    assert len(market.found) > before
    assert 150 <= sum(one.volume for one in market.found[before:]) <= 300


def test_a_feed_that_recovers_is_complete_again() -> None:
    """The end of a steady loss is told, too."""
    market = settled()
    market.trade(900, size=8, lost=2)
    market.trade(900, size=8)
    assert [one.state for one in market.verdicts] == [AuditState.INCOMPLETE, AuditState.COMPLETE]


def test_a_stream_that_has_died_is_no_steady_share() -> None:
    """Quotes without any print go on being reported."""
    market = settled()
    market.trade(900, size=0, lost=10)
    assert market.verdicts == []
    assert sum(volume for _, volume in market.gist()) > 8_000


def test_without_volumes_nothing_is_known() -> None:
    """Prints alone, however many, and quotes without volume leave the state unknown."""
    market = Market()
    for _ in range(200):
        market.now_ns += SECOND
        market.print(market.now_ns, 5)
        market.quote(market.now_ns, None)
    assert market.found == []
    assert market.tally.state is AuditState.UNKNOWN


def test_a_contract_that_is_forgotten_begins_anew() -> None:
    """What was traded between two subscriptions is nobody's loss."""
    market = settled()
    market.stage.forget(ES)
    market.stage.follow(ES, calendar_by_name("cme"))
    market.volume += 10_000
    market.trade(120)
    assert market.found == []
    assert market.tally.state is AuditState.COMPLETE


def test_what_is_proven_is_told_at_the_end() -> None:
    """A stop within the minute after a loss does not hide it, if a second quote agreed with it."""
    market = settled()
    market.trade(1, lost=7)
    market.trade(5)
    assert market.found == []
    market.stage.end()
    market.collect()
    assert market.gist() == [("missing", 7)]


def test_memory_is_bounded() -> None:
    """Hours of prints without a quote, or of quotes without a print, keep a few seconds."""
    market = settled()
    for _ in range(20_000):
        market.now_ns += 20 * MS
        market.print(market.now_ns, 1)
    (audit,) = market.stage._audits.values()
    assert len(audit._printed._steps) <= KEEP_NS // STEP_NS + 1
    for _ in range(5_000):
        market.volume += 1
        market.quote(market.now_ns, market.volume)
    assert len(audit._pending) <= PENDING_MAX
