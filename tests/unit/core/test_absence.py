"""What the warm-up of a start makes of entries from before this process."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.absence import (
    HEALED,
    OUT_OF_REACH,
    followed_until,
    healed_by,
    lasting_absence,
)
from tapekeeper.core.ledger import Ledger
from tapekeeper.model.gap import Gap, GapCause, Span

MES = "CON.F.US.MES.H26"


def entry(
    gap_id: int,
    from_ns: int | None,
    to_ns: int | None,
    cause: GapCause = GapCause.DISCONNECT,
    restored: tuple[Span, ...] = (),
) -> Gap:
    """An entry of one contract."""
    return Gap(gap_id, MES, cause, from_ns, to_ns, "seen", 0, restored)


START = entry(9, None, 200, GapCause.START, (Span(100, 200),))


@pytest.mark.parametrize(
    ("gap", "restored", "note"),
    [
        (entry(1, 120, 150), (Span(120, 150),), HEALED),
        (entry(1, 80, 150), (Span(100, 150),), OUT_OF_REACH),
        (entry(1, 80, 150, restored=(Span(80, 100),)), (Span(80, 150),), HEALED),
        (entry(1, 20, 50), (), OUT_OF_REACH),
        (entry(1, 120, 200, GapCause.CRASH), (Span(120, 200),), HEALED),
    ],
)
def test_an_old_entry_is_healed_as_far_as_the_warm_up_reaches(
    gap: Gap, restored: tuple[Span, ...], note: str
) -> None:
    """And where it does not reach all of it, the entry says so instead of staying open."""
    (healed,) = healed_by(START, Ledger([gap, START]), 9, ())
    assert healed == msgspec.structs.replace(gap, restored=restored, note=note)


@pytest.mark.parametrize(
    "gap",
    [
        entry(1, 120, None),  # it has no end yet
        entry(1, 120, 120),  # it was taken back
        entry(1, None, 150, GapCause.START),
        entry(1, 120, 150, restored=(Span(120, 150),)),  # nothing is missing any more
        entry(10, 120, 150),  # of this process
        msgspec.structs.replace(entry(1, 120, 150), contract_id="another"),
    ],
)
def test_what_is_not_to_be_healed_is_left_alone(gap: Gap) -> None:
    """Of this process's own entries history is asked by itself."""
    assert healed_by(START, Ledger([gap, START]), 9, ()) == []


def test_of_what_history_is_asked_for_nothing_is_said_in_advance() -> None:
    """Only what is healed already is told."""
    out_of_reach, partly = entry(1, 20, 50), entry(2, 80, 150)
    healed = healed_by(START, Ledger([out_of_reach, partly, START]), 9, {1, 2})
    assert healed == [msgspec.structs.replace(partly, restored=(Span(100, 150),))]


def test_a_contract_that_did_not_trade_was_followed_since_its_last_gap() -> None:
    """Entries of some timeframes alone say nothing of prints."""
    of_some = msgspec.structs.replace(entry(3, 300, 400), timeframes=("1m",))
    ledger = Ledger([entry(1, None, 200, GapCause.START), entry(2, 120, 150), of_some])
    assert followed_until(ledger, MES, None) == 200
    lasting = Ledger([entry(1, None, None, GapCause.START)])
    assert followed_until(lasting, MES, None) is None
    assert followed_until(lasting, MES, 120) == 120


@pytest.mark.parametrize(("latest_ns", "until_ns"), [(200, 200), (199, 150), (149, 149)])
def test_nothing_is_known_behind_a_trade_that_is_doubted(latest_ns: int, until_ns: int) -> None:
    """An end that lies behind it says nothing of what is missing before it."""
    ledger = Ledger([entry(1, None, 200, GapCause.START), entry(2, 120, 150)])
    assert followed_until(ledger, MES, latest_ns) == until_ns


def test_an_absence_lasts_until_the_contract_is_followed_again() -> None:
    """Others that last are none."""
    crash, stopped = (entry(n, 5, None, c) for n, c in ((1, GapCause.CRASH), (2, GapCause.STOPPED)))
    assert lasting_absence(Ledger([crash, entry(3, 5, None)]), MES) == crash
    assert lasting_absence(Ledger([stopped]), MES) == stopped
    assert lasting_absence(Ledger([msgspec.structs.replace(crash, to_ns=9)]), MES) is None
