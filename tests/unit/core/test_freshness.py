"""Streams are judged by data, against their calendar and their own rate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import pairwise

from tapekeeper.core.calendar import Calendar, calendar_by_name
from tapekeeper.core.freshness import (
    Cause,
    Change,
    Fresh,
    Freshness,
    FreshnessPolicy,
    MendStep,
    Stale,
    Stream,
    StreamState,
)

S = 1_000_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
MES = "CON.F.US.MES.H26"
KEY = (MES, Stream.TRADES)
POLICY = FreshnessPolicy()


def at(text: str) -> int:
    """The time in ns UTC."""
    return int(dt.datetime.fromisoformat(text).timestamp()) * S


NOON = at("2026-01-06T12:00:00-06:00")
"""A Tuesday, in the middle of a session of the calendar `cme`."""


class Watch:
    """Looks once a second at one stream; the wall clock and the other one move together."""

    def __init__(
        self, now_ns: int = NOON, *, calendar: str = "cme", policy: FreshnessPolicy = POLICY
    ) -> None:
        self.freshness = Freshness(policy)
        self.calendar: Calendar = calendar_by_name(calendar)
        self.freshness.follow(MES, [Stream.TRADES], self.calendar)
        self.freshness.connected(live=True)
        self.now_ns = now_ns
        self.mono_ns = 7 * S
        self.changes: list[tuple[int, Change]] = []
        self.mends: list[tuple[int, MendStep]] = []
        self.grows_ns: int | None = None  # how often the volume of the contract grows

    def run(self, length_ns: int, *, every_ns: int | None = None) -> Sequence[Change]:
        """Let time pass with data every `every_ns`, or without any; the new transitions."""
        known = len(self.changes)
        for passed_ns in range(0, length_ns, S):
            came = every_ns is not None and passed_ns % every_ns == 0
            grew = [MES] if self.grows_ns and passed_ns % self.grows_ns == 0 else []
            look = self.freshness.look(self.now_ns, self.mono_ns, [KEY] if came else [], grew)
            self.changes += [(self.mono_ns, change) for change in look.changes]
            self.mends += [(self.mono_ns, mend.step) for mend in look.mends]
            self.now_ns += S
            self.mono_ns += S
        return [change for _, change in self.changes[known:]]

    @property
    def state(self) -> StreamState:
        """What is thought of the stream."""
        (view,) = self.freshness.streams(self.mono_ns)
        return view.state

    @property
    def threshold_ns(self) -> int | None:
        """What makes it stale."""
        (view,) = self.freshness.streams(self.mono_ns)
        return view.threshold_ns


def test_a_busy_stream_is_stale_after_the_floor_and_not_before() -> None:
    """Its own rate would make it sooner; a minute is the least."""
    watch = Watch()
    assert watch.run(HOUR, every_ns=S) == []
    last_ns = watch.now_ns - S
    assert watch.run(59 * S) == []
    assert watch.run(2 * S) == [Stale(MES, Stream.TRADES, last_ns, MINUTE, rate_known=True)]
    assert watch.state is StreamState.STALE


def test_data_makes_it_fresh_again() -> None:
    """And it is said how long it was silent."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    watch.run(100 * S)
    assert watch.run(S, every_ns=S) == [Fresh(MES, Stream.TRADES, 101 * S, Cause.DATA)]
    assert watch.state is StreamState.FRESH


def test_a_slow_stream_is_given_the_time_it_takes() -> None:
    """Twenty times its typical long gap; what one contract does says nothing of another."""
    watch = Watch()
    watch.run(3 * HOUR, every_ns=40 * S)
    assert watch.threshold_ns == 800 * S
    assert watch.run(760 * S) == []
    (stale,) = watch.run(60 * S)
    assert isinstance(stale, Stale)
    assert stale.threshold_ns == 800 * S


def test_a_stream_that_is_too_slow_to_tell_is_not_judged() -> None:
    """A contract that trades every ten minutes raises no alarm, however long it is silent."""
    watch = Watch(at("2026-01-05T17:00:00-06:00"))
    watch.run(3 * HOUR, every_ns=10 * MINUTE)
    assert watch.threshold_ns is None
    assert watch.run(12 * HOUR) == []


