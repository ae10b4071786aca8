"""From measurements to limits: states, what they decide, and what is said of it."""

from __future__ import annotations

import pytest

from tapekeeper.core.limits import (
    Decided,
    Gauge,
    Knob,
    Limits,
    LimitsChange,
    LimitsPolicy,
    Load,
)
from tapekeeper.model.machine import Measured, Memory

S = 1_000_000_000
MB = 1_000_000
CEILINGS = {
    Knob.HOT: 80 * MB,
    Knob.QUOTES: 20_000,
    Knob.HISTORY: 2_000_000,
    Knob.SYNC: 100,
    Knob.BURST: 512,
}


class Bench:
    """Limits of a machine of a thousand megabytes, looked at once a second."""

    def __init__(self, **policy: float | None) -> None:
        self.limits = Limits(LimitsPolicy(**policy), CEILINGS)  # type: ignore[arg-type]  # by name
        self.second = 0

    def look(self, measured: Measured) -> list[LimitsChange]:
        """Take it, a second later."""
        self.second += 1
        return self.limits.look(measured, self.second * S, self.second)

    def memory(self, used_mb: int, seconds: int = 1) -> list[LimitsChange]:
        """So much is used, for so long."""
        memory = Memory(used_mb * MB, max(0, 1_000 - used_mb) * MB, "the computer")
        return [one for _ in range(seconds) for one in self.look(Measured(memory=memory))]


def test_memory_decides_what_is_kept_and_says_why() -> None:
    """The figures, the states and all that changed with them are one event."""
    bench = Bench()
    assert bench.memory(799) == []
    (change,) = bench.memory(800)
    assert change == LimitsChange(
        Gauge.MEMORY,
        Load.NORMAL,
        Load.TIGHT,
        2,
        "800 MB are used of 1,000 MB, the most by the computer",
        (
            Decided(Knob.HOT, 80 * MB, 40 * MB, 80 * MB),
            Decided(Knob.QUOTES, 20_000, 10_000, 20_000),
            Decided(Knob.HISTORY, 2_000_000, 500_000, 2_000_000),
            Decided(Knob.SYNC, 100, 50, 100),
        ),
    )
    (change,) = bench.memory(930, 11)
    assert (change.before, change.after) == (Load.TIGHT, Load.CRITICAL)
    assert bench.limits.figures == {
        Knob.HOT: 10 * MB,
        Knob.QUOTES: 2_500,
        Knob.HISTORY: 0,
        Knob.SYNC: 25,
        Knob.BURST: 512,
    }
    assert bench.limits.reason(Gauge.MEMORY) == change.reason


def test_what_becomes_critical_at_once_is_so_at_once() -> None:
    """Memory that runs away is not waited for, and no step is left out of the figures."""
    bench = Bench()
    (change,) = bench.memory(990)
    assert (change.before, change.after) == (Load.NORMAL, Load.CRITICAL)
    assert bench.limits.figures[Knob.HOT] == 10 * MB


def test_it_gets_better_step_by_step_and_only_when_a_dwell_was_better() -> None:
    """From critical to tight to normal, ten seconds each, and all is as it was."""
    bench = Bench()
    bench.memory(990)
    assert bench.memory(100, 10) == []
    (change,) = bench.memory(100)
    assert (change.before, change.after) == (Load.CRITICAL, Load.TIGHT)
    assert bench.memory(100, 10) == []
    (change,) = bench.memory(100)
    assert (change.before, change.after) == (Load.TIGHT, Load.NORMAL)
    assert bench.limits.figures == CEILINGS


def test_between_where_a_state_begins_and_ends_nothing_changes() -> None:
    """Two thresholds: tight from 800 on, and until it is below 720."""
    bench = Bench()
    bench.memory(800)
    assert bench.memory(725, 60) == []
    assert bench.memory(715, 11)[0].after is Load.NORMAL
    assert bench.memory(799, 60) == []


def test_a_moment_in_between_is_no_improvement() -> None:
    """All of a dwell must be better."""
    bench = Bench()
    bench.memory(800)
    bench.memory(100, 9)
    bench.memory(810)
    assert bench.memory(100, 10) == []
    assert bench.memory(100)[0].after is Load.NORMAL


def test_the_users_ceiling_counts_where_it_is_less_than_what_the_machine_leaves() -> None:
    """And where the machine leaves less, that does."""
    bench = Bench(memory_bytes=500 * MB)
    (change,) = bench.memory(400)
    assert change.reason == "400 MB are used of 500 MB, the most by limits.memory_mb"
    bench = Bench(memory_bytes=5_000 * MB)
    (change,) = bench.memory(800)
    assert change.reason.endswith("by the computer")


def test_more_than_may_be_used_is_critical() -> None:
    """A ceiling that is exceeded already."""
    assert Bench(memory_bytes=50 * MB).memory(400)[0].after is Load.CRITICAL


def test_what_is_not_known_changes_nothing() -> None:
    """A gauge without a value stays as it is."""
    bench = Bench()
    bench.memory(990)
    assert bench.look(Measured()) == []
    assert bench.limits.load(Gauge.MEMORY) is Load.CRITICAL


def test_a_loop_that_is_late_for_long_makes_bursts_smaller() -> None:
    """A single stall does not."""
    bench = Bench()
    assert bench.look(Measured(lag_ms=900)) == []
    assert bench.look(Measured(lag_ms=1)) == []
    changes = [bench.look(Measured(lag_ms=60)) for _ in range(4)]
    assert [len(each) for each in changes] == [0, 0, 0, 1]
    assert changes[-1][0].decided == (Decided(Knob.BURST, 512, 256, 512),)
    assert changes[-1][0].reason == "the event loop was 60 ms late"


