"""Tapekeeper holds a realtime futures feed and turns every print into bars that are true."""
