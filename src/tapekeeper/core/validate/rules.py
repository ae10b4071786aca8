"""The rules for the prints of one contract, those included that look at other prints.

Two ways lead to the same verdicts. By columns: where a run of prints is beyond doubt as a whole, a
few calls over its columns say so; nearly all are. By rows: otherwise each print is judged in
turn. What the columns accept the rows would have accepted, and what is learned from a run does
not depend on the order within it; so neither where batches are cut nor which way was taken
changes a verdict. The columns are plain lists, and the calls are those of the language, which
beat arrays below some hundred rows: the conversion alone costs more than they do.

A print outside the price band is set aside at once and remembered as *pending*. Once enough
prints agree with it the jump was real: they are let back in, just in front of the one that
confirmed them. As many ordinary prints in a row refute it. Nothing is held back meanwhile, so a
bar never waits for a verdict.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tapekeeper.core.validate.band import PriceBand
from tapekeeper.core.validate.flags import PrintFlags
from tapekeeper.core.validate.policy import RulePolicy
from tapekeeper.core.validate.ticks import EARLIEST_NS, LATEST_NS, on_grid, trade_fault
from tapekeeper.model.tick import Reason, Trade, TradeBatch

PRICES_MAX = 8_192
"""Prices remembered to be on the grid; beyond it all are forgotten and learned anew."""
USUAL_SIZE_MAX = 256
"""Sizes up to this one are looked up instead of compared."""
PENDING_MAX = 256
"""Pending prints; the oldest go first, and stay in quarantine."""
COLUMNS_FROM = 4
"""Prints from which on a run is judged by its columns first; measured (benches/validation.py)."""


@dataclass(slots=True)
class Judged:
    """What became of a batch of which not all rows passed as they are.

    Attributes:
        batch: the accepted prints, with those that were let back in.
        rejected: what was set aside, in order, each with its reason and a clause for a person.
        readmitted: prints that are accepted after all, among them `batch`. Each was named as
            rejected before, be it in this batch.
    """

    batch: TradeBatch
    rejected: list[tuple[Trade, Reason, str]] = field(default_factory=list)
    readmitted: list[Trade] = field(default_factory=list)


class TradeRules:
    """Judges the prints of one contract, in their order; constant memory.

    Args:
        tick_size: the contract's price step; 0 skips the grid rule.
        policy: the thresholds.
        columns_from: see `COLUMNS_FROM`.

    Attributes:
        flags: what of the prints that passed was remarkable.
    """

    __slots__ = (
        "_band", "_calm", "_columns_from", "_high_ns", "_limit_ns", "_on_grid", "_pending",
        "_policy", "_quiet_ns", "_size_max", "_size_min", "_tick_size", "_usual", "flags",
    )  # fmt: skip

    def __init__(
        self, tick_size: float, policy: RulePolicy, *, columns_from: int = COLUMNS_FROM
    ) -> None:
        self._tick_size = tick_size
        self._policy = policy
        self._columns_from = columns_from
        self._size_min = 0 if policy.zero_sizes else 1
        self._size_max = policy.size_max
        self._usual = frozenset(range(self._size_min, min(policy.size_max, USUAL_SIZE_MAX) + 1))
        self._quiet_ns = policy.quiet_ns
        self._on_grid: set[float] = set()
        self._band = PriceBand(tick_size, policy)
        # The latest event time, and the one beyond which the market had been quiet.
        self._high_ns, self._limit_ns = 0, LATEST_NS
        self._pending: deque[Trade] = deque(maxlen=PENDING_MAX)
        self._calm = 0  # ordinary prints in a row since the last pending one
        self.flags = PrintFlags()

    def forgive(self, seq: int) -> None:
        """A print was let back in by somebody else, so it is not pending any more."""
        kept = [each for each in self._pending if each.seq != seq]
        self._pending.clear()
        self._pending.extend(kept)

    # -- the way that nearly all go ------------------------------------------------------------

    def judge(self, batch: TradeBatch) -> Judged | None:
        """Judge prints in their order; None where all of them pass as they are.

        Args:
            batch: of this contract; kept until the next one comes, and not changed.
        """
        count = len(batch.ts_event)
        if count < self._columns_from:
            for row in range(count):
                if not self._take_sure(batch, row):
                    return self._judge_from(batch, row)
            self.flags.take(batch)
            return None
        return self._judge_from(batch, 0)

    def _judge_from(self, batch: TradeBatch, start: int) -> Judged | None:
        """Judge the rows from `start` on; those before it have passed."""
        count = len(batch.ts_event)
        judged: Judged | None = None
        while start < count:
            stop = min(count, start + self._band.room)
            if stop - start >= self._columns_from and self._take_columns(batch, start, stop):
                if judged is not None:
                    _extend(judged.batch, batch, start, stop)
                start = stop
                continue
            for row in range(start, stop):
                if self._take_sure(batch, row):
                    if judged is not None:
                        _extend(judged.batch, batch, row, row + 1)
                    continue
                if judged is None:
                    judged = Judged(TradeBatch(batch.contract_id))
                    _extend(judged.batch, batch, 0, row)
                self._take_doubtful(batch.row(row), judged)
            start = stop
        passed = batch if judged is None else judged.batch
        if passed.ts_event:
            self.flags.take(passed)
        return None if judged is not None and _is_whole(judged, batch) else judged

    def _take_sure(self, batch: TradeBatch, row: int) -> bool:
        """Accept a print that is beyond doubt; False leaves everything as it was."""
        ts_event, price, band = batch.ts_event[row], batch.price[row], self._band
        if not (
            EARLIEST_NS <= ts_event <= self._limit_ns
            and ts_event < LATEST_NS
            and band.low <= price <= band.high
            and self._size_min <= batch.size[row] <= self._size_max
            and (price in self._on_grid or self._is_on_grid(price))
            and not self._pending
        ):
            return False
        self._take(ts_event, price)
        return True

    def _take(self, ts_event: int, price: float) -> None:
        """Learn from an accepted print."""
        if ts_event > self._high_ns:
            self._high_ns = ts_event
            self._limit_ns = ts_event + self._quiet_ns
        self._band.take(price, price, price, 1, self._high_ns)

    def _take_columns(self, batch: TradeBatch, start: int, stop: int) -> bool:
        """Accept a run that is beyond doubt as a whole; False leaves everything as it was.

        It has room in the block of the band.
        """
        times, prices = batch.ts_event[start:stop], batch.price[start:stop]
        band, high_ns = self._band, max(times)
        if (
            self._pending
            or min(times) < EARLIEST_NS
            or high_ns > self._limit_ns
            or high_ns >= LATEST_NS
            or not self._are_sizes(batch.size[start:stop])
            # Before the extremes, which mean nothing where a NaN is among the prices.
            or not self._are_on_grid(prices)
        ):
            return False
        low, high = min(prices), max(prices)
        if low < band.low or high > band.high:
            return False
        if high_ns > self._high_ns:
            self._high_ns = high_ns
            self._limit_ns = high_ns + self._quiet_ns
        band.take(low, high, prices[-1], len(times), self._high_ns)
        return True

    def _are_sizes(self, sizes: list[int]) -> bool:
        return self._usual.issuperset(sizes) or (
            min(sizes) >= self._size_min and max(sizes) <= self._size_max
        )

    def _are_on_grid(self, prices: list[float]) -> bool:
        return self._on_grid.issuperset(prices) or all(map(self._is_on_grid, prices))

    def _is_on_grid(self, price: float) -> bool:
        """Whether a price is a number on the grid; those that are are remembered."""
        if not -_INFINITE < price < _INFINITE:
            return False
        if self._tick_size > 0.0 and not on_grid(price, self._tick_size):
            return False
        if len(self._on_grid) >= PRICES_MAX:
            self._on_grid.clear()
        self._on_grid.add(price)
        return True

    # -- the way of the others -----------------------------------------------------------------

    def _take_doubtful(self, trade: Trade, judged: Judged) -> None:
        """Judge a print by every rule."""
        fault = self._fault(trade)
        if fault is not None:
            judged.rejected.append((trade, *fault))
            return
        suspicion = self._suspicion(trade)
        if suspicion is None:
            if self._accept(trade, judged) and self._pending:
                self._calm += 1
                if self._calm >= self._policy.confirm:
                    self._pending.clear()
            return
        agreeing = self._agreeing(trade)
        if agreeing is not None:
            self._believe(agreeing, trade, judged)
            return
        self._calm = 0
        self._pending.append(trade)
        judged.rejected.append((trade, Reason.PRICE_BAND, suspicion))

    def _accept(self, trade: Trade, judged: Judged) -> bool:
        """Let a print in; whether it says anything of prices now."""
        judged.batch.append(
            trade.ts_event, trade.price, trade.size, trade.side, trade.ts_recv, trade.seq
        )
        if not self._band.low <= trade.price <= self._band.high:
            return False  # a late print, at a price of its own time
        self._take(trade.ts_event, trade.price)
        return True

    def _fault(self, trade: Trade) -> tuple[Reason, str] | None:
        """What is wrong with a print by itself."""
        policy = self._policy
        fault = trade_fault(
            trade.ts_event,
            trade.price,
            trade.size,
            self._tick_size,
            may_be_negative=policy.negative_prices,
        )
        if fault is not None:
            return fault
        if trade.size > policy.size_max:
            return Reason.SIZE, f"size {trade.size} is above the limit of {policy.size_max}"
        if not trade.size and not policy.zero_sizes:
            return Reason.ZERO_SIZE, "size 0 is refused by the configuration"
        return None

    def _suspicion(self, trade: Trade) -> str | None:
        """What is wrong with a print beside the others; after a quiet time nothing can be."""
        band = self._band
        if trade.ts_event > self._limit_ns:
            band.unsettle(self._high_ns)
        if band.low <= trade.price <= band.high:
            return None
        if trade.ts_event < self._high_ns and band.was_near(trade.price, trade.ts_event):
            return None
        return f"price {trade.price!r} is outside {band.low!r} to {band.high!r}"

    def _agreeing(self, trade: Trade) -> list[Trade] | None:
        """The pending prints that `trade` agrees with, if with it they are enough.

        They must be of two moments: one bad record may hold many prints.
        """
        half = self._band.half
        found = [each for each in self._pending if abs(each.price - trade.price) <= half]
        moments = {each.ts_event for each in found} | {trade.ts_event}
        enough = len(found) + 1 >= self._policy.confirm and len(moments) > 1
        return found if enough else None

    def _believe(self, agreeing: list[Trade], trade: Trade, judged: Judged) -> None:
        """A jump is real: let its prints in, and begin to learn anew."""
        self._pending.clear()
        self._band.unsettle(self._high_ns)
        judged.readmitted += agreeing
        for each in (*agreeing, trade):
            self._accept(each, judged)


_INFINITE = float("inf")


def _is_whole(judged: Judged, batch: TradeBatch) -> bool:
    """Whether nothing happened after all: every row was accepted, and none let back in."""
    return not judged.rejected and not judged.readmitted and len(judged.batch) == len(batch)


def _extend(batch: TradeBatch, source: TradeBatch, start: int, stop: int) -> None:
    batch.ts_event += source.ts_event[start:stop]
    batch.price += source.price[start:stop]
    batch.size += source.size[start:stop]
    batch.side += source.side[start:stop]
    batch.ts_recv += source.ts_recv[start:stop]
    batch.seq += source.seq[start:stop]
