"""The bound of everything that is awaited from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tapekeeper.errors import DeadlineError


@asynccontextmanager
async def deadline(timeout_s: float, what: str) -> AsyncIterator[None]:
    """Bound what is awaited inside.

    Raises:
        DeadlineError: `timeout_s` passed; the sentence starts with `what`.
    """
    late = False
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        late = True
    if not late:
        return
    error = DeadlineError(f"{what} took longer than {timeout_s:g} s")
    try:
        raise error
    finally:
        # This generator is resumed while the cancellation is handled outside it, whose frames
        # hold headers; it would be carried along as context.
        error.__context__ = None
