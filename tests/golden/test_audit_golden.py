"""The audit on recorded prints and quotes, in the order and at the times at which they came.

The recordings have no cumulative volume, so each quote gets what had been received of the prints
when it was received: the pace, the bursts, the stamps and the order of the two are real.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.core.audit import AuditStage
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.audit import AuditFinding, AuditKind, AuditTally
from tapekeeper.model.tick import Quote, TradeBatch

pytestmark = pytest.mark.data

SETS = (
    "esh2_2022-01-24_0830et",
    "esu4_2024-07-01_utc_midnight",
    "btcusdt_perp_2024-08-08",
)
SECOND = 1_000_000_000


def audited(
    folder: Path, lost: range = range(0), *, every: int = 1
) -> tuple[list[AuditFinding], AuditTally, int]:
    """What is found, the sums, and the volume of the lost prints.

    Args:
        folder: of a recording.
        lost: seconds since its first print whose prints reach nobody.
        every: of so many quotes one is sent.
    """
    trades = pl.read_parquet(folder / "trades.parquet").sort("ts_recv", "seq")
    quotes = pl.read_parquet(folder / "quotes.parquet").sort("ts_recv", "seq")
    start_ns = int(trades["ts_event"].min())  # type: ignore[arg-type]  # a column of integers
    traded_ns = trades["ts_recv"].to_list()
    volumes = [0, *accumulate(trades["size"].to_list())]
    arrivals: list[tuple[int, int, int, int]] = [
        (recv_ns, 0, ts_ns, size)
        for recv_ns, ts_ns, size in trades.select("ts_recv", "ts_event", "size").iter_rows()
    ]
    arrivals += [
        (recv_ns, 1, ts_ns, volumes[bisect_right(traded_ns, recv_ns)])
        for recv_ns, ts_ns in quotes.select("ts_recv", "ts_event").gather_every(every).iter_rows()
    ]
    arrivals.sort(key=lambda each: each[:2])
    stage = AuditStage()
    stage.follow("a", calendar_by_name("24x7@America/Chicago"))
    found: list[AuditFinding] = []
    lost_volume = 0
    for seq, (recv_ns, kind, ts_ns, amount) in enumerate(arrivals):
        if kind:
            stage.take_quote(Quote("a", ts_ns, recv_ns, seq, volume=amount))
        elif (ts_ns - start_ns) // SECOND in lost:
            lost_volume += amount
        else:
            stage.take_trades(TradeBatch("a", [ts_ns], [1.0], [amount], [0], [recv_ns], [seq]))
        found += stage.collect()[0]
    stage.passed("a", arrivals[-1][2] + 60 * SECOND)
    found += stage.collect()[0]
    (tally,) = stage.tallies()
    return found, tally, lost_volume


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("name", SETS)
def test_recorded_ticks_raise_no_finding(name: str, every: int, shared_data: Path) -> None:
    """Real bursts, real order, every quote or one in seven."""
    found, tally, _ = audited(shared_data / name, every=every)
    assert found == []
    assert tally.missing == tally.surplus == 0


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("esu4_2024-07-01_utc_midnight", range(120, 150)),
        ("btcusdt_perp_2024-08-08", range(150, 160)),
    ],
)
def test_what_is_taken_out_of_recorded_ticks_is_found(
    name: str, seconds: range, shared_data: Path
) -> None:
    """At least 99 % of the volume, and no more than was lost."""
    found, _, lost = audited(shared_data / name, seconds)
    assert {one.kind for one in found} == {AuditKind.MISSING}
    assert 0.99 * lost <= sum(one.volume for one in found) <= lost
    assert lost > 10
