"""The garbage collector of a program that must not be held up."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settled_heap() -> Iterator[None]:
    """Keep the garbage collector from what is there now, which is the program itself.

    It would go through all of that again and again as the feed makes objects, and hold up the
    event loop for some 50 ms each time. A program may decide that for its process; the library
    leaves the collector of the process it is used in alone, because what is frozen is frozen for
    everybody there. A program that uses it may do the same around its event loop.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
