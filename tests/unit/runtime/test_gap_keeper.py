"""What is missing, put on the exchange's clock, journalled, and kept in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import msgspec
import pytest

from tapekeeper.adapters.files import FolderFiles
from tapekeeper.app.replay import ReplayOptions, replay
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.recent import RecentBars, RecentQuotes
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.session import Garbled
from tapekeeper.model.bar import Completeness
from tapekeeper.model.gap import Gap, GapCause, GapState, HistoryRow, HistoryRows, Repair, Span
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import parse_size
from tapekeeper.model.queue import OnFull, QueueDefaults, QueueLimits
from tapekeeper.model.timeframe import Timeframe
from tapekeeper.runtime.continuing import State
from tapekeeper.runtime.coverage import Uncovered
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.gap_keeper import MARGIN_NS, SETTLE_NS, TRADES, GapKeeper
from tapekeeper.runtime.intake import FeedLimits
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.line_values import Connected, HubCall, Inbound
from tapekeeper.sim.manual_clock import ManualClock

S = 1_000_000_000
MARGIN_S = MARGIN_NS / S
START = 1_767_625_200 * S
MES = "CON.F.US.MES.H26"
AHEAD_NS = 3 * S
"""The host's clock is ahead of the exchange's, which no bound may show."""


ROOMY = FeedLimits(frames=100, bytes=100_000)


class Bench:
    """A feed and a keeper on a folder, on a clock that is moved by hand."""

    def __init__(
        self, folder: Path, limits: FeedLimits = ROOMY, state: State | None = None
    ) -> None:
        self.folder = folder
        self.clock = ManualClock(START + AHEAD_NS)
        self.journaler = Journaler(FolderFiles(folder), created_ns=START)
        self.events: list[str] = []
        self.feed = Feed(
            pipeline=Pipeline(grace_ns=S) if state is None else state.pipeline,
            journaler=self.journaler,
            recent=RecentBars(100) if state is None else state.recent,
            recent_quotes=RecentQuotes(10),
            dispatch=Dispatch(QueueDefaults(QueueLimits(10, 10**9))),
            clock=self.clock,
            limits=limits,
            log=self.log,
        )
        self.keeper = GapKeeper(
            feed=self.feed, files=FolderFiles(folder), clock=self.clock, log=self.log
        )

    def log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Keep what is said of gaps."""
        if event == "gap":
            self.events.append(f"{fields['gap']} {fields['cause']} {fields['state']} {level}")

    def at(self, second: float) -> None:
        """Let it be START plus `second` at the exchange."""
        self.clock.advance((START + AHEAD_NS + round(second * S) - self.clock.now_ns()) / S)

    def subscribe(self, *timeframes: str) -> None:
        """Follow a contract from the present moment on, or add timeframes."""
        self.ask(*timeframes)
        self.feed(Connected(1, "market", self.clock.now_ns()))
        self.keeper.followed(MES)

    def ask(self, *timeframes: str) -> None:
        """Want a contract, which is not confirmed yet."""
        self.feed.subscribe(
            Subscription(
                Instrument(MES, "MESH6"),
                tuple(map(parse_size, timeframes or ("1s", "1m"))),
                calendar_by_name("cme"),
            )
        )
        self.keeper.follow(MES)

    def trade(self, second: float, price: float = 6000) -> None:
        """A print at START plus `second`, which takes no time to come."""
        self.at(second)
        self.feed(self.frame(second, price))
        self.feed.drain()

    def frame(self, second: float, price: float = 6000) -> Inbound:
        """The frame of a print at START plus `second`, which comes now."""
        stamp = f"2026-01-05T15:{int(second) // 60:02}:{second % 60:09.6f}Z"
        arguments = f'["{MES}",[{{"timestamp":"{stamp}","price":{price},"volume":1,"type":0}}]]'
        call = Invocation("GatewayTrade", arguments.encode())
        data = b'{"type":1,"target":"GatewayTrade","arguments":' + arguments.encode() + b"}\x1e"
        return Inbound(1, "market", self.clock.now_ns(), data, (call,), ())

    def worth(self) -> dict[tuple[str, int], Completeness]:
        """Completeness of every closed and forming bar by timeframe and second."""
        bars = [*self.feed.recent.all(), *self.feed.pipeline.forming_all()]
        return {(bar.timeframe, (bar.ts_open - START) // S): bar.completeness for bar in bars}

    def gaps(self) -> list[tuple[GapCause, GapState, float | None, float | None]]:
        """The ledger, in seconds after START of the exchange."""
        return [
            (gap.cause, gap.state, _after(gap.from_ns), _after(gap.to_ns))
            for gap in self.keeper.ledger.find()
        ]


def _after(ts_ns: int | None) -> float | None:
    return None if ts_ns is None else (ts_ns - START) / S


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A keeper on a new journal."""
    made = Bench(tmp_path / "journal")
    yield made
    made.keeper.close()
    made.journaler.close()


def hole(
    from_s: float,
    to_s: float | None,
    why: str = "lost",
    cause: GapCause = GapCause.DISCONNECT,
) -> Uncovered:
    """What the pool tells of, in host time."""
    to_ns = None if to_s is None else START + AHEAD_NS + round(to_s * S)
    call = HubCall(TRADES, (MES,))
    return Uncovered(START + AHEAD_NS + round(from_s * S), to_ns, why, (call,), cause)


def test_the_start_ends_with_the_confirmation_on_the_exchanges_clock(bench: Bench) -> None:
    """Nobody knows that clock before the first print, so the end waits for it."""
    bench.at(10)
    bench.subscribe()
    assert bench.gaps() == [(GapCause.START, GapState.LASTING, None, None)]
    bench.trade(30.5)
    assert bench.gaps() == [(GapCause.START, GapState.ENDED, None, 10.0 + MARGIN_S)]
    bench.trade(61.0)
    whole, partial = Completeness.COMPLETE, Completeness.PARTIAL_START
    assert bench.worth() == {("1s", 30): whole, ("1s", 61): whole, ("1m", 0): partial,
                             ("1m", 60): whole}  # fmt: skip
    assert bench.events == ["1 start lasting info", "1 start ended info"]


def test_an_outage_marks_bars_at_once_and_ends_with_the_next_acknowledgement(
    bench: Bench,
) -> None:
    """It begins a little before what was heard last; closed bars are told again."""
    bench.subscribe()
    bench.trade(1.5)
    bench.trade(2.5)
    bench.keeper.cover([], [hole(2.6, None)])
    margin_s = MARGIN_S
    assert bench.gaps()[1:] == [(GapCause.DISCONNECT, GapState.LASTING, 2.6 - margin_s, None)]
    assert bench.worth()["1s", 2] is Completeness.GAP
    bench.keeper.cover([hole(2.6, 9.0)], [])
    bench.trade(9.5)
    bench.trade(10.5)
    assert bench.gaps()[1:] == [(GapCause.DISCONNECT, GapState.ENDED, 2.6 - margin_s, 9.0)]
    assert bench.worth()["1s", 9] is Completeness.COMPLETE
    assert bench.worth()["1m", 0] is Completeness.GAP


@pytest.mark.parametrize("told", ["while it lasts", "at its end"])
def test_an_outage_that_goes_on_because_of_a_refusal_is_one_entry(bench: Bench, told: str) -> None:
    """Its cause is why it lasts: whoever reads it asks for the entitlement, not the network."""
    bench.subscribe()
    bench.trade(1.5)
    refused = GapCause.REFUSED_SUBSCRIPTION
    bench.keeper.cover([], [hole(2.0, None)])
    from_s = 2.0 - MARGIN_S
    if told == "while it lasts":
        bench.keeper.cover([], [hole(2.0, None, "lost; then refused", refused)])
        assert bench.gaps()[1:] == [(refused, GapState.LASTING, from_s, None)]
    bench.keeper.cover([hole(2.0, 9.0, "lost; then refused", refused)], [])
    assert bench.gaps()[1:] == [(refused, GapState.ENDED, from_s, 9.0)]
    assert bench.keeper.ledger.find()[1].evidence == "lost; then refused"


def test_prints_stamped_ahead_are_a_gap_by_a_clock(bench: Bench) -> None:
    """They are good prints, as far as anybody can tell, whose time cannot be believed."""
    bench.subscribe()
    for second in range(1, 40):
        bench.trade(float(second))
    bench.feed(bench.frame(3_000.0))
    bench.feed.drain()
    assert bench.gaps()[1:] == [(GapCause.CLOCK, GapState.LASTING, 39.0, None)]
    bench.trade(41.0)
    assert bench.gaps()[1][1] is GapState.ENDED


def test_a_start_ends_with_the_first_print_behind_it(bench: Bench) -> None:
    """The confirmation may have been faster than any print, and prints before it are lost."""
    bench.at(10.0)
    bench.subscribe()
    bench.at(10.2)
    bench.feed(bench.frame(10.1))  # 0.1 s on its way, so the confirmation seems to be of 9.9
    bench.feed.drain()
    assert bench.gaps() == [(GapCause.START, GapState.ENDED, None, 10.1)]


def test_nothing_is_missing_behind_a_print_that_came_before_the_confirmation(
    bench: Bench,
) -> None:
    """The subscription was there before its confirmation; what is older was on its way."""
    bench.subscribe()
    bench.trade(1.5)
    for asked_s, print_s, begins_s in ((9, 9.9, 10), (19, 18.0, 20 + MARGIN_S)):
        bench.keeper.unfollow(MES)
        bench.feed.unsubscribe(MES)
        bench.at(asked_s)
        bench.ask()
        bench.at(asked_s + 0.9)
        bench.feed(bench.frame(print_s))
        bench.feed.drain()
        bench.at(asked_s + 1)
        bench.keeper.followed(MES)
        assert bench.gaps()[-1][3] == begins_s


def test_an_end_is_put_anew_when_a_delivery_shows_that_all_before_it_were_late(
    bench: Bench,
) -> None:
    """The only print so far came 16 s late, so the exchange's clock seemed to be as far behind."""
    bench.at(10)
    bench.subscribe()
    bench.at(30)
    bench.feed(bench.frame(14.0))
    bench.feed.drain()
    bench.keeper.cover([hole(20.0, 35.0)], [])
    assert [to_s for _, _, _, to_s in bench.gaps()] == [-6.0 + MARGIN_S, 19.0]
    bench.at(36)
    bench.feed(bench.frame(36.0))
    bench.feed.drain()
    assert [to_s for _, _, _, to_s in bench.gaps()] == [10.0, 35.0]
    bench.trade(61.0)
    assert bench.worth()["1m", 0] is Completeness.GAP


def test_a_backlog_that_is_worked_off_puts_an_end_anew_a_few_times(bench: Bench) -> None:
    """Each delivery is less late than the last one, as are all of a feed that runs fast."""
    bench.at(10)
    bench.subscribe()
    told: list[Gap] = []
    bench.feed.listen(lambda outputs: told.extend(outputs.gaps))
    for step in range(40):
        bench.at(40 + step / 10)
        bench.feed(bench.frame(1.0 * step))
        bench.feed.drain()
        if not step:
            bench.keeper.cover([hole(15.0, 20.0)], [])
    ends: dict[GapCause, list[float]] = {}
    for gap in told:
        ends.setdefault(gap.cause, []).append(_after(gap.to_ns) or 0.0)
    # Nothing is missing behind the first print, so a start ends there at the latest.
    assert ends[GapCause.START][0] == -30.0 + MARGIN_S
    assert ends[GapCause.START][-1] == 0.0
    first_s, *rest_s = ends[GapCause.DISCONNECT]
    assert rest_s == sorted(rest_s)
    assert 1 < len(rest_s) < 8
    late_s = 43.9 - 39.0
    assert 20.0 - late_s <= rest_s[-1] <= first_s + SETTLE_NS / S


def test_an_outage_across_a_step_of_the_clock_holds_both_that_it_may_have_been(
    bench: Bench,
) -> None:
    """The clock was set five seconds ahead, or the host slept: no data have come since."""
    bench.subscribe()
    bench.trade(1.5)
    bench.clock.set_by(5.0)
    bench.keeper.cover([hole(2.0, 3.0)], [])
    (_, _, from_s, to_s) = bench.gaps()[1]
    assert from_s == 2.0 - 5.0 - MARGIN_S
    assert to_s == 3.0


def test_an_outage_that_is_known_when_it_is_over_is_one_entry(bench: Bench) -> None:
    """As after a hand-over that came too late."""
    bench.subscribe()
    bench.trade(1.5)
    bench.keeper.cover([hole(1.6, 2.0)], [])
    bench.keeper.cover([], [])
    assert [state for _, state, _, _ in bench.gaps()[1:]] == [GapState.ENDED]


def test_several_outages_that_are_told_at_once_are_entries_of_their_own(bench: Bench) -> None:
    """As when a line that had seemed to cover everything turns out to have been dead."""
    bench.subscribe()
    bench.trade(1.5)
    bench.keeper.cover([hole(2.0, 3.0), hole(5.0, 6.0)], [])
    assert [to_s for _, _, _, to_s in bench.gaps()[1:]] == [3.0, 6.0]


def calm(bench: Bench) -> None:
    """Prices are known at the end of second 39."""
    bench.subscribe()
    for second in range(1, 40):
        bench.trade(float(second))


def test_a_gap_is_taken_back_when_what_it_was_opened_for_is_let_in(bench: Bench) -> None:
    """Three prints in bursts of their own confirm a jump: nothing is missing from any bar."""
    calm(bench)
    bench.trade(41.0, 6_500)
    assert bench.gaps()[1:] == [(GapCause.QUARANTINE, GapState.LASTING, 39.0, None)]
    bench.trade(41.5, 6_500)
    bench.trade(42.0, 6_500)
    assert bench.gaps()[1:] == [(GapCause.QUARANTINE, GapState.ENDED, 39.0, 39.0)]
    assert "let in" in bench.keeper.ledger.find()[-1].note
    bench.trade(44.0, 6_500)
    worth = bench.worth()
    assert {worth["1s", second] for second in (39, 41, 42)} == {Completeness.COMPLETE}
    assert bench.feed.pipeline.trade_counts().accepted == 43


def test_an_ended_gap_is_taken_back_when_a_later_burst_confirms_it(bench: Bench) -> None:
    """An ordinary print ends the spell in between; its bars are told again, and complete."""
    calm(bench)
    bench.trade(41.0, 6_500)
    bench.trade(42.0)
    assert bench.gaps()[1][1:] == (GapState.ENDED, 39.0, 42.000000001)
    bench.trade(43.0, 6_500)
    bench.trade(44.0, 6_500)
    assert [gap[1:] for gap in bench.gaps()[1:]] == [
        (GapState.ENDED, 39.0, 39.0),
        (GapState.ENDED, 42.0, 42.0),
    ]
    bench.trade(46.0, 6_500)
    worth = bench.worth()
    assert {worth["1s", second] for second in (39, 41, 42, 43, 44)} == {Completeness.COMPLETE}


def test_a_print_that_is_let_in_by_hand_takes_its_gap_back(bench: Bench) -> None:
    """Whoever lets it in; of two that the gap was opened for, the first is not enough."""
    calm(bench)
    bench.trade(41.0, 6_500)
    bench.trade(41.5, 7_500)
    bench.trade(43.0)
    first, second = (each.trade for each in bench.feed.pipeline.quarantined())
    bench.feed.readmit(first)
    assert bench.gaps()[1][2:] == (39.0, 43.000000001)
    bench.feed.readmit(second)
    assert bench.gaps()[1][2:] == (39.0, 39.0)
    assert bench.worth()["1s", 41] is Completeness.COMPLETE


def test_a_gap_of_something_else_as_well_stays(bench: Bench) -> None:
    """Nobody can let in what could not be read, and it may have been a print."""
    calm(bench)
    bench.trade(41.0, 6_500)
    garbled = (Garbled(b"{", "not JSON"),)
    bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"{\x1e", (), garbled))
    bench.feed.drain()
    bench.trade(41.5, 6_500)
    bench.trade(42.0, 6_500)
    assert bench.gaps()[1][1:] == (GapState.ENDED, 39.0, 42.000000001)
    assert bench.worth()["1s", 41] is Completeness.GAP


