"""What a journal makes behind its archive, by repetition, as far as it has been read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import polars as pl

from tapekeeper.app.archive import carry
from tapekeeper.app.archive.harvest import COLUMN_TYPES, Harvest, TradeColumns
from tapekeeper.app.archive.rerunning import Continued, Stretch, segments_of
from tapekeeper.core.hot import HotWindow
from tapekeeper.core.journal import Position, segment_name
from tapekeeper.core.runlog import continuation_told
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.ports import Files
from tapekeeper.runtime.journal_reader import ProblemKind

STATE_SHARE = 4
"""Memory of a state by the size of its pickle, of recorded gold: 3.4; rounded up."""
MEASURE_ROWS = 20_000
"""Prints after which the state is measured again, which takes a tenth of a second where repeating
them takes one."""
_NOT_THERE = {ProblemKind.MISSING, ProblemKind.UNREADABLE}

MARGIN_ROWS = 4_096
"""Prints by which a repetition, which goes entry by entry, and a tape, which takes bursts, may be
in another order: one that broke a rule is let in where a later one of its burst confirms it."""


@dataclass(frozen=True, slots=True)
class Hot:
    """What a running tape has in memory of a contract.

    Attributes:
        run: the tape's, by its first segment.
        contract_id: of the contract.
        window: its latest trades.
        instruments: of all contracts of the run.
    """

    run: int
    contract_id: str
    window: HotWindow
    instruments: tuple[Instrument, ...] = ()

    def goes_on_from(self, rows: int) -> bool:
        """Whether nothing is missing between so many prints of the run and those in memory."""
        first = self.window.first
        return first == 0 or rows >= first + MARGIN_ROWS

    def frames(self, rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Those that may be among so many prints of the run, and those that are certainly not.

        With the columns of `TradeColumns`.
        """
        views = [
            pl.DataFrame(
                [
                    # A list: polars alone makes no column over memory that others hold.
                    pl.Series(name, getattr(view, name).tolist(), kind)
                    for name, kind in COLUMN_TYPES.items()
                ]
            )
            for view in self.window.views
        ]
        every = pl.concat(views) if views else TradeColumns().frame().drop("run")
        every = every.with_columns(run=pl.lit(self.run, pl.Int32))
        first = max(0, rows - MARGIN_ROWS - self.window.first)
        behind = max(0, rows + MARGIN_ROWS - self.window.first) if rows else 0
        return every[first:behind], every[behind:]


class Warm:
    """What the journal makes behind its archive; only gone on with, never taken back.

    Args:
        files: of the journal.
        after: the last segment that is archived.
        state: of the repetition behind it.
        state_bytes: its size when it was put away.
        is_cut: whether the state is not the one that the archive was left with.

    Attributes:
        problems: what could not be read of the journal, one sentence each.
        is_cut: whether segments were not there that should have been.
    """

    def __init__(
        self, files: Files, after: int, state: Continued, state_bytes: int, *, is_cut: bool = False
    ) -> None:
        self._files = files
        self._state = state
        self._state_bytes = state_bytes * STATE_SHARE
        self._measured_rows = 0
        self._harvest = Harvest()
        self._behind = Position(after + 1, 0)
        self._seen: tuple[int, int] | None = None  # the last segment, and how much of it was there
        self._instruments: dict[str, Instrument] = {}
        self.problems: list[str] = []
        self.is_cut = self._begun_cut = is_cut
        self._refresh_instruments()

    @property
    def bytes(self) -> int:
        """Memory of what was made, and of the state in which more is made."""
        return self._harvest.bytes + self._state_bytes

    def instruments(self) -> list[Instrument]:
        """Every contract that was met."""
        return list(self._instruments.values())

    def rows(self, hot: Hot) -> int:
        """Prints of the run and contract of what is in memory that archive and journal gave."""
        return self._state.rows.get(hot.contract_id, 0) if self._state.run == hot.run else 0

    def refresh(self, hot: Hot | None = None) -> None:
        """Go on to the journal's present end, or to where what is in memory goes on."""
        numbers = segments_of(self._files)
        if self._meets(hot) or not numbers or numbers[-1] < self._behind.segment:
            return
        end: tuple[int, int] | None = (numbers[-1], self._files.size(segment_name(numbers[-1])))
        if end == self._seen:
            return
        stretch = Stretch(self._files, self._behind.segment - 1, numbers[-1])
        later = stretch.told_later()
        with closing(iter(stretch)) as entries:
            for read in entries:
                if read.behind <= self._behind:
                    continue
                if read.run != self._state.run:
                    self._refresh_instruments()
                self._state.enter(read, later, self._harvest.take)
                # What the run before left is told by the entry that says that this one goes on.
                if self._meets(hot) and continuation_told(read.entry) is None:
                    end = None
                    break
                self._behind = read.behind
                self._state.take(read.entry, self._harvest.take)
        self._refresh_instruments()
        self.problems = [str(each) for each in stretch.problems if not each.expected]
        gone = any(each.kind in _NOT_THERE for each in stretch.problems)
        self.is_cut = self._begun_cut or gone
        self._seen = end
        if self._harvest.rows - self._measured_rows > MEASURE_ROWS:
            self._measured_rows = self._harvest.rows
            self._state_bytes = len(carry.dump(self._state)) * STATE_SHARE

    def _meets(self, hot: Hot | None) -> bool:
        return hot is not None and self._state.run == hot.run and hot.goes_on_from(self.rows(hot))

    def bars(self, contract_id: str, timeframe: str) -> list[tuple[int, Bar]]:
        """The last word of each run on the bars of one kind, with the run."""
        return self._harvest.bars_of(contract_id, timeframe)

    def trades(self, contract_id: str) -> pl.DataFrame:
        """Prints with the columns of `TradeColumns`."""
        return self._harvest.trades.get(contract_id, TradeColumns()).frame()

    def _refresh_instruments(self) -> None:
        for each in self._state.pipeline.instruments():
            self._instruments[each.contract_id] = each
