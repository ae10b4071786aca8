"""Bars of all timeframes of a contract, folded from one pass over its trades."""
