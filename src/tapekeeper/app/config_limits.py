"""The section of the configuration that is about limits that adapt."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tapekeeper.app.config_errors import SENTENCE
from tapekeeper.app.config_types import Count, Seconds, Section
from tapekeeper.core.limits import LimitsPolicy
from tapekeeper.runtime.intake import BURST_BYTES_MAX, BURST_FRAMES_MAX

_MEGABYTE = 1_000_000


class LimitsConfig(Section):
    """How limits follow what the machine has; always at or below what is set elsewhere.

    Where memory is short, less is kept of what the journal has anyway (trades.keep_mb, quotes.keep,
    what history keeps), and the journal is synced sooner. Every change is logged with its reason.
    """

    adapt: bool = Field(
        default=True, description="Whether memory, disk, queue and event loop are measured at all."
    )
    memory_mb: Count | None = Field(
        default=None,
        ge=32,
        le=16_000_000,
        description="Megabytes of memory that the process may have; without it, what the machine "
        "and its control groups (of a container or a service) leave.",
        examples=[2_000],
    )
    tight_share: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="Part of what it may have from which memory is tight, and less is kept.",
    )
    critical_share: float = Field(
        default=0.92,
        gt=0,
        le=1,
        description="Part from which memory is critical: as little as possible is kept, and the "
        "health says so.",
    )
    disk_free_mb: Count = Field(
        default=2_000,
        ge=0,
        le=100_000_000,
        description="Megabytes that should be free on the journal's disk: with less it is tight, "
        "with a quarter of that critical, which is told; 0 looks at no disk.",
    )
    restart: Literal["never", "exit", "in_place"] = Field(
        default="in_place",
        description="What `tapekeeper run` does as the last safeguard, when memory stays critical "
        "although as little as possible is kept, and a restart would help: it stops in order, the "
        "journal sealed, and begins anew in_place (the same command in the same process id), or "
        "exits with code 75 for what started it. With --seconds or --out, and on Windows, it "
        "always exits.",
    )
    restart_after_s: Seconds = Field(
        default=60.0, description="Seconds of critical memory before that."
    )
    dwell_s: Seconds = Field(
        default=10.0,
        description="Seconds that lie between two changes at least; it takes as long until less "
        "pressure is believed.",
    )
    burst_frames: Count = Field(
        default=BURST_FRAMES_MAX,
        ge=1,
        le=100_000,
        description="Frames that are processed at once, at most; fewer while the event loop is "
        "late.",
    )
    burst_kb: Count = Field(
        default=round(BURST_BYTES_MAX / 1_024),
        ge=1,
        le=65_536,
        description="Kilobytes (1,024 bytes) of them, at most.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.critical_share <= self.tight_share:
            raise PydanticCustomError(SENTENCE, "critical_share must be greater than tight_share")
        return self

    def policy(self) -> LimitsPolicy:
        """The same as the limits have it."""
        return LimitsPolicy(
            memory_bytes=None if self.memory_mb is None else self.memory_mb * _MEGABYTE,
            tight_share=self.tight_share,
            critical_share=self.critical_share,
            disk_free_bytes=self.disk_free_mb * _MEGABYTE,
            dwell_ns=round(self.dwell_s * 1e9),
            restart_after_ns=(
                None if self.restart == "never" else round(self.restart_after_s * 1e9)
            ),
        )
