"""Measures now and then, and sets what the limits decide (`tapekeeper.core.limits`).

What is measured is asked for in a thread: reading the figures of a control group may take
milliseconds on a large machine, and a disk that hangs does not even say how much of it is free. So
the disk is asked on its own, and while it does not answer nothing is known of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from tapekeeper.core.limits import Gauge, Knob, Limits, LimitsChange, Load
from tapekeeper.model.machine import Measured, Memory
from tapekeeper.ports import Clock, Log, Machine
from tapekeeper.runtime.syncer import InThread

LOOK_S = 1.0
"""Between two looks: some 300 µs of a thread."""

DISK_LOOK_S = 15.0
"""The same of the disk, which fills up more slowly than memory."""

_TROUBLES = (Gauge.MEMORY, Gauge.QUEUE, Gauge.DISK)
"""What makes the tape less safe where it is critical. A slow loop does so by an old queue."""


class GaugeStatus(msgspec.Struct, frozen=True):
    """One gauge.

    Attributes:
        gauge: which.
        load: its state.
        reason: the figures when it came to that; "" while it has always been normal.
    """

    gauge: Gauge
    load: Load
    reason: str = ""


class KnobStatus(msgspec.Struct, frozen=True):
    """One limit that adapts.

    Attributes:
        knob: which.
        figure: what it is now, in the unit of its ceiling.
        ceiling: the user's.
    """

    knob: Knob
    figure: int
    ceiling: int


class LimitsStatus(msgspec.Struct, frozen=True):
    """What is measured and what was decided.

    Attributes:
        gauges: all of them; none where nothing is measured.
        knobs: all of them.
        memory: what was measured last.
        changes: how often a gauge has changed.
        restart: why a restart is wanted, one clause; "" while none is. `tapekeeper run` makes it;
            a program that holds a tape decides for itself.
    """

    gauges: tuple[GaugeStatus, ...] = ()
    knobs: tuple[KnobStatus, ...] = ()
    memory: Memory | None = None
    changes: int = 0
    restart: str = ""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What makes the tape less safe than wanted, a sentence each."""
        return tuple(
            f"{each.gauge}: {each.reason}"
            for each in self.gauges
            if each.load is Load.CRITICAL and each.gauge in _TROUBLES
        )

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not normal, a sentence each."""
        return tuple(
            f"{each.gauge} is {each.load}: {each.reason}"
            for each in self.gauges
            if each.load is not Load.NORMAL
        )


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the measured figures come from.

    Attributes:
        machine: memory and disk.
        lag_ms: the most by which the event loop was late since it was asked last; None for unknown.
        queue_s: how long the oldest frame has waited.
    """

    machine: Machine
    lag_ms: Callable[[], float | None]
    queue_s: Callable[[], float]


class Limiter:
    """See the module's text.

    Args:
        limits: decides.
        sources: see `Sources`.
        levers: sets what was decided, of every knob that `limits` has.
        move_surplus: puts some of what exceeds a limit of memory to the disk, and says whether
            there is more; others run in between.
        in_thread: see `InThread`.
        clock: time.
        log: told of every change.
        tell: the same, for whoever listens.
    """

    def __init__(
        self,
        limits: Limits,
        sources: Sources,
        levers: Mapping[Knob, Callable[[int], None]],
        move_surplus: Callable[[], bool],
        *,
        in_thread: InThread,
        clock: Clock,
        log: Log,
        tell: Callable[[LimitsChange], None],
    ) -> None:
        self._limits = limits
        self._sources = sources
        self._levers = levers
        self._move_surplus = move_surplus
        self._in_thread = in_thread
        self._clock = clock
        self._log = log
        self._tell = tell
        self._disk_free: int | None = None
        self._changes = 0

    def status(self) -> LimitsStatus:
        """A frozen view."""
        limits = self._limits
        return LimitsStatus(
            gauges=tuple(
                GaugeStatus(gauge, load, limits.reason(gauge))
                for gauge, load in limits.loads.items()
            ),
            knobs=tuple(
                KnobStatus(knob, figure, limits.ceilings[knob])
                for knob, figure in limits.figures.items()
            ),
            memory=limits.measured.memory,
            changes=self._changes,
            restart=limits.restart,
        )

    def troubles(self) -> tuple[str, ...]:
        """What makes the tape less safe than wanted, a sentence each."""
        return self.status().troubles

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_disk(), name="tape: limits of the disk")
            while True:
                await self._look()
                await self._clock.sleep_s(LOOK_S)

    async def _watch_disk(self) -> None:
        while True:
            self._disk_free = None
            self._disk_free = await self._asked(self._sources.machine.disk_free)
            await self._clock.sleep_s(DISK_LOOK_S)

    async def _asked(self, ask: Callable[[], int | None]) -> int | None:
        found: list[int | None] = []
        await self._in_thread(lambda: found.append(ask()))
        return found[0]

    async def _look(self) -> None:
        found: list[Memory | None] = []
        await self._in_thread(lambda: found.append(self._sources.machine.memory()))
        measured = Measured(
            memory=found[0],
            lag_ms=self._sources.lag_ms(),
            queue_s=self._sources.queue_s(),
            disk_free=self._disk_free,
        )
        clock = self._clock
        for change in self._limits.look(measured, clock.monotonic_ns(), clock.now_ns()):
            self._set(change)
        while self._move_surplus():
            await clock.sleep_s(0)

    def _set(self, change: LimitsChange) -> None:
        if change.restart:
            self._log("restart_wanted", level="error", reason=change.reason)
            self._tell(change)
            return
        self._changes += 1
        for each in change.decided:
            self._levers[each.knob](each.after)
        worse = tuple(Load).index(change.after) > tuple(Load).index(change.before)
        self._log(
            "limits_changed",
            level="warning" if worse else "info",
            gauge=change.gauge.value,
            before=change.before.value,
            after=change.after.value,
            reason=change.reason,
            decided={each.knob.value: each.after for each in change.decided},
        )
        self._tell(change)
