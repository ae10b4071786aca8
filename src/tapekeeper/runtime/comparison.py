"""Compares closed bars with the gateway's own, now and then, and says where they differ.

The gateway's bars are made from its own tape, so they are a second witness of what was traded:
a difference is a print that one of both has and the other has not, or a correction. Nothing is
ever overwritten because of it; that is for whoever decides on repairs.

Of each contract the shortest subscribed timeframe from a minute to an hour is compared, because
those stand on the same grid at the gateway. Compared are bars that are closed and call themselves
complete, from the second one on (the first began before the contract was followed), and not
before the contract's own trades are `settle_s` past their end: late prints are in by then, and
the gateway has made its bar. A bar that the tape lacks is no difference where the ledger knows why.
Exchange time decides, so the host's clock does not matter. Each bar is compared once.

One look asks once for each contract that has something new, behind the gateway's own rate limit
and breaker; a look that fails is made up for by the next one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Protocol

import msgspec

from tapekeeper.core.gateway.rest_payloads import BarUnit, HistoryBar
from tapekeeper.errors import OutsideError
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.gap import Gap
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, timeframes_of
from tapekeeper.model.tick import Trade
from tapekeeper.model.timeframe import HOUR_NS, MINUTE_NS, Timeframe
from tapekeeper.ports import BarHistory, Clock, Log

DIFFERENCES_KEPT = 256
"""Differences that can be read in the status; the oldest are forgotten first."""
BARS_PER_LOOK = 1_500
"""Most bars of a contract in one look: a day of minutes. Older ones stay uncompared."""
_NS_PER_S = 1_000_000_000

_GOOD = frozenset({Completeness.COMPLETE, Completeness.QUIET})


class BarDifference(msgspec.Struct, frozen=True):
    """A bar of which the gateway says something else than the tape.

    Attributes:
        contract_id, timeframe: of which bars.
        ts_open: its open, ns UTC.
        ours: (open, high, low, close, volume) of the tape, or None where it has no such bar.
        theirs: the same of the gateway.
    """

    contract_id: str
    timeframe: str
    ts_open: int
    ours: tuple[float, float, float, float, int] | None
    theirs: tuple[float, float, float, float, int] | None


class ComparisonStatus(msgspec.Struct, frozen=True):
    """What comparing with the gateway's bars has come to.

    Attributes:
        looks: how often a contract's bars were asked for.
        failed: how often the gateway gave no answer.
        compared: bars that were compared, of either side.
        different: how many of them differ.
        volume: ours less theirs over all compared bars, contracts.
        latest: the latest differences, oldest first.
        off: followed contracts of which nothing is compared, because no timeframe of theirs is on
            the gateway's grid.
    """

    looks: int = 0
    failed: int = 0
    compared: int = 0
    different: int = 0
    volume: int = 0
    latest: tuple[BarDifference, ...] = ()
    off: tuple[str, ...] = ()


class Closed(Protocol):
    """Where the tape's bars are: `core.recent.RecentBars`."""

    def of(self, contract_id: str, timeframe: str, /) -> tuple[Bar, ...]:
        """The kept closed bars, oldest first."""
        ...


class Known(Protocol):
    """Where the gaps are: `core.ledger.Ledger`."""

    def find(self, *, contract_id: str, from_ns: int, to_ns: int) -> list[Gap]:
        """The gaps that touch an interval."""
        ...


class Followed(Protocol):
    """What is read of the pipeline."""

    def followed(self) -> list[str]:
        """The contracts that are followed now."""
        ...

    def instruments(self) -> list[Instrument]:
        """Every contract that was ever subscribed."""
        ...

    def timeframes(self, contract_id: str, /) -> tuple[BarSize, ...]:
        """Its bar sizes, time first and shortest first."""
        ...

    def last_trade(self, contract_id: str, /) -> Trade | None:
        """Its latest trade."""
        ...


