"""The manifest: which files are an archive's, and how far they go. What it does not name is not."""

from __future__ import annotations

import msgspec

from tapekeeper.app.archive.layout import FORMAT
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.instrument import Instrument


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One Parquet file.

    Attributes:
        path: relative to the archive, with `/`.
        kind: `trades` or `bars`.
        contract_id: of every row.
        trade_date: of every row, as yyyy-mm-dd.
        through_segment: the last segment that was read when it was written.
        rows: how many.
        volume: the sum of their volumes, contracts.
        min_ns, max_ns: smallest and largest event time, of bars their open, ns UTC.
        size_bytes: of the file.
        sha256: of the file, hexadecimal.
        timeframe: of bars.
    """

    path: str
    kind: str
    contract_id: str
    trade_date: str
    through_segment: int
    rows: int
    volume: int
    min_ns: int
    max_ns: int
    size_bytes: int
    sha256: str
    timeframe: str = ""


class CarryFile(msgspec.Struct, frozen=True):
    """The state from which the next pass goes on; see `carry`.

    Attributes:
        path: relative to the archive, with `/`.
        sha256: of the file, hexadecimal.
        made_by: fingerprint of the program that wrote it.
    """

    path: str
    sha256: str
    made_by: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive is.

    Attributes:
        format: see `FORMAT`.
        through_segment: all segments up to this one are in it; 0 for none.
        segment_bytes: size of that segment, by which its journal is known again.
        confirmable: up to which segment nothing that could be read is missing, and nothing was
            damaged; never above `through_segment`.
        carry: how to go on from there.
        instruments: of every contract in it.
        volumes: contracts traded by contract id, of all its trades.
        problems: what could not be read of the journal, one sentence each.
        parts: all files, in the order in which they were made.
    """

    format: int = FORMAT
    through_segment: int = 0
    segment_bytes: int = 0
    confirmable: int = 0
    carry: CarryFile | None = None
    instruments: tuple[Instrument, ...] = ()
    volumes: dict[str, int] = {}
    problems: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    def encode(self) -> bytes:
        """As the content of a file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def decode_manifest(data: bytes, where: str) -> Manifest:
    """A manifest from the content of a file.

    Raises:
        UnreadableSourceError: it is damaged, or of a later version.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).format
        if version == FORMAT:
            return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise UnreadableSourceError(f"{where} is damaged: {error}") from error
    raise UnreadableSourceError(
        f"{where} is of format {version}, and this program reads format {FORMAT}"
    )


class _Version(msgspec.Struct):
    format: int
