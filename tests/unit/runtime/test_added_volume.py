"""What history adds is held against what is missing, where it is known where that is missing."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.core.joining import Joined
from tapekeeper.model.audit import AuditFinding, AuditKind
from tapekeeper.model.gap import Gap, GapCause, Repair, Span
from tapekeeper.runtime import added_volume
from tapekeeper.runtime.added_volume import AddedVolume

MES = "CON.F.US.MES.H26"


def gap(number: int, from_ns: int, to_ns: int | None, missing: int | None = 70) -> Gap:
    """A gap with what is missing in it."""
    cause = GapCause.DISCONNECT
    return Gap(number, MES, cause, from_ns, to_ns, "a test", 0, missing_volume=missing)


def found(kind: AuditKind, from_ns: int, to_ns: int) -> AuditFinding:
    """Seventy contracts."""
    return AuditFinding(MES, kind, from_ns, to_ns, 70, 70)


def added(one: Gap, volume: int | None) -> Joined:
    """What a repair comes to."""
    return Joined(Repair(one, 0, ()), is_whole=True, added=volume, came=5)


def repaired(one: Gap) -> Gap:
    """It is restored."""
    assert one.from_ns is not None
    assert one.to_ns is not None
    return msgspec.structs.replace(one, restored=(Span(one.from_ns, one.to_ns),))


@pytest.mark.parametrize(("volume", "is_short"), [(69, True), (70, False), (None, False)])
def test_less_than_is_missing_is_short(volume: int | None, *, is_short: bool) -> None:
    """What is not known is no reason to doubt."""
    known = AddedVolume()
    one = gap(1, 10, 20)
    known.saw([one], [found(AuditKind.MISSING, 9, 21)])
    assert known.missing(one) == 70
    known.note(one, added(one, volume))
    assert known.is_short(repaired(one)) is is_short
    assert known.came(one) == 5


def test_what_is_missing_in_one_of_several_gaps_is_missing_in_none_for_sure() -> None:
    """An interval of the audit touches both, and a third lies elsewhere."""
    known = AddedVolume()
    gaps = [gap(1, 10, 20), gap(2, 30, None), gap(3, 50, 60)]
    known.saw([gaps[0], gap(2, 30, 40), gaps[2]], [])
    known.saw([], [found(AuditKind.MISSING, 15, 32)])
    assert [known.missing(one) for one in gaps] == [0, 0, 70]


def test_of_what_came_after_all_nothing_is_said() -> None:
    """It may have been any part of it."""
    known = AddedVolume()
    one = gap(1, 10, 20)
    known.saw([one], [found(AuditKind.MISSING, 9, 21)])
    known.saw([], [found(AuditKind.RETURNED, 9, 21)])
    assert known.missing(one) == 0


def test_of_too_many_gaps_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is forgotten nothing is missing for sure; starts are not known at all."""
    monkeypatch.setattr(added_volume, "KEPT_MAX", 2)
    known = AddedVolume()
    gaps = [gap(number, number, number + 1) for number in range(1, 4)]
    start = msgspec.structs.replace(gap(4, 1, 2), cause=GapCause.START)
    known.saw([*gaps, start], [])
    assert [known.missing(one) for one in [*gaps, start]] == [0, 70, 70, 0]


def test_of_a_gap_that_the_audit_opened_itself_nothing_is_said() -> None:
    """Its bounds are the stamps of quotes, and a print of it may be stamped outside."""
    known = AddedVolume()
    one = msgspec.structs.replace(gap(1, 10, 20), cause=GapCause.MISSING_PRINTS)
    known.saw([one], [])
    assert known.missing(one) == 0