def test_while_the_queue_is_old_bursts_are_as_large_as_they_may_be() -> None:
    """Smaller ones would make it older."""
    bench = Bench()
    for _ in range(4):
        bench.look(Measured(lag_ms=300))
    assert bench.limits.figures[Knob.BURST] == 128
    changes = [one for _ in range(4) for one in bench.look(Measured(lag_ms=300, queue_s=2.5))]
    assert [(one.gauge, one.after) for one in changes] == [(Gauge.QUEUE, Load.TIGHT)]
    assert changes[0].reason == "the oldest frame has waited 2.5 s"
    assert bench.limits.figures[Knob.BURST] == 512


@pytest.mark.parametrize(
    ("free_mb", "load"),
    [(5_000, Load.NORMAL), (2_000, Load.TIGHT), (501, Load.TIGHT), (500, Load.CRITICAL)],
)
def test_a_disk_is_tight_below_what_should_be_free(free_mb: int, load: Load) -> None:
    """And critical below a quarter of it."""
    bench = Bench()
    bench.look(Measured(disk_free=free_mb * MB))
    assert bench.limits.load(Gauge.DISK) is load


def test_a_full_disk_and_no_wish_are_no_division_by_zero() -> None:
    """0 MB free is critical, and where 0 MB should be free nothing is."""
    bench = Bench()
    assert bench.look(Measured(disk_free=0))[0].after is Load.CRITICAL
    assert Bench(disk_free_bytes=0).look(Measured(disk_free=0)) == []


def test_nothing_is_decided_that_is_of_no_use_or_above_its_ceiling() -> None:
    """There is a least, unless the ceiling is less."""
    ceilings = {Knob.SYNC: 20, Knob.BURST: 3, Knob.QUOTES: 150, Knob.HOT: 1}
    limits = Limits(LimitsPolicy(), ceilings)
    memory = Memory(99, 1, "x")
    for second in range(5):
        limits.look(Measured(memory=memory, lag_ms=400), second * S, 0)
    assert limits.figures == {Knob.SYNC: 10, Knob.BURST: 3, Knob.QUOTES: 100, Knob.HOT: 0}


def test_queues_go_to_the_disk_while_it_has_room() -> None:
    """And optional subscribers stop where memory is critical, not before."""
    limits = Limits(LimitsPolicy(), {Knob.QUEUES: 100, Knob.OPTIONAL: 1})
    limits.look(Measured(memory=Memory(85, 15, "x")), 0, 0)
    assert limits.figures == {Knob.QUEUES: 25, Knob.OPTIONAL: 1}
    limits.look(Measured(memory=Memory(99, 1, "x")), 20 * S, 0)
    assert limits.figures == {Knob.QUEUES: 6, Knob.OPTIONAL: 0}
    limits.look(Measured(disk_free=1), 21 * S, 0)
    assert limits.figures == {Knob.QUEUES: 100, Knob.OPTIONAL: 0}


def test_a_restart_is_wanted_when_nothing_else_has_helped() -> None:
    """After a minute of critical memory, once, with the figures; no limit changes with it."""
    bench = Bench()
    bench.memory(100)
    bench.memory(990)
    assert bench.memory(990, 59) == []
    figures = dict(bench.limits.figures)
    (change,) = bench.memory(980)
    assert change.restart
    assert (change.before, change.after, change.decided) == (Load.CRITICAL, Load.CRITICAL, ())
    assert change.reason == "980 MB are used of 1,000 MB, the most by the computer"
    assert bench.limits.restart == change.reason
    assert bench.limits.figures == figures
    assert bench.memory(990, 100) == []


def test_a_restart_is_not_wanted_where_it_would_not_help() -> None:
    """A process that began as large would be critical, or tight, again and again."""
    for first, wanted in ((990, False), (725, False), (715, True)):
        bench = Bench()
        bench.memory(first)
        bench.memory(990, 100)
        assert bool(bench.limits.restart) is wanted


def test_memory_that_others_have_taken_is_no_reason_for_a_restart() -> None:
    """The process is as large as it was; what is left to it is not."""
    bench = Bench()
    for available in (900, 2):
        for _ in range(100):
            bench.look(Measured(memory=Memory(100 * MB, available * MB, "the computer")))
    assert bench.limits.load(Gauge.MEMORY) is Load.CRITICAL
    assert bench.limits.restart == ""


def test_a_wish_ends_with_its_reason_and_is_none_where_none_may_be() -> None:
    """Memory that is critical no more; a user who says never."""
    bench = Bench()
    bench.memory(100)
    bench.memory(990, 80)
    bench.memory(100, 20)
    assert bench.limits.restart == ""
    bench = Bench(restart_after_ns=None)
    bench.memory(100)
    bench.memory(990, 1_000)
    assert bench.limits.restart == ""


def test_memory_that_has_come_back_is_no_reason_for_a_restart() -> None:
    """Although that is not believed before a dwell is over."""
    bench = Bench()
    bench.memory(100)
    bench.memory(990, 60)
    assert bench.memory(500, 5) == []
    assert bench.limits.load(Gauge.MEMORY) is Load.CRITICAL
    assert bench.limits.restart == ""
