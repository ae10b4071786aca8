"""The list of all gaps: the last word on each, found by what one asks for."""

from __future__ import annotations

import msgspec

from tapekeeper.core.ledger import Ledger, gaps_in, line_of
from tapekeeper.model.gap import Gap, GapCause, GapState, Span


def gap(gap_id: int, contract_id: str = "A", **changes: object) -> Gap:
    """A gap over [10, 20) in event time."""
    made = Gap(gap_id, contract_id, GapCause.DISCONNECT, 10, 20, "the line ended", 5)
    return msgspec.structs.replace(made, **changes)


def test_the_last_word_on_a_gap_counts() -> None:
    """A gap is told as often as it changes, and stands once."""
    ledger = Ledger([gap(1, to_ns=None), gap(2, "B"), gap(1)])
    assert [each.gap_id for each in ledger.find()] == [1, 2]
    assert (ledger.get(1), ledger.get(3), len(ledger), ledger.next_id) == (gap(1), None, 2, 3)


def test_gaps_are_found_by_every_condition_at_once() -> None:
    """Contract, cause, state and the interval that they touch."""
    start = gap(3, cause=GapCause.START, from_ns=None)
    lasting = gap(4, to_ns=None)
    ledger = Ledger([gap(1), gap(2, "B", restored=(Span(10, 20),)), start, lasting])

    def ids(**conditions: object) -> list[int]:
        return [each.gap_id for each in ledger.find(**conditions)]  # type: ignore[arg-type] # a table of conditions

    assert ids(contract_id="B") == [2]
    assert ids(causes=[GapCause.START]) == [3]
    assert ids(states=[GapState.LASTING, GapState.REPAIRED]) == [2, 4]
    assert ids(from_ns=20) == [4]
    assert ids(to_ns=10) == [3]
    assert ids(from_ns=19, to_ns=11) == [1, 2, 3, 4]
    assert ids(contract_id="A", causes=[GapCause.DISCONNECT], from_ns=20) == [4]


def test_a_file_is_read_back_as_it_was_written() -> None:
    """What a crash left of the last line is left out; a damaged line is named, the rest is read."""
    lines = [line_of(each) for each in (gap(1, to_ns=None), gap(1, restored=(Span(10, 20),)))]
    assert list(gaps_in(b"".join(lines) + lines[0][:-9])) == [
        gap(1, to_ns=None),
        gap(1, restored=(Span(10, 20),)),
    ]
    damaged = list(gaps_in(lines[0] + b'{"gap_id":"x"}\n' + b"\xff\n" + lines[1]))
    assert [type(item) for item in damaged] == [Gap, str, str, Gap]
    assert str(damaged[1]).startswith("line 2 is no gap:")
    assert list(gaps_in(b"")) == []


def test_the_ledger_in_memory_is_bounded() -> None:
    """The oldest go first; numbers go on."""
    ledger = Ledger((gap(number) for number in range(1, 8)), gaps_max=3)
    assert [each.gap_id for each in ledger.find()] == [5, 6, 7]
    assert ledger.next_id == 8