class Comparison:
    """See the module's text.

    Args:
        theirs: the gateway.
        ours: the closed bars.
        followed: the pipeline.
        gaps: the ledger.
        clock: of the schedule.
        log: one event for each look that finds a difference, or fails.
        every_s: between two looks.
        settle_s: exchange time after a bar's end before it is compared.
    """

    def __init__(
        self,
        *,
        theirs: BarHistory,
        ours: Closed,
        followed: Followed,
        gaps: Known,
        clock: Clock,
        log: Log,
        every_s: float,
        settle_s: float,
    ) -> None:
        self._theirs = theirs
        self._ours = ours
        self._followed = followed
        self._gaps = gaps
        self._clock = clock
        self._log = log
        self._every_s = every_s
        self._settle_ns = round(settle_s * _NS_PER_S)
        self._next_ns: dict[str, int] = {}  # by contract: the first open not compared yet
        self._figures: Counter[str] = Counter()
        self._latest: deque[BarDifference] = deque(maxlen=DIFFERENCES_KEPT)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._clock.sleep_s(self._every_s)
            await self.look()

    async def look(self) -> None:
        """Compare what can be compared by now, of every contract."""
        for instrument in self._followed.instruments():
            contract_id = instrument.contract_id
            timeframe = _comparable(self._followed.timeframes(contract_id))
            last = self._followed.last_trade(contract_id)
            if timeframe is None or last is None:
                continue
            bars = self._due(contract_id, timeframe, last.ts_event - self._settle_ns)
            if bars:
                await self._compare(contract_id, timeframe, bars)

    def status(self) -> ComparisonStatus:
        """A frozen view."""
        figures = self._figures
        return ComparisonStatus(
            looks=figures["looks"],
            failed=figures["failed"],
            compared=figures["compared"],
            different=figures["different"],
            volume=figures["volume"],
            latest=tuple(self._latest),
            off=tuple(
                each
                for each in self._followed.followed()
                if _comparable(self._followed.timeframes(each)) is None
            ),
        )

    def _due(self, contract_id: str, timeframe: Timeframe, until_ns: int) -> list[Bar]:
        """Closed bars that were not compared yet and end at or before `until_ns`, oldest first."""
        closed = self._ours.of(contract_id, str(timeframe))
        if contract_id not in self._next_ns and closed:
            self._next_ns[contract_id] = closed[0].ts_end
        since_ns = self._next_ns.get(contract_id, 0)
        due = [
            bar
            for bar in closed[-BARS_PER_LOOK:]
            if since_ns <= bar.ts_open and bar.ts_end <= until_ns
        ]
        return [bar for bar in due if bar.state is not BarState.FORMING]

    async def _compare(self, contract_id: str, timeframe: Timeframe, bars: list[Bar]) -> None:
        self._figures["looks"] += 1
        first_ns, last_ns = bars[0].ts_open, bars[-1].ts_open
        try:
            theirs = await self._theirs.retrieve_bars(
                contract_id,
                start_ns=first_ns,
                # Whether the end is part of what is asked for is not documented, and differs.
                end_ns=bars[-1].ts_end,
                unit=BarUnit.MINUTE,
                unit_number=timeframe.length_ns // MINUTE_NS,
                limit=(last_ns - first_ns) // timeframe.length_ns + 2,
            )
        except OutsideError as error:
            self._figures["failed"] += 1
            self._log("bars_not_compared", contract=contract_id, reason=str(error))
            return
        # While the answer was under way a bar may have been revised.
        now = {bar.ts_open: bar for bar in self._ours.of(contract_id, str(timeframe))}
        self._next_ns[contract_id] = bars[-1].ts_end
        known = {bar.ts_open: bar for bar in theirs if first_ns <= bar.ts_open <= last_ns}
        gaps = self._gaps.find(contract_id=contract_id, from_ns=first_ns, to_ns=bars[-1].ts_end)
        found = []
        for ts_open in sorted({bar.ts_open for bar in bars} | known.keys()):
            mine = now.get(ts_open)
            if mine is not None and mine.completeness not in _GOOD:
                continue
            if mine is None and any(_touches(gap, ts_open, timeframe.length_ns) for gap in gaps):
                continue
            difference = self._judge(contract_id, timeframe, ts_open, mine, known.get(ts_open))
            if difference is not None:
                found.append(difference)
        if found:
            self._tell(found)

    def _judge(
        self,
        contract_id: str,
        timeframe: Timeframe,
        ts_open: int,
        mine: Bar | None,
        their: HistoryBar | None,
    ) -> BarDifference | None:
        ours = None if mine is None else (mine.open, mine.high, mine.low, mine.close, mine.volume)
        theirs = None if their is None else (their.o, their.h, their.l, their.c, their.v)
        self._figures["compared"] += 1
        if ours == theirs or (theirs is None and mine is not None and not mine.volume):
            return None
        self._figures["volume"] += (ours[-1] if ours else 0) - (theirs[-1] if theirs else 0)
        return BarDifference(contract_id, str(timeframe), ts_open, ours, theirs)

    def _tell(self, found: list[BarDifference]) -> None:
        self._figures["different"] += len(found)
        self._latest.extend(found)
        first = found[0]
        self._log(
            "bars_differ",
            level="warning",
            contract=first.contract_id,
            timeframe=first.timeframe,
            bars=len(found),
            first_open_ns=first.ts_open,
            ours=first.ours,
            theirs=first.theirs,
        )


def _touches(gap: Gap, ts_open: int, length_ns: int) -> bool:
    """Whether a gap of all timeframes has a part in a bar."""
    return (
        not gap.timeframes
        and (gap.from_ns is None or gap.from_ns < ts_open + length_ns)
        and (gap.to_ns is None or gap.to_ns > ts_open)
    )


def _comparable(sizes: tuple[BarSize, ...]) -> Timeframe | None:
    """The shortest that the gateway has on the same grid."""
    fit = (
        each
        for each in timeframes_of(sizes)
        if each.is_fixed and each.length_ns % MINUTE_NS == 0 and HOUR_NS % each.length_ns == 0
    )
    return min(fit, default=None)
