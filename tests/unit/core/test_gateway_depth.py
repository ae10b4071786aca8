"""Depth rows are read in every shape, and what cannot be read costs itself alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tapekeeper.core.gateway.depth import DEPTH_TARGET, DepthDecoder, DepthRecord
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.model.depth import DepthKind, DepthRow
from tapekeeper.model.tick import Reason

MES = "CON.F.US.MES.Z26"
STAMP = "2026-11-20T14:30:00.1234567+00:00"
STAMP_NS = parse_ns(STAMP)
ROW: dict[str, Any] = {
    "timestamp": STAMP,
    "type": 2,
    "price": 6841.25,
    "volume": 3,
    "currentVolume": 12,
}


def decoded(data: object) -> DepthRecord:
    """What one call with this data holds."""
    return DepthDecoder().decode(json.dumps([MES, data]).encode(), 7)


def test_the_call_is_named_as_the_gateway_names_it() -> None:
    """The target is part of the contract with the gateway."""
    assert DEPTH_TARGET == "GatewayDepth"


@pytest.mark.parametrize(
    "data", [ROW, [ROW], [None, ROW, None], {"data": ROW}, {"data": [ROW, None]}]
)
def test_every_shape_gives_the_same_row(data: object) -> None:
    """An object, a list with padding and an envelope are the same row."""
    record = decoded(data)
    assert record == DepthRecord(MES, [DepthRow(2, 6841.25, 12, 3, STAMP_NS, 7, 0)], [], 1)


def test_rows_are_numbered_in_order_across_calls() -> None:
    """Every received row has an arrival number of its own, the unreadable ones too."""
    decoder = DepthDecoder()
    arguments = json.dumps([MES, [ROW, {**ROW, "type": 0}, ROW]]).encode()
    first, second = decoder.decode(arguments, 1), decoder.decode(arguments, 2)
    assert [row.seq for row in first.rows + second.rows] == [0, 2, 3, 5]
    assert [first.received, second.received] == [3, 3]


@pytest.mark.parametrize("kind", [kind for kind in DepthKind if kind is not DepthKind.UNKNOWN])
def test_every_kind_of_the_gateway_is_read(kind: DepthKind) -> None:
    """All kinds but the unknown one are rows, in the list and in the object."""
    row = {**ROW, "type": int(kind)}
    for data in (row, [row]):
        (read,) = decoded(data).rows
        assert read.kind == kind


@pytest.mark.parametrize(
    "row",
    [
        {"type": 6},
        {"type": 6, "price": None, "volume": "?", "timestamp": "0001-01-01T00:00:00+00:00"},
        {"type": 6, "timestamp": "now"},
    ],
)
def test_a_reset_needs_nothing_but_its_type(row: dict[str, Any]) -> None:
    """Whatever else it says or does not say, it must clear the book."""
    record = decoded([row])
    assert record.rows == [DepthRow(6, 0.0, 0, 0, 0, 7, 0)]
    assert record.rejected == []


def test_a_reset_keeps_a_time_that_it_has() -> None:
    """A readable stamp of a Reset is the book's."""
    assert decoded([{"type": 6, "timestamp": STAMP}]).rows[0].ts_event == STAMP_NS


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"type": 0}, Reason.PAYLOAD),
        ({"type": 12}, Reason.PAYLOAD),
        ({"type": None}, Reason.PAYLOAD),
        ({"type": "2"}, Reason.PAYLOAD),
        ({"price": None}, Reason.PRICE),
        ({"price": "6841"}, Reason.PAYLOAD),
        ({"currentVolume": None}, Reason.SIZE),
        ({"currentVolume": 1.5}, Reason.SIZE),
        ({"volume": [1]}, Reason.PAYLOAD),
        ({"timestamp": None}, Reason.TIME),
        ({"timestamp": "2026-11-20T14:30:00"}, Reason.TIME),
    ],
)
def test_a_bad_row_is_quarantined_whole_and_alone(flaw: dict[str, Any], reason: Reason) -> None:
    """Its neighbours stay, and it is kept as it came."""
    bad = {**ROW, **flaw}
    record = decoded([ROW, bad, ROW])
    assert [row.seq for row in record.rows] == [0, 2]
    (rejected,) = record.rejected
    assert (rejected.reason, rejected.contract_id) == (reason, MES)
    assert json.loads(rejected.raw) == bad
    assert record.received == 3


def test_sizes_written_as_decimals_are_whole_numbers() -> None:
    """The gateway writes numbers with trailing zeros at times."""
    (row,) = decoded([{**ROW, "currentVolume": 12.0, "volume": 3.0}]).rows
    assert (row.size, row.volume) == (12, 3)


def test_a_print_within_depth_needs_no_current_volume() -> None:
    """Nothing rests after it that could be told."""
    row = {name: value for name, value in ROW.items() if name != "currentVolume"} | {"type": 5}
    assert decoded([row]).rows[0].size == 0


@pytest.mark.parametrize("arguments", [b"", b"[]", b'["A"]', b'["",[]]', b"[1,[]]", b'["A",3]'])
def test_what_is_no_depth_call_is_one_rejected_row(arguments: bytes) -> None:
    """Arguments of another shape are kept whole and counted once."""
    record = DepthDecoder().decode(arguments, 7)
    assert record.rows == []
    assert record.received == 1
    assert [item.raw for item in record.rejected] == [arguments]
