"""The section of the configuration that is about the archive."""

from __future__ import annotations

from pydantic import Field

from tapekeeper.app.config_types import Section, UserPath


class ArchiveConfig(Section):
    """Parquet files of what the journal has; `tapekeeper archive` makes them."""

    dir: UserPath | None = Field(
        default=None,
        description="Folder of the archive, made on first use; without it `archive` in the "
        "journal's. A relative path is taken from the folder of this file.",
        examples=["archive"],
    )
