"""The sections of the configuration that are about trades in memory and in the archive."""

from __future__ import annotations

from pydantic import Field

from tapekeeper.app.config_types import Count, Seconds, Section, UserPath


class TradesConfig(Section):
    """The recent trades that a program reads from memory."""

    keep_mb: Count = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Megabytes of them, all contracts together: some 25,000 trades each. 0 keeps "
        "none; the journal has all.",
    )


class ArchiveConfig(Section):
    """Parquet files of what the journal has, made by `tapekeeper archive` or a running tape."""

    enabled: bool = Field(
        default=False,
        description="Whether a running tape archives what is settled, in a process of its own that "
        "gives way to all others.",
    )
    every_s: Seconds = Field(
        default=300.0, description="Seconds between two looks whether there is something settled."
    )
    dir: UserPath | None = Field(
        default=None,
        description="Folder of the archive, made on first use; without it `archive` in the "
        "journal's. A relative path is taken from the folder of this file.",
        examples=["archive"],
    )
    cache_mb: Count = Field(
        default=128,
        ge=0,
        le=65_536,
        description="Megabytes of memory that a running tape may keep between two readings of its "
        "history, of files and of what the journal has behind them; 0 keeps nothing.",
    )
