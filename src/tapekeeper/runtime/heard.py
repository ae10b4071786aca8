"""How far a connection has been heard: up to when what it sent is known to have come.

Bytes that arrive prove that a connection lives, not that it is up to date: one that works off a
backlog brings bytes all the time, and what it brings is old. When it ends, the rest of the backlog
is lost, so it did not cover the time in which that was made. A connection keeps the order in which
it was written to, so each of these proves that everything before it has come:

    what comes                      proves that all has come up to
    ------------------------------  ----------------------------------------------------------
    data                            their event time, on the host's clock
    the answer to a call            the moment of the call
    any bytes after a pause         the last bytes before it, less the lag
    a prompt answer to our goodbye  the moment of the goodbye, less the lag

The event time is put on the host's clock by the fastest delivery of the last minutes, whichever
line made it (`Delays`). The *lag* is how much longer than that the newest data took, if they came
lately, and nothing otherwise: so pings carry a quiet contract on, and no backlog.

Bytes without a time count only when a pause follows, because a peer that was held up writes all
that waits at once: pings, a Close record, and data last. A goodbye is judged by the lag, too,
because its answer cannot be told from a Close record that the peer had sent before. For the
same reason one that takes longer than a pause proves nothing: it may be such a record, held up.

Where no data came for longer than delays are remembered, the first that come behind a pause may be
a backlog of all that time: until there were data for longer than a pause, they prove nothing.

Where the wall clock advances by more than the monotonic one, it was set, or the host slept and its
monotonic clock stood still. Either way what comes next seems late by as much; after a sleep it is,
and it may be the last that comes, out of the host's own buffers. So delays are taken to be longer
by the step only when data have borne that out: for ten seconds none was faster than that, and none
slower by more than a second. No peer works off a backlog so slowly.

Known limits: a line that ends within ten seconds of a step forward, or before enough data have
come, is said to have covered less than it did, by as much. Data that are older than their
connection, as those of a recording that is played anew, say nothing, so what is reported then
begins earlier than it need. A hub whose data bear no times is heard up to its last byte. Pure: the
caller says what happened and when. Times are wall clock, ns UTC, unless they are called monotonic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.skew import Skew
from tapekeeper.runtime.forward_clock import SLACK_NS

DELAYS_WINDOW_NS = 600_000_000_000
"""The fastest delivery of the last ten to twenty minutes, in which the host is awake: longer than
any backlog that a hub keeps, short enough to follow the drift of a host's clock."""

PAUSE_NS = 1_000_000_000
"""A peer that has something to write leaves no such pause between two writes."""

LAG_LASTS_NS = 30_000_000_000
"""Longer than that nothing is held back: the silence would have ended the connection."""

SAMPLE_NS = 100_000_000
"""How often the time of data is read; in between only what came last matters."""

STEP_FASTER_NS = 250_000_000
"""By so much the fastest delivery after a step may be faster than the fastest before."""

STEP_SLOWER_NS = 1_000_000_000
"""And by so much any delivery after it may be slower than the fastest before."""

STEP_HOLDS_NS = 10_000_000_000
STEP_READINGS = 10
"""For so long, and so often with a second between, data must come as after a clock was set."""

_NS_PER_S = 1_000_000_000

StampOf: TypeAlias = Callable[[Invocation], int | None]
"""Event time of the newest tick that a call of the hub carries, ns UTC; None where it has none."""


class _Step:
    """The wall clock was ahead of the monotonic one by `by_ns` more than before."""

    __slots__ = ("_from_ns", "_latest_ns", "_readings", "at_ns", "by_ns")

    def __init__(self, by_ns: int, at_ns: int) -> None:
        self.by_ns = by_ns
        self.at_ns = at_ns  # monotonic, as are the next two
        self._from_ns = at_ns
        self._latest_ns = at_ns
        self._readings = 0

    def is_borne_out(self, slower_ns: int, mono_ns: int) -> bool | None:
        """Whether the clock was set, after one more delivery; None while that is open.

        Args:
            slower_ns: by how much more than the step it was slower than the fastest before.
            mono_ns: when it came, monotonic.
        """
        if slower_ns < -STEP_FASTER_NS:
            return False
        if slower_ns > STEP_SLOWER_NS:
            self._readings = 0
            return None
        if not self._readings:
            self._from_ns = mono_ns
        if not self._readings or mono_ns - self._latest_ns >= _NS_PER_S:
            self._latest_ns = mono_ns
            self._readings += 1
        holds = self._readings >= STEP_READINGS and mono_ns - self._from_ns >= STEP_HOLDS_NS
        return True if holds else None


