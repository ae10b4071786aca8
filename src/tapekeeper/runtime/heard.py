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

Where no data came for longer than delays are remembered, the first that come may be a backlog of
all that time: until there were data for longer than a pause, none of them proves anything.

Known limits: Data that are older than their connection, as those of a recording that is
played anew, say nothing, so what is reported then begins earlier than it need. A hub whose data
bear no times is heard up to its last byte. Pure: the caller says what happened and when. All
times are wall clock, ns UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.skew import Skew

DELAYS_WINDOW_NS = 600_000_000_000
"""The fastest delivery of the last ten to twenty minutes: longer than any backlog that a hub
keeps, short enough to follow a host's clock that was set."""

PAUSE_NS = 1_000_000_000
"""A peer that has something to write leaves no such pause between two writes."""

LAG_LASTS_NS = 30_000_000_000
"""Longer than that nothing is held back: the silence would have ended the connection."""

SAMPLE_NS = 100_000_000
"""How often the time of data is read; in between only what came last matters."""

StampOf: TypeAlias = Callable[[Invocation], int | None]
"""Event time of the newest tick that a call of the hub carries, ns UTC; None where it has none."""


class Delays:
    """The fastest delivery that any line of a hub made lately."""

    __slots__ = ("_before_ns", "_last_ns", "_since_ns", "_skew")

    def __init__(self) -> None:
        self._skew = Skew(DELAYS_WINDOW_NS)
        self._before_ns: int | None = None
        self._since_ns = 0
        self._last_ns: int | None = None

    def host_ns(self, ts_event: int, recv_ns: int) -> int | None:
        """When a tick that was received at `recv_ns` would have come if nothing held it up.

        None where it, and all that this could be judged by, came at once.
        """
        if self._last_ns is None or recv_ns - self._last_ns >= DELAYS_WINDOW_NS:
            self._since_ns, self._before_ns = recv_ns, None
        self._last_ns = recv_ns
        delay_ns = recv_ns - ts_event
        before_ns, self._before_ns = self._before_ns, delay_ns
        if before_ns is not None:
            # One wild stamp alone must not look like a fast delivery.
            self._skew.observe(recv_ns - max(before_ns, delay_ns), recv_ns)
        exchange_ns = self._skew.exchange_now_ns(recv_ns)
        fastest_ns = delay_ns if exchange_ns is None else recv_ns - exchange_ns
        is_known = recv_ns - self._since_ns >= PAUSE_NS
        return min(recv_ns, ts_event + fastest_ns) if is_known else None


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
        "_newest_ns",
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
        self._newest_ns = 0
        self._sampled_ns = 0
        self._lag_ns = 0
        self._lag_at_ns = 0

    def arrived(self, recv_ns: int, calls: Sequence[Invocation]) -> None:
        """Bytes came, and `calls` of the hub in them."""
        last_ns, self._last_ns = self._last_ns, recv_ns
        if last_ns is None:
            self._first_ns = recv_ns
        if self._stamp_of is None:
            return
        if last_ns is not None and recv_ns - last_ns >= PAUSE_NS:
            self._read()
            self._prove(last_ns - self._lag(last_ns))
        if calls:
            self._newest, self._newest_ns = calls, recv_ns
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
        host_ns = self._delays.host_ns(ts_event, recv_ns)
        if host_ns is None:
            return
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
