"""What the audit says does not depend on cuts of the arrivals, and a whole feed is not blamed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.audit import AuditStage
from tapekeeper.core.audit.prints import STEP_NS, PrintedVolume
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.audit import AuditFinding, AuditTally
from tapekeeper.model.tick import Quote, TradeBatch

MS = 1_000_000
START = 1_767_625_200_000_000_000
CALENDAR = calendar_by_name("24x7")

# Of each moment: ms after the one before, size, whether it is lost, whether a quote follows, and
# by how many ms that is stamped apart.
MOMENTS = st.lists(
    st.tuples(
        st.sampled_from((0, 3, 40, 300, 900, 2_500)),
        st.integers(0, 9),
        st.sampled_from((False, False, False, True)),
        st.booleans(),
        st.integers(-400, 400),
    ),
    min_size=30,
    max_size=250,
)

Arrival = tuple[int, int, int, bool]  # time of arrival, stamp, size or volume, whether a quote


def arrivals(moments: list[tuple[int, int, bool, bool, int]], *, whole: bool) -> list[Arrival]:
    """Prints and quotes in order of arrival; nothing is lost of a `whole` feed."""
    at_ns, volume = START, 500
    found: list[Arrival] = []
    for after_ms, size, is_lost, quoted, apart_ms in moments:
        at_ns += after_ms * MS
        volume += size
        if whole or not is_lost:
            found.append((at_ns, at_ns, size, False))
        if quoted:
            arrives_ns = at_ns + max(0, apart_ms) * MS
            found.append((arrives_ns, at_ns - apart_ms * MS, volume, True))
    return sorted(found, key=lambda each: each[0])


def audited(found: list[Arrival], cuts: list[int]) -> tuple[list[AuditFinding], AuditTally]:
    """What is said when the arrivals come in steps of these sizes, again and again."""
    stage = AuditStage()
    stage.follow("a", CALENDAR)
    findings: list[AuditFinding] = []
    seq = step = 0
    while seq < len(found):
        batch = TradeBatch("a")
        for at_ns, ts_ns, amount, is_quote in found[seq : seq + cuts[step % len(cuts)]]:
            if is_quote:
                stage.take_quote(Quote("a", ts_ns, at_ns, seq, volume=amount))
            else:
                batch.append(ts_ns, 1.0, amount, 0, at_ns, seq)
            seq += 1
        if len(batch):
            stage.take_trades(batch)
        findings += stage.collect()[0]
        step += 1
    (tally,) = stage.tallies()
    return findings, tally


@given(moments=MOMENTS, cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_steps_of_any_size_say_the_same(
    moments: list[tuple[int, int, bool, bool, int]], cuts: list[int]
) -> None:
    """A replay reads frame by frame what came in bursts."""
    found = arrivals(moments, whole=False)
    assert audited(found, cuts) == audited(found, [1])


@given(moments=MOMENTS)
def test_a_feed_that_loses_nothing_is_never_blamed(
    moments: list[tuple[int, int, bool, bool, int]],
) -> None:
    """Whatever its pace, its conflation and the order of quotes and prints within 400 ms."""
    findings, tally = audited(arrivals(moments * 3, whole=True), [1])
    assert findings == []
    assert tally.missing == tally.surplus == 0


@given(
    prints=st.lists(st.tuples(st.integers(-50, 500), st.integers(0, 9)), min_size=1, max_size=80),
    around=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_sums_are_those_of_all_prints(
    prints: list[tuple[int, int]], around: tuple[int, int]
) -> None:
    """Whatever order prints come in, the three sums are right at every time that is kept."""
    printed = PrintedVolume()
    for step, size in prints:
        printed.add(START + step * STEP_NS, size)
    middle = START + max(step for step, _ in prints) * STEP_NS
    earlier, later = (
        middle + sign * by * STEP_NS for sign, by in zip((-1, 1), around, strict=True)
    )
    assert printed.up_to(earlier, middle, later) == (
        sum(size for step, size in prints if START + step * STEP_NS < earlier),
        sum(size for step, size in prints if START + step * STEP_NS <= middle),
        sum(size for _, size in prints),
    )
