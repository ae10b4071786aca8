"""Growth is found, whatever grows; what breathes is no growth."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

import msgspec
import pytest

from tapekeeper.app.tape import Tape
from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.runtime import added_volume, coverage
from tapekeeper.runtime.hub_connection import HubConnection
from tapekeeper.runtime.line import Line
from tapekeeper.verify.endurance import LIMITS, Plan, Sample, endure, judge, problems

SHORT = Plan(hours=2.5, cut_every_s=20.0, sample_every_s=500.0, keep=10, trades_per_s=0.5)
"""Each connection brings some prints: of those that bring one or none dozens are remembered until
another confirms how late it is, and come and go."""


def _samples(**growth: float) -> list[Sample]:
    """A run in which figures grow by so much an hour, and breathe a little."""
    calm = Sample(
        hour=0.0,
        connections=0,
        tasks=30,
        sockets=2,
        websockets=2,
        waiting=0,
        queue_bytes=0,
        futures=40,
        handles=12,
        objects=100_000,
        resident_mb=90.0,
        traced_mb=None,
        accepted=0,
        holds=True,
        full=True,
    )
    breath = (0, 40, -25, 10, -40)
    return [
        msgspec.structs.replace(
            calm,
            hour=float(hour),
            accepted=hour,
            objects=round(100_000 + breath[hour % 5] + growth.get("objects", 0) * hour),
            resident_mb=90.0 + breath[hour % 5] / 100 + growth.get("resident_mb", 0) * hour,
            **{
                name: round(getattr(calm, name) + growth.get(name, 0) * hour)
                for name in (
                    "tasks",
                    "sockets",
                    "websockets",
                    "waiting",
                    "queue_bytes",
                    "futures",
                    "handles",
                    "os_sockets",
                )
            },
        )
        for hour in range(1, 49)
    ]


def test_a_run_that_breathes_is_flat() -> None:
    """Some objects more or less from hour to hour are no growth."""
    samples = _samples()
    assert problems(samples, judge(samples)) == []


@pytest.mark.parametrize(
    ("figure", "per_hour"),
    [
        ("tasks", 0.1),
        ("sockets", 0.1),
        ("websockets", 0.1),
        ("waiting", 3.0),
        ("queue_bytes", 3_000.0),
        ("futures", 0.1),
        ("handles", 0.1),
        ("os_sockets", 0.1),
        ("objects", 120.0),
        ("resident_mb", 0.1),
    ],
)
def test_a_slow_growth_is_found(figure: str, per_hour: float) -> None:
    """A task in ten hours, an object for each reconnect, a hundred kilobytes an hour."""
    samples = _samples(**{figure: per_hour})
    (problem,) = problems(samples, judge(samples))
    assert problem.startswith(f"{figure} grew by ")


def test_a_few_odd_samples_bend_no_slope() -> None:
    """One hour in which something large was under way says nothing of the others."""
    samples = _samples()
    samples[-3] = msgspec.structs.replace(samples[-3], objects=200_000, tasks=90)
    assert problems(samples, judge(samples)) == []


def test_growth_before_the_judged_part_is_the_filling_of_history() -> None:
    """Kept bars and intervals have a limit; what grows up to it and no further is flat."""
    samples = [
        msgspec.structs.replace(one, objects=100_000 + min(18, index) * 900)
        for index, one in enumerate(_samples())
    ]
    assert problems(samples, judge(samples)) == []
    early = [msgspec.structs.replace(one, full=False) for one in samples]
    assert "filling up" in problems(early, judge(early))[0]


def test_what_is_not_traced_is_not_judged() -> None:
    """Without a figure there is no trend of it, and the others are judged all the same."""
    samples = [msgspec.structs.replace(one, traced_mb=None) for one in _samples()]
    judged = {one.figure for one in judge(samples)}
    assert judged == LIMITS.keys() - {"traced_mb"}


@pytest.mark.parametrize("broken", ["holds", "accepted"])
def test_a_run_that_shows_nothing_is_not_flat(broken: str) -> None:
    """A market that stood still, or a lost print, is a problem as well."""
    change = {"holds": False} if broken == "holds" else {"accepted": 7}
    samples = [msgspec.structs.replace(one, **change) for one in _samples()]
    assert len(problems(samples, judge(samples))) == 1


@pytest.mark.parametrize("plan", [{"hours": 5.0}, {"cut_every_s": 1.0}, {"hours": float("nan")}])
def test_a_run_without_a_slope_is_refused(plan: dict[str, float]) -> None:
    """Too short, or with cuts that never let a line live."""
    with pytest.raises(UsageError):
        Plan(**plan)  # type: ignore[arg-type]  # fields by name, as given


def test_hours_of_reconnects_leave_everything_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real composition for two and a half hours, cut every twenty seconds."""
    monkeypatch.setattr(coverage, "UNCOVERED_MAX", 20)
    monkeypatch.setattr(added_volume, "KEPT_MAX", 20)
    endured = endure(SHORT, lambda _: None)
    assert endured.problems == ()
    assert len(endured.samples) == 18
    assert {one.websockets for one in endured.samples} == {2}
    assert endured.samples[-1].connections > 300


