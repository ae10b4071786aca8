"""Records end with 0x1E, wherever WebSocket messages end."""

from __future__ import annotations

import pytest

from tapekeeper.core.signalr.framing import RecordSplitter
from tapekeeper.errors import ProtocolError


def test_several_records_in_one_message() -> None:
    """A message may hold many records; all come out, in order, without separators."""
    assert RecordSplitter().feed(b"a\x1ebb\x1ec\x1e") == [b"a", b"bb", b"c"]


def test_a_record_over_several_messages() -> None:
    """A record may span messages; it comes out when its end does."""
    splitter = RecordSplitter()
    assert splitter.feed(b'{"ty') == []
    assert splitter.feed(b'pe":') == []
    assert splitter.pending_bytes == 8
    assert splitter.feed(b'6}\x1e{"t') == [b'{"type":6}']
    assert splitter.pending_bytes == 3


def test_the_end_alone_completes_a_record() -> None:
    """A separator at the start of a message ends the record before it."""
    splitter = RecordSplitter()
    splitter.feed(b"{}")
    assert splitter.feed(b"\x1e") == [b"{}"]
    assert splitter.pending_bytes == 0


def test_empty_records_are_kept() -> None:
    """An empty record is an error of the peer, which the caller judges."""
    assert RecordSplitter().feed(b"\x1e\x1e") == [b"", b""]


def test_an_empty_message_holds_nothing() -> None:
    """No bytes, no records."""
    assert RecordSplitter().feed(b"") == []


def test_an_endless_record_ends_the_connection() -> None:
    """Bytes without a separator are bounded, whether in one message or in many."""
    with pytest.raises(ProtocolError, match="10 bytes without an end"):
        RecordSplitter(record_bytes_max=10).feed(b"x" * 11)
    splitter = RecordSplitter(record_bytes_max=10)
    splitter.feed(b"x" * 6)
    with pytest.raises(ProtocolError, match="10 bytes without an end"):
        splitter.feed(b"x" * 6)


def test_the_bound_is_of_one_record() -> None:
    """Many records in one message may exceed the bound together, and a tail starts anew."""
    splitter = RecordSplitter(record_bytes_max=10)
    assert len(splitter.feed(b"12345678\x1e" * 5 + b"12345678")) == 5
    assert splitter.feed(b"9\x1e12345678") == [b"123456789"]
