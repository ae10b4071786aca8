"""The shapes of market events, which trades, quotes and depth share."""

from __future__ import annotations

import pytest

from tapekeeper.core.gateway.shapes import FlawError, ShapeError, addressed, items, time_of, whole
from tapekeeper.model.tick import Reason


def test_an_event_has_a_contract_and_data() -> None:
    """The data stay undecoded; what comes behind them does not matter."""
    assert addressed(b'["A", {"x": 1}, 3]') == ("A", b'{"x": 1}')


@pytest.mark.parametrize("arguments", [b"", b"{}", b"[]", b'["A"]', b"[1, 2]", b'["", 1]', b"\xff"])
def test_what_has_no_contract_or_no_data_is_refused(arguments: bytes) -> None:
    """Nothing can be said of a tick that is addressed to nobody."""
    with pytest.raises(ShapeError):
        addressed(arguments)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b'{"x":1}', [b'{"x":1}']),
        (b'[{"x":1},null,2]', [b'{"x":1}', b"2"]),
        (b'{"data":[1]}', [b"1"]),
        (b'{"data":{"x":1}}', [b'{"x":1}']),
        (b"[]", []),
    ],
)
def test_the_accepted_shapes_come_apart(data: bytes, parts: list[bytes]) -> None:
    """One object, a list with padding, and an envelope around either."""
    assert items(data) == parts


@pytest.mark.parametrize("data", [b"1", b'"x"', b'{"data":{"data":1}}', b'{"data":3}'])
def test_other_shapes_are_refused(data: bytes) -> None:
    """A bare value, or an envelope within an envelope, is nothing the hub sends."""
    with pytest.raises(ShapeError):
        items(data)


def test_members_that_are_no_time_and_no_whole_number_are_flaws() -> None:
    """Each flaw names its rule."""
    assert whole(2.0) == 2
    with pytest.raises(FlawError) as fraction:
        whole(2.5)
    with pytest.raises(FlawError) as late:
        time_of(b'"now"')
    assert (fraction.value.reason, late.value.reason) == (Reason.SIZE, Reason.TIME)