def test_outages_are_no_property_of_the_market() -> None:
    """Two long gaps within an hour leave the threshold as it was."""
    watch = Watch()
    watch.run(HOUR, every_ns=5 * S)
    before_ns = watch.threshold_ns
    for _ in range(2):
        watch.run(10 * MINUTE)
        watch.run(5 * MINUTE, every_ns=5 * S)
    assert watch.threshold_ns == before_ns == 100 * S


def test_a_market_that_turns_quieter_is_followed() -> None:
    """From a tick a second to one in fifty: no alarm, and the threshold grows with it."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    assert watch.run(HOUR, every_ns=50 * S) == []
    assert watch.threshold_ns == 1_000 * S


def test_a_stream_without_a_known_rate_has_a_threshold_of_its_own() -> None:
    """It may be a contract that nobody trades, so its line is not replaced for it."""
    watch = Watch()
    assert watch.run(1_800 * S) == []
    (stale,) = watch.run(S)
    assert stale == Stale(MES, Stream.TRADES, NOON, 1_800 * S, rate_known=False)
    watch.run(2 * HOUR)
    assert [step for _, step in watch.mends] == [MendStep.RESUBSCRIBE]


def test_a_closed_market_is_not_silent() -> None:
    """From Friday's close to Sunday's open nothing is expected."""
    watch = Watch(at("2026-01-09T15:00:00-06:00"))
    watch.run(HOUR, every_ns=S)
    assert watch.run(49 * HOUR) == []
    assert watch.state is StreamState.RESTING
    assert watch.now_ns == at("2026-01-11T17:00:00-06:00")


def test_a_stale_stream_is_excused_by_the_close() -> None:
    """Silence of a closed market is no fault, and asks for no mending."""
    watch = Watch(at("2026-01-06T15:00:00-06:00"))
    watch.run(58 * MINUTE, every_ns=S)
    watch.run(119 * S)
    assert watch.state is StreamState.STALE
    tried = len(watch.mends)
    (fresh,) = watch.run(30 * MINUTE)
    assert isinstance(fresh, Fresh)
    assert fresh.cause is Cause.CLOSED
    assert len(watch.mends) == tried


def test_after_an_open_there_is_a_grace() -> None:
    """Silence counts from two minutes after the open on."""
    watch = Watch(at("2026-01-06T15:00:00-06:00"))
    watch.run(HOUR, every_ns=S)
    watch.run(HOUR)
    open_ns = at("2026-01-06T17:00:00-06:00")
    assert watch.now_ns == open_ns
    assert watch.run(180 * S) == []
    (stale,) = watch.run(S)
    assert isinstance(stale, Stale)
    assert stale.since_ns == open_ns + 120 * S


def test_a_break_of_a_session_is_closed_time() -> None:
    """From the end of the night to the morning nothing is expected; then there is a grace."""
    watch = Watch(at("2026-03-04T05:00:00+09:00"), calendar="ose")
    watch.run(HOUR, every_ns=S)
    assert watch.run(165 * MINUTE) == []
    assert watch.state is StreamState.RESTING
    morning_ns = at("2026-03-04T08:45:00+09:00")
    assert watch.now_ns == morning_ns
    assert watch.run(180 * S) == []
    (stale,) = watch.run(S)
    assert isinstance(stale, Stale)
    assert stale.since_ns == morning_ns + 120 * S


def test_the_slowest_hour_of_a_session_bounds_the_next_one() -> None:
    """Every evening may be as quiet as the last one was, also before it has been measured."""
    watch = Watch(at("2026-01-06T14:00:00-06:00"))
    watch.run(HOUR, every_ns=30 * S)
    watch.run(HOUR, every_ns=S)
    watch.run(HOUR + S)
    assert watch.threshold_ns == 20 * 30 * S, "nothing of this session is known yet"
    watch.run(HOUR, every_ns=S)
    assert watch.threshold_ns == 5 * 30 * S


def test_sessions_that_adjoin_are_no_break() -> None:
    """Midnight of a market around the clock neither rests nor forgets anything."""
    watch = Watch(at("2026-01-06T23:00:00+00:00"), calendar="24x7")
    watch.run(HOUR, every_ns=20 * S)
    assert watch.run(HOUR, every_ns=20 * S) == []
    (stale,) = watch.run(401 * S)
    assert isinstance(stale, Stale)
    assert stale.threshold_ns == 400 * S


def test_without_a_live_line_nothing_is_expected() -> None:
    """That no line is live is said elsewhere; the next one has some time to bring data."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    watch.run(100 * S)
    watch.freshness.connected(live=False)
    (fresh,) = watch.run(HOUR)
    assert isinstance(fresh, Fresh)
    assert fresh.cause is Cause.DISCONNECTED
    watch.freshness.connected(live=True)
    assert watch.run(10 * S) == []
    (stale,) = watch.run(S)
    assert isinstance(stale, Stale)
    assert stale.since_ns == NOON + HOUR - S  # its last data


