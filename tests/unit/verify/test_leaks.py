"""What a long run keeps from one part of it to the next is found, and what breathes is not."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import pytest

from tapekeeper.sim.fault_menu import Fault
from tapekeeper.verify import seeds
from tapekeeper.verify.checks import Findings
from tapekeeper.verify.leaks import SAMPLES_MIN, WHOLE, Held, held, leaks
from tapekeeper.verify.seeds import HELD_MAX, Tally, Verdict, run_seeds

CALM = Held(tasks=5, futures=7, handles=20, os_sockets=4, objects=90_000, resident_mb=80.0)


def _grown(figure: str, by: float) -> list[Held]:
    breath = (0, 2, -1, 1, -2)
    return [
        msgspec.structs.replace(
            CALM, **{figure: round(getattr(CALM, figure) + breath[n % 5] + by * n)}
        )
        for n in range(40)
    ]


@pytest.mark.parametrize("figure", WHOLE)
def test_what_is_kept_each_time_is_found(figure: str) -> None:
    """One more of anything in every third sample is a leak; breathing is none."""
    assert leaks(_grown(figure, 0.0)) == []
    (found,) = leaks(_grown(figure, 0.3))
    assert found.startswith(f"{figure} grew by ")


def test_too_few_samples_say_nothing() -> None:
    """Less than a score of them is no slope."""
    assert leaks(_grown("handles", 5.0)[: SAMPLES_MIN - 1]) == []


def _played(monkeypatch: pytest.MonkeyPatch, stack: ExitStack | None) -> Tally:
    """Thirty seeds, each of which leaves a socket in `stack`, if there is one."""

    def verdict(seed: int, _schedule: Sequence[Fault] | None) -> Verdict:
        if stack is not None:
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return Verdict(seed, Findings(()), Counter(), None, "")

    monkeypatch.setattr(seeds, "_verdict", verdict)
    return run_seeds(range(30), None, lambda _: None)


def test_a_seed_that_leaves_something_fails_the_simulation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A socket for each shows as a socket and as a handle."""
    with ExitStack() as stack:
        found = leaks(_played(monkeypatch, stack).held)
    assert [one.split()[0] for one in found] == ["handles", "os_sockets"]
    assert leaks(_played(monkeypatch, None).held) == []


def test_what_is_remembered_of_seeds_is_bounded() -> None:
    """A million seeds take no more memory than some hundreds."""
    tally = Tally()
    for _ in range(2 * HELD_MAX):
        tally.held.append(CALM)
    assert len(tally.held) == HELD_MAX


def test_what_is_held_is_counted_where_no_loop_runs() -> None:
    """Between two runs there are no tasks, and files and memory all the same."""
    now = held()
    assert now.tasks == 0
    assert now.handles > 0
    assert now.objects > 1_000
    assert now.resident_mb > 1
