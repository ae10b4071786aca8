"""Bars from prints: every timeframe of a contract in one pass."""

from tapekeeper.core.bars.cascade import ContractBars, Folded, Grid

__all__ = ["ContractBars", "Folded", "Grid"]
