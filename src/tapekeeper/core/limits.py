"""Limits that adapt: from what is measured and the user's ceilings to what is done.

Four gauges are read, each with three states. Higher is worse everywhere:

    gauge    what it reads                                   tight           critical        ends
    -------  ----------------------------------------------  --------------  --------------  -----
    memory   resident / (resident + available), or over the  tight_share     critical_share  0.9 x
             user's ceiling, whichever is more
    loop     lateness of the event loop, ms                  50              250             0.5 x
    queue    age of the oldest frame that waits, s           1               10              0.5 x
    disk     the user's least free space / free space        1               4               0.9 x

A state begins at its threshold and ends below the share `ends` of it. Between two changes of a
gauge there are at least `dwell_ns`. It gets worse at once, to whatever state is measured (a slow
loop or an old queue only when it has been so for `RISE_NS`), and better by one step, when all of a
dwell was better.

What is decided by it is a share of the user's ceiling, so that it is never above that:

    knob      of what, and its ceiling                            normal  tight  critical
    --------  --------------------------------------------------  ------  -----  --------
    hot       memory: the recent trades, trades.keep_mb           all     1/2    1/8
    quotes    memory: the recent quotes, quotes.keep              all     1/2    1/8
    history   memory: what `history` keeps, archive.cache_mb      all     1/4    none
    sync      memory: journal.sync_every_ms                       all     1/2    1/4
    burst     loop: limits.burst_frames, unless the queue is old  all     1/2    1/4
    queues    memory: what queues that spill hold in memory,      all     1/4    1/16
              per cent of their limits, unless the disk is critical
    optional  memory: whether optional subscribers go on          yes     yes    no

When memory has been critical for `restart_after_ns` in spite of all that, a restart is wanted, if
one would help: if what the process had when it began would not even be tight. Otherwise others have
the memory, or the user's ceiling is below what is needed, and each restart would be followed by
another one.

Nothing that would be of no use is decided: 10 ms, 16 frames and 100 quotes are the least, where the
ceiling is not less.

Why these: trades, quotes and history are in the journal and are read again when somebody asks.
Syncing sooner lets the system give up pages of the journal, which it cannot while they are not
written; the interval is what durability promises, so it is never longer than that. Smaller bursts
let others run in between, but cost more for each frame, so they are not made smaller while frames
wait. Recent bars are no cache: gaps are repaired from them, so `bars.keep` stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tapekeeper.model.machine import Measured, Memory


class Gauge(StrEnum):
    """What is measured."""

    MEMORY = "memory"
    LOOP = "loop"
    QUEUE = "queue"
    DISK = "disk"


class Load(StrEnum):
    """How much of it there is, from good to bad."""

    NORMAL = "normal"
    TIGHT = "tight"
    CRITICAL = "critical"


class Knob(StrEnum):
    """What is decided."""

    QUEUES = "queues"  # per cent of the limits of queues that spill, in memory
    OPTIONAL = "optional"  # whether optional subscribers go on (1) or are paused (0)

    HOT = "hot"  # bytes of recent trades
    QUOTES = "quotes"  # recent quotes of each contract
    HISTORY = "history"  # bytes that are kept between two readings
    SYNC = "sync"  # ms between two syncs of the journal
    BURST = "burst"  # frames of a step


_LOADS = tuple(Load)

_SHARES: Mapping[Knob, tuple[Gauge, tuple[float, float, float]]] = {
    Knob.HOT: (Gauge.MEMORY, (1, 1 / 2, 1 / 8)),
    Knob.QUOTES: (Gauge.MEMORY, (1, 1 / 2, 1 / 8)),
    Knob.HISTORY: (Gauge.MEMORY, (1, 1 / 4, 0)),
    Knob.SYNC: (Gauge.MEMORY, (1, 1 / 2, 1 / 4)),
    Knob.BURST: (Gauge.LOOP, (1, 1 / 2, 1 / 4)),
    Knob.QUEUES: (Gauge.MEMORY, (1, 1 / 4, 1 / 16)),
    Knob.OPTIONAL: (Gauge.MEMORY, (1, 1, 0)),
}

_LEAST = {Knob.SYNC: 10, Knob.BURST: 16, Knob.QUOTES: 100}

LOOP_TIGHT_MS, LOOP_CRITICAL_MS = 50.0, 250.0
"""From the bound that the design sets for everything that holds the loop, to five times that."""

QUEUE_TIGHT_S, QUEUE_CRITICAL_S = 1.0, 10.0
"""Nothing waits for longer than a burst while the pipeline keeps up."""

ENDS_SHARE = 0.9
"""Of where a state of memory and of the disk begins: below it ends."""

RISE_NS = 3_000_000_000
"""A single stall, such as a collection of garbage, is no slow loop."""

_MEGABYTE = 1_000_000


class LimitsPolicy(msgspec.Struct, frozen=True):
    """What the user says.

    Attributes:
        memory_bytes: that the process may have; None leaves it to the machine.
        tight_share, critical_share: of what it may have, where memory becomes so.
        disk_free_bytes: free space below which the disk is tight; a quarter of it is critical.
        dwell_ns: the least time between two changes of a gauge.
        restart_after_ns: how long memory is critical before a restart is wanted; None for never.
    """

    memory_bytes: int | None = None
    tight_share: float = 0.8
    critical_share: float = 0.92
    disk_free_bytes: int = 2_000_000_000
    dwell_ns: int = 10_000_000_000
    restart_after_ns: int | None = 60_000_000_000


class Decided(msgspec.Struct, frozen=True):
    """A limit that has become another one.

    Attributes:
        knob: which.
        before, after: what it was and is.
        ceiling: the user's, which it never exceeds.
    """

    knob: Knob
    before: int
    after: int
    ceiling: int


class LimitsChange(msgspec.Struct, frozen=True):
    """A gauge has another state, and what was decided because of it.

    Attributes:
        gauge: which.
        before, after: its states.
        at_ns: when that was seen, wall clock, ns UTC.
        reason: the figures, one clause for a person.
        decided: what changed with it.
        restart: whether nothing has helped against critical memory, and a restart would. Nothing
            else has changed then.
    """

    gauge: Gauge
    before: Load
    after: Load
    at_ns: int
    reason: str
    decided: tuple[Decided, ...] = ()
    restart: bool = False


class _Thresholds(msgspec.Struct, frozen=True):
    """Where the states of a gauge begin, and below which share of that they end."""

    tight: float
    critical: float
    ends: float
    rise_ns: int = 0


class _Needle:
    """The state of one gauge."""

    __slots__ = ("_changed_ns", "_moves", "_since_ns", "_thresholds", "load")

    def __init__(self, thresholds: _Thresholds) -> None:
        self._thresholds = thresholds
        self.load = Load.NORMAL
        self._moves = 0  # whether it would get worse (1) or better (-1)
        self._since_ns = 0  # since when it would
        self._changed_ns: int | None = None

    def look(self, value: float, now_ns: int, dwell_ns: int) -> bool:
        """Read a value; whether the state is another one now."""
        before, after = _LOADS.index(self.load), _LOADS.index(self._wanted(value))
        moves = (after > before) - (after < before)
        if moves != self._moves:
            self._moves, self._since_ns = moves, now_ns
        if not moves:
            return False
        if self._changed_ns is not None and now_ns - self._changed_ns < dwell_ns:
            return False
        if now_ns - self._since_ns < (self._thresholds.rise_ns if moves > 0 else dwell_ns):
            return False
        self.load = _LOADS[after if moves > 0 else before - 1]
        self._changed_ns, self._moves = now_ns, 0
        return True

    def _wanted(self, value: float) -> Load:
        bounds = self._thresholds
        for load, begins in ((Load.CRITICAL, bounds.critical), (Load.TIGHT, bounds.tight)):
            stays = _LOADS.index(self.load) >= _LOADS.index(load)
            if value >= begins or (stays and value >= begins * bounds.ends):
                return load
        return Load.NORMAL


class Limits:
    """See the module's text.

    Args:
        policy: the user's.
        ceilings: the user's, of every knob that there is here.

    Attributes:
        ceilings: as given.
        figures: what every knob is at.
        measured: what was seen last.
        restart: why a restart is wanted, one clause for a person; "" while none is.
    """

    def __init__(self, policy: LimitsPolicy, ceilings: Mapping[Knob, int]) -> None:
        self._policy = policy
        self.ceilings = dict(ceilings)
        self.figures = dict(ceilings)
        self.measured = Measured()
        self.restart = ""
        self._reasons: dict[Gauge, str] = {}
        self._first: Memory | None = None
        self._critical_ns: int | None = None  # since when memory is, monotonic
        self._needles = {
            Gauge.MEMORY: _Needle(
                _Thresholds(policy.tight_share, policy.critical_share, ENDS_SHARE)
            ),
            Gauge.LOOP: _Needle(_Thresholds(LOOP_TIGHT_MS, LOOP_CRITICAL_MS, 0.5, RISE_NS)),
            Gauge.QUEUE: _Needle(_Thresholds(QUEUE_TIGHT_S, QUEUE_CRITICAL_S, 0.5, RISE_NS)),
            Gauge.DISK: _Needle(_Thresholds(1, 4, ENDS_SHARE)),
        }

    @property
    def loads(self) -> dict[Gauge, Load]:
        """The state of every gauge."""
        return {gauge: needle.load for gauge, needle in self._needles.items()}

    def load(self, gauge: Gauge) -> Load:
        """The state of one."""
        return self._needles[gauge].load

    def reason(self, gauge: Gauge) -> str:
        """Why a gauge is in its state, one clause for a person; "" before it has changed."""
        return self._reasons.get(gauge, "")

    def look(self, measured: Measured, now_ns: int, at_ns: int) -> list[LimitsChange]:
        """Take a measurement; what has changed because of it, in the order of the gauges.

        Args:
            measured: a gauge of which nothing is known stays as it is.
            now_ns: monotonic.
            at_ns: wall clock, ns UTC.
        """
        self.measured = measured
        changes = []
        for gauge, needle in self._needles.items():
            read = self._read(gauge, measured)
            before = needle.load
            if read is not None and needle.look(read[0], now_ns, self._policy.dwell_ns):
                self._reasons[gauge] = read[1]
                decided = tuple(self._decide())
                changes.append(LimitsChange(gauge, before, needle.load, at_ns, read[1], decided))
        if measured.memory is not None and self._wants_restart(measured.memory, now_ns):
            reason = self._memory(measured.memory)[1]
            critical = Load.CRITICAL
            changes.append(
                LimitsChange(Gauge.MEMORY, critical, critical, at_ns, reason, restart=True)
            )
            self.restart = reason
        return changes

    def _wants_restart(self, memory: Memory, now_ns: int) -> bool:
        """Whether a restart is wanted, and was not before."""
        self._first = self._first or memory
        if self.load(Gauge.MEMORY) is not Load.CRITICAL:
            self._critical_ns, self.restart = None, ""
            return False
        self._critical_ns = now_ns if self._critical_ns is None else self._critical_ns
        after_ns = self._policy.restart_after_ns
        if self.restart or after_ns is None or now_ns - self._critical_ns < after_ns:
            return False
        may = self._may(memory)[0]
        if memory.resident / may < self._policy.critical_share:
            return False  # it gets better by itself, and is only not believed yet
        # Begun anew it is as large as this one was, and there is as much for it as there is now.
        return self._first.resident / may < self._policy.tight_share * ENDS_SHARE

    def _decide(self) -> list[Decided]:
        decided = []
        for knob, ceiling in self.ceilings.items():
            least = min(ceiling, _LEAST.get(knob, 0))
            before, after = self.figures[knob], max(least, int(ceiling * self._share(knob)))
            if before != after:
                self.figures[knob] = after
                decided.append(Decided(knob, before, after, ceiling))
        return decided

    def _share(self, knob: Knob) -> float:
        gauge, shares = _SHARES[knob]
        if knob is Knob.BURST and self.load(Gauge.QUEUE) is not Load.NORMAL:
            return 1
        if knob is Knob.QUEUES and self.load(Gauge.DISK) is Load.CRITICAL:
            return 1
        return shares[_LOADS.index(self.load(gauge))]

    def _read(self, gauge: Gauge, measured: Measured) -> tuple[float, str] | None:
        """The value of a gauge, and the figures that it is made of."""
        if gauge is Gauge.MEMORY:
            return None if measured.memory is None else self._memory(measured.memory)
        if gauge is Gauge.LOOP and measured.lag_ms is not None:
            return measured.lag_ms, f"the event loop was {measured.lag_ms:,.0f} ms late"
        if gauge is Gauge.QUEUE and measured.queue_s is not None:
            return measured.queue_s, f"the oldest frame has waited {measured.queue_s:,.1f} s"
        if gauge is Gauge.DISK and measured.disk_free is not None:
            free, least = measured.disk_free, self._policy.disk_free_bytes
            reason = f"{_mb(free)} are free on the journal's disk, and {_mb(least)} are wanted"
            return least / max(free, 1), reason
        return None

    def _memory(self, memory: Memory) -> tuple[float, str]:
        may, who = self._may(memory)
        reason = f"{_mb(memory.resident)} are used of {_mb(may)}, the most by {who}"
        return memory.resident / may, reason

    def _may(self, memory: Memory) -> tuple[int, str]:
        """What the process may have, at least a byte, and who says so."""
        may, ceiling = memory.resident + memory.available, self._policy.memory_bytes
        if ceiling is not None and ceiling < may:
            return max(ceiling, 1), "limits.memory_mb"
        return max(may, 1), memory.bound


def _mb(size: int) -> str:
    return f"{size / _MEGABYTE:,.0f} MB"
