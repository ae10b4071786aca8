"""What is measured is asked for beside the loop, and what is decided is set and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tapekeeper.core.limits import Decided, Gauge, Knob, Limits, LimitsChange, LimitsPolicy, Load
from tapekeeper.model.machine import Memory
from tapekeeper.runtime.limiter import DISK_LOOK_S, Limiter, Sources
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

MB = 1_000_000
CEILINGS = {Knob.HOT: 100, Knob.BURST: 512}


class Machine:
    """One whose figures a test sets; fills `ports.Machine`."""

    def __init__(self) -> None:
        self.used_mb = 100
        self.free_mb = 10_000
        self.disk_asked = 0

    def memory(self) -> Memory:
        """Of a thousand megabytes."""
        return Memory(self.used_mb * MB, (1_000 - self.used_mb) * MB, "the computer")

    def disk_free(self) -> int:
        """As set."""
        self.disk_asked += 1
        return self.free_mb * MB


class Bench:
    """A limiter with all that it sets and tells."""

    def __init__(self, clock: VirtualClock) -> None:
        self.machine = Machine()
        self.lag_ms: float | None = None
        self.queue_s = 0.0
        self.set: list[tuple[Knob, int]] = []
        self.told: list[LimitsChange] = []
        self.logged: list[tuple[str, str, dict[str, object]]] = []
        self.hangs = asyncio.Event()
        self.hanging = False
        self.surplus = 0
        self.limiter = Limiter(
            Limits(LimitsPolicy(), CEILINGS),
            Sources(self.machine, lambda: self.lag_ms, lambda: self.queue_s),
            {knob: self._lever(knob) for knob in CEILINGS},
            self._move_surplus,
            in_thread=self._in_thread,
            clock=clock,
            log=self._log,
            tell=self.told.append,
        )

    def _lever(self, knob: Knob) -> Callable[[int], None]:
        return lambda figure: self.set.append((knob, figure))

    def _move_surplus(self) -> bool:
        self.surplus = max(0, self.surplus - 1)
        return self.surplus > 0

    async def _in_thread(self, work: Callable[[], None]) -> None:
        asked = self.machine.disk_asked
        work()
        if self.hanging and self.machine.disk_asked > asked:
            await self.hangs.wait()

    def _log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        self.logged.append((event, level, fields))


def run(act: Callable[[Bench, VirtualClock], object]) -> Bench:
    """Let a limiter run while `act`, a coroutine function, does something."""

    async def main(clock: VirtualClock) -> Bench:
        bench = Bench(clock)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(bench.limiter.run())
            await act(bench, clock)  # type: ignore[misc]  # a coroutine function, by contract
            task.cancel()
        return bench

    return run_virtual(main)


def test_what_is_decided_is_set_logged_and_told() -> None:
    """Once, within a look, with its reason and figures; worse is a warning and better is not."""

    async def act(bench: Bench, clock: VirtualClock) -> None:
        await clock.sleep_s(5)
        assert bench.limiter.status().reasons == ()
        bench.machine.used_mb = 850
        await clock.sleep_s(1.5)
        assert bench.set == [(Knob.HOT, 50)]
        assert bench.limiter.status().reasons == (
            "memory is tight: 850 MB are used of 1,000 MB, the most by the computer",
        )
        bench.machine.used_mb = 100
        await clock.sleep_s(12.5)

    bench = run(act)
    assert bench.set == [(Knob.HOT, 50), (Knob.HOT, 100)]
    assert [(one.gauge, one.after, one.decided) for one in bench.told] == [
        (Gauge.MEMORY, Load.TIGHT, (Decided(Knob.HOT, 100, 50, 100),)),
        (Gauge.MEMORY, Load.NORMAL, (Decided(Knob.HOT, 50, 100, 100),)),
    ]
    assert [level for _, level, _ in bench.logged] == ["warning", "info"]
    assert bench.logged[0][2] == {
        "gauge": "memory",
        "before": "normal",
        "after": "tight",
        "reason": "850 MB are used of 1,000 MB, the most by the computer",
        "decided": {"hot": 50},
    }
    status = bench.limiter.status()
    assert status.changes == 2
    assert status.memory == bench.machine.memory()
    assert [(one.knob, one.figure, one.ceiling) for one in status.knobs] == [
        (Knob.HOT, 100, 100),
        (Knob.BURST, 512, 512),
    ]


def test_what_is_critical_is_a_trouble_of_the_tape() -> None:
    """Memory, the queue and the disk; a slow loop is none by itself."""

    async def act(bench: Bench, clock: VirtualClock) -> None:
        bench.machine.used_mb = 990
        bench.machine.free_mb = 1
        bench.queue_s = 20.0
        bench.lag_ms = 900.0
        await clock.sleep_s(2 * DISK_LOOK_S)

    bench = run(act)
    assert {each.load for each in bench.limiter.status().gauges} == {Load.CRITICAL}
    assert [trouble.partition(":")[0] for trouble in bench.limiter.troubles()] == [
        "memory",
        "queue",
        "disk",
    ]


def test_a_disk_that_does_not_answer_holds_nothing_up() -> None:
    """Memory is measured on, and of the disk nothing is known meanwhile."""

    async def act(bench: Bench, clock: VirtualClock) -> None:
        await clock.sleep_s(1)
        bench.hanging = True
        bench.machine.free_mb = 1
        await clock.sleep_s(10 * DISK_LOOK_S)
        bench.machine.used_mb = 990
        await clock.sleep_s(2)
        assert bench.machine.disk_asked == 2
        assert [one.gauge for one in bench.told] == [Gauge.MEMORY]
        bench.hanging = False
        bench.hangs.set()
        await clock.sleep_s(2)

    assert [one.gauge for one in run(act).told] == [Gauge.MEMORY, Gauge.DISK]


def test_what_exceeds_a_limit_is_moved_until_nothing_does() -> None:
    """With every look."""

    async def act(bench: Bench, clock: VirtualClock) -> None:
        await clock.sleep_s(0.5)
        bench.surplus = 7
        await clock.sleep_s(1)
        assert bench.surplus == 0

    run(act)


def test_a_restart_that_is_wanted_is_told_once() -> None:
    """In the log, to whoever listens, and in the status."""

    async def act(bench: Bench, clock: VirtualClock) -> None:
        await clock.sleep_s(2)
        bench.machine.used_mb = 990
        await clock.sleep_s(300)

    bench = run(act)
    assert [one.restart for one in bench.told] == [False, True]
    reason = "990 MB are used of 1,000 MB, the most by the computer"
    assert bench.logged[1] == ("restart_wanted", "error", {"reason": reason})
    assert bench.limiter.status().restart == reason
    assert bench.limiter.status().changes == 1
