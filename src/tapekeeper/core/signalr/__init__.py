"""The SignalR hub protocol without I/O: framing, records, negotiation, session."""
