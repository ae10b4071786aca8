"""Runs that verify the whole: shipped, so that whoever uses Tapekeeper can repeat them."""