def test_what_cannot_be_read_is_a_gap_until_the_next_print(bench: Bench) -> None:
    """It may have been a print of any followed contract; several in a row are one gap."""
    bench.subscribe()
    bench.trade(1.5)
    now_ns = bench.clock.now_ns()
    for _ in range(2):
        garbled = (Garbled(b"{", "not JSON"),)
        bench.feed(Inbound(1, "market", now_ns, b"{\x1e", (), garbled))
        bench.feed.drain()
    assert bench.gaps()[1:] == [(GapCause.QUARANTINE, GapState.LASTING, 1.5, None)]
    bench.trade(3.0)
    ((cause, state, _, to_s),) = bench.gaps()[1:]
    assert (cause, state) == (GapCause.QUARANTINE, GapState.ENDED)
    assert to_s == pytest.approx(3.0)
    assert bench.worth()["1s", 1] is Completeness.GAP


def test_prints_that_come_with_what_cannot_be_read_do_not_end_its_gap(bench: Bench) -> None:
    """They may have come before it: it lies between the bursts before and behind."""
    bench.subscribe()
    bench.trade(1.5)
    bench.at(2.5)
    frame = bench.frame(2.5)
    bench.feed(msgspec.structs.replace(frame, garbled=(Garbled(b"{", "not JSON"),)))
    bench.feed.drain()
    assert bench.gaps()[1:] == [(GapCause.QUARANTINE, GapState.LASTING, 1.5, None)]
    bench.trade(4.0)
    ((_, state, from_s, to_s),) = bench.gaps()[1:]
    assert (state, from_s) == (GapState.ENDED, 1.5)
    assert to_s == pytest.approx(4.0)
    assert bench.worth()["1s", 2] is Completeness.GAP


