"""A pool: the lines of one hub, what is wanted of them, and the one way they replace each other.

Theory of operation. Each line reconnects for ever by itself (see `tapekeeper.runtime.line`), so
a pool of one line that is left alone is that line. The pool adds what a single line cannot do:
replace a connection that still works before it stops to. Whatever the reason (the token was
renewed, the session is old, the gateway has logged us out, data have stopped, a better endpoint
is back), the act is the same:

    1. a new line is started, with the token and the endpoint of now;
    2. it is asked for everything that is wanted, and must have all that the old line has;
    3. the old line goes on for `overlap_s`, so that both are heard, and never reconnects;
    4. the old line is stopped.

If the new line is not live in time it is stopped, the old one stays, and it is tried again after
a growing delay. One hand-over runs at a time, so there is at most one line more than serve; what
is asked for meanwhile is remembered on the lines it is about. What comes next is decided by
`next_step`, a pure function.

A gateway that allows one session ends the old connection when the new one opens. If that happens
`evictions_max` times in a row, the pool breaks before it makes, with one line, and reports the
interval between; after `eviction_memory_s` it tries the other way again. Only the return to a
preferred endpoint begins with the new line even then: if the endpoint is still away, nothing has
been given up for it; if it is back, the old line is retired as soon as the new one has opened.

Every interval in which a confirmed subscription was covered by no line is reported: as a log
event, and in the status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from tapekeeper.core.backoff import Backoff
from tapekeeper.core.endpoints import Endpoints
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.deadline import deadline
from tapekeeper.errors import (
    ConnectionLostError,
    InvocationError,
    OutsideError,
    UsageError,
)
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock, Log, Random, Transport
from tapekeeper.runtime.coverage import CoverageListener
from tapekeeper.runtime.evictions import Evictions
from tapekeeper.runtime.handover_pace import HandoverPace
from tapekeeper.runtime.heard import Delays, Heard, StampOf
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import (
    DELIVERING,
    TASK,
    HubCall,
    HubTokens,
    Inbox,
    LineSpec,
    LineState,
    Renewals,
    ResumeTally,
    Transition,
    no_proof,
)
from tapekeeper.runtime.pool_member import Member, Route, restless
from tapekeeper.runtime.pool_report import PoolReport
from tapekeeper.runtime.pool_values import (
    Acknowledgement,
    Add,
    HandoverReason,
    HealthChange,
    LineView,
    PoolPolicy,
    PoolStatus,
    Remove,
    Replace,
    Step,
    Wait,
    may_take_over,
    next_step,
)
from tapekeeper.runtime.waiters import Waiters

LOOK_EVERY_S = 5.0
"""How often a pool looks although there is no news: for what only the passing of time shows."""

_HANDOVER_LOOK_S = 0.5
_NS_PER_S = 1_000_000_000
_NEW_CONNECTION_CURES = frozenset(HandoverReason) - {HandoverReason.ENDPOINT}


def _unheard(_event: Transition | HealthChange) -> None:
    return


class LinePool:
    """See the module's text. Runs once.

    Args:
        spec: of every line.
        policy: of the pool.
        transport: opens connections.
        tokens: asked for every life of a line; told when a token is refused.
        clock: time.
        random: for the jitter of delays.
        inbox: takes what arrives on all lines.
        log: events for people.
        numbers: gives the next connection number of the process.
        proves: whether data show that an unanswered subscription is in force.
        endpoints: several addresses of the hub; without it, the one of the spec.
        stamp_of: event time of what the hub sends, by which it is judged what a line covered;
            without it, a line covers up to its last byte.
        on_coverage: told which intervals turned out to be uncovered; see `CoverageListener`.
        tell: told of every transition of a line and of the health, in order, after the log.
    """

    def __init__(
        self,
        spec: LineSpec,
        policy: PoolPolicy,
        *,
        transport: Transport,
        tokens: HubTokens,
        clock: Clock,
        random: Random,
        inbox: Inbox,
        log: Log,
        numbers: Callable[[], int],
        proves: Callable[[HubCall, Invocation], bool] = no_proof,
        endpoints: Endpoints | None = None,
        stamp_of: StampOf | None = None,
        on_coverage: CoverageListener | None = None,
        tell: Callable[[Transition | HealthChange], None] = _unheard,
    ) -> None:
        self._spec = spec
        self._policy = policy
        self._transport = transport
        self._tokens = tokens
        self._clock = clock
        self._random = random
        self._inbox = inbox
        self._log = log
        self._numbers = numbers
        self._proves = proves
        self._endpoints = endpoints
        self._stamp_of = stamp_of
        self._delays = Delays()
        self._renewals = Renewals()
        self._backoff = Backoff(policy.retry_base_ms, policy.retry_cap_ms)
        self._members: dict[int, Member] = {}  # bound: wanted lines and one more
        self._running: dict[int, Line] = {}  # bound: the members, and those that leave
        self._made = 0
        self._wanted: dict[HubCall, set[str]] = {}  # who holds each
        self._waiters = Waiters()
        self._tell = tell
        self.report = PoolReport(
            spec.name, policy, clock=clock, log=log, tell=tell, on_coverage=on_coverage
        )
        self._evictions = Evictions(policy)
        self._retry_ns = 0  # no hand-over before this, monotonic
        self._failing, self._failing_of = "", 0  # why the last hand-over failed, of which line
        self._handovers = 0
        self._handovers_failed = 0
        self._lines_most = 0
        self._connections = 0  # of lines that run no more, as are the frames and bytes
        self._frames = 0
        self._bytes = 0
        self._resumes = ResumeTally()
        self._token: Secret | None = None  # the latest that was told
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self._started = False

    # --- the surface ----------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the lines, until stopped or cancelled.

        Raises:
            UsageError: it ran before.
            ExceptionGroup: a bug, or an inbox that cannot accept; never trouble outside.
        """
        if self._started:
            raise UsageError("a pool runs once; make a new one")
        self._started = True
        self.report.begin()
        try:
            async with asyncio.TaskGroup() as lines:
                manage = lines.create_task(self._manage(lines), name="tape: pool")
                await self._stopping.wait()
                manage.cancel()
                async with asyncio.TaskGroup() as farewells:
                    for member in self._members.values():
                        member.dismissed = True
                        farewells.create_task(member.line.stop(), name=f"{TASK} farewell")
        finally:
            self._stopped.set()
            self.report.coverage.close(self._clock.now_ns())
            self.report.intervals.tell()
            self._waiters.fail(ConnectionLostError("the lines were stopped"))

    async def stop(self) -> None:
        """End `run` politely; returns when it has ended."""
        self._stopping.set()
        if self._started:
            # Every farewell has a deadline, and nothing else is waited for.
            await self._stopped.wait()

    async def subscribe(
        self, call: HubCall, holder: str = "tape", *, undo: HubCall | None = None
    ) -> Acknowledgement:
        """Want `call` on all lines of now and later, and wait for a first answer.

        A caller that gives up waiting, by deadline or cancellation, leaves it wanted; `forget`
        takes it back.

        Args:
            call: subscribes.
            holder: on whose behalf. It is wanted as long as any holder wants it; asking twice
                for the same holder is asking once.
            undo: tells a line that it is not wanted any more: of several, one may refuse it after
                another one has taken it.

        Raises:
            InvocationError: a hub refused it; this holder's wish is void.
            DeadlineError: there was no connection to ask; it stays wanted.
            ConnectionLostError: the pool was stopped.
        """
        if self._stopping.is_set():
            raise ConnectionLostError(f"{self._spec.name} was stopped")
        self._wanted.setdefault(call, set()).add(holder)
        if any(call in member.confirmed for member in self._members.values()):
            return Acknowledgement.CONFIRMED
        with self._waiters.waiting(call) as answer:
            try:
                for member in self._members.values():
                    member.line.want(call)
                async with deadline(self._spec.subscribe_timeout_s, f"{call} on {self._spec.name}"):
                    return await answer
            except InvocationError:
                if self._release(call, holder):
                    for member in self._members.values():
                        member.line.forget(call, undo)
                raise

    async def unsubscribe(self, call: HubCall, undo: HubCall, holder: str = "tape") -> None:
        """Take a holder's wish for `call` back; with the last one, call `undo` on every line.

        Raises:
            InvocationError: a hub refused `undo`.
            DeadlineError: it did not answer. The wish is taken back in both cases.
        """
        if not self._release(call, holder):
            return
        errors: list[OutsideError] = []

        async def leave(line: Line) -> None:
            try:
                await line.unsubscribe(call, undo)
            except OutsideError as error:
                errors.append(error)

        async with asyncio.TaskGroup() as leaving:
            for member in self._members.values():
                leaving.create_task(leave(member.line), name=f"{TASK} unsubscribe")
        if errors:
            raise errors[0]

    def forget(self, call: HubCall, undo: HubCall, holder: str = "tape") -> None:
        """Take a holder's wish for `call` back without waiting for anything."""
        if self._release(call, holder):
            for member in self._members.values():
                member.line.forget(call, undo)

    def any_live(self) -> bool:
        """Whether data are due from any line."""
        return any(member.state in DELIVERING for member in self._members.values())

    def is_resuming(self) -> bool:
        """Whether data are on their way that no line can bring before it is resumed."""
        resuming = any(each.state is LineState.RESUMING for each in self._members.values())
        return resuming and not self.any_live()

    def delivering(self) -> tuple[int, ...]:
        """The connections from which data are due."""
        numbers = (m.line.number for m in self._members.values() if m.state in DELIVERING)
        return tuple(number for number in numbers if number is not None)

    def ask_again(self, call: HubCall, connection: int | None = None) -> None:
        """Ask for a wanted `call` once more, because its data have stopped.

        Args:
            call: subscribes.
            connection: on which they have; None for every one.
        """
        if call in self._wanted:
            members = self._of(connection)
            for member in self._members.values() if members is None else members:
                member.line.ask_again(call)

    def stream_stopped(
        self, call: HubCall, *, since_ns: int, why: str, connection: int | None = None
    ) -> None:
        """Take note that data have stopped: they are uncovered, and the health is told.

        Args:
            call: the subscription whose data they are.
            since_ns: up to where they came, wall clock, ns UTC.
            why: one clause for a person.
            connection: on which they have stopped; None for every one.
        """
        if call in self._wanted:
            self.report.stopped(call, self._of(connection), since_ns=since_ns, why=why)
            self._wake.set()

    def stream_flows(self, call: HubCall, connection: int | None = None) -> None:
        """Take note that data flow again, or that none are expected."""
        self.report.flows(call, self._of(connection))
        self._wake.set()

    def _of(self, connection: int | None) -> list[Member] | None:
        """The line that is meant by a connection, if it is still there; None for all."""
        if connection is None:
            return None
        return [member for member in self._members.values() if member.line.number == connection]

    def request_handover(
        self,
        reason: str,
        kind: HandoverReason = HandoverReason.STALE,
        *,
        connection: int | None = None,
    ) -> None:
        """Replace the lines that serve, one after the other, while they still work.

        Args:
            reason: one clause for a person.
            kind: STALE marks the lines as such.
            connection: the line that is meant; None for all.
        """
        self._log("handover_requested", line=self._spec.name, reason=reason, kind=kind.value)
        for member in self._serving():
            if connection not in {None, member.line.number}:
                continue
            member.due = member.due or kind
            if kind is HandoverReason.STALE:
                member.line.judge(stale=True, reason=reason)
        self._wake.set()

    def data_returned(self, reason: str) -> None:
        """Take note that what made lines stale is over; a hand-over under way goes on."""
        for member in self._serving():
            if not self.report.lacks(member.number):
                member.line.judge(stale=False, reason=reason)

    def token_renewed(self, token: Secret) -> None:
        """Replace the lines whose connection was opened with another token."""
        self._token = token
        for member in self._serving():
            if not member.line.holds(token):
                member.due = member.due or HandoverReason.TOKEN_RENEWED
        self._wake.set()

    def status(self) -> PoolStatus:
        """A frozen view."""
        running = [line.status() for line in self._running.values()]
        return PoolStatus(
            name=self._spec.name,
            health=self.report.health,
            reason=self.report.reason,
            lines=tuple(member.line.status() for member in self._members.values()),
            subscriptions=len(self._wanted),
            handovers=self._handovers,
            handovers_failed=self._handovers_failed,
            handover_failing=self._failing,
            evictions=self._evictions.count,
            one_session=self._evictions.one_session,
            lines_most=self._lines_most,
            connections=self._connections + sum(line.connections for line in running),
            frames=self._frames + sum(line.frames for line in running),
            bytes=self._bytes + sum(line.bytes for line in running),
            uncovered=self.report.intervals.intervals(),
            uncovered_count=self.report.intervals.count,
            endpoints=() if self._endpoints is None else self._endpoints.health(),
            resumes=sum((line.resumes for line in running), self._resumes),
        )

    # --- one step at a time ---------------------------------------------------------------

    async def _manage(self, lines: asyncio.TaskGroup) -> None:
        while True:
            step = self._look()
            match step:
                case Add():
                    self._add(lines, joining=False)
                case Remove(number=number):
                    await self._dismiss(self._members[number])
                case Replace(number=number, reason=reason):
                    await self._replace(lines, self._members[number], reason)
                case Wait(until_ns=until_ns):
                    await self._news(until_ns, LOOK_EVERY_S)

    def _look(self) -> Step:
        """Take note of the time; what is to be done."""
        now_ns = self._clock.monotonic_ns()
        if self._evictions.judge(now_ns):
            self._say_one_session()
        self._look_for_better_endpoints(now_ns)
        self.report.intervals.tell()
        self.report.judge(
            [self._view(member) for member in self._members.values()],
            asked=self._waiters.calls,
            failing=self._failing,
            restless=restless(self._serving(), now_ns),
        )
        return next_step(
            [self._view(member) for member in self._serving()],
            wanted=1 if self._evictions.one_session else self._policy.redundancy,
            policy=self._policy,
            retry_ns=self._retry_ns,
            now_ns=now_ns,
        )

    async def _news(self, until_ns: int | None, at_most_s: float) -> None:
        """Wait for a change of a line or a request, but not longer than to the next look."""
        wait_s = at_most_s
        if until_ns is not None:
            left_s = (until_ns - self._clock.monotonic_ns()) / _NS_PER_S
            wait_s = min(max(left_s, 0.001), at_most_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        self._wake.clear()

    async def _until(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `done`, looking meanwhile; False if it was not in time."""
        until_ns = self._clock.monotonic_ns() + round(timeout_s * _NS_PER_S)
        while not done():
            if self._clock.monotonic_ns() >= until_ns:
                return False
            self._look()
            await self._news(until_ns, _HANDOVER_LOOK_S)
        return True

    async def _replace(self, lines: asyncio.TaskGroup, old: Member, reason: HandoverReason) -> None:
        """The one mechanism; see the module's text."""
        returning = reason is HandoverReason.ENDPOINT
        if returning:
            old.due = None  # one probe, and no other before the endpoints say so
            if not (self._has_room and old.may_return(self._clock.monotonic_ns())):
                return
        elif not self._may_overlap:
            why = f"{reason}: replaced without an overlap, one session is allowed"
            self._log("handover", line=self._spec.name, reason=why)
            await self._dismiss(old, why)
            self._add(lines, joining=False, pace=old.pace)
            self._handed_over(old, reason)
            return
        new, before_ns = self._add(lines, joining=True, pace=old.pace), old.opened_ns

        def in_vain() -> bool:
            return new.over or (returning and not new.is_preferred_to(old))

        def takes_over() -> bool:
            if returning and self._evictions.one_session:
                # That the new one opens is the end of the old one, which must not come back.
                return new.opened_ns is not None or old.opened_ns is None
            return may_take_over(self._view(new), self._view(old))

        patience_s = self._policy.handover_timeout_s
        took_over = await self._until(lambda: in_vain() or takes_over(), patience_s)
        if returning and took_over and in_vain():
            # The breaker of the endpoint knows, and the old line has lost nothing.
            self._log("endpoint_still_away", line=self._spec.name, reason=new.line.status().reason)
            await self._dismiss(new)
            return
        if not took_over or new.over:
            await self._give_up(new, old, reason)
            if old.opened_ns not in {None, before_ns}:
                self._failing = ""  # it has a new connection, and nothing is left to be cured
            return
        # From now on what is found out about the line that serves is meant for the new one.
        new.joining, old.joining = False, True
        old.line.retire(f"line {new.number} takes over: {reason}")
        await self._until(
            lambda: old.over or may_take_over(self._view(new), self._view(old)), patience_s
        )
        await self._until(lambda: old.over, self._policy.overlap_s)
        for _ in range(3):  # resumptions that are waited for; each is bounded in itself
            if old.state is LineState.RESUMING:
                # What the hub has kept for it is still to come; without it there would be a gap.
                await self._until(lambda: old.state is not LineState.RESUMING, patience_s)
                await self._until(lambda: old.over, self._policy.overlap_s)
        await self._dismiss(old)
        self._handed_over(old, reason)
        self._failing = ""
        self._backoff.reset()
        self._log("handover", line=self._spec.name, reason=reason.value)

    def _handed_over(self, old: Member, reason: HandoverReason) -> None:
        self._handovers += 1
        old.pace.happened(reason, self._clock.monotonic_ns(), self._random)

    async def _give_up(self, new: Member, old: Member, reason: HandoverReason) -> None:
        """Keep the old line, say so, and try again later."""
        lacking = len(self._view(new).unconfirmed)
        why = f"{reason}: the new line is {new.state}, {lacking} subscriptions are unconfirmed"
        why += f" ({new.line.status().reason})"
        await self._dismiss(new)
        delay_s = self._backoff.next_delay_ms(self._random.random()) / 1_000
        # Full jitter may give no delay at all, and the timeout that has passed is not enough.
        delay_s = max(delay_s, self._policy.retry_base_ms / 1_000)
        self._retry_ns = self._clock.monotonic_ns() + round(delay_s * _NS_PER_S)
        self._handovers_failed += 1
        self._failing, self._failing_of = why, old.number
        self._log(
            "handover_failed",
            level="warning",
            line=self._spec.name,
            reason=f"{why}; the old line, which is {old.state}, stays",
            retry_in_s=delay_s,
        )

    # --- lines ----------------------------------------------------------------------------

    def _add(
        self, lines: asyncio.TaskGroup, *, joining: bool, pace: HandoverPace | None = None
    ) -> Member:
        self._made += 1
        route = None if self._endpoints is None else Route(self._endpoints, self._clock)
        pace = pace or HandoverPace(self._policy, self._spec)
        member = Member(self._made, route, pace, joining=joining)
        member.line = Line(
            self._spec,
            transport=self._transport,
            tokens=self._tokens,
            clock=self._clock,
            random=self._random,
            inbox=self._inbox,
            log=self._log,
            numbers=self._numbers,
            on_transition=lambda step: self._moved(member, step),
            on_logout=lambda: self._logged_out(member),
            proves=self._proves,
            on_answer=lambda call, error: self._answered(member, call, error),
            renewals=self._renewals,
            backoff=pace.reconnects,
            route=route,
            listen=lambda: Heard(self._stamp_of, self._delays),
        )
        for call in self._wanted:
            member.line.want(call)
        self._members[member.number] = member
        self._lines_most = max(self._lines_most, len(self._members))
        self._running[member.number] = member.line
        lines.create_task(self._run(member), name=f"{TASK} run")
        return member

    async def _run(self, member: Member) -> None:
        """Run a line; its counters are read from it meanwhile, and kept when they are final.

        That is when it has run, not when it is dismissed: one that did not stop in time goes on.
        """
        try:
            await member.line.run()
        finally:
            last = self._running.pop(member.number).status()
            self._connections += last.connections
            self._frames += last.frames
            self._bytes += last.bytes
            self._resumes += last.resumes

    async def _dismiss(self, member: Member, why: str = "") -> None:
        """Stop a line and forget it; bounded in time."""
        member.dismissed = True
        member.why = why
        await member.line.stop()
        self._members.pop(member.number, None)
        self._evictions.keep_only(self._members)

    def _serving(self) -> list[Member]:
        return [m for m in self._members.values() if not m.joining and not m.dismissed]

    @property
    def _may_overlap(self) -> bool:
        """Whether a line may be added before the one that it replaces is stopped."""
        return not self._evictions.one_session and self._has_room

    @property
    def _has_room(self) -> bool:
        return len(self._members) < self._lines_max

    @property
    def _lines_max(self) -> int:
        policy = self._policy
        return policy.redundancy + 1 if policy.lines_max is None else policy.lines_max

    def _view(self, member: Member) -> LineView:
        return member.view(self._wanted)

    def _look_for_better_endpoints(self, now_ns: int) -> None:
        # Without room for a probe beside the old line, it returns when that one ends by itself.
        joining = any(member.joining for member in self._members.values())
        if now_ns < self._retry_ns or joining or not self._has_room:
            return
        for member in self._serving():
            if member.due is None and member.may_return(now_ns):
                member.due = HandoverReason.ENDPOINT

    # --- what lines tell ------------------------------------------------------------------

    def _moved(self, member: Member, step: Transition) -> None:
        now_ns = self._clock.monotonic_ns()
        member.state = step.after
        by_itself = not member.dismissed and not self._stopping.is_set()
        if self._evictions.moved(member.number, step, now_ns, by_itself=by_itself):
            self._say_one_session()
        if step.after is LineState.SUBSCRIBING and step.before is not LineState.RESUMING:
            member.opened_ns = now_ns
            if self._failing_of == member.number or self._failing_of not in self._members:
                self._failing = ""  # a new connection cured what it was for
            if member.due in _NEW_CONNECTION_CURES:
                member.due = None
            if self._token is not None and not member.line.holds(self._token):
                member.due = HandoverReason.TOKEN_RENEWED  # it was renewed during the attempt
        elif step.after in {LineState.BACKING_OFF, LineState.DOWN, LineState.STOPPED}:
            self._left(member, step)
        if step.before in DELIVERING and not self.any_live():
            self.report.dark_ns = now_ns
        self._tell(step)
        self._wake.set()

    def _left(self, member: Member, step: Transition) -> None:
        """A line has no connection any more."""
        member.over = step.after is LineState.STOPPED
        member.opened_ns = None
        member.confirmed.clear()
        self.report.ended(member.number)
        self.report.coverage.ended(
            member.number,
            until_ns=step.heard_ns,
            now_ns=self._clock.now_ns(),
            why=member.why or step.reason,
        )

    def _answered(self, member: Member, call: HubCall, error: OutsideError | None) -> None:
        """The hub answered a subscribing call, or did not in time."""
        if call not in self._wanted:
            return
        coverage = self.report.coverage
        if error is None:
            member.confirmed.add(call)
            if not member.dismissed:
                coverage.confirmed(member.number, call, self._clock.now_ns())
        else:
            coverage.unconfirmed(call, error, self._clock.now_ns())
        # Before the waiters: who is told finds the health judged with this answer.
        self._wake.set()
        self._waiters.tell(call, error)

    def _logged_out(self, member: Member) -> bool:
        """The gateway ended the login session; whether the line goes on until it is replaced."""
        if (
            member.joining
            or self._evictions.one_session
            or self._lines_max <= self._policy.redundancy
        ):
            return False
        self._log("logout", level="warning", line=self._spec.name, reason="the gateway logged out")
        member.due = HandoverReason.LOGOUT
        self._wake.set()
        return True

    # --- what is said ---------------------------------------------------------------------

    def _say_one_session(self) -> None:
        self._log(
            "one_session",
            level="warning",
            line=self._spec.name,
            reason="connections ended when others opened: lines are replaced with a gap from now",
        )

    # --- wishes ---------------------------------------------------------------------------

    def _release(self, call: HubCall, holder: str) -> bool:
        """Take one wish back; whether it was the last."""
        holders = self._wanted.get(call)
        if holders is None:
            return False
        holders.discard(holder)
        if holders:
            return False
        del self._wanted[call]
        self.report.withdrawn(call)
        for member in self._members.values():
            member.confirmed.discard(call)
        return True
