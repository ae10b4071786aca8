"""core/continuous/chain: what contracts are called, and which expires first."""

from __future__ import annotations

import datetime as dt

import pytest

from tapekeeper.core.continuous.chain import chain_of, expiring, named, names_a_month
from tapekeeper.errors import UnknownContractError
from tapekeeper.model.continuous import Expiring
from tapekeeper.model.instrument import Instrument

JANUARY_2026 = dt.date(2026, 1, 5)
MES = [Instrument(f"CON.F.US.MES.{code}", f"MES{code[0]}{code[2]}") for code in ("M26", "H26")]
FURTHER = Instrument("CON.F.US.MES.H27", "MESH7")
ES = Instrument("CON.F.US.EP.H26", "ESH6", "F.US.EP")
PERPETUAL = Instrument("CON.F.US.BTCUSDT", "BTCUSDT")
SEEN = {item.contract_id: JANUARY_2026 for item in (*MES, FURTHER, ES, PERPETUAL)}


@pytest.mark.parametrize(
    ("contract_id", "name", "seen", "expected"),
    [
        ("CON.F.US.MES.H26", "MESH6", JANUARY_2026, (2026, 3)),
        ("CON.F.US.MES.H26", "", dt.date(2026, 6, 1), (2026, 3)),
        ("CON.F.US.CLE.F27", "CLF7", JANUARY_2026, (2027, 1)),
        ("GCZ3", "GCZ3", dt.date(2013, 10, 7), (2013, 12)),
        ("GCV3", "GCV3", dt.date(2013, 10, 31), (2013, 10)),
        ("GCV3", "GCV3", dt.date(2013, 11, 1), (2023, 10)),
        ("GCG4", "GCG4", dt.date(2013, 10, 7), (2014, 2)),
        ("GCZ13", "GCZ13", JANUARY_2026, (2013, 12)),
        ("CON.F.US.BTCUSDT", "BTCUSDT", JANUARY_2026, None),
        ("CON.F.US.MES.A26", "MES", JANUARY_2026, None),
    ],
)
def test_ids_and_names_tell_the_delivery_month(
    contract_id: str, name: str, seen: dt.date, expected: tuple[int, int] | None
) -> None:
    """The id goes before the name, two digits are of this century, one is the next such year."""
    found = expiring(Instrument(contract_id, name), seen)
    assert (None if found is None else (found.year, found.month)) == expected


def test_a_chain_is_in_order_of_delivery() -> None:
    """By year before month, and of one product only; one that never traded is not in it."""
    everything = [FURTHER, *MES, ES, PERPETUAL]
    chain = chain_of("mes", everything, SEEN)
    assert [each.code for each in chain] == ["H26", "M26", "H27"]
    traded = {key: day for key, day in SEEN.items() if not key.endswith("M26")}
    assert [each.code for each in chain_of("MES", everything, traded)] == ["H26", "H27"]
    assert chain_of("MES", everything, {}) == []


@pytest.mark.parametrize("text", ["ES", "EP", "f.us.ep", " es "])
def test_a_product_has_several_names(text: str) -> None:
    """The exchange's symbol, the gateway's code and the symbol id mean the same product."""
    assert [each.name for each in chain_of(text, [*MES, ES], SEEN)] == ["ESH6"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("CL", "no product is named 'CL': name one without its expiry; there are BTCUSDT, EP, MES"),
        ("MESH6", "no product is named 'MESH6': name one without its expiry"),
        ("", "no product is named ''"),
        ("BTCUSDT", "the contracts of 'BTCUSDT' do not expire"),
        ("X", "'X' names several products: ONE, TWO"),
    ],
)
def test_a_product_that_is_not_there_is_named(text: str, sentence: str) -> None:
    """One sentence that says which there are; nothing is guessed."""
    twins = [Instrument(f"CON.F.US.{code}.H26", "XH6") for code in ("ONE", "TWO")]
    there = twins if text == "X" else [*MES, ES, PERPETUAL]
    with pytest.raises(UnknownContractError, match="^" + sentence.replace(".", r"\.")):
        chain_of(text, there, SEEN)


def test_a_contract_is_named_by_id_name_or_month() -> None:
    """Four ways, whatever the case; a month that no contract has is nobody's."""
    chain = [Expiring("CON.F.US.MES.H26", "MESH6", 2026, 3)]
    for text in ("CON.F.US.MES.H26", "mesh6", "H26", "h6"):
        assert named(text, chain) is chain[0]
    assert named("M26", chain) is None
    assert named("MES", chain) is None


def test_a_text_without_a_month_names_no_contract() -> None:
    """So that a mistake is told before any work."""
    assert all(map(names_a_month, ("H26", "MESH6", "CON.F.US.MES.H26")))
    assert not any(map(names_a_month, ("MES", "", "H", "26", "H2026x")))
