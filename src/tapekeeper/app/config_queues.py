"""The queues of subscribers, as they are configured."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tapekeeper.app.config_errors import SENTENCE
from tapekeeper.app.config_types import Count, Section
from tapekeeper.errors import UsageError
from tapekeeper.model.queue import OnFull, QueueDefaults, QueueLimits
from tapekeeper.runtime.queue_kinds import BARS, DEPTH, QUOTES, USER, check_on_full

_MEGABYTE = 1_000_000


def _allowed(name: str, *, has_state: bool) -> AfterValidator:
    def check(value: OnFull) -> OnFull:
        try:
            check_on_full(value, name, has_state=has_state)
        except UsageError as error:
            raise PydanticCustomError(SENTENCE, "{text}", {"text": str(error)}) from None
        return value

    return AfterValidator(check)


class QueuesConfig(Section):
    """What waits for a subscriber that reads slowly, and what becomes of what does not fit.

    fail delivers what fits and ends the stream with an error; spill puts it on the disk, in order;
    shed gives up the oldest and says so in their place; conflate (quotes only) lets the latest
    stand for all that wait. A program can choose otherwise for each of its streams.
    """

    events: Count = Field(
        default=100_000,
        ge=1,
        le=100_000_000,
        description="Events that may wait in memory for one subscriber.",
    )
    mb: Count = Field(
        default=64, ge=1, le=65_536, description="Megabytes of memory that they may take."
    )
    spill_mb: Count = Field(
        default=4_096,
        ge=1,
        le=10_000_000,
        description="Megabytes that may wait for one subscriber on the disk, in the folder spill "
        "of the journal.",
    )
    bars: Annotated[OnFull, _allowed(BARS.name, has_state=False)] = Field(
        default=OnFull.SPILL, description="What becomes of bars that do not fit."
    )
    quotes: Annotated[OnFull, _allowed(QUOTES.name, has_state=True)] = Field(
        default=OnFull.FAIL, description="The same of quotes."
    )
    depth: Annotated[OnFull, _allowed(DEPTH.name, has_state=False)] = Field(
        default=OnFull.FAIL, description="The same of updates of depth."
    )
    user_events: Annotated[OnFull, _allowed(USER.name, has_state=False)] = Field(
        default=OnFull.SPILL, description="The same of account, order, position and fill updates."
    )

    def defaults(self) -> QueueDefaults:
        """The same as the register of subscribers has it."""
        return QueueDefaults(
            limits=QueueLimits(self.events, self.mb * _MEGABYTE),
            spill_bytes=self.spill_mb * _MEGABYTE,
            bars=self.bars,
            quotes=self.quotes,
            depth=self.depth,
            user=self.user_events,
        )
