"""One timeframe of the cascade: its open bar as plain numbers, and where it hangs."""

from __future__ import annotations

from collections.abc import Iterator

from tapekeeper.core.bars.kept import Kept
from tapekeeper.core.bars.marks import LONG_AGO_NS, NEVER_NS
from tapekeeper.model.bar import PRICE_SCALE, Bar, BarState
from tapekeeper.model.gap import Span
from tapekeeper.model.session import Interval
from tapekeeper.model.snapshot import VolumeCheck
from tapekeeper.model.tick import Side
from tapekeeper.model.timeframe import Timeframe

Row = tuple[int, int, float, int, int]
"""Index in its batch, event time (ns UTC), price, size, side."""

# Plain numbers: comparing with an enumeration's member costs three times as much per print.
_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_CLOSED = BarState.CLOSED


class Node:
    """The open bar of one timeframe, and its closed ones that may still be amended.

    Attributes:
        timeframe, name: which one.
        feeder: the node whose closed bars are folded into this one; None for a root, which takes
            the prints themselves.
        fed: the nodes that hang from this one.
        is_open: whether there is an open bar.
        start, end: the interval of the open bar, ns UTC.
        n: prints of the open bar, as far as they were folded into this node.
        last_ns: the largest event time among them.
        kept: closed bars.
        since_ns: bars that end at or before this time were over when this timeframe was added.
        whole_ns: of what is before this time it may lack prints; 0 if it lacks none.
        passed_ns: bars that end at or before this time were closed by a timer, or by history.
        told_ns: open of the first bar that was told.
        told: the latest bar that was told, the flat ones included.
        flats: how many flat bars in a row end with it.
        vouched: opens of the bars that are the gateway's own, as it gave them.
        lacks: of the bar that formed when this timeframe was added, what its feeder did not have
            any more; None if that is all, or is not known.
        prefix: what the gateway's history puts in the place of that.
    """

    __slots__ = (
        "_backfilled",
        "_backfilled_bars",
        "_baseline",
        "_buy",
        "_close",
        "_closed_bars",
        "_closed_volume",
        "_contract_id",
        "_due",
        "_first_ns",
        "_high",
        "_low",
        "_open",
        "_price",
        "_price_e9",
        "_sell",
        "_turnover",
        "_volume",
        "end",
        "fed",
        "feeder",
        "flats",
        "is_open",
        "kept",
        "lacks",
        "last_ns",
        "n",
        "name",
        "passed_ns",
        "prefix",
        "since_ns",
        "start",
        "timeframe",
        "told",
        "told_ns",
        "vouched",
        "whole_ns",
    )

    def __init__(self, contract_id: str, timeframe: Timeframe) -> None:
        self._contract_id = contract_id
        self.timeframe = timeframe
        self.name = str(timeframe)
        self.feeder: Node | None = None
        self.fed: list[Node] = []
        self.kept = Kept()
        self.vouched: set[int] = set()  # bound: those within the horizon, after each repair
        self.is_open = False
        self.since_ns = self.passed_ns = LONG_AGO_NS
        self.whole_ns = 0
        self.told_ns = NEVER_NS
        self.told: Bar | None = None
        self.flats = 0
        self.lacks: Span | None = None
        self.prefix: Bar | None = None
        self._closed_bars = self._closed_volume = self._baseline = self._backfilled = 0
        self._backfilled_bars = 0
        self.start = self.end = self._due = self._first_ns = self.last_ns = 0
        self._open = self._high = self._low = self._close = 0.0
        # The price that was converted last: most prints are at the price of the one before.
        self._price, self._price_e9 = 0.0, 0
        self.n = self._volume = self._buy = self._sell = self._turnover = 0

    def begin(self, interval: Interval, row: Row) -> None:
        """Open a bar with its first print."""
        _, ts_ns, price, size, side = row
        self.is_open = True
        self.start, self.end, self._due = interval.start_ns, interval.end_ns, interval.due_ns
        self._first_ns = self.last_ns = ts_ns
        self._open = self._high = self._low = self._close = price
        self.n = 1
        self._volume = size
        self._buy = size if side == _BUY else 0
        self._sell = size if side == _SELL else 0
        if price != self._price:
            self._price, self._price_e9 = price, round(price * PRICE_SCALE)
        self._turnover = self._price_e9 * size

    def take(self, rows: Iterator[Row], first: int, stop: int, low_ns: int, limit_ns: int) -> int:
        """Fold the rows that come next into the open bar, while low_ns <= time < limit_ns.

        This is where a print spends its time: comparisons on local variables, no call and no
        object of its own.

        Args:
            rows: the rest of a batch; the row that ends the run is taken from it, too.
            first: index of the first of them.
            stop: the length of the batch.
            low_ns: the first time of the run, ns UTC, within the open bar.
            limit_ns: the end of the run (exclusive), ns UTC, at most that of the open bar.

        Returns:
            The index of the row that ended the run, which was not folded, or `stop`.
        """
        first_ns, last_ns, opened, close = self._first_ns, self.last_ns, self._open, self._close
        high, low = self._high, self._low
        volume, buy, sell, turnover = self._volume, self._buy, self._sell, self._turnover
        known, price_e9 = self._price, self._price_e9
        ended = stop
        for index, ts_ns, price, size, side in rows:
            if ts_ns >= limit_ns or ts_ns < low_ns:
                ended = index
                break
            if price != known:
                known, price_e9 = price, round(price * PRICE_SCALE)
            if price > high:
                high = price
            elif price < low:
                low = price
            turnover += price_e9 * size
            if ts_ns >= last_ns:  # the order is (time, arrival), so of equal times the later
                last_ns = ts_ns
                close = price
            elif ts_ns < first_ns:
                first_ns = ts_ns
                opened = price
            volume += size
            if side == _BUY:
                buy += size
            elif side == _SELL:
                sell += size
        self._first_ns, self.last_ns, self._open, self._close = first_ns, last_ns, opened, close
        self._high, self._low = high, low
        self._price, self._price_e9 = known, price_e9
        self._volume, self._buy, self._sell, self._turnover = volume, buy, sell, turnover
        self.n += ended - first
        return ended

    def take_one(self, row: Row) -> None:
        """Fold one print that lies within the open bar; the same as `take`, without its set-up."""
        _, ts_ns, price, size, side = row
        if price > self._high:
            self._high = price
        elif price < self._low:
            self._low = price
        if ts_ns >= self.last_ns:
            self.last_ns = ts_ns
            self._close = price
        elif ts_ns < self._first_ns:
            self._first_ns = ts_ns
            self._open = price
        self.n += 1
        self._volume += size
        if price != self._price:
            self._price, self._price_e9 = price, round(price * PRICE_SCALE)
        self._turnover += self._price_e9 * size
        if side == _BUY:
            self._buy += size
        elif side == _SELL:
            self._sell += size

    def absorb(self, bar: Bar) -> None:
        """Fold a bar that lies within the open bar's interval into it."""
        self._high = max(self._high, bar.high)
        self._low = min(self._low, bar.low)
        # A node that took prints itself before a smaller one was added below it may hold prints
        # later than this bar's, so the times decide, not the order of folding.
        if bar.ts_last >= self.last_ns:
            self.last_ns = bar.ts_last
            self._close = bar.close
        if bar.ts_first < self._first_ns:
            self._first_ns = bar.ts_first
            self._open = bar.open
        self._volume += bar.volume
        self._buy += bar.buy_vol
        self._sell += bar.sell_vol
        self._turnover += bar.turnover_e9
        self.n += bar.n

    def begin_from(self, interval: Interval, bar: Bar) -> None:
        """Open a bar with the bar that is first folded into it."""
        self.is_open = True
        self.start, self.end, self._due = interval.start_ns, interval.end_ns, interval.due_ns
        self._first_ns, self.last_ns = bar.ts_first, bar.ts_last
        self._open, self._high, self._low, self._close = bar.open, bar.high, bar.low, bar.close
        self.n, self._volume = bar.n, bar.volume
        self._buy, self._sell = bar.buy_vol, bar.sell_vol
        self._turnover = bar.turnover_e9

    def due_ns(self) -> int:
        """From which exchange time on a timer may close the open bar.

        A print at or after the session's close shows that trading went on, so the bar that has
        one waits for its end.
        """
        return self._due if self.last_ns < self._due else self.end

    def bar(self, state: BarState) -> Bar:
        """The open bar as a value."""
        return Bar(
            self._contract_id,
            self.name,
            self.start,
            self.end,
            self._open,
            self._high,
            self._low,
            self._close,
            self._volume,
            self.n,
            self._buy,
            self._sell,
            self._first_ns,
            self.last_ns,
            state,
            0,
            self._turnover,
        )

    def shut(self) -> Bar:
        """Close the open bar."""
        bar = self.bar(_CLOSED)
        self._closed_bars += 1
        self._closed_volume += self._volume
        self.is_open = False
        return bar

    def count(self, before: Bar | None, after: Bar) -> None:
        """Note that a closed bar was amended by accepted prints, or added."""
        self._closed_bars += before is None
        self._closed_volume += after.volume - (before.volume if before else 0)

    def count_backfill(self, before: Bar | None, after: Bar) -> None:
        """Note that the gateway's history changed a closed bar, or added it."""
        self.count(before, after)
        self._backfilled_bars += before is None
        self._backfilled += after.volume - (before.volume if before else 0)

    def fill(self, interval: Interval, bars: list[Bar]) -> None:
        """Make the open bar of the closed ones below it, at least one."""
        self.begin_from(interval, bars[0])
        for bar in bars[1:]:
            self.absorb(bar)

    def rebuild(self, interval: Interval, bars: list[Bar]) -> None:
        """Make the open bar anew from the closed ones below it, which history changed."""
        before = self.open_volume
        self.fill(interval, bars)
        self._note_backfill(self._volume - before)

    def prefill(self, interval: Interval, bar: Bar) -> None:
        """Put what history has of the beginning of the open bar into it."""
        self.prefix = bar
        if self.is_open:
            self.absorb(bar)
        else:
            self.begin_from(interval, bar)
        self._note_backfill(bar.volume)
        self.made_whole()

    def made_whole(self) -> None:
        """Note that of the bar that `lacks` tells of nothing lacks, but for what its parts lack."""
        if self.lacks is not None and self.feeder is not None:
            self.whole_ns = max(self.lacks.from_ns, self.feeder.whole_ns)

    def _note_backfill(self, volume: int) -> None:
        """Count what history added to an open bar, here and in all that it will be folded into."""
        self._backfilled += volume
        for fed in self.fed:
            fed._note_backfill(volume)  # noqa: SLF001 - of the same class

    def count_from(self, accepted_volume: int) -> None:
        """Compare volumes from here on: what was accepted before is in none of its bars."""
        self._baseline = accepted_volume

    def leave_out(self, size: int) -> None:
        """Note an accepted print of an interval that was over before this timeframe was added."""
        self._baseline += size

    def leave_out_throughout(self, size: int) -> None:
        """Note an accepted print that a bar of history holds already, here and above."""
        self.leave_out(size)
        for fed in self.fed:
            fed.leave_out_throughout(size)

    def forget_vouched(self, before_ns: int) -> None:
        """Forget the gateway's own bars that open before this time (ns UTC)."""
        self.vouched = {start_ns for start_ns in self.vouched if start_ns >= before_ns}

    @property
    def open_volume(self) -> int:
        """Contracts in the open bar, as far as they were folded into this node."""
        return self._volume if self.is_open else 0

    def check(self, accepted_volume: int, *, below_volume: int, is_forming: bool) -> VolumeCheck:
        """The volume identity of this timeframe.

        Args:
            accepted_volume: of the contract, in contracts, counted elsewhere.
            below_volume: in open bars that will be folded into this node's.
            is_forming: whether this node's bar has a print, in whatever node it still is.
        """
        return VolumeCheck(
            contract_id=self._contract_id,
            timeframe=self.name,
            bars=self._closed_bars + is_forming,
            bar_volume=self._closed_volume + self.open_volume + below_volume,
            accepted_volume=accepted_volume - self._baseline,
            backfilled_volume=self._backfilled,
            backfilled_bars=self._backfilled_bars,
        )


