"""The state of a contract: bars of time alone, until something else is asked for."""

from __future__ import annotations

import pytest

from tapekeeper.core.bars import AllBars, ContractBars, Mark
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.followed import Contract
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.errors import UsageError
from tapekeeper.model.bar import Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, parse_size
from tapekeeper.model.tick import TradeBatch

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = Instrument("CON.F.US.MES.H26", "MESH6", tick_size=0.25)


def sizes(*names: str) -> tuple[BarSize, ...]:
    """Bar sizes by their texts."""
    return tuple(map(parse_size, names))


def subscription(*names: str) -> Subscription:
    """A subscription of a contract whose tick value is not known."""
    return Subscription(MES, sizes(*names), calendar_by_name("cme"))


def test_a_tape_without_measures_has_nothing_of_them() -> None:
    """Bars of time stand alone, so nothing lies between them and their prints."""
    contract = Contract.of(subscription("1s", "1m"))
    assert isinstance(contract.bars, ContractBars)
    contract.add(sizes("5s"))
    assert isinstance(contract.bars, ContractBars)
    assert contract.bars.timeframes == sizes("1s", "5s", "1m")


def test_a_measure_that_is_added_knows_the_gaps_that_there_are() -> None:
    """It is added while a gap lasts: its first bars say so."""
    contract = Contract.of(subscription("1s"))
    contract.bars.mark(4, [Mark(START, START + 9 * SECOND, 4)])
    contract.add(sizes("2tick"))
    assert isinstance(contract.bars, AllBars)
    batch = TradeBatch(MES.contract_id)
    for n in range(2):
        batch.append(START + n, 6_000.0, 1, 0, START, n)
    (bar,) = contract.bars.fold(batch).closed
    assert (bar.completeness, bar.gap_ids) == (Completeness.GAP, (4,))


def test_a_measure_that_cannot_be_had_changes_nothing() -> None:
    """Dollars need a tick value; the contract is as it was, or is not there at all."""
    pipeline = Pipeline(grace_ns=0)
    with pytest.raises(UsageError, match="9dollar bars of MESH6 need the value of a tick"):
        pipeline.subscribe(subscription("1s", "9dollar"))
    assert pipeline.instruments() == []
    pipeline.subscribe(subscription("1s", "9tick"))
    with pytest.raises(UsageError, match="9dollar"):
        pipeline.subscribe(subscription("5s", "9dollar"))
    assert pipeline.timeframes(MES.contract_id) == sizes("1s", "9tick")
