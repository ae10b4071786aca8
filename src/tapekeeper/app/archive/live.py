"""What a running tape reads of its archive and journal, beside the event loop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, overload

import polars as pl

from tapekeeper.app.archive.history import Archive, HistoryQuery, When
from tapekeeper.model.measure import BarSize
from tapekeeper.runtime.syncer import InThread


class LiveHistory:
    """Everything there ever was, of this tape's journal and archive together; call it.

    Args:
        source: the archive and the journal.
        in_thread: see `InThread`; None reads in the event loop.
    """

    def __init__(self, source: Archive, in_thread: InThread | None) -> None:
        self._source = source
        self._in_thread = in_thread

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
        before it is told, so a reading has all that was told before it was asked for. What the
        journal has behind the archive is kept for the next reading, as far as memory is given to
        it, and only gone on with.

        Args and what comes back are those of `read_history`.

        Raises:
            UnknownContractError: the journal has no such contract, or several.
            UsageError: there is no such column, or no such timeframe.
            UnreadableSourceError: the journal or the archive cannot be read.
        """
        query = HistoryQuery.of(timeframe, start, end, columns)
        found: list[pl.DataFrame | pl.LazyFrame] = []

        def read() -> None:
            frame = self._source.read(contract, query)
            found.append(frame if lazy else frame.collect())

        if self._in_thread is None:
            read()
        else:
            await self._in_thread(read)
        return found[0]