def test_a_timeframe_that_is_added_lacks_what_was_before(bench: Bench) -> None:
    """Its first bar says so, and no bar of another timeframe; what it can be made of counts."""
    bench.subscribe("1m")
    bench.trade(1.5)
    bench.trade(121.5)
    bench.subscribe("10s", "1m", "2m")
    bench.trade(122.5)
    bench.trade(241.0)
    began = bench.keeper.ledger.find(causes=[GapCause.START])[1:]
    assert [(gap.timeframes, gap.from_ns, gap.to_ns) for gap in began] == [
        (("10s",), None, START + 121_500_000_001),
        (("2m",), None, START + 120 * S),
    ]
    assert {key: worth for key, worth in bench.worth().items() if key[1] == 120} == {
        ("10s", 120): Completeness.PARTIAL_START,
        ("1m", 120): Completeness.COMPLETE,
        ("2m", 120): Completeness.COMPLETE,
    }
    bench.subscribe("10s")
    assert len(bench.keeper.ledger) == 3


def test_the_beginning_of_a_bar_is_in_the_journal(bench: Bench) -> None:
    """A replay puts it into the bar that forms at the same place, and asks nobody."""
    bench.at(-1)
    bench.subscribe("10s")
    bench.trade(21.5)
    bench.subscribe("1m")
    bench.trade(22.5)
    (gap,) = bench.keeper.ledger.find(causes=[GapCause.START])[1:]
    assert gap.to_ns == START + 20 * S
    mended = msgspec.structs.replace(gap, restored=(Span(START, gap.to_ns),))
    row = HistoryRow(START, gap.to_ns, 6001.0, 6002.0, 6000.0, 6001.0, 7)
    bench.feed.know([Repair(mended, START + 20 * S, (HistoryRows("1m", (row,)),))])
    bench.trade(23.5)
    minute = bench.feed.pipeline.forming(MES, Timeframe.parse("1m"))
    assert minute is not None
    assert (minute.volume, minute.n, minute.completeness) == (10, 3, Completeness.BACKFILLED)
    bench.trade(61.0)
    live = [*bench.feed.recent.all(), *bench.feed.pipeline.forming_all()]
    bench.keeper.close()
    bench.journaler.close()
    again = replay(bench.folder, ReplayOptions(calendar=calendar_by_name("cme")))
    key = attrgetter("timeframe", "ts_open")
    assert sorted((b for bars in again.bars.values() for b in bars), key=key) == sorted(
        live, key=key
    )
    assert again.holds


