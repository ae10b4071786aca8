"""Ends a connection with a TCP reset, over a socket and in memory."""

from __future__ import annotations

import asyncio
import socket
import struct

from tapekeeper.sim.memory_network import End

_AT_ONCE = struct.pack("hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii", 1, 0)
"""Linger for no time: the system sends a reset where it is closed. Windows has shorter fields."""


def reset(transport: asyncio.BaseTransport) -> None:
    """Reset the connection; the peer meets an error and not the end of the stream."""
    if isinstance(transport, End):
        transport.cut()
        return
    plain = transport.get_extra_info("socket")
    if plain is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    if isinstance(transport, asyncio.Transport):
        transport.abort()
