"""What can be said of a tick alone: one small rule after another, each with its reason.

A tick that fails is never repaired and never dropped in silence: it becomes a `Rejected` value.
What depends on the bars (lateness) is decided where the bars are; what depends on the shape of
a payload is decided where it is decoded; what depends on other prints is in `rules`.
"""

from __future__ import annotations

import math

import msgspec

from tapekeeper.model.depth import LEVEL_KINDS, PRINT_KINDS, DepthKind, DepthRow
from tapekeeper.model.tick import Quote, Reason, Rejected, Trade, TradeBatch

EARLIEST_NS = 946_684_800_000_000_000
"""2000-01-01T00:00Z: nothing older was ever traded on an electronic ProjectX-style feed."""
LATEST_NS = 4_102_444_800_000_000_000
"""2100-01-01T00:00Z: a stamp beyond it is a unit error (such as microseconds taken for ns)."""
SIZE_MAX = 2**31 - 1
"""Sizes are 32-bit on the exchange; real prints reach some thousand contracts."""
GRID_TOLERANCE_TICKS = 1e-6
"""Room for binary rounding of price / tick size; one part in a million of a tick is no price."""

_RESET = int(DepthKind.RESET)
_encode = msgspec.json.Encoder().encode


def trade_fault(
    ts_event: int, price: float, size: int, tick_size: float, *, may_be_negative: bool = False
) -> tuple[Reason, str] | None:
    """The first rule that a print, or a row of depth, breaks by itself, or None.

    Args:
        ts_event: ns UTC.
        price: in the contract's quotation.
        size: contracts.
        tick_size: the contract's price step; 0 skips the grid rule.
        may_be_negative: whether prices may be zero or negative.
    """
    if not EARLIEST_NS <= ts_event < LATEST_NS:
        return Reason.TIME, f"time {ts_event} ns is outside 2000-2100"
    if not math.isfinite(price):
        return Reason.PRICE, f"price {price!r} is not a finite number"
    if price <= 0.0 and not may_be_negative:
        return Reason.PRICE, f"price {price!r} is not a positive number"
    if not 0 <= size <= SIZE_MAX:
        return Reason.SIZE, f"size {size} is outside 0 to {SIZE_MAX}"
    if tick_size > 0.0 and not on_grid(price, tick_size):
        detail = f"price {price!r} is not a multiple of the tick size {tick_size!r}"
        return Reason.OFF_GRID, detail
    return None


def on_grid(price: float, tick_size: float) -> bool:
    """Whether `price`, which is finite, is a whole number of ticks, but for binary rounding."""
    ticks = price / tick_size
    if not math.isfinite(ticks):
        return False
    return abs(ticks - round(ticks)) <= GRID_TOLERANCE_TICKS


def quote_fault(quote: Quote, *, may_be_negative: bool = False) -> tuple[Reason, str] | None:
    """The rule that `quote` breaks, or None.

    A crossed or locked book is not a fault: it is normal before the open.

    Args:
        quote: merged.
        may_be_negative: whether prices may be zero or negative.
    """
    if not EARLIEST_NS <= quote.ts_event < LATEST_NS:
        return Reason.TIME, f"time {quote.ts_event} ns is outside 2000-2100"
    for name in ("last", "bid", "ask", "open", "high", "low"):
        price = getattr(quote, name)
        if price is None or 0.0 < price < math.inf:
            continue
        if not math.isfinite(price):
            return Reason.PRICE, f"{name} {price!r} is not a finite number"
        if not may_be_negative:
            return Reason.PRICE, f"{name} {price!r} is not a positive number"
    if quote.volume is not None and quote.volume < 0:
        return Reason.SIZE, f"cumulative volume {quote.volume} is negative"
    return None


def depth_fault(
    row: DepthRow, tick_size: float, *, may_be_negative: bool = False
) -> tuple[Reason, str] | None:
    """The rule that a depth row breaks, or None.

    A Reset clears the book whatever else it says. Session lows, highs and news of a best price
    change nothing, so that their prices (which may be 0 before the first trade) are not judged.

    Args:
        row: readable.
        tick_size: the contract's price step; 0 skips the grid rule.
        may_be_negative: whether prices may be zero or negative.
    """
    if row.kind == _RESET:
        return None
    if row.kind not in LEVEL_KINDS and row.kind not in PRINT_KINDS:
        if EARLIEST_NS <= row.ts_event < LATEST_NS:
            return None
        return Reason.TIME, f"time {row.ts_event} ns is outside 2000-2100"
    return trade_fault(
        row.ts_event, row.price, row.size, tick_size, may_be_negative=may_be_negative
    )


def rejected_trade(trade: Trade, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of a print, with every member it had."""
    return Rejected(reason, detail, _encode(trade), trade.ts_recv, trade.contract_id)


def rejected_row(batch: TradeBatch, index: int, reason: Reason, detail: str) -> Rejected:
    """The same of one row of a batch."""
    return rejected_trade(batch.row(index), reason, detail)


def rejected_quote(quote: Quote, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of a quote, with every member it had."""
    return Rejected(reason, detail, _encode(quote), quote.ts_recv, quote.contract_id)


def rejected_depth(contract_id: str, row: DepthRow, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of a depth row, with every member it had."""
    return Rejected(reason, detail, _encode(row), row.ts_recv, contract_id)


def unwanted_rows(batch: TradeBatch) -> list[Rejected]:
    """The quarantined form of every row of a batch of a contract nobody asked for."""
    return [
        rejected_row(batch, row, Reason.NOT_SUBSCRIBED, "nobody asked for this contract")
        for row in range(len(batch))
    ]
