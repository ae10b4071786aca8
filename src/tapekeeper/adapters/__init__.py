"""The outside, one file per technology."""