def test_a_measure_that_is_added_has_an_entry_and_its_first_bar_says_so(bench: Bench) -> None:
    """Before the first print there is nothing that it lacks; a replay makes the same bars."""
    bench.at(-1)
    bench.subscribe("1m", "3tick")
    bench.subscribe("4tick")
    bench.trade(1.5)
    bench.trade(2.5)
    bench.subscribe("2tick")
    for second in range(3, 8):
        bench.trade(second)
    began = bench.keeper.ledger.find(causes=[GapCause.START])[1:]
    assert [(gap.timeframes, gap.from_ns, gap.to_ns) for gap in began] == [
        (("2tick",), None, START + 2_500_000_001)
    ]
    worth = bench.worth()
    assert [worth["2tick", second] for second in (3, 5)] == [
        Completeness.PARTIAL_START,
        Completeness.COMPLETE,
    ]
    assert {worth[key] for key in worth if key[0] != "2tick"} == {Completeness.COMPLETE}
    bench.journaler.close()
    again = replay(bench.folder, ReplayOptions(calendar=calendar_by_name("cme")))
    live = bench.feed.recent.of(MES, "2tick")
    assert [bar for bar in again.bars["2tick"] if bar.state.value != "forming"] == list(live)
    # The bars of all prints, as if it had been followed from the start, are in the journal.
    wanted = (parse_size("2tick"),)
    options = ReplayOptions(calendar=calendar_by_name("cme"), timeframes=wanted)
    whole = replay(bench.folder, options).bars["2tick"]
    assert [bar.n for bar in whole] == [2, 2, 2, 1]
    assert {bar.completeness for bar in whole[1:]} == {Completeness.COMPLETE}


