"""A schedule of faults from a seed: every kind mixed, the same for the same seed for ever."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tapekeeper.sim.fault_host import (
    ClockStep,
    DiskError,
    DiskFull,
    EndpointDown,
    Kill,
    SlowDisk,
    Stuck,
    SyncError,
)
from tapekeeper.sim.fault_menu import (
    BadHandshake,
    Burst,
    Close,
    CloseCode,
    Delay,
    Drop,
    Failure,
    Fault,
    Freeze,
    Garbage,
    HalfOpen,
    HangUp,
    Hub,
    Logout,
    LosePrints,
    NoAnswer,
    NoCompletion,
    NoHandshake,
    NullTrades,
    Outage,
    Partial,
    Redirect,
    Refuse,
    RefuseSubscription,
    RefuseTokens,
    Replay,
    Reset,
    SessionLimit,
    Silence,
    Trickle,
    UnknownRecord,
)
from tapekeeper.sim.faults import Door, Which
from tapekeeper.sim.seeded import Seeded

FAULTS_EACH = (3, 12)
"""Fewest and most faults of one schedule."""

_HUBS: tuple[Hub | None, ...] = (None, "market", "market", "user")
_WHICH: tuple[Which, ...] = ("all", "one", "oldest", "newest")
_DOORS = tuple(Door)
_CODES = (1000, 1006, 1009, 1011, 1012)
_RETRY_AFTER_S = (None, 0, 2, 20)


class _Draw:
    """Draws faults; every draw takes the numbers it needs, in order."""

    def __init__(self, numbers: Seeded, at_s: float) -> None:
        self._numbers = numbers
        self.at_s = at_s

    def number(self, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        return low + self._numbers.below(high - low + 1)

    def hub(self) -> Hub | None:
        """One hub or both."""
        return _HUBS[self.number(0, len(_HUBS) - 1)]

    def which(self) -> Which:
        """Which connections."""
        return _WHICH[self.number(0, len(_WHICH) - 1)]

    def door(self) -> Door:
        """A door."""
        return _DOORS[self.number(0, len(_DOORS) - 1)]

    def flag(self) -> bool:
        """Yes or no."""
        return self.number(0, 1) == 1

    def refuse(self, door: Door, *statuses: int) -> Refuse:
        """Refusals at a door, with or without `Retry-After`."""
        return Refuse(
            at_s=self.at_s,
            door=door,
            status=statuses[self.number(0, len(statuses) - 1)],
            count=self.number(1, 3),
            retry_after_s=_RETRY_AFTER_S[self.number(0, 3)],
        )


_MAKERS: Sequence[Callable[[_Draw], Fault]] = (
    lambda d: Drop(at_s=d.at_s, hub=d.hub(), which=d.which()),
    lambda d: Close(at_s=d.at_s, hub=d.hub(), which=d.which(), allow_reconnect=d.flag()),
    lambda d: Close(at_s=d.at_s, hub=d.hub(), error="Closed on demand.", allow_reconnect=d.flag()),
    lambda d: Silence(at_s=d.at_s, hub=d.hub(), which=d.which()),
    lambda d: d.refuse(Door.NEGOTIATE, 429, 503),
    lambda d: d.refuse(Door.LOGIN, 429, 500, 503),
    lambda d: d.refuse(Door.REST, 401, 429, 503),
    lambda d: d.refuse(Door.UPGRADE, 401, 404, 409, 503),
    lambda d: HangUp(at_s=d.at_s, door=d.door(), count=d.number(1, 3)),
    lambda d: NoAnswer(at_s=d.at_s, door=d.door()),
    lambda d: Redirect(at_s=d.at_s, count=d.number(1, 3)),
    lambda d: BadHandshake(at_s=d.at_s, count=d.number(1, 2)),
    lambda d: NoHandshake(at_s=d.at_s),
    lambda d: Partial(at_s=d.at_s, hub=d.hub(), which=d.which(), drop=d.flag()),
    lambda d: UnknownRecord(at_s=d.at_s, hub=d.hub(), type=(99, 8, 9)[d.number(0, 2)]),
    lambda d: Garbage(at_s=d.at_s, hub=d.hub(), which=d.which()),
    lambda d: Replay(at_s=d.at_s, which=d.which(), records=d.number(1, 32)),
    lambda d: RefuseSubscription(at_s=d.at_s, count=d.number(1, 4)),
    lambda d: NoCompletion(at_s=d.at_s, count=d.number(1, 3)),
    lambda d: Burst(at_s=d.at_s, hub=d.hub(), which=d.which(), for_s=d.number(1, 12)),
    lambda d: Trickle(at_s=d.at_s, which=d.which(), for_s=2, bytes=d.number(1, 200)),
    lambda d: Delay(at_s=d.at_s, which=d.which(), delay_ms=d.number(50, 500), for_s=10),
    lambda d: Freeze(at_s=d.at_s, which=d.which()),
    lambda d: Logout(at_s=d.at_s, drop_after_s=d.number(0, 10), refuse_tokens=d.flag()),
    lambda d: SessionLimit(at_s=d.at_s, connections=d.number(1, 2), for_s=d.number(10, 60)),
    lambda d: RefuseTokens(at_s=d.at_s),
    lambda d: Outage(at_s=d.at_s, for_s=d.number(1, 30)),
)


_MORE_EACH = (0, 0, 1, 1, 1, 2, 2, 3)
"""How many of the second menu one schedule has; each number as often as it stands here."""

_SMALL_STEPS_S = (-5.0, -0.5, -0.02, 0.02, 0.5, 5.0)

_MORE_MAKERS: Sequence[Callable[[_Draw], Fault]] = (
    lambda d: ClockStep(at_s=d.at_s, by_s=_SMALL_STEPS_S[d.number(0, 5)]),
    lambda d: ClockStep(at_s=d.at_s, by_s=3_600.0 * (1, -1)[d.number(0, 1)] * d.number(1, 12)),
    lambda d: SlowDisk(at_s=d.at_s, delay_ms=d.number(1, 400), for_s=d.number(1, 10)),
    lambda d: SlowDisk(at_s=d.at_s, delay_ms=1_000 * d.number(2, 20), for_s=0.5),
    lambda d: DiskFull(at_s=d.at_s, room_bytes=d.number(0, 400), for_s=d.number(1, 20)),
    lambda d: DiskError(at_s=d.at_s, for_s=d.number(1, 20)),
    lambda d: SyncError(at_s=d.at_s),
    lambda d: Kill(at_s=d.at_s, restart_s=d.number(0, 10)),
    lambda d: Kill(at_s=d.at_s, share=d.number(0, 100) / 100, restart_s=d.number(0, 10)),
    lambda d: EndpointDown(at_s=d.at_s, endpoint=d.number(0, 1), for_s=d.number(5, 40)),
    lambda d: EndpointDown(at_s=d.at_s, endpoint=0, for_s=d.number(20, 40)),
    lambda d: Stuck(at_s=d.at_s, for_s=d.number(1, 20)),
    lambda d: Failure(at_s=d.at_s, door="rest" if d.flag() else "login", count=d.number(1, 3)),
    lambda d: NullTrades(at_s=d.at_s, which=d.which()),
    lambda d: Reset(at_s=d.at_s, hub=d.hub(), which=d.which()),
    lambda d: CloseCode(at_s=d.at_s, code=_CODES[d.number(0, 4)], hub=d.hub(), which=d.which()),
    lambda d: HalfOpen(at_s=d.at_s, hub=d.hub(), which=d.which()),
    lambda d: d.refuse(Door.UPGRADE, 302, 307),
)


def seeded_more_faults(seed: int, *, within_s: float) -> tuple[Fault, ...]:
    """What a simulation adds to `seeded_faults`: faults of the host, and rare ones of the gateway.

    They are drawn from a stream of their own, so that a seed keeps its first schedule when this
    menu grows.
    """
    numbers = Seeded(seed, "schedule of more faults")
    schedule: list[Fault] = []
    for _ in range(_MORE_EACH[numbers.below(len(_MORE_EACH))]):
        draw = _Draw(numbers, round(1.0 + numbers.random() * (within_s - 1.0), 3))
        schedule.append(_MORE_MAKERS[numbers.below(len(_MORE_MAKERS))](draw))
    return tuple(sorted(schedule, key=lambda fault: fault.first_s))


_LOSSES_OF = 8
"""One seed of so many has a gateway that loses prints by itself."""


def seeded_losses(seed: int, *, within_s: float) -> tuple[Fault, ...]:
    """What a gateway loses by itself: nothing, mostly; from a stream of its own, too."""
    numbers = Seeded(seed, "schedule of losses")
    if numbers.below(_LOSSES_OF):
        return ()
    draw = _Draw(numbers, round(1.0 + numbers.random() * (within_s - 1.0), 3))
    share = draw.number(1, 10) / 10
    return (LosePrints(at_s=draw.at_s, share=share, for_s=draw.number(1, 40)),)


def seeded_faults(seed: int, *, within_s: float) -> tuple[Fault, ...]:
    """A schedule whose faults begin in [1, `within_s`] seconds, in order of time.

    Faults that touch a connection are useless without one behind them: a refusal is therefore
    followed by a drop within two seconds, half of the times.
    """
    numbers = Seeded(seed, "schedule of faults")
    low, high = FAULTS_EACH
    schedule: list[Fault] = []
    for _ in range(low + numbers.below(high - low + 1)):
        at_s = round(1.0 + numbers.random() * (within_s - 1.0), 3)
        draw = _Draw(numbers, at_s)
        schedule.append(_MAKERS[numbers.below(len(_MAKERS))](draw))
        if draw.flag():
            at_s = min(round(at_s + 2 * numbers.random(), 3), within_s)
            schedule.append(Drop(at_s=at_s, hub=draw.hub()))
    return tuple(sorted(schedule, key=lambda fault: fault.first_s))
