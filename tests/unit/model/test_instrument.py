"""What an instrument says of itself."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.model.instrument import Instrument


@pytest.mark.parametrize(
    ("contract_id", "product"),
    [
        ("CON.F.US.MES.Z26", "MES"),
        ("CON.F.US.EP.U24", "EP"),
        ("CON.F.US.GCE.Z13", "GCE"),
        ("BTCUSDT", "the name"),
        ("CON.F.US.MES", "the name"),
    ],
)
def test_the_product_is_the_fourth_segment(contract_id: str, product: str) -> None:
    """The product is a segment of a whole id; an id of another form leaves the name."""
    assert Instrument(contract_id, "the name").product == product


def test_what_the_gateway_does_not_say_is_unknown() -> None:
    """Steps and values that nobody gave are 0, which means unknown, and the calendar is CME's."""
    instrument = Instrument("CON.F.US.MES.Z26", "MESZ6")
    assert (instrument.tick_size, instrument.tick_value) == (0.0, 0.0)
    assert instrument.calendar == "cme"


def test_an_instrument_is_frozen_and_a_value() -> None:
    """Instruments are shared between rooms: equal by content, usable as keys, never changed."""
    one = Instrument("CON.F.US.MES.Z26", "MESZ6", tick_size=0.25)
    assert one == Instrument("CON.F.US.MES.Z26", "MESZ6", tick_size=0.25)
    assert len({one, Instrument("CON.F.US.MES.Z26", "MESZ6", tick_size=0.25)}) == 1
    with pytest.raises(AttributeError):
        one.tick_size = 0.5  # type: ignore[misc]  # the refused change is the point
    assert msgspec.json.decode(msgspec.json.encode(one), type=Instrument) == one


@pytest.mark.parametrize(
    ("name", "root"),
    [("ESZ6", "ES"), ("M6EH27", "M6E"), ("ZNU26", "ZN"), ("BTCUSDT", "BTCUSDT"), ("Z6", "Z6")],
)
def test_root_is_the_name_without_its_expiry(name: str, root: str) -> None:
    """A name without an expiry stands for itself."""
    assert Instrument("CON.F.US.EP.Z26", name).root == root