def test_a_bar_that_goes_on_when_its_contract_is_followed_no_more_lacks_what_comes(
    bench: Bench,
) -> None:
    """It may be closed by the time of other contracts; following again is the same gap."""
    bench.subscribe()
    bench.trade(1.2)
    bench.keeper.unfollow(MES)
    bench.feed.unsubscribe(MES)
    assert bench.gaps()[1:] == [(GapCause.START, GapState.LASTING, 1.2, None)]
    assert bench.worth() == {
        ("1s", 1): Completeness.PARTIAL_START,
        ("1m", 0): Completeness.PARTIAL_START,
    }
    bench.at(5.0)
    bench.subscribe()
    assert bench.gaps()[1:] == [(GapCause.START, GapState.ENDED, 1.2, 5.0 + MARGIN_S)]


def test_unsubscribing_ends_what_lasts(bench: Bench) -> None:
    """And following again begins with the last print that was had."""
    bench.subscribe()
    bench.trade(1.5)
    bench.keeper.cover([], [hole(2.0, None)])
    bench.at(5)
    bench.keeper.unfollow(MES)
    bench.feed.unsubscribe(MES)
    assert bench.gaps()[1][1:] == (GapState.ENDED, 2.0 - MARGIN_S, 5.0)
    bench.at(20)
    bench.subscribe()
    assert bench.gaps()[2] == (GapCause.START, GapState.ENDED, 1.5, 20.0 + MARGIN_S)


