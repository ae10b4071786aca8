"""The arbiter against the source it is a copy of: delays, batches, joins, deaths, repeats."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.arbiter import Admitted, Arbiter
from tapekeeper.model.tick import TradeBatch

CONTRACT = "CON.F.US.EP.U24"
START = 1_719_784_800_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS
Key = tuple[int, float, int, int]

# Mostly runs of one stamp, sometimes a jump out of the window.
STEPS_NS = st.sampled_from([0, 0, 0, 0, MS, MS, 20 * MS, 300 * MS, 3 * SECOND, 15 * SECOND])


@st.composite
def sources(draw: st.DrawFn) -> list[Key]:
    """A tape in order of time, on which most prints equal another."""
    ts_ns = START
    tape: list[Key] = []
    for step_ns in draw(st.lists(STEPS_NS, min_size=1, max_size=60)):
        ts_ns += step_ns
        tape.append((ts_ns, draw(st.sampled_from([1.0, 2.0])), 1, draw(st.sampled_from([0, 1]))))
    return tape


@dataclass
class Leg:
    """What one line brings: rows [first, last) of the source, each at its own time."""

    line: int
    first: int
    last: int
    arrivals_ns: list[int]


@st.composite
def legs_of(draw: st.DrawFn, tape: list[Key], lag_ms_max: int) -> list[Leg]:
    """One to three lines, of which at least one brings all rows of each stamp."""
    legs: list[Leg] = []
    for line in range(draw(st.integers(1, 3))):
        first = draw(st.integers(0, len(tape) - 1))
        last = draw(st.integers(first + 1, len(tape)))
        legs.append(Leg(line, first, last, []))
    for stamp in dict.fromkeys(key[0] for key in tape):
        rows = [row for row, key in enumerate(tape) if key[0] == stamp]
        if not any(leg.first <= rows[0] and rows[-1] < leg.last for leg in legs):
            leg = draw(st.sampled_from(legs))
            leg.first, leg.last = min(leg.first, rows[0]), max(leg.last, rows[-1] + 1)
    for leg in legs:
        arrival_ns = 0
        lags_ms = draw(st.lists(st.integers(0, lag_ms_max), min_size=1, max_size=5))
        for row in range(leg.first, leg.last):
            # The tape begins with its first print: nothing can be missed before it.
            lag_ns = lags_ms[row % len(lags_ms)] * MS if row else 0
            arrival_ns = max(arrival_ns, tape[row][0] + lag_ns)
            leg.arrivals_ns.append(arrival_ns)
    return legs


def arrivals(tape: list[Key], legs: list[Leg]) -> list[tuple[int, int, int]]:
    """(time of receipt, line, row of the source) in order of arrival."""
    found = [
        (leg.arrivals_ns[row - leg.first], leg.line, row)
        for leg in legs
        for row in range(leg.first, leg.last)
    ]
    return sorted(found, key=lambda event: (event[0], event[2], event[1]))


@dataclass
class Run:
    """An arbiter, and what came of it."""

    arbiter: Arbiter = field(default_factory=Arbiter)
    through: list[Key] = field(default_factory=list)
    received: int = 0
    duplicates: int = 0
    seq: int = 0

    def take(self, line: int, rows: list[tuple[int, Key]]) -> None:
        """Admit a batch of rows with their times of receipt."""
        batch = TradeBatch(CONTRACT)
        for recv_ns, key in rows:
            batch.append(*key, recv_ns, self.seq)
            self.seq += 1
        self.received += len(rows)
        self.note(self.arbiter.admit(line, batch))

    def note(self, admitted: Admitted) -> None:
        """Keep what passed."""
        self.duplicates += admitted.duplicates
        for batch in admitted.batches:
            assert batch.seq == sorted(batch.seq)
            self.through += zip(batch.ts_event, batch.price, batch.size, batch.side, strict=True)
        assert self.received == len(self.through) + self.duplicates + self.arbiter.held

    def finish(self) -> list[Key]:
        """Everything that passed, once a timer has let the rest go."""
        self.note(self.arbiter.release(CONTRACT))
        assert self.arbiter.held == 0
        for tally in self.arbiter.tallies():
            assert tally.rows == tally.first + tally.duplicates + tally.held
        return self.through


def batched(
    events: list[tuple[int, int, int]], sizes: list[int]
) -> list[tuple[int, list[tuple[int, int]]]]:
    """Rows in arrival order, cut where the line changes or a batch is full."""
    cut: list[tuple[int, list[tuple[int, int]]]] = []
    for recv_ns, line, row in events:
        size = sizes[len(cut) % len(sizes)]
        if not cut or cut[-1][0] != line or len(cut[-1][1]) >= size:
            cut.append((line, []))
        cut[-1][1].append((recv_ns, row))
    return cut


batch_sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(st.data(), sources(), batch_sizes)
def test_what_passes_is_the_source_in_its_order(
    data: st.DataObject, tape: list[Key], sizes: list[int]
) -> None:
    """Lines that join, lag up to 500 ms, and die change nothing, identical prints included."""
    run = Run()
    for line, rows in batched(arrivals(tape, data.draw(legs_of(tape, 500))), sizes):
        run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
    assert run.finish() == tape


@given(st.data(), sources(), batch_sizes)
def test_the_ends_of_lines_change_nothing(
    data: st.DataObject, tape: list[Key], sizes: list[int]
) -> None:
    """Each is told behind the last row of its line: nothing that lives is overtaken."""
    legs = data.draw(legs_of(tape, 500))
    cut = batched(arrivals(tape, legs), sizes)
    run = Run()
    for leg in legs:
        run.arbiter.connected(leg.line, leg.arrivals_ns[0])
    for turn, (line, rows) in enumerate(cut):
        run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
        if all(other != line for other, _ in cut[turn + 1 :]):
            for admitted in run.arbiter.ended(line).values():
                run.note(admitted)
    assert run.arbiter.held == 0
    assert run.finish() == tape


@given(st.data(), sources(), batch_sizes)
def test_lines_that_lag_far_behind_lose_and_add_nothing(
    data: st.DataObject, tape: list[Key], sizes: list[int]
) -> None:
    """Delays of seconds, within the window, may change the order but not what passes."""
    run = Run()
    for line, rows in batched(arrivals(tape, data.draw(legs_of(tape, 9_000))), sizes):
        run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
    assert Counter(run.finish()) == Counter(tape)


@given(st.data(), sources(), batch_sizes, batch_sizes)
def test_how_batches_are_cut_changes_nothing(
    data: st.DataObject, tape: list[Key], sizes: list[int], others: list[int]
) -> None:
    """The same arrivals in other batches let the same rows pass, of the same lines."""
    events = arrivals(tape, data.draw(legs_of(tape, 3_000)))
    runs = []
    for each in (sizes, others):
        run = Run()
        for line, rows in batched(events, each):
            run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
        runs.append((run.finish(), run.duplicates, run.arbiter.tallies()))
    assert runs[0] == runs[1]


@given(st.data(), sources(), st.lists(st.booleans(), min_size=1, max_size=20), batch_sizes)
def test_a_line_that_repeats_itself_changes_nothing(
    data: st.DataObject, tape: list[Key], repeats: list[bool], sizes: list[int]
) -> None:
    """While another line contributes, records sent again from an earlier stamp on are known."""
    run = Run()
    sent: dict[int, list[Key]] = {}
    for turn, (line, rows) in enumerate(
        batched(arrivals(tape, data.draw(legs_of(tape, 500))), sizes)
    ):
        run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
        mine = sent.setdefault(line, [])
        mine += [tape[row] for _, row in rows]
        earlier = [at for at, key in enumerate(mine) if key[0] < mine[-1][0]]
        counted = run.arbiter.statistics().contracts_counted
        if counted and earlier and not run.arbiter.held and repeats[turn % len(repeats)]:
            again = mine[data.draw(st.sampled_from(earlier)) :]
            now_ns = rows[-1][0]
            cut = data.draw(st.integers(1, len(again)))
            run.take(line, [(now_ns, key) for key in again[:cut]])
            if again[cut:]:
                run.take(line, [(now_ns, key) for key in again[cut:]])
    assert run.finish() == tape


@given(st.data(), sources(), st.integers(1, 8))
def test_at_the_bound_of_keys_nothing_real_is_held_back(
    data: st.DataObject, tape: list[Key], keys_max: int
) -> None:
    """With room for too few keys lines in step may bring a print twice, but none is lost."""
    run = Run(Arbiter(keys_max=keys_max))
    legs = [Leg(line, 0, len(tape), [key[0] for key in tape]) for line in range(2)]
    for recv_ns, line, row in sorted(arrivals(tape, legs), key=lambda event: event[2]):
        run.take(line, [(recv_ns, tape[row])])
    through = run.finish()
    assert Counter(tape) - Counter(through) == Counter()
    statistics = run.arbiter.statistics()
    assert statistics.keys <= keys_max + 1


@given(st.data(), sources(), batch_sizes)
def test_lines_that_stall_for_longer_than_the_window_lose_and_add_nothing(
    data: st.DataObject, tape: list[Key], sizes: list[int]
) -> None:
    """What comes when its time is forgotten passes unless it has been let through before."""
    run = Run()
    for line, rows in batched(arrivals(tape, data.draw(legs_of(tape, 40_000))), sizes):
        run.take(line, [(recv_ns, tape[row]) for recv_ns, row in rows])
    assert Counter(run.finish()) == Counter(tape)
