"""What a pool keeps of each of its lines."""

from __future__ import annotations

from collections.abc import Iterable

from tapekeeper.core.endpoints import Endpoints
from tapekeeper.ports import Clock
from tapekeeper.runtime.handover_pace import HandoverPace
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import DELIVERING, HubCall, LineState
from tapekeeper.runtime.pool_values import HandoverReason, LineView

_NS_PER_S = 1_000_000_000


class Route:
    """Chooses among the endpoints for one line; see `line_values.Route`."""

    def __init__(self, endpoints: Endpoints, clock: Clock) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self.index = 0

    def leads_back(self, now_ns: int) -> bool:
        """Whether a more preferred address than the present one may be tried now."""
        return self._endpoints.better(self.index, now_ns) is not None

    def begin(self) -> str:
        """See `line_values.Route`; so for the others."""
        now_ns = self._clock.monotonic_ns()
        choice = self._endpoints.choose(now_ns)
        self.index = choice.index
        self._endpoints.begin(choice.index, now_ns)
        return choice.url

    def succeeded(self, _url: str) -> None:
        """The connection is live."""
        self._endpoints.succeeded(self.index, self._clock.monotonic_ns())

    def failed(self, _url: str, why: str, leave_s: float | None = None) -> None:
        """It was not, or not for long."""
        leave_ns = round((leave_s or 0.0) * _NS_PER_S)
        self._endpoints.failed(self.index, self._clock.monotonic_ns(), why, leave_ns=leave_ns)

    def wait_s(self) -> float:
        """What all endpoints have asked for."""
        return self._endpoints.choose(self._clock.monotonic_ns()).wait_ns / _NS_PER_S


class Member:
    """A line of the pool, and what the pool knows of it."""

    def __init__(
        self, number: int, route: Route | None, pace: HandoverPace, *, joining: bool
    ) -> None:
        self.number = number
        self.route = route
        self.pace = pace  # of this line and those that replace it
        self.joining = joining  # not yet what the old line is
        self.line: Line  # set right after
        self.state = LineState.STOPPED
        self.due: HandoverReason | None = None
        self.confirmed: set[HubCall] = set()  # by the present connection
        self.opened_ns: int | None = None  # monotonic, of the present connection
        self.dismissed = False  # the pool has stopped it
        self.why = ""  # and why, where that leaves a gap
        self.over = False  # it will not come back

    def may_return(self, now_ns: int) -> bool:
        """Whether it delivers, and a more preferred address may be tried beside it now."""
        return self.route is not None and self.state in DELIVERING and self.route.leads_back(now_ns)

    def is_preferred_to(self, old: Member) -> bool:
        """Whether this line is at a more preferred address than another one, or on its way to it.

        Its first attempt goes to the best address of now; after a failure it goes elsewhere.
        """
        if self.route is None or old.route is None:
            return False
        failed = self.state in {LineState.BACKING_OFF, LineState.DOWN}
        return not failed and self.route.index < old.route.index

    def view(self, wanted: Iterable[HubCall]) -> LineView:
        """What decisions need to know of it."""
        return LineView(
            number=self.number,
            state=self.state,
            due=self.due,
            not_before_ns=self.pace.not_before_ns(self.due),
            opened_ns=self.opened_ns,
            unconfirmed=tuple(call for call in wanted if call not in self.confirmed),
        )


def restless(members: Iterable[Member], now_ns: int) -> str:
    """Why hand-overs of lines that serve are held back now, or nothing."""
    for member in members:
        if member.due is not None and now_ns < member.pace.not_before_ns(member.due):
            times = f"{member.pace.in_row} hand-overs in a row"
            return f"{times} were of no use, the next one waits: {member.due.value}"
    return ""