def test_a_repair_reaches_bars_journal_and_ledger(bench: Bench) -> None:
    """The gateway's bars stand for the gap; a replay of the journal makes the same bars."""
    bench.at(-1)
    bench.subscribe()
    for second in (1.5, 2.5, 9.5, 10.5):
        bench.trade(second)
    bench.keeper.cover([hole(2.6, 9.0)], [])
    (gap,) = bench.keeper.ledger.find(causes=[GapCause.DISCONNECT])
    assert gap.from_ns is not None
    assert gap.to_ns is not None
    restored = (Span(gap.from_ns, gap.to_ns),)
    mended = msgspec.structs.replace(gap, restored=restored)
    rows = tuple(
        HistoryRow(START + n * S, START + (n + 1) * S, 6001.0, 6002.0, 6000.0, 6001.0, 7)
        for n in (2, 4)
    )
    bench.feed.know([Repair(mended, START + 9 * S, (HistoryRows("1s", rows),))])
    assert bench.gaps()[1][1] is GapState.REPAIRED
    assert bench.worth()["1s", 4] is Completeness.BACKFILLED
    assert all(check.holds for check in bench.feed.pipeline.checks())
    live = [*bench.feed.recent.all(), *bench.feed.pipeline.forming_all()]
    bench.keeper.close()
    bench.journaler.close()
    again = replay(bench.folder, ReplayOptions(calendar=calendar_by_name("cme")))
    assert [bar for bars in again.bars.values() for bar in bars] == live
    assert again.holds
    # Bars of another timeframe are rolled up from what was repaired.
    wanted = (parse_size("5s"),)
    other = replay(bench.folder, ReplayOptions(calendar=calendar_by_name("cme"), timeframes=wanted))
    assert list(other.bars) == ["5s"]
    assert [(bar.volume, bar.completeness) for bar in other.bars["5s"]] == [
        (1 + 7 + 7, Completeness.BACKFILLED),
        (1, Completeness.BACKFILLED),
        (1, Completeness.COMPLETE),
    ]
    assert other.holds