PLANTED = Plan(hours=0.5, cut_every_s=20.0, sample_every_s=100.0, keep=10, trades_per_s=0.5)


class Hoard:
    """Keeps one thing more of a kind each time, and gives all back at the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.kept: list[object] = []

    def file(self) -> None:
        """A handle."""
        number = os.open(os.devnull, os.O_RDONLY)
        self._stack.callback(os.close, number)
        self.kept.append(number)

    def bound_socket(self) -> None:
        """A socket that listens."""
        self.kept.append(self._stack.enter_context(socket.create_server(("127.0.0.1", 0))))

    def future(self) -> None:
        """A future that nobody completes."""
        self.kept.append(asyncio.get_running_loop().create_future())

    def task(self) -> None:
        """A task that waits for ever, until the loop ends."""

        async def wait() -> None:
            await asyncio.Event().wait()

        self.kept.append(asyncio.Task(wait(), loop=asyncio.get_running_loop()))

    def objects(self) -> None:
        """Containers: more than what other tests have left behind can give back meanwhile."""
        self.kept.append([[] for _ in range(20_000)])

    def bytes(self) -> None:
        """Memory that the garbage collector does not know."""
        self.kept.append(b"x" * 8_000_000)  # more than a process has to spare

    def close(self) -> None:
        """Give back what the system has given."""
        self._stack.close()


@pytest.mark.parametrize(
    ("plant", "figure"),
    [
        (Hoard.task, "tasks"),
        (Hoard.future, "futures"),
        (Hoard.file, "handles"),
        (Hoard.bound_socket, "os_sockets"),
        (Hoard.objects, "objects"),
        (Hoard.bytes, "resident_mb"),
    ],
)
def test_a_leak_of_each_kind_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[Hoard], None], figure: str
) -> None:
    """Half an hour of reconnects that leave one thing every hundred seconds."""
    monkeypatch.setattr(coverage, "UNCOVERED_MAX", 20)
    hoard = Hoard()
    try:
        endured = endure(PLANTED, lambda _: plant(hoard))
    finally:
        hoard.close()
    assert any(problem.startswith(f"{figure} grew") for problem in endured.problems)


def test_a_queue_that_nobody_reads_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its events, and the bytes that they take."""
    monkeypatch.setattr(coverage, "UNCOVERED_MAX", 20)
    unread = []
    subscribe = Tape.subscribe

    async def hoard(tape: Tape, contract: str) -> Instrument:
        instrument = await subscribe(tape, contract)
        unread.append(tape.quotes(contract, on_full="spill"))
        return instrument

    monkeypatch.setattr(Tape, "subscribe", hoard)
    endured = endure(PLANTED, lambda _: None)
    assert any(problem.startswith("waiting grew") for problem in endured.problems)
    assert any(problem.startswith("queue_bytes grew") for problem in endured.problems)


def test_an_object_that_is_kept_for_each_reconnect_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same run, in which every connection is remembered: the leak that flat must exclude."""
    monkeypatch.setattr(coverage, "UNCOVERED_MAX", 20)
    kept: list[HubConnection | None] = []
    bury = Line._bury

    def remember(line: Line) -> None:
        kept.append(line._connection)
        bury(line)

    monkeypatch.setattr(Line, "_bury", remember)
    endured = endure(SHORT, lambda _: None)
    assert any(problem.startswith("objects grew") for problem in endured.problems)