def test_silence_is_counted_on_over_lost_connections() -> None:
    """A line that is lost before every minute is over hides nothing."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    found: list[Change] = []
    for _ in range(10):
        watch.freshness.connected(live=True)
        found += watch.run(54 * S)
        watch.freshness.connected(live=False)
        found += watch.run(S)
    stales = [change for change in found if isinstance(change, Stale)]
    assert len(stales) == 9  # all but the first connection, whose 54 s are too few
    assert {stale.since_ns for stale in stales} == {NOON + HOUR - S}


def test_connections_that_are_lost_before_their_time_is_over_are_judged_together() -> None:
    """Dropped every 8 s, less than a connection is given: a frozen stream is found all the same."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    found: list[Change] = []
    for _ in range(40):
        found += watch.run(8 * S)
        watch.freshness.connected(live=False)
        found += watch.run(S)
        watch.freshness.connected(live=True)
    stales = [change for change in found if isinstance(change, Stale)]
    # 60 s to the first verdict; from each on, the next connections have 10 s live together.
    assert len(stales) == 17
    assert {stale.since_ns for stale in stales} == {NOON + HOUR - S}


def test_connections_that_are_lost_before_their_time_is_over_accuse_no_stream_that_has_data() -> (
    None
):
    """One print in each of them takes the silence of those before it back."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    for _ in range(40):
        assert watch.run(8 * S, every_ns=7 * S) == []
        watch.freshness.connected(live=False)
        assert watch.run(S) == []
        watch.freshness.connected(live=True)


def test_a_new_connection_of_a_slow_stream_has_longer() -> None:
    """A sixth of its threshold, so that a reconnect does not make it stale."""
    watch = Watch()
    watch.run(3 * HOUR, every_ns=60 * S)
    assert watch.threshold_ns == 1_200 * S
    watch.run(1_190 * S)
    watch.freshness.connected(live=False)
    watch.run(S)
    watch.freshness.connected(live=True)
    assert watch.run(200 * S) == []
    assert len(watch.run(S)) == 1


def test_volume_that_grows_without_prints_is_evidence() -> None:
    """Trades that never came have no rate; the quotes say that there are some."""
    watch = Watch()
    watch.grows_ns = 10 * S
    assert watch.run(60 * S) == []
    (stale,) = watch.run(S)
    assert isinstance(stale, Stale)
    assert (stale.rate_known, stale.evident, stale.certain) == (False, True, True)
    assert (stale.threshold_ns, stale.since_ns) == (POLICY.floor_ns, NOON)
    watch.run(31 * S)
    assert [step for _, step in watch.mends] == [MendStep.RESUBSCRIBE, MendStep.REPLACE_LINE]


def test_evidence_counts_from_the_first_growth() -> None:
    """What is stale after a quiet while was silent for as much longer, and says so."""
    watch = Watch()
    watch.run(S, every_ns=S)
    assert watch.run(25 * S) == []
    watch.grows_ns = 2 * S
    assert watch.run(60 * S) == []
    (stale,) = watch.run(S)
    assert isinstance(stale, Stale)
    assert stale.evident
    assert (stale.since_ns, stale.threshold_ns) == (NOON, 26 * S + POLICY.floor_ns)


def test_volume_is_no_evidence_where_prints_come() -> None:
    """Neither is a growth now and then, which may be no print at all."""
    watch = Watch()
    watch.grows_ns = S
    assert watch.run(HOUR, every_ns=30 * S) == []
    watch.grows_ns = 300 * S
    watch.run(S, every_ns=S)
    assert watch.run(590 * S) == []


def test_time_in_which_nobody_looked_is_not_silence() -> None:
    """What arrived while the process was stopped is still unread."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    before_ns = watch.threshold_ns
    watch.now_ns += HOUR
    watch.mono_ns += HOUR
    assert watch.run(60 * S) == []
    watch.run(10 * MINUTE, every_ns=S)
    assert watch.threshold_ns == before_ns, "nor is it a gap"