def test_the_ledger_outlives_the_process(tmp_path: Path) -> None:
    """Numbers go on, and what lasted when a process ended is ended by the next one."""
    first = Bench(tmp_path)
    first.subscribe()
    first.trade(1.5)
    first.keeper.cover([], [hole(2.0, None)])
    first.keeper.close()
    first.journaler.close()

    second = Bench(tmp_path)
    assert second.keeper.problems == []
    assert [gap.gap_id for gap in second.keeper.ledger.find()] == [1, 2]
    second.at(50)
    second.subscribe()
    second.trade(55.0)
    assert second.gaps() == [
        (GapCause.START, GapState.ENDED, None, MARGIN_S),
        (GapCause.DISCONNECT, GapState.ENDED, 2.0 - MARGIN_S, 50.0),
        (GapCause.START, GapState.ENDED, None, 50.0 + MARGIN_S),
    ]
    second.keeper.close()
    second.journaler.close()
    assert sorted(name for name in FolderFiles(tmp_path).names() if "gaps" in name) == [
        "gaps-000001.jsonl",
        "gaps-000002.jsonl",
    ]
    (tmp_path / "gaps-000001.jsonl").write_bytes(b"torn\n")
    ledger, problems = read_ledger(FolderFiles(tmp_path))
    assert (len(ledger), len(problems)) == (2, 1)


