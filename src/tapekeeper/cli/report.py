"""What a run amounts to: both identities, and what was set aside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table

from tapekeeper.app.replay import ReplayResult
from tapekeeper.model.snapshot import TickCounts, VolumeCheck


def counts_line(name: str, counts: TickCounts) -> str:
    """The first identity of the design, with its numbers, in one line."""
    return (
        f"{name}: {counts.received:,} received = {counts.accepted:,} accepted"
        f" + {counts.duplicate:,} duplicate + {counts.quarantined:,} quarantined"
        f" + {counts.shed:,} shed: {_verdict(holds=counts.holds)}"
    )


def rejected_line(rejected: Mapping[str, int]) -> str:
    """Why ticks were quarantined, most frequent first."""
    ordered = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{reason} {count:,}" for reason, count in ordered)
    return f"quarantined: {listed or 'nothing'}"


def volume_line(checks: Sequence[VolumeCheck]) -> str:
    """The second identity of the design over all contracts and timeframes, in one line."""
    broken = [check for check in checks if not check.holds]
    if not checks:
        return "volume: no bars"
    if not broken:
        return f"volume: of bars = of accepted trades, in all {len(checks)} checks: holds"
    names = ", ".join(f"{check.contract_id} {check.timeframe}" for check in broken)
    return f"volume: {len(broken)} of {len(checks)} checks are BROKEN: {names}"


def identity_lines(result: ReplayResult) -> list[str]:
    """Both identities, and what was quarantined, a line each; depth only where there was some."""
    depth = [counts_line("depth", result.depth)] if result.depth.received else []
    return [
        counts_line("trades", result.trades),
        counts_line("quotes", result.quotes),
        *depth,
        rejected_line(result.rejected),
        volume_line(result.checks),
    ]


def checks_table(checks: Iterable[VolumeCheck], symbols: Mapping[str, str]) -> Table:
    """The second identity, a row for each contract and timeframe; volumes in contracts."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("contract", overflow="fold")
    table.add_column("timeframe")
    for heading in ("bars", "volume of bars", "volume of trades"):
        table.add_column(heading, justify="right")
    table.add_column("identity")
    for check in checks:
        table.add_row(
            symbols.get(check.contract_id, check.contract_id),
            check.timeframe,
            f"{check.bars:,}",
            f"{check.bar_volume:,}",
            f"{check.accepted_volume:,}",
            _verdict(holds=check.holds),
        )
    return table


def all_hold(trades: TickCounts, quotes: TickCounts, checks: Iterable[VolumeCheck]) -> bool:
    """Whether both identities hold everywhere."""
    return trades.holds and quotes.holds and all(check.holds for check in checks)


def _verdict(*, holds: bool) -> str:
    return "holds" if holds else "BROKEN"
