"""Bars: prints of one contract folded into all its timeframes and measures at once."""

from tapekeeper.core.bars.both import AllBars
from tapekeeper.core.bars.cascade import ContractBars
from tapekeeper.core.bars.marks import Mark, marks_of
from tapekeeper.core.bars.measured import MeasuredBars
from tapekeeper.core.bars.values import BarPolicy, Folded, Grid

__all__ = [
    "AllBars",
    "BarPolicy",
    "ContractBars",
    "Folded",
    "Grid",
    "Mark",
    "MeasuredBars",
    "marks_of",
]
