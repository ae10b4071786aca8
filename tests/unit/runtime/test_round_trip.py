"""Round trips of WebSocket pings, and what is made of pings that nobody answers."""

from __future__ import annotations

import asyncio

from tapekeeper.errors import ConnectionLostError
from tapekeeper.runtime.line_values import RoundTrip
from tapekeeper.runtime.round_trip import EVERY_S, WAIT_S, RoundTripMeter
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual


class Socket:
    """Answers pings after the delays it is given; None is never, and beyond them it is lost."""

    def __init__(self, clock: VirtualClock, *delays_s: float | None) -> None:
        self._clock = clock
        self._delays_s = list(delays_s)
        self.pinged_s: list[float] = []

    async def ping(self) -> None:
        """One ping; without a further delay the connection is over."""
        self.pinged_s.append(self._clock.monotonic_ns() / 1e9)
        if not self._delays_s:
            raise ConnectionLostError("over")
        delay_s = self._delays_s.pop(0)
        if delay_s is None:
            await asyncio.Event().wait()
        else:
            await self._clock.sleep_s(delay_s)

    async def receive(self) -> bytes:
        """Not called."""
        raise AssertionError

    async def send(self, data: bytes, *, binary: bool = False) -> None:
        """Not called."""
        raise AssertionError(data, binary)

    async def close(self) -> None:
        """Not called."""
        raise AssertionError


def measured(*delays_s: float | None) -> tuple[RoundTrip, list[float]]:
    """What is measured, and when pings were sent (s); the connection opens after 5 s."""

    async def main(clock: VirtualClock) -> tuple[RoundTrip, list[float]]:
        meter, socket, opened = RoundTripMeter(clock), Socket(clock, *delays_s), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            measuring = group.create_task(meter.measure(lambda: socket, opened))
            await clock.sleep_s(5.0)
            opened.set()
            await clock.sleep_s(100.0)
            measuring.cancel()
        return meter.figures(), socket.pinged_s

    return run_virtual(main)


def test_answers_are_measured() -> None:
    """The last, the least and the most, from the moment the connection is open."""
    figures, pinged_s = measured(0.02, 0.05, 0.03)
    assert (figures.measured, figures.unanswered) == (3, 0)
    rounded = [round(one or 0.0, 3) for one in (figures.last_ms, figures.min_ms, figures.max_ms)]
    assert rounded == [30.0, 20.0, 50.0]
    assert pinged_s[0] == 5.0
    assert round(pinged_s[1] - pinged_s[0], 6) == EVERY_S + 0.02


def test_a_ping_without_an_answer_is_counted_and_ends_nothing() -> None:
    """The next one is sent; whether the connection lives is judged by others."""
    figures, pinged_s = measured(None, 0.02)
    assert (figures.measured, figures.unanswered) == (1, 1)
    assert round(pinged_s[1] - pinged_s[0], 6) == WAIT_S + EVERY_S


def test_a_lost_socket_is_no_answer_and_no_end() -> None:
    """Another one may go on in its place; it is asked for each time."""
    figures, pinged_s = measured(0.02)
    assert (figures.measured, figures.unanswered) == (1, 0)
    assert len(pinged_s) == 7


def test_nothing_is_known_before_the_first_answer() -> None:
    """No figure is invented."""
    assert measured()[0] == RoundTrip()
