"""What a pool of lines is made from, says of itself, and decides: frozen values, pure functions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

import msgspec

from tapekeeper.core.endpoints import EndpointHealth
from tapekeeper.runtime.coverage import Uncovered
from tapekeeper.runtime.line_values import DELIVERING, HubCall, LineState, LineStatus, ResumeTally

STANDING = DELIVERING | {LineState.RESUMING}
"""Those of a line whose subscriptions are in force: what is sent on them arrives, if late."""

_NS_PER_S = 1_000_000_000


class HandoverReason(StrEnum):
    """Why a line is to be replaced by another one."""

    TOKEN_RENEWED = "token_renewed"  # noqa: S105 - a word for a log, not a secret
    LOGOUT = "logout"  # the gateway ended the login session
    STALE = "stale"  # it is connected, but data have stopped
    SESSION_AGE = "session_age"  # it has lived as long as a session may
    ENDPOINT = "endpoint"  # a preferred endpoint is back


class PoolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines, and how they replace each other.

    Attributes:
        redundancy: lines that serve at the same time.
        lines_max: lines that may be connected at the same time; None is one more than serve,
            which a hand-over without a gap needs. Fewer means that every hand-over has a gap.
        overlap_s: how long the old line goes on after the new one is live, so that what is on
            its way on the old one arrives while both are heard.
        handover_timeout_s: for the new line to be live.
        max_session_s: age at which a connection is replaced; None for no limit.
        eviction_within_s: a line that ends by itself so soon after another one opened may have
            been evicted by it.
        evictions_max: so many in a row show that the gateway allows one session only.
        eviction_memory_s: how long that is believed before it is tried again; twice as long each
            time that it shows again.
        eviction_memory_max_s: the longest of these.
        down_after_s: without a live line for so long, the pool is down.
        retry_base_ms, retry_cap_ms: bounds of the delay after a hand-over failed, and before one
            that follows another one closely (see `tapekeeper.runtime.handover_pace`).
        calm_s: after so long without such a one, the next is at once again.
    """

    redundancy: int = 1
    lines_max: int | None = None
    overlap_s: float = 2.0
    handover_timeout_s: float = 30.0
    max_session_s: float | None = None
    eviction_within_s: float = 5.0
    evictions_max: int = 2
    eviction_memory_s: float = 60.0
    eviction_memory_max_s: float = 3_600.0
    down_after_s: float = 60.0
    retry_base_ms: int = 5_000
    retry_cap_ms: int = 120_000
    calm_s: float = 600.0


