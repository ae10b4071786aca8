"""The section of the configuration that is about the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tapekeeper.app.config_types import Count, Section, UserPath
from tapekeeper.core.journal.retention import Retention
from tapekeeper.runtime.slowness import DiskLimits


class JournalConfig(Section):
    """Where everything that arrives is kept."""

    dir: UserPath = Field(
        default=Path("journal"),
        description="Folder of the journal, made on first use. A relative path is taken from "
        "the folder of this file.",
    )
    segment_mb: Count = Field(
        default=16,
        ge=1,
        le=4_096,
        description="Megabytes after which a new segment is begun, as they are on the disk: "
        "compressed.",
    )
    durability: Literal["process", "power"] = Field(
        default="process",
        description="What the journal survives: process (kill -9, with everything), or power (a "
        "dead machine, with everything but the last sync_every_ms).",
    )
    sync_every_ms: Count = Field(
        default=100,
        ge=1,
        le=60_000,
        description='Milliseconds between two syncs to the disk, with durability = "power".',
    )
    on_failure: Literal["stop", "shed"] = Field(
        default="stop",
        description="What is done when the journal cannot accept, as on a full disk: stop, or "
        "shed (go on without recording, say so, and try again each second).",
    )
    slow_after_ms: Count = Field(
        default=1_000,
        ge=1,
        le=60_000,
        description="Milliseconds of one write or sync after which the disk is called slow: in the "
        "log, in the health of the tape and in its status.",
    )
    stuck_after_s: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Seconds of one write or sync after which it is waited for no more, and has "
        "failed: on_failure says what is done. Below the 15 s in which a hub must hear of us.",
    )
    resume_mb: float = Field(
        default=4.0,
        ge=0,
        le=4_096,
        description="Megabytes of segments that a start runs again at most, to go on where the "
        "last run ended: some 90,000 messages and 2 s each. With more it begins with nothing.",
    )
    retain_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        description="Days after which a segment is removed, once the archive has confirmed that it "
        "has it. Without this and retain_gb everything is kept.",
        examples=[30.0],
    )
    retain_gb: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Gigabytes of segments above which the oldest are removed, once the archive "
        "has confirmed that it has them.",
        examples=[50.0],
    )

    def disk_limits(self) -> DiskLimits:
        """How long the disk may take."""
        return DiskLimits(min(self.slow_after_ms / 1_000, self.stuck_after_s), self.stuck_after_s)

    def retention(self) -> Retention:
        """How much is kept, as the caretaker has it."""
        return retention(self.retain_days, self.retain_gb)


def retention(retain_days: float | None, retain_gb: float | None) -> Retention:
    """How much of a journal is kept, by days and by gigabytes; None keeps all."""
    return Retention(
        None if retain_days is None else round(retain_days * 86_400 * 1e9),
        None if retain_gb is None else round(retain_gb * 1e9),
    )
