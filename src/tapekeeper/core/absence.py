"""What of the time before this process stands in the ledger, and what a warm-up makes of it.

The warm-up of a start asks the gateway for the bars before it. They stand for whatever was missing
there, whichever process missed it: such entries need not be asked for again.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from tapekeeper.core.ledger import Ledger
from tapekeeper.model.gap import ABSENCES, Gap, GapCause, GapState, Span, merged

HEALED = "the warm-up of a later process stands for it"
OUT_OF_REACH = "the warm-up of a later process did not reach all of it"


def followed_until(ledger: Ledger, contract_id: str, latest_ns: int | None) -> int | None:
    """Up to where it is known that nothing of a contract is missing that was not found to trade.

    Args:
        ledger: as it is.
        contract_id: of the contract.
        latest_ns: event time, ns UTC, behind which nothing is believed; None for no such bound.

    Returns:
        Event time, ns UTC: the latest end in front of it of what was missing of the contract; the
        bound itself where there is none.
    """
    gaps = [gap for gap in ledger.find(contract_id=contract_id) if not gap.timeframes]
    ends = [gap.to_ns for gap in gaps if gap.to_ns is not None]
    believed = [to_ns for to_ns in ends if latest_ns is None or to_ns <= latest_ns]
    return max(believed, default=latest_ns)


def lasting_absence(ledger: Ledger, contract_id: str) -> Gap | None:
    """The time without a process that has not ended yet for a contract."""
    states = [GapState.LASTING]
    lasting = ledger.find(contract_id=contract_id, causes=ABSENCES, states=states)
    return lasting[-1] if lasting else None


def healed_by(start: Gap, ledger: Ledger, before_id: int, waiting: Container[int]) -> list[Gap]:
    """Entries from before a process as they are now that its start was warmed up.

    Args:
        start: the start of a contract, as the warm-up left it.
        ledger: as it is.
        before_id: of the first entry that is this process's own.
        waiting: entries for which history is asked as well; nothing is said of what they lack.
    """
    states = [GapState.ENDED, GapState.PARTLY_REPAIRED]
    healed: list[Gap] = []
    for gap in ledger.find(contract_id=start.contract_id, states=states):
        if gap.gap_id >= before_id or gap.cause is GapCause.START:
            continue
        if gap.from_ns is None or gap.to_ns is None or gap.to_ns <= gap.from_ns:
            continue
        parts = [
            Span(max(span.from_ns, gap.from_ns), min(span.to_ns, gap.to_ns))
            for span in start.restored
        ]
        restored = merged([*gap.restored, *(one for one in parts if one.from_ns < one.to_ns)])
        now = msgspec.structs.replace(gap, restored=restored)
        if not now.unrestored:
            healed.append(msgspec.structs.replace(now, note=HEALED))
        elif gap.gap_id not in waiting:
            healed.append(msgspec.structs.replace(now, note=OUT_OF_REACH))
        elif restored != gap.restored:
            healed.append(now)
    return healed
