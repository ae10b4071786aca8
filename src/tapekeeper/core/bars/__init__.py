"""Bars: prints of one contract folded into all its timeframes at once."""

from tapekeeper.core.bars.cascade import ContractBars, Folded, Grid, LatePolicy
from tapekeeper.core.bars.marks import Mark

__all__ = ["ContractBars", "Folded", "Grid", "LatePolicy", "Mark"]
