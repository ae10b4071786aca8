"""What a process holds on to, counted the same way in every long run."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
from collections.abc import Collection

import msgspec

from tapekeeper.adapters.process import open_handles, open_sockets, resident_bytes

SAMPLES_MIN = 20
"""Fewer show no slope where each is of another moment."""

SHOWN_SHARE = 0.4
"""Of the samples, the first that are not judged: what is made on first use is made in them."""

GROWTH_MAX = 3.0
"""By which a figure may grow over the judged samples: connections that are ending breathe."""

WHOLE = ("tasks", "futures", "handles", "os_sockets")
"""What must be given back in whole. Objects and memory breathe by far more than one run leaves, so
`tapekeeper endurance` and `tapekeeper sitting` judge them, which do the same for hours."""


class Held(msgspec.Struct, frozen=True):
    """What this process holds now.

    Attributes:
        tasks: of the event loop that runs, if one does.
        futures: that somebody holds, tasks included.
        handles: files, sockets and whatever else is open.
        os_sockets: sockets among them; those in memory are none.
        objects: containers that the garbage collector knows, after it has run.
        resident_mb: memory of the process.
    """

    tasks: int
    futures: int
    handles: int
    os_sockets: int
    objects: int
    resident_mb: float


def held() -> Held:
    """Count now; some 50 ms."""
    gc.collect()
    objects = gc.get_objects()
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:  # no loop runs, so it has no tasks
        tasks = 0
    return Held(
        tasks=tasks,
        # By type, because asking an object for its class may run code of its own.
        futures=sum(issubclass(type(one), asyncio.Future) for one in objects),
        handles=open_handles(),
        os_sockets=open_sockets(),
        objects=len(objects),
        resident_mb=resident_bytes() / 1e6,
    )


def leaks(samples: Collection[Held]) -> list[str]:
    """What grew from sample to sample, in words; nothing where they are too few to tell.

    By the slope that half of all pairs exceed (Theil and Sen), as in `tapekeeper endurance`.
    """
    if len(samples) < SAMPLES_MIN:
        return []
    judged = list(samples)[int(len(samples) * SHOWN_SHARE) :]
    found = []
    for figure in WHOLE:
        values = [getattr(sample, figure) for sample in judged]
        slope = statistics.median(
            (b - a) / (later - sooner)
            for (sooner, a), (later, b) in itertools.combinations(enumerate(values), 2)
        )
        growth = slope * (len(values) - 1)
        if growth > GROWTH_MAX:
            found.append(
                f"{figure} grew by {growth:,.0f} in {len(values)} samples, to {values[-1]:,}"
            )
    return found
