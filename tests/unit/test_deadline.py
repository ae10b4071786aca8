"""What is awaited from outside has a bound, and its end says which."""

from __future__ import annotations

import pytest

from tapekeeper.deadline import deadline
from tapekeeper.errors import DeadlineError
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual


def test_a_deadline_names_what_was_late() -> None:
    """The sentence is for a person, and nothing of what was cut short comes with it."""

    async def main(clock: VirtualClock) -> None:
        with pytest.raises(DeadlineError, match=r"^baking took longer than 2\.5 s$") as caught:
            async with deadline(2.5, "baking"):
                await clock.sleep_s(3)
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None

    run_virtual(main)


def test_who_is_in_time_is_left_alone() -> None:
    """Neither an answer nor an error of what is awaited is touched."""

    async def main(clock: VirtualClock) -> None:
        async with deadline(2.5, "baking"):
            await clock.sleep_s(2)
        with pytest.raises(ZeroDivisionError):
            async with deadline(2.5, "baking"):
                raise ZeroDivisionError

    run_virtual(main)
