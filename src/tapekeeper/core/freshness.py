"""Whether data still comes: judged for every stream by data alone, never by pings.

A stream is what was subscribed of one contract, such as its trades. A connection may be open,
answer every ping and deliver nineteen of twenty streams; and a market may be closed, or quiet,
with nothing wrong at all. So each stream is measured against three things.

*The session calendar.* While its market is closed, or in a break of its session, a stream rests:
nothing is expected and nothing is learned. After an open, and after a break, there is a grace,
during which silence does not count.

*Its own rate.* Of every minute that had data the longest gap is kept, for the last 60 such
minutes: an hour of a busy contract, some days of one that trades now and then. The typical long
gap is the longest of them after one in twenty is left out, so that an outage or two do not make
it large. A stream is stale when it has been silent for `factor` times that, but never sooner than
`floor_ns`, which is what counts for a busy one. The factor makes room for a market that turns ten
times quieter within a minute; the estimate has then grown with it after a few more ticks.

*The session before.* A Sunday evening is not a Friday noon. Until a session has `MINUTES_MIN`
minutes with data, the slowest hour of the session before stands for its rate; afterwards
`carried_factor` times that is the least that makes a stream stale, so that every evening may be as
quiet as the last one. A stream that was never measured has `unknown_ns`.

A stream so slow that it would take more than `slow_ns` to tell is not judged: its silence says
nothing, and a guess would be an alarm in a quiet market. Its contract's quotes are judged.

    state    what happens                                          next
    -------  ----------------------------------------------------  -------
    RESTING  the market is open and a line is live                 FRESH
    FRESH    silent for its threshold                              STALE
    STALE    data                                                  FRESH
    any      the market closes, or no line is live                 RESTING

Two clocks are passed in: the wall clock (ns UTC) tells the session, a monotonic one measures
silence, so that a host clock that is set makes nothing stale. When nobody looked for a while (the
process was stopped, the machine slept), what arrived meanwhile is still unread, so that time is
not counted as silence.

A stale stream is mended in steps: subscribed again at once, and if that does not help, its line
is replaced, at intervals that double. The line is replaced for no stream of unknown rate, since
that may be a contract that nobody trades.

*What its contract's quotes say.* A quote carries the session's cumulative volume. Where that grows
and no trade comes, there were trades: after `GROWTHS_MIN` growths and `floor_ns` the trades are
stale, whatever is known of their rate.

A connection that is lost takes nothing back: silence is counted on by the next one, which only has
some time at least. Otherwise a line that is lost once a minute would never be judged. That time is
given once after data and once after a verdict, not to each connection: otherwise one that is lost
before it is over would never be.

Known limits: volume that is no print, as of a block trade, looks like one that is missing; so it
takes several. A stream whose exchange halts it within the session (a price limit, a holiday rule
that its calendar does not know) looks frozen, and costs a warning and one replaced line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec

from tapekeeper.model.session import Session

_NS_PER_S = 1_000_000_000
_MINUTE_NS = 60 * _NS_PER_S

MINUTES_KEPT = 60
"""Minutes with data whose longest gap is remembered; bounds the memory of a stream."""

MINUTES_MIN = 10
"""Minutes with data that a rate can be told from."""

GROWTHS_MIN = 5
"""Looks at which the volume of a contract grew and no trade had come."""

_SETTLE_SHARE = 6

_LEFT_OUT_EVERY = 20
"""One in so many of the longest gaps is left out: an outage is no property of a market."""


class Stream(StrEnum):
    """What is subscribed of a contract."""

    TRADES = "trades"
    QUOTES = "quotes"
    DEPTH = "depth"


class StreamState(StrEnum):
    """What is thought of a stream; the transitions are the table in the module's text."""

    RESTING = "resting"  # nothing is expected: its market is closed, or no line is live
    FRESH = "fresh"
    STALE = "stale"