def test_nothing_is_written_where_nothing_is_missing(bench: Bench, tmp_path: Path) -> None:
    """A journal without a gap has no file of gaps."""
    assert [name for name in FolderFiles(tmp_path / "journal").names() if "gaps" in name] == []
    assert bench.keeper.ledger.find() == []


def test_frames_that_were_given_up_are_a_gap_between_prints(tmp_path: Path) -> None:
    """From the last print before to the first one after, at once, in the ledger and in the bars."""
    bench = Bench(tmp_path / "journal", FeedLimits(2, 100_000, OnFull.SHED))
    try:
        bench.subscribe()
        bench.feed.drain()
        bench.trade(1)
        for second in (2, 3, 4, 5):
            bench.at(second)
            bench.feed(bench.frame(second))
        bench.feed.drain()
        lasting = (GapCause.OVERFLOW, GapState.LASTING, 3.0, None)
        assert bench.gaps()[1:] == [lasting]
        bench.trade(6)
        bench.trade(8)
        assert bench.gaps()[1:] == [
            (GapCause.OVERFLOW, GapState.ENDED, 3.0, _after(6 * S + 1 + START))
        ]
        worth = bench.worth()
        assert [worth["1s", second] for second in (2, 3, 6, 8)] == [
            Completeness.COMPLETE,
            Completeness.GAP,
            Completeness.GAP,
            Completeness.COMPLETE,
        ]
        assert worth["1m", 0] is Completeness.GAP
        [gap] = [each for each in bench.keeper.ledger.find() if each.cause is GapCause.OVERFLOW]
        assert gap.evidence.startswith("2 frames were given up: 2 of 2 events wait")
        assert "2 overflow lasting warning" in bench.events
        assert bench.feed.statistics().shed_records == 2
    finally:
        bench.keeper.close()
        bench.journaler.close()


def test_frames_that_were_given_up_before_the_first_print_are_a_gap_too(tmp_path: Path) -> None:
    """Nobody knows prints around them, so the gap is that of the host's clock."""
    bench = Bench(tmp_path / "journal", FeedLimits(2, 100_000, OnFull.SHED))
    try:
        bench.subscribe()
        bench.feed.drain()
        bench.at(10)
        bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"{}", (), ()))
        bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"{}", (), ()))
        bench.feed(bench.frame(10))
        bench.at(11)
        bench.feed.drain()
        bench.trade(12)
        _, [cause, state, from_s, to_s] = bench.gaps()
        assert (cause, state) == (GapCause.OVERFLOW, GapState.ENDED)
        assert from_s is not None
        assert to_s is not None
        assert from_s < 10
        assert 11 <= to_s < 12
    finally:
        bench.keeper.close()
        bench.journaler.close()


def test_what_was_given_up_is_a_gap_beside_what_was_quarantined(tmp_path: Path) -> None:
    """What is quarantined may be let in after all, which makes up for no frame."""
    bench = Bench(tmp_path / "journal", FeedLimits(2, 100_000, OnFull.SHED))
    try:
        bench.subscribe()
        bench.feed.drain()
        bench.trade(1)
        garbled = Garbled(b"nonsense", "not a record")
        bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"nonsense\x1e", (), (garbled,)))
        bench.feed(Inbound(1, "market", bench.clock.now_ns(), b"{}", (), ()))
        bench.feed(bench.frame(2))
        bench.feed.drain()
        bench.trade(4)
        behind = _after(START + 4 * S + 1)
        assert bench.gaps()[1:] == [
            (GapCause.QUARANTINE, GapState.ENDED, 1.0, behind),
            (GapCause.OVERFLOW, GapState.ENDED, 1.0, behind),
        ]
    finally:
        bench.keeper.close()
        bench.journaler.close()
