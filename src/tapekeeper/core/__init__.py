"""Pure and synchronous: bytes and values in, values out. Time is always an argument."""
