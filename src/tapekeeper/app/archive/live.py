"""What a running tape reads of its archive and journal, beside the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, overload

import polars as pl

from tapekeeper.app.archive.history import Archive, HistoryQuery, When
from tapekeeper.app.archive.warm import Hot
from tapekeeper.model.measure import BarSize
from tapekeeper.runtime.syncer import InThread


class LiveHistory:
    """Everything there ever was, of this tape's journal and archive together; call it.

    Args:
        source: the archive and the journal.
        in_thread: see `InThread`; None reads in the event loop.
        hot: what is in memory of a contract at the moment.
    """

    def __init__(
        self,
        source: Archive,
        in_thread: InThread | None,
        hot: Callable[[str], Hot | None] = lambda _contract: None,
    ) -> None:
        self._source = source
        self._in_thread = in_thread
        self._hot = hot

    @property
    def held_bytes(self) -> int:
        """Memory that is kept between two readings, never above `archive.cache_mb` after one."""
        return self._source.held_bytes

    def shrink(self, bytes_wanted: int) -> int:
        """Give memory back, at once; what is read next takes longer for it.

        Returns:
            The bytes that are gone by now; what a reading holds that goes on now, goes at its end.
        """
        return self._source.shrink(bytes_wanted)

    def limit(self, keep_bytes: int) -> None:
        """Keep at most so much memory between two readings from now on; at once, as `shrink`."""
        self._source.limit(keep_bytes)

    @overload
    async def __call__(
        self,
        contract: str,
        timeframe: str | BarSize,
        start: When = ...,
        end: When = ...,
        *,
        columns: Iterable[str] | None = ...,
        lazy: Literal[False] = ...,
    ) -> pl.DataFrame: ...
    @overload
    async def __call__(
        self,
        contract: str,
        timeframe: str | BarSize,
        start: When = ...,
        end: When = ...,
        *,
        columns: Iterable[str] | None = ...,
        lazy: Literal[True],
    ) -> pl.LazyFrame: ...
    async def __call__(
        self,
        contract: str,
        timeframe: str | BarSize,
        start: When = None,
        end: When = None,
        *,
        columns: Iterable[str] | None = None,
        lazy: bool = False,
    ) -> pl.DataFrame | pl.LazyFrame:
        """Trades or bars of a contract, of this run and of all before, archived or not.

        It is read in a thread, one reading after the other. What a tape tells is in the journal
        before it is told, so a reading has all that was told before it was asked for. Trades that
        are in memory (`trades.keep_mb`) are taken from there. What was
        read of the files, and what the journal has behind them, is kept for the next reading within
        `archive.cache_mb` of memory.

        Args and what comes back are those of `read_history`.

        Raises:
            UnknownContractError: the journal has no such contract, or several.
            UsageError: there is no such column, or no such timeframe.
            UnreadableSourceError: the journal or the archive cannot be read.
        """
        query = HistoryQuery.of(timeframe, start, end, columns)
        hot = None if query.timeframe else self._hot(contract)
        found: list[pl.DataFrame | pl.LazyFrame] = []

        def reading() -> None:
            source = self._source
            read = source.scan if lazy else source.read
            found.append(read(contract, query, hot))

        if self._in_thread is None:
            reading()
        else:
            await self._in_thread(reading)
        return found[0]
