"""Validation: which ticks reach the tape, which are set aside with a reason, which are flagged."""

from tapekeeper.core.validate.clocks import Sifted, StampRules
from tapekeeper.core.validate.flags import KEPT_EACH, Flagged
from tapekeeper.core.validate.policy import LENIENT, RulePolicy
from tapekeeper.core.validate.quarantine import KEPT_MAX, Quarantine, Quarantined, is_admissible
from tapekeeper.core.validate.quotes import QuoteRules
from tapekeeper.core.validate.rules import Judged, TradeRules
from tapekeeper.core.validate.ticks import (
    EARLIEST_NS,
    LATEST_NS,
    SIZE_MAX,
    depth_fault,
    on_grid,
    rejected_depth,
    rejected_quote,
    rejected_row,
    rejected_trade,
    trade_fault,
    unwanted_rows,
)

__all__ = [
    "EARLIEST_NS",
    "KEPT_EACH",
    "KEPT_MAX",
    "LATEST_NS",
    "LENIENT",
    "SIZE_MAX",
    "Flagged",
    "Judged",
    "Quarantine",
    "Quarantined",
    "QuoteRules",
    "RulePolicy",
    "Sifted",
    "StampRules",
    "TradeRules",
    "depth_fault",
    "is_admissible",
    "on_grid",
    "rejected_depth",
    "rejected_quote",
    "rejected_row",
    "rejected_trade",
    "trade_fault",
    "unwanted_rows",
]
