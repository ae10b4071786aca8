"""The most recent trades in columns, for reading without a copy."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tapekeeper.model.tick import TradeBatch

CHUNK_ROWS = 4_096
ROW_BYTES = 41
"""Five columns of 8 bytes and one of 1."""

PENDING_ROWS_MAX = 512
"""Rows that may wait to be put into columns: one at a time that would cost ten times as much."""

_CODES = {"ts_event": "q", "price": "d", "size": "q", "side": "b", "ts_recv": "q", "seq": "q"}


@dataclass(frozen=True, slots=True)
class TradeView:
    """Trades of one contract in order of arrival, as read-only views of what is kept.

    Nothing is copied and nothing in it changes, however long it is held; it holds its memory.
    `numpy.asarray(view.price)` is an array over the same memory.

    Attributes:
        ts_event: ns UTC, int64.
        price: float64.
        size: contracts, int64.
        side: -1, 0 or 1 (see `Side`), int8.
        ts_recv: ns UTC, host clock, int64.
        seq: arrival numbers within the run, int64.
    """

    ts_event: memoryview
    price: memoryview
    size: memoryview
    side: memoryview
    ts_recv: memoryview
    seq: memoryview

    def __len__(self) -> int:
        return len(self.ts_event)


@dataclass(frozen=True, slots=True)
class HotWindow:
    """The latest trades of a contract, and how many came before them.

    Attributes:
        first: trades of the contract in front of the first one that is kept.
        views: oldest first; of the latest trades without a hole.
    """

    first: int
    views: list[TradeView]


class _Chunk:
    """Columns of a fixed length; rows are added and never changed."""

    __slots__ = ("columns", "first", "rows")

    def __init__(self, first: int) -> None:
        self.first = first
        self.rows = 0
        self.columns: dict[str, memoryview[Any]] = {
            name: memoryview(array(code, bytes(CHUNK_ROWS * array(code).itemsize)))
            for name, code in _CODES.items()
        }

    def add(self, columns: dict[str, array[Any]], first: int) -> int:
        """Take rows from one on, as many as there is room for; how many it were."""
        count = min(len(columns["seq"]) - first, CHUNK_ROWS - self.rows)
        rows = slice(self.rows, self.rows + count)
        for name, column in self.columns.items():
            column[rows] = memoryview(columns[name])[first : first + count]
        self.rows += count
        return count

    def view(self) -> TradeView:
        return TradeView(
            **{name: column[: self.rows].toreadonly() for name, column in self.columns.items()}
        )


class HotTrades:
    """A window of accepted trades, bounded by the bytes of all contracts together.

    What comes is noted by reference and put into columns by the hundred, or when somebody reads.
    Columns come in chunks, and the oldest chunk of all goes first; what leaves is in the journal.

    Args:
        bytes_max: of memory; below that of one chunk nothing is kept.

    Attributes:
        forgotten: trades that were kept and are no more.
    """

    def __init__(self, bytes_max: int) -> None:
        self._chunks_max = bytes_max // (CHUNK_ROWS * ROW_BYTES)
        self._pending: list[TradeBatch] = []
        self._pending_rows = 0
        self._chunks: deque[tuple[str, _Chunk]] = deque()  # bound: _chunks_max, oldest first
        self._open: dict[str, _Chunk] = {}  # that have room, by contract
        self._came: dict[str, int] = {}  # of each contract, without those that are pending
        self.forgotten = 0

    @property
    def bytes(self) -> int:
        """Memory of all chunks."""
        return len(self._chunks) * CHUNK_ROWS * ROW_BYTES

    def limit(self, bytes_max: int) -> None:
        """Have another bound from now on; what exceeds it is forgotten at once."""
        self._settle()
        self._chunks_max = bytes_max // (CHUNK_ROWS * ROW_BYTES)
        while len(self._chunks) > self._chunks_max:
            self._forget_oldest()

    def add(self, batches: Iterable[TradeBatch]) -> None:
        """Take accepted trades in order of arrival; the batches must not change afterwards."""
        for batch in batches:
            self._pending.append(batch)
            self._pending_rows += len(batch)
        if self._pending_rows > PENDING_ROWS_MAX:
            self._settle()

    def views(self, contract_id: str) -> list[TradeView]:
        """What is kept of a contract, oldest first, one view a chunk."""
        self._settle()
        return [chunk.view() for owner, chunk in self._chunks if owner == contract_id]

    def window(self, contract_id: str) -> HotWindow:
        """What is kept of a contract, with its place among all that came of it."""
        self._settle()
        chunks = [chunk for owner, chunk in self._chunks if owner == contract_id]
        first = chunks[0].first if chunks else self._came.get(contract_id, 0)
        return HotWindow(first, [chunk.view() for chunk in chunks])

    def _settle(self) -> None:
        pending, rows = self._pending, self._pending_rows
        self._pending, self._pending_rows = [], 0
        if not self._chunks_max:
            self.forgotten += rows
            for batch in pending:
                self._came[batch.contract_id] = self._came.get(batch.contract_id, 0) + len(batch)
            return
        by_contract: dict[str, list[TradeBatch]] = {}
        for batch in pending:
            by_contract.setdefault(batch.contract_id, []).append(batch)
        for contract_id, batches in by_contract.items():
            columns = {
                name: array(code, [each for batch in batches for each in getattr(batch, name)])
                for name, code in _CODES.items()
            }
            first, rows = 0, len(columns["seq"])
            while first < rows:
                added = self._room(contract_id).add(columns, first)
                self._came[contract_id] = self._came.get(contract_id, 0) + added
                first += added

    def _room(self, contract_id: str) -> _Chunk:
        chunk = self._open.get(contract_id)
        if chunk is not None and chunk.rows < CHUNK_ROWS:
            return chunk
        if len(self._chunks) >= self._chunks_max:
            self._forget_oldest()
        chunk = self._open[contract_id] = _Chunk(self._came.get(contract_id, 0))
        self._chunks.append((contract_id, chunk))
        return chunk

    def _forget_oldest(self) -> None:
        owner, oldest = self._chunks.popleft()
        self.forgotten += oldest.rows
        if self._open.get(owner) is oldest:
            del self._open[owner]
