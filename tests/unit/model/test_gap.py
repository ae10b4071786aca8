"""What has become of a gap, and what of it nothing stands for."""

from __future__ import annotations

import pytest

from tapekeeper.model.gap import Gap, GapCause, GapState, HistoryRow, HistoryRows, Repair, Span


def gap(from_ns: int | None, to_ns: int | None, *restored: tuple[int, int]) -> Gap:
    """A gap with these parts restored."""
    spans = tuple(Span(*part) for part in restored)
    return Gap(1, "X", GapCause.DISCONNECT, from_ns, to_ns, "why", 0, spans)


@pytest.mark.parametrize(
    ("one", "state", "unrestored"),
    [
        (gap(10, None), GapState.LASTING, ((10, None),)),
        (gap(10, 20), GapState.ENDED, ((10, 20),)),
        (gap(10, 20, (10, 20)), GapState.REPAIRED, ()),
        (gap(10, 20, (5, 25)), GapState.REPAIRED, ()),
        (gap(10, 20, (10, 12), (15, 20)), GapState.PARTLY_REPAIRED, ((12, 15),)),
        (gap(10, 20, (12, 15)), GapState.PARTLY_REPAIRED, ((10, 12), (15, 20))),
        (gap(None, 20, (12, 20)), GapState.PARTLY_REPAIRED, ((None, 12),)),
        (gap(None, None), GapState.LASTING, ((None, None),)),
    ],
)
def test_what_is_not_restored_is_left(
    one: Gap, state: GapState, unrestored: tuple[tuple[int | None, int | None], ...]
) -> None:
    """The parts before, between and behind what was restored, in order."""
    assert (one.state, one.unrestored) == (state, unrestored)


def test_rows_of_history_become_bars() -> None:
    """The gateway tells neither prints nor sides; turnover is that of the typical price."""
    repair = Repair(
        gap(0, 10), 10, (HistoryRows("1s", (HistoryRow(0, 10, 1.0, 4.0, 1.0, 2.5, 6),)),)
    )
    (bar,) = repair.bars()
    assert (bar.contract_id, bar.timeframe, bar.ts_open, bar.ts_end) == ("X", "1s", 0, 10)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (1.0, 4.0, 1.0, 2.5, 6)
    assert (bar.n, bar.buy_vol, bar.sell_vol, bar.ts_first, bar.ts_last) == (0, 0, 0, 0, 9)
    assert bar.vwap == 2.5
