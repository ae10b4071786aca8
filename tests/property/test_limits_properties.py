"""Limits under any measurement: never above the ceiling, never more than one change a dwell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.limits import Gauge, Knob, Limits, LimitsPolicy, Load
from tapekeeper.model.machine import Measured, Memory

S = 1_000_000_000
LOADS = tuple(Load)

amounts = st.integers(0, 2_000_000_000)
shares = st.sampled_from((0, 50, 70, 73, 79, 80, 82, 84, 91, 92, 99, 100))
memories = (
    st.none()
    | st.builds(Memory, resident=amounts, available=amounts, bound=st.just("x"))
    | shares.map(lambda share: Memory(share, 100 - share, "x"))
)
measured = st.builds(
    Measured,
    memory=memories,
    lag_ms=st.none() | st.floats(0, 1_000),
    queue_s=st.none() | st.floats(0, 100),
    disk_free=st.none() | st.integers(0, 10_000_000_000),
)
steps = st.lists(st.tuples(st.integers(0, 20 * S), measured), max_size=60)
ceilings = st.fixed_dictionaries({knob: st.integers(0, 1 << 40) for knob in Knob})


@given(steps, ceilings, st.integers(0, 30 * S), st.none() | st.integers(1, 1_000_000_000))
def test_no_limit_is_ever_above_the_users(
    steps: list[tuple[int, Measured]],
    ceilings: dict[Knob, int],
    dwell_ns: int,
    memory_bytes: int | None,
) -> None:
    """Nor below nothing; and every event says exactly what has changed."""
    limits = Limits(LimitsPolicy(memory_bytes=memory_bytes, dwell_ns=dwell_ns), ceilings)
    told = dict(ceilings)
    now_ns = 0
    for pause_ns, seen in steps:
        now_ns += pause_ns
        for change in limits.look(seen, now_ns, now_ns):
            assert (change.before is not change.after) is not change.restart
            for each in change.decided:
                assert told[each.knob] == each.before != each.after
                told[each.knob] = each.after
        assert limits.figures == told
        assert all(0 <= limits.figures[knob] <= ceilings[knob] for knob in Knob)
    if all(load is Load.NORMAL for load in limits.loads.values()):
        assert limits.figures == ceilings


@given(steps, st.integers(1, 30 * S))
def test_a_gauge_changes_at_most_once_in_a_dwell(
    steps: list[tuple[int, Measured]], dwell_ns: int
) -> None:
    """However noisy what is measured is; and it gets better by one step at a time."""
    limits = Limits(LimitsPolicy(dwell_ns=dwell_ns), {})
    changed_ns: dict[Gauge, int] = {}
    now_ns = 0
    for pause_ns, seen in steps:
        now_ns += pause_ns
        for change in limits.look(seen, now_ns, now_ns):
            if change.restart:
                continue
            before_ns = changed_ns.get(change.gauge)
            assert before_ns is None or now_ns - before_ns >= dwell_ns
            changed_ns[change.gauge] = now_ns
            assert LOADS.index(change.after) >= LOADS.index(change.before) - 1
