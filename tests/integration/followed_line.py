"""A line over real sockets whose inbox counts trades: what tests of lines have in common."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable

import msgspec

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.ports import Transport
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import (
    Arrival,
    HubTokens,
    Inbound,
    LineSpec,
    LineState,
    Transition,
)
from tapekeeper.runtime.waiters import Waiters
from tapekeeper.sim.seeded import Seeded

LIMIT_S = 30.0
"""For whatever is waited for."""


def log(event: str, /, **fields: object) -> None:
    """The log of whatever a test runs: no key is in it."""
    assert "test-key" not in repr((event, fields))


class CountingInbox:
    """Takes all that a line brings, and what it tells of itself.

    Attributes:
        trades: prints by contract.
        steps: from state to state, in order.
        answers: what the hub says to subscriptions.
    """

    def __init__(self) -> None:
        self.trades: Counter[str] = Counter()
        self.steps: list[Transition] = []
        self.answers = Waiters()
        self._changed = asyncio.Event()

    def __call__(self, arrival: Arrival, /) -> bool:
        """Count the trades; there is always room."""
        if isinstance(arrival, Inbound):
            for call in arrival.calls:
                if call.target == "GatewayTrade":
                    contract_id, prints = msgspec.json.decode(call.arguments)
                    self.trades[contract_id] += len(prints)
            self._changed.set()
        return True

    async def wait_room(self) -> None:
        """As an inbox has it."""
        raise AssertionError("it is never full")

    def step(self, transition: Transition) -> None:
        """The line goes from one state to another."""
        self.steps.append(transition)
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds`, looking whenever something changed; bounded."""
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def more_trades(self) -> None:
        """Wait until a trade comes."""
        before = self.trades.total()
        await self.until(lambda: self.trades.total() > before)

    @property
    def lives(self) -> int:
        """How often the line became live."""
        return [step.after for step in self.steps].count(LineState.LIVE)


def market_line(
    hub_url: str,
    inbox: CountingInbox,
    *,
    transport: Transport,
    tokens: HubTokens,
    timers: SessionTimers,
    negotiate: bool = True,
) -> Line:
    """A line to a market hub that tries again at once."""
    return Line(
        LineSpec(
            name="market",
            hub_url=hub_url,
            negotiate=negotiate,
            timers=timers,
            backoff_base_ms=1,
            backoff_cap_ms=20,
        ),
        transport=transport,
        tokens=tokens,
        clock=SystemClock(),
        random=Seeded(1, "line"),
        inbox=inbox,
        log=log,
        numbers=itertools.count(1).__next__,
        on_transition=inbox.step,
        on_answer=inbox.answers.tell,
    )
