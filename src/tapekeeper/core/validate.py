"""Which ticks may reach the tape: one small rule after another, each with its reason.

A tick that fails is never repaired and never dropped in silence: it becomes a `Rejected` value.
What depends on the bars (lateness) is decided where the bars are; what depends on the shape of
a payload is decided where it is decoded.
"""

from __future__ import annotations

import math

import msgspec

from tapekeeper.model.depth import LEVEL_KINDS, PRINT_KINDS, DepthKind, DepthRow
from tapekeeper.model.tick import Quote, Reason, Rejected, TradeBatch

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


def trade_faults(batch: TradeBatch, tick_size: float) -> dict[int, tuple[Reason, str]]:
    """The rows of `batch` that break a rule, by index, with the first rule that each breaks.

    Args:
        batch: trades of one contract.
        tick_size: the contract's price step; 0 skips the grid rule.
    """
    faults: dict[int, tuple[Reason, str]] = {}
    rows = zip(batch.ts_event, batch.price, batch.size, strict=True)
    for index, (ts_event, price, size) in enumerate(rows):
        # The common case leaves by one comparison chain; which rule failed is found afterwards.
        if (
            EARLIEST_NS <= ts_event < LATEST_NS
            and 0.0 < price < math.inf
            and 0 <= size <= SIZE_MAX
            and (tick_size <= 0.0 or on_grid(price, tick_size))
        ):
            continue
        faults[index] = _trade_fault(ts_event, price, size, tick_size)
    return faults


def _trade_fault(ts_event: int, price: float, size: int, tick_size: float) -> tuple[Reason, str]:
    if not EARLIEST_NS <= ts_event < LATEST_NS:
        return Reason.TIME, f"time {ts_event} ns is outside 2000-2100"
    if not 0.0 < price < math.inf:
        return Reason.PRICE, f"price {price!r} is not a positive number"
    if not 0 <= size <= SIZE_MAX:
        return Reason.SIZE, f"size {size} is outside 0 to {SIZE_MAX}"
    return Reason.OFF_GRID, f"price {price!r} is not a multiple of the tick size {tick_size!r}"


def on_grid(price: float, tick_size: float) -> bool:
    """Whether `price` is a whole number of ticks, but for binary rounding."""
    ticks = price / tick_size
    return abs(ticks - round(ticks)) <= GRID_TOLERANCE_TICKS


def quote_fault(quote: Quote) -> tuple[Reason, str] | None:
    """The rule that `quote` breaks, or None.

    A crossed or locked book is not a fault: it is normal before the open.
    """
    if not EARLIEST_NS <= quote.ts_event < LATEST_NS:
        return Reason.TIME, f"time {quote.ts_event} ns is outside 2000-2100"
    for name in ("last", "bid", "ask", "open", "high", "low"):
        price = getattr(quote, name)
        if price is not None and not 0.0 < price < math.inf:
            return Reason.PRICE, f"{name} {price!r} is not a positive number"
    if quote.volume is not None and quote.volume < 0:
        return Reason.SIZE, f"cumulative volume {quote.volume} is negative"
    return None


def depth_fault(row: DepthRow, tick_size: float) -> tuple[Reason, str] | None:
    """The rule that a depth row breaks, or None.

    A Reset clears the book whatever else it says. Session lows, highs and news of a best price
    change nothing, so that their prices (which may be 0 before the first trade) are not judged.

    Args:
        row: readable.
        tick_size: the contract's price step; 0 skips the grid rule.
    """
    ts_event, price, size = row.ts_event, row.price, row.size
    if row.kind == _RESET:
        return None
    if row.kind not in LEVEL_KINDS and row.kind not in PRINT_KINDS:
        if EARLIEST_NS <= ts_event < LATEST_NS:
            return None
    elif (
        EARLIEST_NS <= ts_event < LATEST_NS
        and 0.0 < price < math.inf
        and 0 <= size <= SIZE_MAX
        and (tick_size <= 0.0 or on_grid(price, tick_size))
    ):
        return None
    return _trade_fault(ts_event, price, size, tick_size)


def rejected_row(batch: TradeBatch, index: int, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of one row, with every member it had."""
    return Rejected(
        reason, detail, _encode(batch.row(index)), batch.ts_recv[index], batch.contract_id
    )


def rejected_quote(quote: Quote, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of a quote, with every member it had."""
    return Rejected(reason, detail, _encode(quote), quote.ts_recv, quote.contract_id)


def rejected_depth(contract_id: str, row: DepthRow, reason: Reason, detail: str) -> Rejected:
    """The quarantined form of a depth row, with every member it had."""
    return Rejected(reason, detail, _encode(row), row.ts_recv, contract_id)
