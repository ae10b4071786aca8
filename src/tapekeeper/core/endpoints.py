"""Several addresses of one hub, the preferred one first: which one to connect to next.

Each endpoint has a circuit breaker. The first whose breaker would let somebody through is
chosen, so a failing endpoint is left after some failures in a row, tried by one probe at a time
after its cool-down, and used again as soon as a probe has succeeded. Where all of them cool down
there is still a choice, the one that is ready first, and it may be tried at once: a recorder never
gives up, its cool-downs only say where to try first, and its owner has a pace of its own.

An endpoint may also have asked to be left alone, as with `Retry-After`. That is owed to it: it is
chosen only if all have asked for that, and then `Choice.wait_ns` says how long yet. It concerns
that one endpoint and keeps nobody from the others.

The owner tells every attempt and its outcome:

    choice = endpoints.choose(now_ns)      # changes nothing, ask as often as you like
    endpoints.begin(choice.index, now_ns)  # an attempt is made; of a cooling one it is the probe
    endpoints.succeeded(choice.index, now_ns)  or  endpoints.failed(choice.index, now_ns, why)

and asks `better(index, now_ns)` now and then while it is connected to `index`, to return to a
preferred endpoint whose cool-down has passed. Returning is a probe, too: the old connection is
left only when the new one has proven itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tapekeeper.core.breaker import Breaker, BreakerPolicy, BreakerState, BreakerTally

_NS_PER_S = 1_000_000_000

ENDPOINT_POLICY = BreakerPolicy(
    failures_max=3,
    cool_down_ns=30 * _NS_PER_S,
    cool_down_cap_ns=600 * _NS_PER_S,
    healthy_after_ns=300 * _NS_PER_S,
)
"""Three failures in a row are no accident; the cool-down outlasts a server's restart, and an
endpoint that fails again within five minutes of its return is left alone for longer."""


class Choice(msgspec.Struct, frozen=True):
    """Where to connect to.

    Attributes:
        index: of the endpoint.
        url: of the endpoint.
        wait_ns: how long it has asked to be left alone yet; above 0 only if all have.
    """

    index: int
    url: str
    wait_ns: int


class EndpointHealth(msgspec.Struct, frozen=True):
    """What is known of one endpoint.

    Attributes:
        url: without a token.
        breaker: what its breaker says of itself, times on the caller's clock.
    """

    url: str
    breaker: BreakerTally

    @property
    def state(self) -> BreakerState:
        """Of its breaker."""
        return self.breaker.state

    @property
    def since_ns(self) -> int:
        """When it got there."""
        return self.breaker.since_ns

    @property
    def until_ns(self) -> int | None:
        """When its cool-down ends, or None."""
        return self.breaker.until_ns

    @property
    def failures_in_row(self) -> int:
        """Since the last success."""
        return self.breaker.failures_in_row

    @property
    def attempts(self) -> int:
        """Attempts that were made, also those that a cool-down was against: see the module."""
        return self.breaker.admitted + self.breaker.refused

    @property
    def succeeded(self) -> int:
        """Outcomes that were told: it worked."""
        return self.breaker.succeeded

    @property
    def failed(self) -> int:
        """Outcomes that were told: it did not."""
        return self.breaker.failed

    @property
    def opened(self) -> int:
        """How often it was given up for a while."""
        return self.breaker.opened

    @property
    def why(self) -> str:
        """The last failure; "" before the first."""
        return self.breaker.why


class Endpoints:
    """See the module's text.

    Args:
        urls: at least one, without tokens, the preferred one first; each only once.
        policy: of every endpoint's breaker.
    """

    def __init__(self, urls: Sequence[str], policy: BreakerPolicy = ENDPOINT_POLICY) -> None:
        if not urls or len(set(urls)) != len(urls):
            raise ValueError(f"endpoints are at least one and each only once: {len(urls)} given")
        self._urls = tuple(urls)
        self._breakers = tuple(Breaker(policy) for _ in urls)
        self._left_until_ns = [0] * len(urls)  # what each has asked for

    def __len__(self) -> int:
        return len(self._urls)

    def url(self, index: int) -> str:
        """The address of an endpoint."""
        return self._urls[index]

    def choose(self, now_ns: int) -> Choice:
        """Where the next attempt should go; changes nothing.

        Args:
            now_ns: on a clock that does not step back.
        """
        waits_ns = [
            (self._left_ns(index, now_ns), breaker.wait_ns(now_ns))
            for index, breaker in enumerate(self._breakers)
        ]
        # The first of the smallest: of those that are ready, the preferred one.
        index = waits_ns.index(min(waits_ns))
        return self._choice(index, now_ns)

    def better(self, index: int, now_ns: int) -> Choice | None:
        """An endpoint before `index` that may be tried now, the preferred one first; or None."""
        for before in range(index):
            cools = self._breakers[before].wait_ns(now_ns) > 0
            if not cools and not self._left_ns(before, now_ns):
                return self._choice(before, now_ns)
        return None

    def begin(self, index: int, now_ns: int) -> None:
        """An attempt at this endpoint is made; until its outcome is told, no other probes it."""
        self._breakers[index].admit(now_ns)

    def succeeded(self, index: int, now_ns: int) -> None:
        """A connection to this endpoint works: it is subscribed, or has delivered for a while."""
        self._left_until_ns[index] = 0
        self._breakers[index].succeeded(now_ns)

    def failed(self, index: int, now_ns: int, why: str, *, leave_ns: int = 0) -> None:
        """An attempt failed, or a connection proved bad.

        Args:
            index: of the endpoint.
            now_ns: on a clock that does not step back.
            why: one clause without secrets.
            leave_ns: how long the endpoint wants to be left alone from now on.
        """
        self._left_until_ns[index] = max(self._left_until_ns[index], now_ns + leave_ns)
        self._breakers[index].failed(now_ns, why)

    def health(self) -> tuple[EndpointHealth, ...]:
        """A frozen view of all endpoints, in their order."""
        return tuple(
            EndpointHealth(url, breaker.tally())
            for url, breaker in zip(self._urls, self._breakers, strict=True)
        )

    def _left_ns(self, index: int, now_ns: int) -> int:
        return max(0, self._left_until_ns[index] - now_ns)

    def _choice(self, index: int, now_ns: int) -> Choice:
        return Choice(index, self._urls[index], self._left_ns(index, now_ns))
