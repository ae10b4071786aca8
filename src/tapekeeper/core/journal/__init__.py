"""The journal's format: encoding bursts of entries, and reading any bytes back."""

from tapekeeper.core.journal.encoder import (
    BLOCK_HEAD_BYTES,
    ENTRY_BYTES_MAX,
    ENTRY_HEAD_BYTES,
    HEADER_BYTES,
    MAGIC,
    PLAIN_BYTES_MAX,
    SEAL_BYTES,
    VERSION,
    SegmentEncoder,
    encoded_bytes_max,
)
from tapekeeper.core.journal.entry import (
    Ending,
    Entry,
    EntryKind,
    Position,
    SegmentHeader,
    segment_name,
    segment_number,
)
from tapekeeper.core.journal.scanner import Scan, SegmentScanner, scan

__all__ = [
    "BLOCK_HEAD_BYTES",
    "ENTRY_BYTES_MAX",
    "ENTRY_HEAD_BYTES",
    "HEADER_BYTES",
    "MAGIC",
    "PLAIN_BYTES_MAX",
    "SEAL_BYTES",
    "VERSION",
    "Ending",
    "Entry",
    "EntryKind",
    "Position",
    "Scan",
    "SegmentEncoder",
    "SegmentHeader",
    "SegmentScanner",
    "encoded_bytes_max",
    "scan",
    "segment_name",
    "segment_number",
]