def test_a_clock_that_is_set_makes_nothing_stale() -> None:
    """Silence is measured on the clock that does not step."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    for step_ns in (HOUR, -HOUR):
        watch.now_ns += step_ns
        assert watch.run(59 * S) == []
        watch.run(S, every_ns=S)


def test_a_program_stopped_over_a_break_begins_anew() -> None:
    """The next look is in another session, and silence counts from there."""
    watch = Watch(at("2026-01-06T14:00:00-06:00"))
    watch.run(HOUR, every_ns=S)
    watch.run(100 * S)
    watch.now_ns = at("2026-01-07T09:00:00-06:00")
    assert watch.run(60 * S) == [Fresh(MES, Stream.TRADES, 101 * S, Cause.CLOSED)]


def test_mending_goes_from_subscribing_again_to_a_new_line_at_growing_intervals() -> None:
    """At once, after 30 s, and then after 5, 10, 20, 40, 60, 60 minutes."""
    watch = Watch()
    watch.run(10 * MINUTE, every_ns=S)
    watch.run(4 * HOUR - 11 * MINUTE)
    steps = [step for _, step in watch.mends]
    assert steps == [MendStep.RESUBSCRIBE, *[MendStep.REPLACE_LINE] * 7]
    times = [mono_ns for mono_ns, _ in watch.mends]
    waits_s = [(after - before) // S for before, after in pairwise(times)]
    assert waits_s == [30, 300, 600, 1_200, 2_400, 3_600, 3_600]


def test_a_stream_that_falls_silent_again_soon_is_not_given_a_new_line_each_time() -> None:
    """The intervals go on where they were until it has been fresh for an hour."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    replaced = []
    for _ in range(3):
        watch.run(2 * MINUTE)
        watch.run(MINUTE, every_ns=S)
        replaced.append([step for _, step in watch.mends].count(MendStep.REPLACE_LINE))
    assert replaced == [1, 1, 2]
    watch.run(HOUR + MINUTE, every_ns=S)
    watch.run(7 * MINUTE)
    steps = [step for _, step in watch.mends]
    assert steps.count(MendStep.REPLACE_LINE) == 4, "30 s and 5 min after the last onset"


def test_what_is_forgotten_is_not_judged() -> None:
    """An unsubscribed contract is silent with every right; following twice changes nothing."""
    watch = Watch()
    watch.run(HOUR, every_ns=S)
    watch.freshness.follow(MES, [Stream.TRADES], watch.calendar)
    assert watch.threshold_ns == MINUTE
    watch.freshness.forget(MES)
    assert watch.run(HOUR) == []
    assert watch.freshness.streams(watch.mono_ns) == ()


def test_a_view_says_what_is_thought_of_each_stream() -> None:
    """How long it has been silent, what would make it stale, and how often it was."""
    watch = Watch()
    watch.freshness.follow(MES, [Stream.QUOTES], watch.calendar)
    watch.run(HOUR, every_ns=S)
    watch.run(70 * S)
    trades, quotes = watch.freshness.streams(watch.mono_ns)
    assert (trades.contract_id, trades.stream) == KEY
    assert (trades.silent_ns, trades.stales, trades.rate_known) == (71 * S, 1, True)
    assert (quotes.stream, quotes.rate_known) == (Stream.QUOTES, False)
    assert quotes.threshold_ns == POLICY.unknown_ns