class Delays:
    """The fastest delivery that any line of a hub made lately; see the module's text on steps."""

    __slots__ = ("_ahead_ns", "_before_ns", "_mono_ns", "_since_ns", "_skew", "_step")

    def __init__(self) -> None:
        self._skew = Skew(DELAYS_WINDOW_NS)
        self._before_ns: int | None = None
        self._since_ns = 0  # monotonic: from then on data came without a long silence
        self._mono_ns: int | None = None  # the latest that is known
        self._ahead_ns = 0  # of the wall clock to the monotonic one, then
        self._step: _Step | None = None  # that nothing has borne out yet

    def host_ns(self, ts_event: int, recv_ns: int, mono_ns: int) -> int | None:
        """When a tick that was received at `recv_ns` would have come if nothing held it up.

        None where it, and all that this could be judged by, came at once.

        Args:
            ts_event: its event time, ns UTC.
            recv_ns: wall clock, ns UTC.
            mono_ns: monotonic clock at the same moment.
        """
        if self._mono_ns is None or mono_ns - self._mono_ns >= DELAYS_WINDOW_NS:
            self._since_ns, self._before_ns = mono_ns, None
        delay_ns = recv_ns - ts_event
        self._look_for_step(recv_ns - mono_ns, mono_ns)
        before_ns, self._before_ns = self._before_ns, delay_ns
        if before_ns is not None:
            # One wild stamp alone must not look like a fast delivery.
            settled_ns = max(before_ns, delay_ns)
            self._judge_step(settled_ns, mono_ns)
            # Remembered by the monotonic clock: a night's sleep leaves what is known of before.
            self._skew.observe(mono_ns - settled_ns, mono_ns)
        fastest_ns = self._skew.fastest_ns()
        if mono_ns - self._since_ns < PAUSE_NS:
            return None
        return min(recv_ns, ts_event + (delay_ns if fastest_ns is None else fastest_ns))

    def _look_for_step(self, ahead_ns: int, mono_ns: int) -> None:
        latest_ns = self._mono_ns
        if latest_ns is not None and mono_ns < latest_ns:
            return  # read late, of a line on which no more came
        by_ns, self._ahead_ns, self._mono_ns = ahead_ns - self._ahead_ns, ahead_ns, mono_ns
        if latest_ns is not None and by_ns >= SLACK_NS:
            open_ns = 0 if self._step is None else self._step.by_ns
            self._step = _Step(open_ns + by_ns, mono_ns)

    def _judge_step(self, settled_ns: int, mono_ns: int) -> None:
        step, fastest_ns = self._step, self._skew.fastest_ns()
        if step is None or fastest_ns is None or mono_ns < step.at_ns:
            return
        is_borne_out = step.is_borne_out(settled_ns - fastest_ns - step.by_ns, mono_ns)
        if is_borne_out:
            self._skew.shift(step.by_ns)
        if is_borne_out is not None:
            self._step = None


class Heard:
    """Of one connection; see the module's text.

    Args:
        stamp_of: reads event times; None where the data of a hub bear none.
        delays: shared by the lines of a hub.
    """

    __slots__ = (
        "_delays",
        "_first_ns",
        "_lag_at_ns",
        "_lag_ns",
        "_last_ns",
        "_newest",
        "_newest_mono_ns",
        "_newest_ns",
        "_paused",
        "_sampled_ns",
        "_stamp_of",
        "_until_ns",
    )

    def __init__(self, stamp_of: StampOf | None = None, delays: Delays | None = None) -> None:
        self._stamp_of = stamp_of
        self._delays = delays or Delays()
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._until_ns: int | None = None
        self._newest: Sequence[Invocation] = ()  # of the newest message with data, not yet read
        self._newest_ns = self._newest_mono_ns = 0
        self._paused = False  # whether this connection ever did
        self._sampled_ns = 0
        self._lag_ns = 0
        self._lag_at_ns = 0

    def arrived(self, recv_ns: int, mono_ns: int, calls: Sequence[Invocation]) -> None:
        """Bytes came, at a moment of both clocks, and `calls` of the hub in them."""
        last_ns, self._last_ns = self._last_ns, recv_ns
        if last_ns is None:
            self._first_ns = recv_ns
        if self._stamp_of is None:
            return
        if last_ns is not None and recv_ns - last_ns >= PAUSE_NS:
            self._paused = True
            self._read()
            self._prove(last_ns - self._lag(last_ns))
        if calls:
            self._newest, self._newest_ns, self._newest_mono_ns = calls, recv_ns, mono_ns
            # The absolute value, because the host's clock may be set back.
            if abs(recv_ns - self._sampled_ns) >= SAMPLE_NS:
                self._read()

    def answered(self, asked_ns: int) -> None:
        """The peer has just answered what was asked at a moment."""
        if self._last_ns is None:
            return
        self._read()
        self._prove(asked_ns)
        self._lag_ns = min(self._lag_ns, max(0, self._last_ns - asked_ns))

    def said_goodbye(self, asked_ns: int, answered_ns: int) -> None:
        """The peer has ended the connection after a goodbye that was said at a moment."""
        self._read()
        if answered_ns - asked_ns < PAUSE_NS:
            self._prove(asked_ns - self._lag(asked_ns))

    @property
    def until_ns(self) -> int | None:
        """All that was sent up to here has come; None if that cannot be said of any moment."""
        if self._stamp_of is None:
            return self._last_ns
        self._read()
        if self._until_ns is None or self._last_ns is None:
            return None
        return min(self._until_ns, self._last_ns)

    def _read(self) -> None:
        """Take note of the time of the newest data."""
        calls, self._newest = self._newest, ()
        if not calls or self._stamp_of is None or self._first_ns is None:
            return
        recv_ns = self._sampled_ns = self._newest_ns
        for call in reversed(calls):
            ts_event = self._stamp_of(call)
            if ts_event is not None:
                break
        else:
            return
        host_ns = self._delays.host_ns(ts_event, recv_ns, self._newest_mono_ns)
        if host_ns is None:
            if self._paused:
                return
            host_ns = recv_ns
        # What is older than the connection is no part of a backlog: a hub may begin with the
        # state of things. What is older than data before it came late to the exchange.
        if host_ns >= max(self._first_ns, self._until_ns or host_ns):
            self._lag_ns, self._lag_at_ns = recv_ns - host_ns, recv_ns
            self._prove(host_ns)

    def _lag(self, at_ns: int) -> int:
        return self._lag_ns if at_ns - self._lag_at_ns <= LAG_LASTS_NS else 0

    def _prove(self, until_ns: int) -> None:
        if self._until_ns is None or until_ns > self._until_ns:
            self._until_ns = until_ns
