"""What subscribers are offered: how large it is, how it is spilled, and which policies it bears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from tapekeeper.core.gateway.user import (
    AccountUpdate,
    FillUpdate,
    OrderUpdate,
    PositionUpdate,
    UserEvent,
)
from tapekeeper.core.limits import LimitsChange
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Bar
from tapekeeper.model.depth import DepthUpdate
from tapekeeper.model.queue import Conflated, OnFull, QueueChange, QueueLimits, QueuePolicy
from tapekeeper.model.tick import Quote
from tapekeeper.runtime.line_values import Transition
from tapekeeper.runtime.pool_values import HealthChange
from tapekeeper.runtime.spill import EventCodec
from tapekeeper.runtime.watch_values import StreamChange

T = TypeVar("T")

TapeChange: TypeAlias = Transition | HealthChange | StreamChange | QueueChange | LimitsChange
"""What a tape tells of itself: of a line, the health, a stream, a queue, its limits."""

BAR_BYTES = 640
"""Of memory, measured by tracemalloc with every number an object of its own: 600 with two gaps.
A bar that several subscribers wait for is there once, and counted with each."""
QUOTE_BYTES = 420
"""The same: 392 with every member."""
CONFLATED_BYTES = QUOTE_BYTES + 80
UPDATE_BYTES = 320
ROW_BYTES = 260
"""Of an update of depth, and of each row in it."""
CHANGE_BYTES = 1_024
"""Of user events and of what the tape tells of itself: a few numbers, and texts of a clause."""

_MEGABYTE = 1_000_000


def _depth_bytes(update: DepthUpdate) -> int:
    return UPDATE_BYTES + ROW_BYTES * len(update.rows)


def _merged(waited: list[Conflated]) -> list[Conflated]:
    """The latest of each contract, in the order of the latest."""
    latest: dict[str, Conflated] = {}
    for one in waited:
        before = latest.pop(one.quote.contract_id, None)
        stands_for = one.stands_for + (0 if before is None else before.stands_for)
        latest[one.quote.contract_id] = Conflated(one.quote, stands_for)
    return list(latest.values())


@dataclass(frozen=True, slots=True)
class QueueKind(Generic[T]):
    """One sort of event.

    Attributes:
        name: for messages, in the plural.
        size_of: bytes of memory that one takes, as an upper estimate.
        codec: turns them into bytes and back.
        has_state: whether the latest says all that those before it said.
        merge: makes the latest of those that wait; None where they are not conflated.
    """

    name: str
    size_of: Callable[[T], int]
    codec: EventCodec[T]
    has_state: bool = False
    merge: Callable[[list[T]], list[T]] | None = None


BARS: QueueKind[Bar] = QueueKind("bars", lambda _: BAR_BYTES, EventCodec(Bar))
QUOTES: QueueKind[Quote] = QueueKind(
    "quotes", lambda _: QUOTE_BYTES, EventCodec(Quote), has_state=True
)
CONFLATED: QueueKind[Conflated] = QueueKind(
    "quotes", lambda _: CONFLATED_BYTES, EventCodec(Conflated), has_state=True, merge=_merged
)
DEPTH: QueueKind[DepthUpdate] = QueueKind("updates of depth", _depth_bytes, EventCodec(DepthUpdate))
USER: QueueKind[UserEvent] = QueueKind(
    "user events",
    lambda _: CHANGE_BYTES,
    EventCodec(AccountUpdate, OrderUpdate, PositionUpdate, FillUpdate),
)
CHANGES: QueueKind[TapeChange] = QueueKind(
    "transitions",
    lambda _: CHANGE_BYTES,
    EventCodec(Transition, HealthChange, StreamChange, QueueChange, LimitsChange),
)


@dataclass(frozen=True, slots=True)
class QueueWish:
    """A policy that can be."""

    on_full: OnFull
    limits: QueueLimits
    optional: bool = False


def check_on_full(on_full: OnFull, name: str, *, has_state: bool) -> None:
    """Refuse what a subscriber's queue cannot do.

    Raises:
        UsageError: one sentence.
    """
    if on_full is OnFull.BLOCK:
        raise UsageError(
            f"{name} cannot block: one subscriber would hold up the tape for all; choose fail, "
            "spill or shed"
        )
    if on_full is OnFull.CONFLATE and not has_state:
        raise UsageError(
            f"{name} cannot be conflated: only of quotes the latest says all; choose fail, spill "
            "or shed"
        )


def wish_of(
    policy: QueuePolicy, default: OnFull, limits: QueueLimits, kind: QueueKind[T]
) -> QueueWish:
    """What a subscriber gets.

    Args:
        policy: what it wants.
        default: where it leaves that open.
        limits: the same.
        kind: of the events.

    Raises:
        UsageError: such a queue cannot be.
    """
    try:
        on_full = default if policy.on_full is None else OnFull(policy.on_full)
    except ValueError:
        raise UsageError(
            f"{policy.on_full!r} is no policy of a queue: choose {', '.join(OnFull)}"
        ) from None
    check_on_full(on_full, kind.name, has_state=kind.has_state)
    events = limits.events if policy.events is None else policy.events
    size = limits.bytes if policy.mb is None else round(policy.mb * _MEGABYTE)
    if events < 1 or size < 1:
        raise UsageError(f"a queue of {kind.name} must have room for at least one event")
    return QueueWish(on_full, QueueLimits(events, size), policy.optional)
