"""Bars: prints of one contract folded into all its timeframes at once."""

from tapekeeper.core.bars.cascade import ContractBars
from tapekeeper.core.bars.marks import Mark, marks_of
from tapekeeper.core.bars.values import BarPolicy, Folded, Grid

__all__ = ["BarPolicy", "ContractBars", "Folded", "Grid", "Mark", "marks_of"]
