"""Bars: prints of one contract folded into all its timeframes at once."""

from tapekeeper.core.bars.cascade import ContractBars
from tapekeeper.core.bars.marks import Mark, marks_of
from tapekeeper.core.bars.values import Folded, Grid, LatePolicy

__all__ = ["ContractBars", "Folded", "Grid", "LatePolicy", "Mark", "marks_of"]