class Cause(StrEnum):
    """Why a stream is not stale any more."""

    DATA = "data"  # it came back
    CLOSED = "closed"  # its market closed
    DISCONNECTED = "disconnected"  # no line is live, which is said elsewhere


class MendStep(StrEnum):
    """What to try for a stale stream."""

    RESUBSCRIBE = "resubscribe"
    REPLACE_LINE = "replace_line"


class Sessions(Protocol):
    """What is needed of a calendar."""

    def session_of(self, ts_ns: int, /) -> Session:
        """The session that opened last at or before `ts_ns` (ns UTC)."""
        ...


class FreshnessPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient to be; all in ns unless said otherwise. See the module's text.

    Attributes:
        floor_ns: no stream is stale sooner than this.
        unknown_ns: threshold of a stream whose rate is not known.
        open_grace_ns: after an open, silence counts from here on.
        factor: times the typical long gap is stale.
        carried_factor: times the typical long gap of the slowest hour of the session before is
            the least that is stale.
        slow_ns: a stream whose threshold would be longer is not judged.
        settle_ns: new connections have at least so long together, or a sixth of the threshold,
            however long the ones before them were silent.
        stall_ns: more time than this between two looks is not counted as silence.
        replace_after_ns: from the new subscription to the first replacement of the line.
        replace_again_ns: from there to the next replacement; doubles each time.
        replace_cap_ns: the longest such interval; fresh for as long, it starts small again.
    """

    floor_ns: int = 60 * _NS_PER_S
    unknown_ns: int = 1_800 * _NS_PER_S
    open_grace_ns: int = 120 * _NS_PER_S
    factor: float = 20.0
    carried_factor: float = 5.0
    slow_ns: int = 3_600 * _NS_PER_S
    settle_ns: int = 10 * _NS_PER_S
    stall_ns: int = 5 * _NS_PER_S
    replace_after_ns: int = 30 * _NS_PER_S
    replace_again_ns: int = 300 * _NS_PER_S
    replace_cap_ns: int = 3_600 * _NS_PER_S


class Stale(msgspec.Struct, frozen=True):
    """A stream fell silent.

    Attributes:
        contract_id, stream: which.
        since_ns: wall clock (ns UTC) from which on its silence counts: its last data, or the
            later moment at which data was due.
        threshold_ns: the silence that made it stale: that of its rate or, where the volume of
            the contract told, up to `floor_ns` after it was seen to grow.
        rate_known: whether the threshold comes from its own rate.
        evident: whether the volume of the contract grew meanwhile.
    """

    contract_id: str
    stream: Stream
    since_ns: int
    threshold_ns: int
    rate_known: bool
    evident: bool = False

    @property
    def certain(self) -> bool:
        """Whether it is more than a contract that nobody trades."""
        return self.rate_known or self.evident


class Fresh(msgspec.Struct, frozen=True):
    """A stale stream is stale no more.

    Attributes:
        contract_id, stream: which.
        silent_ns: how long it was silent.
        cause: why it is not stale any more.
    """

    contract_id: str
    stream: Stream
    silent_ns: int
    cause: Cause


class Mend(msgspec.Struct, frozen=True):
    """Something to be tried for a stale stream, now."""

    contract_id: str
    stream: Stream
    step: MendStep


Change: TypeAlias = Stale | Fresh


class Look(msgspec.Struct, frozen=True):
    """What one look found: transitions in order, and what to try."""

    changes: tuple[Change, ...]
    mends: tuple[Mend, ...]


class StreamFreshness(msgspec.Struct, frozen=True):
    """What is thought of one stream.

    Attributes:
        contract_id, stream: which.
        state: the verdict of the last look.
        silent_ns: for how long it has been silent while data was due.
        threshold_ns: the silence that makes it stale, by what is known now; None where it is
            too slow to be judged.
        rate_known: whether that comes from its own rate.
        stales: how often it fell silent.
    """

    contract_id: str
    stream: Stream
    state: StreamState
    silent_ns: int
    threshold_ns: int | None
    rate_known: bool
    stales: int


class _Rate:
    """The longest gap of each of the last minutes that had data, and the slowest hour."""

    __slots__ = ("_carried_ns", "_longest_ns", "_minute", "_past", "_slowest_ns", "_typical_ns")

    def __init__(self) -> None:
        self._past: deque[int] = deque(maxlen=MINUTES_KEPT)
        self._minute: int | None = None
        self._longest_ns = 0
        self._typical_ns: int | None = None
        self._slowest_ns: int | None = None  # largest typical gap of this session
        self._carried_ns: int | None = None  # the same of the session before

    def learn(self, gap_ns: int, mono_ns: int) -> None:
        minute = mono_ns // _MINUTE_NS
        if minute != self._minute:
            self._minute, self._longest_ns = minute, -1
            self._past.append(0)
        if gap_ns <= self._longest_ns:
            return
        self._longest_ns = self._past[-1] = gap_ns
        if len(self._past) >= MINUTES_MIN:
            gaps_ns = sorted(self._past, reverse=True)
            self._typical_ns = gaps_ns[len(gaps_ns) // _LEFT_OUT_EVERY]
            self._slowest_ns = max(self._typical_ns, self._slowest_ns or 0)

    def next_session(self, *, broke: bool) -> None:
        """Another session begins, after a break or without one."""
        if self._slowest_ns is not None:
            self._carried_ns = self._slowest_ns
        self._slowest_ns = None
        if broke:
            self._past.clear()
            self._minute = self._typical_ns = None

    def threshold(self, policy: FreshnessPolicy) -> tuple[int, bool]:
        """The silence that is stale, ns, and whether it comes from a measured rate."""
        if self._typical_ns is not None:
            least_ns = round((self._carried_ns or 0) * policy.carried_factor)
            own_ns = round(self._typical_ns * policy.factor)
            return max(policy.floor_ns, own_ns, least_ns), True
        if self._carried_ns is not None:
            return max(policy.floor_ns, round(self._carried_ns * policy.factor)), True
        return policy.unknown_ns, False


class _Watched:
    """One stream."""

    def __init__(
        self, contract_id: str, stream: Stream, sessions: Sessions, policy: FreshnessPolicy
    ) -> None:
        self.contract_id = contract_id
        self.stream = stream
        self.state = StreamState.RESTING
        self.stales = 0
        self._sessions = sessions
        self._policy = policy
        self._rate = _Rate()
        self._session: Session | None = None
        self._data_ns: int | None = None  # monotonic, within this open and live spell
        self._due_ns = 0  # monotonic: silence counts from here, or from the last data
        self._since_ns: int | None = None  # monotonic: last data or first due, lives included
        self._carried_ns = 0  # silence of connections before this one
        self._settled = False  # a connection had its time since the last data or verdict
        self._onset_ns = 0  # monotonic: the silence of a stale stream began
        self._growths = 0  # looks at which the volume had grown, since the last data
        self._grew_ns = 0  # monotonic: the first of them
        self._mend_ns: int | None = None  # monotonic: when the next step is due
        self._resubscribed = False
        self._interval_ns = policy.replace_again_ns
        self._replaceable_ns = 0  # monotonic: no replacement before
        self._fresh_ns = 0  # monotonic: fresh since

    def silent_ns(self, mono_ns: int) -> int:
        since_ns = self._due_ns if self._data_ns is None else max(self._due_ns, self._data_ns)
        return max(0, mono_ns - since_ns)

    def threshold(self) -> tuple[int, bool]:
        return self._rate.threshold(self._policy)

    def look(
        self, now_ns: int, mono_ns: int, *, came: bool, grew: bool, live: bool, stalled: bool
    ) -> Change | None:
        session = self._sessions.session_of(now_ns)
        if not session.is_open(now_ns):
            return self._rest(mono_ns, Cause.CLOSED)
        before, self._session = self._session, session
        if before is not None and before.open_ns != session.open_ns:
            # Sessions that adjoin, as around the clock, are no break.
            broke = before.close_ns < session.open_ns
            self._rate.next_session(broke=broke)
            change = self._rest(mono_ns, Cause.CLOSED) if broke else None
            if change is not None:
                return change
        if not live:
            return self._rest(mono_ns, Cause.DISCONNECTED)
        if self.state is StreamState.RESTING:
            self._wake(now_ns - session.opened_ns(now_ns), mono_ns)
        elif stalled:
            self._data_ns = None
            self._due_ns = max(self._due_ns, mono_ns)
        if came:
            if self._data_ns is not None:
                self._rate.learn(mono_ns - self._data_ns, mono_ns)
            self._data_ns = self._since_ns = mono_ns
            self._carried_ns = self._growths = 0
            self._settled = False
        elif grew and mono_ns >= self._due_ns:
            self._grew_ns = self._grew_ns if self._growths else mono_ns
            self._growths += 1
        if self.state is StreamState.STALE:
            # Whatever is learned meanwhile: only data is an answer.
            return self._recover(mono_ns, Cause.DATA) if came else None
        return self._judge(now_ns, mono_ns)

    def mend(self, mono_ns: int) -> Mend | None:
        """The step that is due now, taken to be tried."""
        if self._mend_ns is None or mono_ns < self._mend_ns:
            return None
        policy = self._policy
        if not self._resubscribed:
            self._resubscribed = True
            _, rate_known = self.threshold()
            after_ns = max(mono_ns + policy.replace_after_ns, self._replaceable_ns)
            self._mend_ns = after_ns if rate_known or self._is_evident(mono_ns) else None
            return Mend(self.contract_id, self.stream, MendStep.RESUBSCRIBE)
        self._mend_ns = self._replaceable_ns = mono_ns + self._interval_ns
        self._interval_ns = min(2 * self._interval_ns, policy.replace_cap_ns)
        return Mend(self.contract_id, self.stream, MendStep.REPLACE_LINE)

    def view(self, mono_ns: int) -> StreamFreshness:
        threshold_ns, rate_known = self.threshold()
        resting = self.state is StreamState.RESTING
        return StreamFreshness(
            contract_id=self.contract_id,
            stream=self.stream,
            state=self.state,
            silent_ns=0 if resting else self.silent_ns(mono_ns),
            threshold_ns=threshold_ns if threshold_ns <= self._policy.slow_ns else None,
            rate_known=rate_known,
            stales=self.stales,
        )

    def _judge(self, now_ns: int, mono_ns: int) -> Stale | None:
        silent_ns = self.silent_ns(mono_ns)
        threshold_ns, rate_known = self.threshold()
        too_silent = threshold_ns <= self._policy.slow_ns and silent_ns >= threshold_ns
        evident = self._is_evident(mono_ns)
        if not too_silent and not evident:
            return None
        if mono_ns - self._fresh_ns >= self._policy.replace_cap_ns:
            self._interval_ns = self._policy.replace_again_ns
        self.state = StreamState.STALE
        self.stales += 1
        self._settled = False
        self._onset_ns = mono_ns - silent_ns if self._since_ns is None else self._since_ns
        if not too_silent:
            # The volume may have stood still for a while before it grew.
            threshold_ns = self._grew_ns - self._onset_ns + self._policy.floor_ns
        self._mend_ns = mono_ns
        self._resubscribed = False
        since_ns = now_ns - (mono_ns - self._onset_ns)
        return Stale(self.contract_id, self.stream, since_ns, threshold_ns, rate_known, evident)

    def _is_evident(self, mono_ns: int) -> bool:
        """Whether there were trades that did not come."""
        grown = self._growths >= GROWTHS_MIN
        return grown and mono_ns - self._grew_ns >= self._policy.floor_ns

    def _recover(self, mono_ns: int, cause: Cause) -> Fresh:
        self.state = StreamState.FRESH
        self._mend_ns = None
        self._fresh_ns = mono_ns
        return Fresh(self.contract_id, self.stream, mono_ns - self._onset_ns, cause)

    def _rest(self, mono_ns: int, cause: Cause) -> Fresh | None:
        if cause is Cause.CLOSED:
            self._carried_ns, self._since_ns = 0, None
        elif self.state is not StreamState.RESTING:
            self._carried_ns = self.silent_ns(mono_ns)
        change = self._recover(mono_ns, cause) if self.state is StreamState.STALE else None
        self.state = StreamState.RESTING
        self._data_ns = None
        self._growths = 0
        return change

    def _wake(self, open_for_ns: int, mono_ns: int) -> None:
        self.state = StreamState.FRESH
        self._fresh_ns = mono_ns
        threshold_ns, _ = self.threshold()
        settle_ns = max(self._policy.settle_ns, threshold_ns // _SETTLE_SHARE)
        carried_ns = self._carried_ns
        if not self._settled:
            carried_ns = min(carried_ns, max(0, threshold_ns - settle_ns))
            self._settled = carried_ns > 0
        grace_ns = max(0, self._policy.open_grace_ns - open_for_ns)
        self._due_ns = mono_ns + grace_ns - carried_ns
        if self._since_ns is None:
            self._since_ns = self._due_ns


class Freshness:
    """Judges the streams that it is told to follow; see the module's text.

    The owner says `connected` when the first line becomes live and when the last one ceases to
    be, and looks about once a second, with what had data meanwhile. How often it looks is how
    finely gaps are measured, which suffices: no threshold is near a second.
    """

    def __init__(self, policy: FreshnessPolicy) -> None:
        self._policy = policy
        # bound: one per stream and contract that is followed
        self._streams: dict[tuple[str, Stream], _Watched] = {}
        self._live = False
        self._looked_ns: int | None = None

    def follow(self, contract_id: str, streams: Iterable[Stream], sessions: Sessions) -> None:
        """Judge these streams from the next look on; those that are followed stay as they are."""
        for stream in streams:
            key = (contract_id, stream)
            if key not in self._streams:
                self._streams[key] = _Watched(contract_id, stream, sessions, self._policy)

    def forget(self, contract_id: str) -> None:
        """Nothing is expected of this contract any more."""
        for stream in Stream:
            self._streams.pop((contract_id, stream), None)

    def connected(self, *, live: bool) -> None:
        """Whether any line is live, as of now; silence without one is not the stream's."""
        self._live = live

    def look(
        self,
        now_ns: int,
        mono_ns: int,
        came: Collection[tuple[str, Stream]] = (),
        grew: Collection[str] = (),
    ) -> Look:
        """Judge every stream.

        Args:
            now_ns: wall clock, ns UTC.
            mono_ns: a clock that does not step back.
            came: the streams that had data since the look before; others than those that are
                followed do not matter.
            grew: the contracts whose cumulative volume grew since the look before.
        """
        looked_ns, self._looked_ns = self._looked_ns, mono_ns
        stalled = looked_ns is not None and mono_ns - looked_ns > self._policy.stall_ns
        changes: list[Change] = []
        mends: list[Mend] = []
        for key, watched in self._streams.items():
            change = watched.look(
                now_ns,
                mono_ns,
                came=key in came,
                grew=key[1] is Stream.TRADES and key[0] in grew,
                live=self._live,
                stalled=stalled,
            )
            if change is not None:
                changes.append(change)
            mend = watched.mend(mono_ns)
            if mend is not None:
                mends.append(mend)
        return Look(tuple(changes), tuple(mends))

    def streams(self, mono_ns: int) -> tuple[StreamFreshness, ...]:
        """A frozen view of every stream, in the order in which they were followed."""
        return tuple(watched.view(mono_ns) for watched in self._streams.values())
