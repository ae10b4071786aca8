"""The bounded version of `fuzz/mutated.py`, which takes a million records in minutes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tapekeeper.model.tick import TradeBatch

PATH = Path(__file__).resolve().parents[2] / "fuzz" / "mutated.py"


@pytest.fixture(scope="module")
def mutated() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("mutated", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutated"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_damaged_records_break_no_promise(mutated: ModuleType, seed: int) -> None:
    """No crash, no bar changed by what is quarantined, every record accounted for."""
    code, text = mutated.run(seed, 4_000, 0)
    assert code == 0, text
    for reason in ("malformed", "payload", "not_subscribed", "price", "size", "time"):
        assert f"'{reason}'" in text


def test_a_bad_print_in_the_bars_is_found(mutated: ModuleType) -> None:
    """The check of the bars sees one print more."""
    state = mutated.Run(mutated.Random(1))
    assert all(state.feed(number) is None for number in range(1, 500))
    contract = next(iter(mutated.CONTRACTS))
    trade = state.pipeline.last_trade(contract)
    batch = TradeBatch(contract)
    batch.append(trade.ts_event, 9_999.0, 1, 0, trade.ts_recv, 10**6)
    state.pipeline._contracts[contract].bars.fold(batch)
    assert state.finish(499) is not None