def with_bar(node: Node, interval: Interval, bar: Bar, state: BarState) -> Bar:
    """A bar of `node` with `bar` folded into it; `node` is left as it is.

    Args:
        node: its open bar is what `bar` is folded into, if that is the one of `interval`.
        interval: the interval of `node` that `bar` lies in.
        bar: a smaller bar.
        state: of the bar that is returned.
    """
    is_same = node.is_open and node.start == interval.start_ns
    return joined(node, interval, [node.bar(state), bar] if is_same else [bar], state)


def joined(node: Node, interval: Interval, bars: list[Bar], state: BarState) -> Bar:
    """One bar of `node`'s timeframe made of these, which lie in its interval."""
    copy = Node(bars[0].contract_id, node.timeframe)
    copy.begin_from(interval, bars[0])
    for bar in bars[1:]:
        copy.absorb(bar)
    return copy.bar(state)


def with_print(node: Node, interval: Interval, bar: Bar | None, contract_id: str, row: Row) -> Bar:
    """A closed bar of `node`'s timeframe, or none yet, with one more print in it."""
    copy = Node(contract_id, node.timeframe)
    if bar is None:
        copy.begin(interval, row)
    else:
        copy.begin_from(interval, bar)
        copy.take_one(row)
    return copy.bar(_CLOSED)
