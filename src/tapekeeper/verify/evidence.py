"""What a simulated run leaves behind, for its judges.

Times are those of a clock that never steps, ns UTC, unless they say otherwise. What the tape itself
says is by the wall clock of its host, which may have been set meanwhile (`Evidence.steps`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from tapekeeper.app.replay import ReplayResult
from tapekeeper.app.tape_status import TapeStatus
from tapekeeper.model.bar import Bar
from tapekeeper.runtime.forward_clock import SLACK_NS
from tapekeeper.sim.fault_runner import Happened
from tapekeeper.sim.host import Step
from tapekeeper.sim.memory_files import MemoryFiles
from tapekeeper.sim.subscriptions import Stream
from tapekeeper.verify.oracle import Key
from tapekeeper.verify.scenario import Scenario

NS_PER_S = 1_000_000_000


class End(StrEnum):
    """How a process ended."""

    RUNNING = "running"  # it has not
    STOPPED = "stopped"  # it was asked to, and did so in order
    FAILED = "failed"  # it ended by itself, and said why
    KILLED = "killed"  # without a word


@dataclass(frozen=True, slots=True)
class Logged:
    """One event of the log: when, its name and its fields."""

    at_ns: int
    event: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Made:
    """Prints of one record of the market, and when it made them."""

    at_ns: int
    prints: tuple[Key, ...]


@dataclass(slots=True)
class Freezing:
    """A frozen subscription: from when to when somebody was to be deaf to it."""

    stream: Stream
    key: str
    from_ns: int
    to_ns: int | None = None


@dataclass(slots=True)
class Life:
    """One process, from its start to its end.

    Attributes:
        number: from 1.
        run: number of the first journal segment that it would write.
        started_ns: when it was started.
        subscribed_ns: when both products were confirmed; None if they never were.
        ended_ns: when it was asked to stop, failed, or was killed.
        end: how.
        why: what a failed one said.
        left: closed bars in the order in which they were handed to subscribers.
        status: of the tape at its end; of a killed one, just before.
        result: of the tape at its end; None for a killed one.
        stop_s: how long it took from `ended_ns` until all was over.
        refused: how often the disk refused it something.
    """

    number: int
    run: int
    started_ns: int
    subscribed_ns: int | None = None
    ended_ns: int = 0
    end: End = End.RUNNING
    why: str = ""
    left: list[Bar] = field(default_factory=list)
    status: TapeStatus | None = None
    result: ReplayResult | None = None
    stop_s: float = 0.0
    refused: int = 0


@dataclass(slots=True)
class Evidence:
    """A run.

    Attributes:
        scenario: what was run.
        files: the journal.
        lives: the processes, in order.
        log: all events, in order.
        market: everything the market made, which its history tells.
        made: the same without what the gateway itself lost, which nobody can be asked for.
        happened: what the faults did, seconds from the start.
        steps: of the host's wall clock.
        refusals: what the disk refused, by reason.
        held_s: how long writes held a process up.
        freezings: subscriptions that went dead without a word.
        start_ns: when the gateway started.
        contracts: ids of the products.
        recovered_s: how long recovery took after the last fault; None if it did not come.
        returned_s: how long it took until no connection was at a fallback any more, and every pool
            had all its lines; likewise.
        waiting: what had not recovered.
        leftovers: tasks that were still there in the end.
        open_ends: connections that were still there in the end.
        failure: what came out of the run, if something did.
    """

    scenario: Scenario
    files: MemoryFiles = field(default_factory=MemoryFiles)
    lives: list[Life] = field(default_factory=list)
    log: list[Logged] = field(default_factory=list)
    market: list[Made] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    happened: tuple[Happened, ...] = ()
    steps: tuple[Step, ...] = ()
    refusals: tuple[str, ...] = ()
    held_s: float = 0.0
    freezings: list[Freezing] = field(default_factory=list)
    start_ns: int = 0
    contracts: dict[str, str] = field(default_factory=dict)
    recovered_s: float | None = None
    returned_s: float | None = None
    waiting: str = ""
    leftovers: tuple[str, ...] = ()
    open_ends: int = 0
    failure: str = ""

    @property
    def last(self) -> Life:
        """The process that was the last one."""
        return self.lives[-1]

    def digest(self) -> str:
        """A fingerprint of everything that happened; equal for runs of the same seed."""
        seen = hashlib.sha256()
        for one in self.log:
            seen.update(repr(one).encode())
        seen.update(repr((self.happened, self.recovered_s, self.lives, self.failure)).encode())
        for name in self.files.names():
            seen.update(self.files.read(name))
        return seen.hexdigest()

    def true_ns(self, wall_ns: int, *, latest: bool, since_ns: int = 0) -> int:
        """When a process said that it was a time; if more than once, the first or latest time.

        A time that a step skipped is the moment of that step.

        Args:
            wall_ns: what it said: its host's wall clock, but not set back (`ForwardClock`).
            latest: which of several is wanted.
            since_ns: when it was started.
        """
        times = list(self._times_of(wall_ns, since_ns))
        return max(times) if latest else min(times)

    def _times_of(self, wall_ns: int, started_ns: int) -> Iterator[int]:
        offset_ns = sum(step.by_ns for step in self.steps if step.at_ns < started_ns)
        since_ns, found = None, False
        for step in self._steps_of(started_ns, offset_ns):
            at_ns = wall_ns - offset_ns
            if at_ns <= step.at_ns and (since_ns is None or at_ns >= since_ns):
                found = True
                yield at_ns
            elif step.at_ns + offset_ns < wall_ns < step.at_ns + offset_ns + step.by_ns:
                found = True
                yield step.at_ns
            offset_ns, since_ns = offset_ns + step.by_ns, step.at_ns
        at_ns = wall_ns - offset_ns
        if not found or since_ns is None or at_ns >= since_ns:
            yield at_ns

    def _steps_of(self, started_ns: int, offset_ns: int) -> Iterator[Step]:
        """How the clock of a process stepped while that of its host did."""
        shown_ns = offset_ns
        for step in self.steps:
            if step.at_ns < started_ns:
                continue
            offset_ns += step.by_ns
            if offset_ns >= shown_ns - SLACK_NS:
                yield Step(step.at_ns, offset_ns - shown_ns)
                shown_ns = offset_ns
