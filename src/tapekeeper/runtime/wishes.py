"""The subscriptions that a line wants, and what the present connection has said to each.

    answer      what happens                                next
    ----------  ------------------------------------------  -----------
    WANTED      a connection is open, and it is its turn     ASKED
    ASKED       the hub completed the call                   CONFIRMED
                the hub completed it with an error           REFUSED
                no completion in time, but data had come     CONFIRMED
                no completion in time                        UNANSWERED
    UNANSWERED  data came that prove it to be in force       CONFIRMED
                some time passed                             ASKED
    REFUSED     some time passed                             ASKED
    any         the connection ended                         WANTED

Every outcome is told to the owner of the line, who alone takes a wish back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.errors import (
    ConnectionLostError,
    DeadlineError,
    InvocationError,
    OutsideError,
)
from tapekeeper.ports import Clock, Log
from tapekeeper.runtime.hub_connection import HubConnection
from tapekeeper.runtime.line_values import TASK, HubCall, LineSpec
from tapekeeper.runtime.pacer import Pacer

_NS_PER_S = 1_000_000_000


class _Answer(Enum):
    WANTED = auto()  # not asked on the present connection
    ASKED = auto()
    CONFIRMED = auto()
    REFUSED = auto()
    UNANSWERED = auto()


_UNSETTLED = frozenset({_Answer.WANTED, _Answer.REFUSED, _Answer.UNANSWERED})


class _Wish:
    """A wanted subscription."""

    __slots__ = ("answer", "heard")

    def __init__(self) -> None:
        self.answer = _Answer.WANTED
        self.heard = False  # data came on the present connection that prove it to be in force


class Wishes:
    """See the module's text. Belongs to one line.

    Args:
        spec: of the line; its pace of calls, and its patience with answers.
        clock: time.
        log: events for people.
        proves: whether data show that an unanswered subscription is in force.
        on_answer: told of every outcome of a call; None is a confirmation.
    """

    def __init__(
        self,
        spec: LineSpec,
        *,
        clock: Clock,
        log: Log,
        proves: Callable[[HubCall, Invocation], bool],
        on_answer: Callable[[HubCall, OutsideError | None], None],
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._log = log
        self._proves = proves
        self._on_answer = on_answer
        self._pacer = Pacer(spec.calls_per_s, spec.calls_burst)
        self._wishes: dict[HubCall, _Wish] = {}
        self._news = asyncio.Event()  # a wish waits to be asked

    def __len__(self) -> int:
        return len(self._wishes)

    # --- what callers want --------------------------------------------------------------------

    def want(self, call: HubCall) -> None:
        """Want `call`; it is asked on every connection until it is confirmed there."""
        wish = self._wishes.setdefault(call, _Wish())
        if wish.answer not in {_Answer.CONFIRMED, _Answer.ASKED}:
            wish.answer = _Answer.WANTED
            self._news.set()

    def ask_again(self, call: HubCall) -> None:
        """Ask for `call` once more, if it is wanted and not being asked."""
        wish = self._wishes.get(call)
        if wish is not None and wish.answer is not _Answer.ASKED:
            wish.answer = _Answer.WANTED
            wish.heard = False
            self._news.set()

    def withdraw(self, call: HubCall) -> None:
        """Want `call` no more."""
        self._wishes.pop(call, None)

    def refused(self, call: HubCall) -> bool:
        """Whether the present connection has refused `call`."""
        wish = self._wishes.get(call)
        return wish is not None and wish.answer is _Answer.REFUSED

    def unanswered(self, call: HubCall) -> bool:
        """Whether the present connection was asked for `call` in vain."""
        wish = self._wishes.get(call)
        return wish is not None and wish.answer is _Answer.UNANSWERED

    def unconfirmed(self) -> tuple[HubCall, ...]:
        """What no answer and no data of the present connection confirms."""
        return tuple(
            call for call, wish in self._wishes.items() if wish.answer is not _Answer.CONFIRMED
        )

    # --- what connections say -----------------------------------------------------------------

    async def settle(self, asks: asyncio.TaskGroup, connection: HubConnection) -> list[HubCall]:
        """Ask for everything on a new connection; the calls that had no answer."""
        first = self._ask_all(asks, connection, _UNSETTLED)
        if first:
            await asyncio.wait(first)
        return [call for call in self._wishes if self.unanswered(call)]

    async def go_on(self, asks: asyncio.TaskGroup, connection: HubConnection) -> None:
        """Ask for what is new at once, and for what is unsettled now and then; until cancelled."""
        mend_ns = self._next_mend_ns()
        while True:
            if await self._news_before(mend_ns):
                self._ask_all(asks, connection, frozenset({_Answer.WANTED}))
            else:
                self._ask_all(asks, connection, _UNSETTLED)
                mend_ns = self._next_mend_ns()

    def void(self) -> None:
        """The connection ended, and with it all that it had confirmed."""
        for wish in self._wishes.values():
            wish.answer = _Answer.WANTED
            wish.heard = False

    def _ask_all(
        self, asks: asyncio.TaskGroup, connection: HubConnection, answers: frozenset[_Answer]
    ) -> list[asyncio.Task[None]]:
        self._news.clear()
        tasks = []
        for call, wish in self._wishes.items():
            if wish.answer in answers:
                wish.answer = _Answer.ASKED
                ask = self._ask(connection, call, wish)
                tasks.append(asks.create_task(ask, name=f"{TASK} ask"))
        if tasks:
            connection.on_calls = lambda calls: self._hear(connection, calls)
        return tasks

    def _hear(self, connection: HubConnection, calls: list[Invocation]) -> None:
        """Take data for the answers that are due; data are no more told when none is."""
        due = False
        for call, wish in self._wishes.items():
            if wish.heard or wish.answer not in {_Answer.ASKED, _Answer.UNANSWERED}:
                continue
            wish.heard = any(self._proves(call, data) for data in calls)
            due = due or not wish.heard
            if wish.heard and wish.answer is _Answer.UNANSWERED:
                self._log("subscription_proven", line=self._spec.name, call=str(call))
                self._confirm(call, wish)
        if not due:
            connection.on_calls = None

    def _next_mend_ns(self) -> int:
        return self._clock.monotonic_ns() + round(self._spec.mend_every_s * _NS_PER_S)

    async def _news_before(self, mend_ns: int) -> bool:
        """Whether there is a new wish, or else it is time to mend.

        News do not move the time to mend, and do not pass for it: a caller who comes and goes
        would keep everybody else's refused subscription from being tried again.
        """
        left_s = (mend_ns - self._clock.monotonic_ns()) / _NS_PER_S
        if left_s <= 0:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._news.wait()
                return True
        return False

    async def _ask(self, connection: HubConnection, call: HubCall, wish: _Wish) -> None:
        """Ask for one subscription and tell what came of it."""
        delay_s = self._pacer.take_turn(self._clock.monotonic_ns())
        if delay_s > 0:
            await self._clock.sleep_s(delay_s)
        if self._wishes.get(call) is not wish:
            return  # withdrawn meanwhile: asked now, it would come after its own undoing
        try:
            await connection.call(call)
        except ConnectionLostError:
            return  # asked again on the next connection
        except InvocationError as error:
            wish.answer = _Answer.REFUSED
            self._warn("subscription_refused", str(error))
            self._on_answer(call, error)
        except DeadlineError as error:
            if wish.heard:
                self._confirm(call, wish)
                return
            wish.answer = _Answer.UNANSWERED
            self._warn("subscription_unanswered", f"{error}; unconfirmed until its first data")
            self._on_answer(call, error)
        else:
            self._confirm(call, wish)

    def _confirm(self, call: HubCall, wish: _Wish) -> None:
        wish.answer = _Answer.CONFIRMED
        if self._wishes.get(call) is wish:
            self._on_answer(call, None)

    def _warn(self, event: str, reason: str) -> None:
        self._log(event, level="warning", line=self._spec.name, reason=reason)