class Acknowledgement(StrEnum):
    """What is known of a subscription when `LinePool.subscribe` returns."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"  # asked, but not answered: until its first data


class PoolHealth(StrEnum):
    """What a person needs to know of a pool."""

    UP = "up"  # as many lines as wanted deliver every subscription
    STARTING = "starting"  # it was not up yet, and it is too early to worry
    DEGRADED = "degraded"  # it delivers, but less or less safely than wanted; or it reconnects
    DOWN = "down"  # nothing has been live for long; it goes on trying


class HealthChange(msgspec.Struct, frozen=True):
    """The health of a hub, or of the whole tape, has become another one.

    Attributes:
        name: of the hub; `tape` for the whole.
        before, after: the health.
        at_ns: wall clock, ns UTC.
        reason: one clause for a person.
    """

    name: str
    before: PoolHealth
    after: PoolHealth
    at_ns: int
    reason: str


class PoolStatus(msgspec.Struct, frozen=True):
    """What a pool says of itself; counters are of its whole life.

    Attributes:
        name: of the hub.
        health, reason: and why.
        lines: the present lines, oldest first.
        subscriptions: calls that are wanted.
        handovers: how many were completed.
        handovers_failed: how many were given up, the old line kept.
        handover_failing: why the last one failed; empty if it did not.
        evictions: connections that ended just after another one of this pool had opened.
        one_session: whether the gateway is believed to allow one session only, so that lines are
            replaced by break-before-make.
        lines_most: the most lines that ever were connected or connecting at the same time.
        connections: those that passed their handshake, of all lines there ever were.
        frames, bytes: messages and their sizes received after handshakes, of all lines there
            ever were; a print that two lines brought is in both.
        resumes: what became of lost transports, of all lines there ever were.
        uncovered: the last intervals that no line covered, oldest first, then those that last.
        uncovered_count: how many there were in all, those that last included.
        endpoints: health of the addresses, where there are several.
    """

    name: str
    health: PoolHealth
    reason: str
    lines: tuple[LineStatus, ...]
    subscriptions: int
    handovers: int
    handovers_failed: int
    handover_failing: str
    evictions: int
    one_session: bool
    lines_most: int
    connections: int
    frames: int
    bytes: int
    uncovered: tuple[Uncovered, ...]
    uncovered_count: int
    endpoints: tuple[EndpointHealth, ...] = ()
    resumes: ResumeTally = ResumeTally()


class LineView(msgspec.Struct, frozen=True):
    """What decisions need to know of a line that serves.

    Attributes:
        number: of the line within its pool.
        state: where it stands.
        due: why it should be replaced, if it should.
        not_before_ns: when it may be, monotonic, where the last hand-over was only just.
        opened_ns: when its present connection opened, monotonic; None without one.
        unconfirmed: wanted subscriptions that it does not have.
    """

    number: int
    state: LineState
    due: HandoverReason | None = None
    not_before_ns: int = 0
    opened_ns: int | None = None
    unconfirmed: tuple[HubCall, ...] = ()


def without(line: LineView, asked: Collection[HubCall]) -> LineView:
    """The same, as if it had what is `asked`."""
    lacking = tuple(call for call in line.unconfirmed if call not in asked)
    return msgspec.structs.replace(line, unconfirmed=lacking)


class Add(msgspec.Struct, frozen=True):
    """Too few lines serve: start one."""


class Remove(msgspec.Struct, frozen=True):
    """Too many lines serve: stop this one."""

    number: int


class Replace(msgspec.Struct, frozen=True):
    """Hand over from this line to a new one."""

    number: int
    reason: HandoverReason


class Wait(msgspec.Struct, frozen=True):
    """Nothing is to be done before this monotonic time, or before there is news; None: only."""

    until_ns: int | None


Step = Add | Remove | Replace | Wait


def next_step(
    lines: Sequence[LineView], *, wanted: int, policy: PoolPolicy, retry_ns: int, now_ns: int
) -> Step:
    """What a pool does next. One step at a time: a hand-over is complete before the next begins.

        the lines                                    step
        -------------------------------------------  ---------------------------------------
        fewer serve than wanted                      Add
        more serve than wanted                       Remove one that is not live, else the last
        one is due, and no delay is to be kept       Replace the one that delivers least first
        one will be too old                          Wait until then
        otherwise                                    Wait for news

    Args:
        lines: those that serve, oldest first.
        wanted: how many should.
        policy: of the pool.
        retry_ns: no hand-over before this, monotonic.
        now_ns: monotonic.
    """
    if len(lines) < wanted:
        return Add()
    if len(lines) > wanted:
        idle = [line for line in lines if line.state not in DELIVERING]
        return Remove((idle or lines)[-1].number)
    due = [(line, reason) for line in lines if (reason := _due(line, policy, now_ns))]
    from_ns = {line.number: max(retry_ns, line.not_before_ns) for line, _ in due}
    ready = [each for each in due if now_ns >= from_ns[each[0].number]]
    if ready:
        line, reason = min(ready, key=lambda each: each[0].state in DELIVERING)
        return Replace(line.number, reason)
    if due:
        return Wait(min(from_ns.values()))
    if policy.max_session_s is None:
        return Wait(None)
    limit_ns = round(policy.max_session_s * _NS_PER_S)
    opened = [line.opened_ns for line in lines if line.opened_ns is not None]
    return Wait(min(opened) + limit_ns if opened else None)


def _due(line: LineView, policy: PoolPolicy, now_ns: int) -> HandoverReason | None:
    if line.due is not None or line.opened_ns is None or policy.max_session_s is None:
        return line.due
    old = now_ns - line.opened_ns >= policy.max_session_s * _NS_PER_S
    return HandoverReason.SESSION_AGE if old else None


def may_take_over(new: LineView, old: LineView) -> bool:
    """Whether nothing is lost if `old` is retired in favour of `new`.

    The new line must have every subscription that the old one delivers; one that neither has is
    no reason to keep the old one.
    """
    if new.state is not LineState.LIVE:
        return False
    return old.state not in STANDING or set(new.unconfirmed) <= set(old.unconfirmed)


def judge_health(
    lines: Sequence[LineView],
    *,
    redundancy: int,
    failing: str,
    dark_s: float,
    policy: PoolPolicy,
    starting: bool = False,
    restless: str = "",
    stopped: str = "",
) -> tuple[PoolHealth, str]:
    """The health of a pool, and the first reason for it.

        what is the case                              health
        --------------------------------------------  --------
        nothing delivers, for `down_after_s`          DOWN
        nothing delivers                              DEGRADED
        a stream or a line is judged to have stopped   DEGRADED
        a subscription is confirmed by no line        DEGRADED
        fewer lines deliver than the user asked for   DEGRADED
        the last hand-over failed                     DEGRADED
        lines need to be replaced again and again     DEGRADED
        otherwise                                     UP

    What is DEGRADED by this is STARTING in the first `down_after_s` of a pool that was never UP.

    Args:
        lines: all lines.
        redundancy: lines that should serve.
        failing: why the last hand-over failed, or "".
        dark_s: for how long nothing has delivered.
        policy: of the pool.
        starting: whether it was never UP, and is young.
        restless: why hand-overs follow each other so closely that they are held back, or "".
        stopped: which stream has stopped although its market is open, or "".
    """
    health, reason = _judged(lines, redundancy, failing, dark_s, policy, stopped)
    if health is PoolHealth.UP and restless:
        health, reason = PoolHealth.DEGRADED, restless
    if health is PoolHealth.DEGRADED and starting:
        health = PoolHealth.STARTING
    return health, reason


def _judged(
    lines: Sequence[LineView],
    redundancy: int,
    failing: str,
    dark_s: float,
    policy: PoolPolicy,
    stopped: str,
) -> tuple[PoolHealth, str]:
    delivering = [line for line in lines if line.state in DELIVERING]
    if not delivering:
        down = dark_s >= policy.down_after_s
        since = f"no line has been live for {dark_s:.0f} s" if down else "no line is live"
        return PoolHealth.DOWN if down else PoolHealth.DEGRADED, since
    if stopped or any(line.state is LineState.STALE for line in delivering):
        return PoolHealth.DEGRADED, stopped or "data have stopped on a connected line"
    lacking = set.intersection(*(set(line.unconfirmed) for line in delivering))
    if lacking:
        first = min(map(str, lacking))
        return PoolHealth.DEGRADED, f"{len(lacking)} subscriptions are unconfirmed: {first}"
    if len(delivering) < redundancy:
        return PoolHealth.DEGRADED, f"{len(delivering)} of {redundancy} lines are live"
    if failing:
        return PoolHealth.DEGRADED, f"the last hand-over failed: {failing}"
    return PoolHealth.UP, f"{len(delivering)} lines are live"
