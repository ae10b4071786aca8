"""Ctrl-C and SIGTERM as an event that a service can wait for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
"""SIGBREAK is Ctrl-Break on Windows, and how a parent process there asks for an end."""


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that is set by the first of `SIGNALS`; to be entered in a running event loop.

    The second one finds the handlers that were there before, so that an end that hangs can be
    forced. `loop.add_signal_handler` is not used because Windows has none.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(_number: int, _frame: object) -> None:
        restore()
        loop.call_soon_threadsafe(stop.set)

    for number in SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()
