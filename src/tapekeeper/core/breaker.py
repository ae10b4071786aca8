"""A circuit breaker: what has failed several times in a row is left alone for a while.

Theory of operation. Whoever is about to ask something outside calls `admit`; whoever knows the
outcome calls `succeeded` or `failed`. Time is passed in and only compared, so any clock that does
not step back will do.

    state      what happens                                   next
    ---------  ---------------------------------------------  ---------
    CLOSED     asked                                          CLOSED, admitted
               success                                        CLOSED, the row of failures ends
               failure, and the row is still short            CLOSED
               failure, and the row is full                   OPEN for the first cool-down
    OPEN       asked before the cool-down is over             OPEN, refused
               asked after it                                 HALF_OPEN, admitted as a probe
               a failure of something asked earlier           OPEN, for no longer than before
               a success, whoever asked                       CLOSED
    HALF_OPEN  asked while a probe is out                     HALF_OPEN, refused
               asked, and the probe never said how it ended   HALF_OPEN, admitted as a probe
               success                                        CLOSED
               failure                                        OPEN for twice the cool-down, capped

The cool-down starts small again only after a healthy spell: without that, something that works
for a moment after every probe would be hammered for ever. A success counts in every state, because
it shows what the probe is sent out to find.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

_NS_PER_S = 1_000_000_000
_DOUBLINGS_MAX = 63  # beyond any cap, and the shift stays small however long an outage lasts


class BreakerState(StrEnum):
    """Where a breaker stands; the transitions are the table in the module's text."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When to stop asking, and for how long.

    Attributes:
        failures_max: failures in a row that open it, at least 1.
        cool_down_ns: the first cool-down; also how long a probe may go without an outcome.
        cool_down_cap_ns: the longest cool-down; each failed probe doubles it up to here.
        healthy_after_ns: closed for this long without opening, the cool-down starts small again.
    """

    failures_max: int = 5
    cool_down_ns: int = 5 * _NS_PER_S
    cool_down_cap_ns: int = 300 * _NS_PER_S
    healthy_after_ns: int = 60 * _NS_PER_S

    def __post_init__(self) -> None:
        if self.failures_max < 1:
            raise ValueError(f"a breaker needs at least one failure, not {self.failures_max}")
        if not 0 < self.cool_down_ns <= self.cool_down_cap_ns:
            raise ValueError(
                f"the cool-down is above 0 and up to its cap: {self.cool_down_ns} ns, "
                f"{self.cool_down_cap_ns} ns"
            )


class BreakerTally(msgspec.Struct, frozen=True):
    """What a breaker says of itself.

    Attributes:
        state: where it stands.
        since_ns: when it got there, on the caller's clock; 0 before the first transition.
        until_ns: when the cool-down ends, or None where there is none.
        failures_in_row: since the last success.
        admitted, refused: how many asked.
        succeeded, failed: how many outcomes were told.
        opened: how often it opened.
        why: the last failure, one clause; "" before the first.
    """

    state: BreakerState = BreakerState.CLOSED
    since_ns: int = 0
    until_ns: int | None = None
    failures_in_row: int = 0
    admitted: int = 0
    refused: int = 0
    succeeded: int = 0
    failed: int = 0
    opened: int = 0
    why: str = ""


class Breaker:
    """See the module's text. Its owner asks it from one task at a time; it never waits."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._state = BreakerState.CLOSED
        self._since_ns = 0
        self._until_ns = 0  # end of the cool-down, or of the patience with a probe
        self._doublings = 0
        self._failures_in_row = 0
        self._admitted = 0
        self._refused = 0
        self._succeeded = 0
        self._failed = 0
        self._opened = 0
        self._why = ""

    @property
    def state(self) -> BreakerState:
        """Where it stands; an open one becomes half-open when it is asked, not by itself."""
        return self._state

    def wait_ns(self, now_ns: int) -> int:
        """How long `admit` will go on refusing if nothing is told meanwhile; 0 if it would not."""
        if self._state is BreakerState.CLOSED:
            return 0
        return max(0, self._until_ns - now_ns)

    def admit(self, now_ns: int) -> bool:
        """Whether to ask now. After a True the outcome is to be told, whatever it is."""
        if self.wait_ns(now_ns) > 0:
            self._refused += 1
            return False
        if self._state is not BreakerState.CLOSED:
            if self._state is BreakerState.OPEN:
                self._go(BreakerState.HALF_OPEN, now_ns)
            # A probe whose owner was cancelled must not keep everybody out for good.
            self._until_ns = now_ns + self._policy.cool_down_ns
        self._admitted += 1
        return True

    def succeeded(self, now_ns: int) -> None:
        """What was asked has answered."""
        self._succeeded += 1
        self._failures_in_row = 0
        if self._state is not BreakerState.CLOSED:
            self._go(BreakerState.CLOSED, now_ns)

    def failed(self, now_ns: int, why: str) -> None:
        """What was asked has not answered as it should; `why` is one clause for a person."""
        self._failed += 1
        self._failures_in_row += 1
        self._why = why
        full = self._failures_in_row >= self._policy.failures_max
        if self._state is BreakerState.HALF_OPEN or (self._state is BreakerState.CLOSED and full):
            self._open(now_ns)

    def tally(self) -> BreakerTally:
        """A frozen view."""
        closed = self._state is BreakerState.CLOSED
        return BreakerTally(
            state=self._state,
            since_ns=self._since_ns,
            until_ns=None if closed else self._until_ns,
            failures_in_row=self._failures_in_row,
            admitted=self._admitted,
            refused=self._refused,
            succeeded=self._succeeded,
            failed=self._failed,
            opened=self._opened,
            why=self._why,
        )

    def _open(self, now_ns: int) -> None:
        policy = self._policy
        if self._state is BreakerState.CLOSED and (
            now_ns - self._since_ns >= policy.healthy_after_ns
        ):
            self._doublings = 0
        cool_down_ns = min(policy.cool_down_cap_ns, policy.cool_down_ns << self._doublings)
        self._doublings = min(self._doublings + 1, _DOUBLINGS_MAX)
        self._until_ns = now_ns + cool_down_ns
        self._opened += 1
        self._go(BreakerState.OPEN, now_ns)

    def _go(self, after: BreakerState, now_ns: int) -> None:
        self._state = after
        self._since_ns = now_ns
