"""What the audit finds in front of an outage is missing, too, where nothing had come any more."""

from __future__ import annotations

from tapekeeper.model.audit import AuditFinding, AuditKind
from tapekeeper.model.gap import Gap, GapCause, Span
from tapekeeper.runtime.noticed_late import NEAR_NS, NOTED_MAX, NoticedLate

S = 1_000_000_000
FOUND = AuditFinding("X", AuditKind.MISSING, 30 * S, 70 * S, 500, 900)


def outage(gap_id: int = 1, from_s: int = 65) -> Gap:
    """One that ended at 67 s."""
    return Gap(gap_id, "X", GapCause.DISCONNECT, from_s * S, 67 * S, "lost", 0)


def test_what_touches_no_known_gap_is_one() -> None:
    """All of it, both ends included."""
    assert NoticedLate().untold(FOUND, []) == Span(30 * S, 70 * S + 1)


def test_silence_in_front_of_an_outage_is_part_of_what_is_missing() -> None:
    """From the last print on, and from where the finding begins at the earliest."""
    late = NoticedLate()
    late.note(1, 40 * S)
    late.note(1, 64 * S)  # a later word on the same gap
    assert late.untold(FOUND, [outage()]) == Span(40 * S, 65 * S)
    late.note(2, 10 * S)
    assert late.untold(FOUND, [outage(2)]) == Span(30 * S, 65 * S)


def test_prints_up_to_an_outage_leave_its_volume_to_it() -> None:
    """A finding goes back to where the market paused last, and on to where it pauses next."""
    late = NoticedLate()
    late.note(1, 65 * S - NEAR_NS)
    late.note(2, None)
    for gap_id in (1, 2, 3):
        assert late.untold(FOUND, [outage(gap_id)]) is None


def test_what_is_remembered_is_bounded() -> None:
    """The oldest outage goes first."""
    late = NoticedLate()
    for gap_id in range(1, NOTED_MAX + 2):
        late.note(gap_id, 40 * S)
    assert late.untold(FOUND, [outage(1)]) is None
    assert late.untold(FOUND, [outage(2)]) is not None
