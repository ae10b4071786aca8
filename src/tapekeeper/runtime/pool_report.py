"""What a pool finds out about itself and says: its health, and what no line covered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.coverage import CoverageBook, CoverageListener, CoverageReport
from tapekeeper.runtime.line_values import HubCall, Transition
from tapekeeper.runtime.pool_member import Member
from tapekeeper.runtime.pool_values import (
    HealthChange,
    LineView,
    PoolHealth,
    PoolPolicy,
    judge_health,
    without,
)

_NS_PER_S = 1_000_000_000


class PoolReport:
    """See the module's text.

    Args:
        name: of the pool.
        policy: of the pool.
        clock: time.
        log: events for people.
        tell: told of every change of the health, right after the log.
        on_coverage: see `CoverageListener`.
    """

    def __init__(
        self,
        name: str,
        policy: PoolPolicy,
        *,
        clock: Clock,
        log: Log,
        tell: Callable[[Transition | HealthChange], None],
        on_coverage: CoverageListener | None = None,
    ) -> None:
        self.name = name
        self._policy = policy
        self._clock = clock
        self._log = log
        self._tell = tell
        self.coverage = CoverageBook()
        self.intervals = CoverageReport(name, self.coverage, log, on_coverage)
        self.health = PoolHealth.STARTING
        self.reason = "not started"
        self.dark_ns = 0  # since when nothing delivers, monotonic
        self._young_until_ns: int | None = 0  # may be starting till then; None: was up
        # Why data of a call do not come, on one line or on all. bound: the wanted subscriptions
        self._stopped: dict[tuple[HubCall, int | None], str] = {}

    def begin(self) -> None:
        """The pool begins to run."""
        self.dark_ns = self._clock.monotonic_ns()
        self._young_until_ns = self.dark_ns + round(self._policy.down_after_s * _NS_PER_S)

    # --- streams that stop --------------------------------------------------------------------

    def stopped(
        self, call: HubCall, members: Sequence[Member] | None, *, since_ns: int, why: str
    ) -> None:
        """Data of a subscription have stopped.

        Args:
            call: the subscription.
            members: the lines on which they have; None for all.
            since_ns: as in `Coverage.stopped`.
            why: one clause for a person.
        """
        now_ns = self._clock.now_ns()
        for number in _numbers(members):
            self._stopped[call, number] = why
            self.coverage.stopped(call, number, since_ns=since_ns, now_ns=now_ns, why=why)
        for member in members or ():
            member.line.judge(stale=True, reason=why)

    def flows(self, call: HubCall, members: Sequence[Member] | None) -> None:
        """They flow again, or are not expected to."""
        for number in _numbers(members):
            if self._stopped.pop((call, number), None) is not None:
                self.coverage.flows(call, number, now_ns=self._clock.now_ns())
        for member in members or ():
            if not self.lacks(member.number):
                member.line.judge(stale=False, reason="it brings all streams again")

    def lacks(self, line: int) -> bool:
        """Whether a line, and that line alone, lacks anything."""
        return any(number == line for _, number in self._stopped)

    def withdrawn(self, call: HubCall) -> None:
        """Nobody wants `call` any more."""
        self.coverage.withdrawn(call)
        self._stopped = {key: why for key, why in self._stopped.items() if key[0] != call}

    def ended(self, line: int) -> None:
        """The connection of a line has ended, and with it what it alone lacked."""
        self._stopped = {key: why for key, why in self._stopped.items() if key[1] != line}

    # --- what is said -------------------------------------------------------------------------

    def judge(
        self,
        lines: Sequence[LineView],
        *,
        asked: Collection[HubCall],
        failing: str,
        restless: str,
    ) -> None:
        """Judge the health, and say so if it is another one.

        Args:
            lines: all lines.
            asked: what a caller still waits for: it has been asked just now, which is no lack.
            failing: as for `judge_health`.
            restless: the same.
        """
        now_ns = self._clock.monotonic_ns()
        young_ns = self._young_until_ns
        health, self.reason = judge_health(
            [without(line, asked) for line in lines],
            redundancy=self._policy.redundancy,
            failing=failing,
            dark_s=(now_ns - self.dark_ns) / _NS_PER_S,
            policy=self._policy,
            starting=young_ns is not None and now_ns < young_ns,
            restless=restless,
            stopped=next(iter(self._stopped.values()), ""),
        )
        if health is PoolHealth.UP:
            self._young_until_ns = None
        if health is self.health:
            return
        before, self.health = self.health, health
        self._log(
            "pool_health",
            level="error"
            if health is PoolHealth.DOWN
            else "warning"
            if health is PoolHealth.DEGRADED
            else "info",
            line=self.name,
            health=health.value,
            reason=self.reason,
        )
        self._tell(HealthChange(self.name, before, health, self._clock.now_ns(), self.reason))


def _numbers(members: Sequence[Member] | None) -> list[int | None]:
    return [None] if members is None else [member.number for member in members]
