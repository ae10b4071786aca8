"""Virtual time: an event loop that jumps to its next timer instead of waiting for it.

While something is ready it runs as usual. When nothing is, it advances its clock to the next
timer at once, so that thirty days of reconnects take a second of real time and repeat exactly.
When nothing is ready and no timer is set, nothing can ever wake the loop again: that is a
deadlock of the program under test, and `NothingWakesError` says so instead of hanging.

Only what runs in the loop is simulated. Worker threads and other processes take real time, which
does not pass here, so a program that waits for one of them looks like a deadlock. Sockets of the
same loop work, because what is readable is polled before time advances.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_NS_PER_S = 1_000_000_000

TURNS_MAX = 2_000_000
"""Turns of the loop at one moment; what works off a backlog at full speed needs far fewer."""

DEFAULT_START_NS = 1_767_625_200 * _NS_PER_S
"""2026-01-05T15:00Z, a Monday in the middle of a trading session."""


class NothingWakesError(RuntimeError):
    """Every task waits, and neither a timer nor a socket can wake one: a deadlock."""


class StandsStillError(RuntimeError):
    """The program goes round and round without letting time pass: it would burn a processor."""


class _JumpingSelector(selectors.BaseSelector):
    """Polls the real selector, and passes virtual time where that has nothing to report."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now_ns = 0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = self._real.select(0)
        self._turns += 1
        if self._turns > TURNS_MAX:
            self._turns = 0  # what is cancelled now has its turns again
            raise StandsStillError(f"{TURNS_MAX:,} turns of the loop went by without any time")
        if events or (timeout is not None and timeout <= 0):
            return events
        if timeout is None:
            raise NothingWakesError("every task waits, and no timer is set that could wake one")
        # Rounded up, so that the timer is due when the loop looks at it.
        self.now_ns += math.ceil(timeout * _NS_PER_S)
        self._turns = 0
        return events

    def register(
        self,
        fileobj: Any,  # noqa: ANN401 - as the base class has it
        events: int,
        data: Any = None,  # noqa: ANN401 - as the base class has it
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401 - as the base class
        return self._real.unregister(fileobj)

    def get_map(self) -> Any:  # noqa: ANN401 - as the base class has it
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class _NumberedTask(asyncio.Task[_T]):
    """A task whose place in a set follows from its number, not from its address in memory.

    asyncio keeps tasks in sets and cancels them in the order of the set; with this the order is
    the same in every run.
    """

    def __init__(
        self,
        coro: Coroutine[Any, Any, _T],
        *,
        loop: asyncio.AbstractEventLoop,
        number: int,
        **options: Any,  # noqa: ANN401 - what the Python version at hand passes on
    ) -> None:
        self._number = number
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose time jumps. Starts at zero seconds."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # The base class widens "due" by the host clock's resolution, which is 16 ms on Windows.
        self._clock_resolution = 1e-9
        numbers = itertools.count()

        def numbered(
            loop: asyncio.AbstractEventLoop,
            coro: Any,  # noqa: ANN401 - a coroutine, or what older versions took for one
            **options: Any,  # noqa: ANN401 - what the Python version at hand passes on
        ) -> asyncio.Future[Any]:
            return _NumberedTask(coro, loop=loop, number=next(numbers), **options)

        self.set_task_factory(numbered)

    @property
    def now_ns(self) -> int:
        """Virtual time since the loop was made, ns."""
        return self._jumping.now_ns

    def time(self) -> float:
        """Virtual time since the loop was made, seconds."""
        return self._jumping.now_ns / _NS_PER_S

    def hold_s(self, delay_s: float) -> None:
        """Let time pass while nothing runs, as a call does that blocks the loop."""
        self._jumping.now_ns += round(delay_s * _NS_PER_S)


class VirtualClock:
    """Fills `ports.Clock` from a `VirtualTimeLoop`.

    Args:
        loop: whose time it tells.
        start_ns: wall clock at the loop's zero, ns UTC.
    """

    def __init__(self, loop: VirtualTimeLoop, *, start_ns: int = DEFAULT_START_NS) -> None:
        self._loop = loop
        self._wall_at_zero_ns = start_ns

    def now_ns(self) -> int:
        """Wall clock, ns since 1970-01-01T00:00Z."""
        return self._wall_at_zero_ns + self._loop.now_ns

    def monotonic_ns(self) -> int:
        """Virtual time since the loop was made, ns."""
        return self._loop.now_ns

    async def sleep_s(self, delay_s: float) -> None:
        """Wait `delay_s` virtual seconds."""
        await asyncio.sleep(delay_s)

    def hold_s(self, delay_s: float) -> None:
        """Let virtual time pass while nothing runs; see `VirtualTimeLoop.hold_s`."""
        self._loop.hold_s(delay_s)

    def other(self) -> VirtualClock:
        """A clock of another computer in the same time; its wall clock can step by itself."""
        return VirtualClock(self._loop, start_ns=self._wall_at_zero_ns)

    def step_wall_ns(self, by_ns: int) -> None:
        """Set the wall clock forward or back, as a time service does; monotonic time stays."""
        self._wall_at_zero_ns += by_ns


def run_virtual(
    main: Callable[[VirtualClock], Coroutine[Any, Any, _T]], *, start_ns: int = DEFAULT_START_NS
) -> _T:
    """Run `main(clock)` to its end in a fresh virtual-time loop; its result.

    Raises:
        NothingWakesError: it can never end.
        StandsStillError: it lets no time pass.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        if not isinstance(loop, VirtualTimeLoop):  # pragma: no cover - the factory makes no other
            raise TypeError("the runner made another loop than its factory gives")
        return runner.run(main(VirtualClock(loop, start_ns=start_ns)))
