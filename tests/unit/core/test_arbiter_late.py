"""What the arbiter remembers of prints that are older than its window."""

from __future__ import annotations

from tapekeeper.core.arbiter import SILENCE_NS, WINDOW_NS, Arbiter
from tapekeeper.core.arbiter.keys import key_of
from tapekeeper.core.arbiter.late import Late
from tapekeeper.model.tick import TradeBatch

MES = "CON.F.US.MES.H26"
MGC = "CON.F.US.MGC.G26"
START = 1_767_625_200_000_000_000
MS = 1_000_000
WINDOW_MS = WINDOW_NS // MS
SILENCE_MS = SILENCE_NS // MS


def batch(*stamps_ms: int, recv_ms: int | None = None, contract_id: str = MES) -> TradeBatch:
    """Prints that differ in nothing but their stamps, in ms after START."""
    made = TradeBatch(contract_id)
    for seq, ms in enumerate(stamps_ms):
        recv_ns = START + (ms if recv_ms is None else recv_ms) * MS
        made.append(START + ms * MS, 1.0, 1, 0, recv_ns, seq)
    return made


def passed(arbiter: Arbiter, line: int, rows: TradeBatch) -> list[int]:
    """The stamps that pass, in ms after START."""
    return [
        (ts_ns - START) // MS
        for each in arbiter.admit(line, rows).batches
        for ts_ns in each.ts_event
    ]


def advance(arbiter: Arbiter, line: int, to_ms: int) -> None:
    """Let a line go on alone, so that all before it is out of the window."""
    assert passed(arbiter, line, batch(to_ms, to_ms + 1)) == [to_ms, to_ms + 1]


def test_of_the_stamp_with_which_a_line_begins_the_rest_passes() -> None:
    """It joined in the middle of the stamp: the held-up line's copies are counted one by one."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10))
    arbiter.connected(2, START)
    assert passed(arbiter, 2, batch(5_000, 5_000, 5_010)) == [5_000, 5_000, 5_010]
    advance(arbiter, 2, 5_000 + 2 * WINDOW_MS)
    late_ms = 5_100 + 2 * WINDOW_MS
    held_up = batch(5_000, 5_000, 5_000, 5_010, recv_ms=late_ms)
    assert passed(arbiter, 1, held_up) == [5_000]


def test_the_first_stamp_of_a_line_that_was_alone_is_known_as_well() -> None:
    """Nothing was counted then, and what it brought tells how often it was."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 0, 1))
    advance(arbiter, 1, 2 * WINDOW_MS)
    assert passed(arbiter, 2, batch(0, 0, 0, recv_ms=2 * WINDOW_MS)) == [0]


def test_of_the_stamp_at_which_a_line_was_held_up_the_rest_passes() -> None:
    """It goes on behind what it has brought itself of that stamp."""
    arbiter = Arbiter()
    passed(arbiter, 1, batch(0, 10, 10))
    arbiter.connected(2, START)
    assert passed(arbiter, 2, batch(5_000)) == [5_000]
    advance(arbiter, 2, 2 * WINDOW_MS)
    assert passed(arbiter, 1, batch(10, 20, recv_ms=2 * WINDOW_MS)) == [10, 20]


def test_what_two_lines_were_held_up_with_passes_once() -> None:
    """An outage that no line covered, and of which both bring the backlog."""
    arbiter = Arbiter()
    for line in (1, 2):
        passed(arbiter, line, batch(0, 10))
    arbiter.connected(3, START)
    assert passed(arbiter, 3, batch(8_000, 8_001)) == [8_000, 8_001]
    advance(arbiter, 3, 3 * WINDOW_MS)
    backlog = (1_000, 1_000, 2_000)
    late_ms = 3 * WINDOW_MS + 1
    assert passed(arbiter, 1, batch(*backlog, recv_ms=late_ms)) == [*backlog]
    assert passed(arbiter, 2, batch(*backlog, 2_000, recv_ms=late_ms)) == [2_000]
    assert passed(arbiter, 1, batch(2_000, recv_ms=late_ms)) == []


def test_a_contract_that_is_followed_again_is_still_known() -> None:
    """A slow line may bring what another one had brought before nobody wanted it."""
    arbiter = Arbiter()
    for line in (1, 2):
        passed(arbiter, line, batch(0))
    assert passed(arbiter, 1, batch(100)) == [100]
    arbiter.unfollow(MES)
    assert passed(arbiter, 2, batch(100, 200, recv_ms=3_000)) == [200]


def test_a_contract_that_nobody_follows_is_forgotten_in_time() -> None:
    """Any other contract's prints tell the time; one that is followed again is kept."""
    arbiter = Arbiter()
    for contract_id in (MES, MGC):
        for line in (1, 2):
            arbiter.admit(line, batch(0, contract_id=contract_id))
        arbiter.release(contract_id)
        arbiter.unfollow(contract_id)
    assert arbiter.statistics().contracts_counted == 2
    arbiter.admit(1, batch(1, recv_ms=SILENCE_MS - 1))
    arbiter.admit(1, batch(2, recv_ms=SILENCE_MS, contract_id="CON.F.US.MNQ.H26"))
    assert arbiter.statistics().contracts_counted == 1
    assert passed(arbiter, 2, batch(1, recv_ms=SILENCE_MS)) == []


def test_what_no_line_can_bring_any_more_is_forgotten() -> None:
    """Lines that come and go for days leave nothing behind."""
    late = Late(keys_max=100)
    rows = batch(1, 2, 3)
    for row in range(3):
        late.note(key_of(rows, row), 1, {7: 1})
    late.forget_before(START + 3 * MS)
    assert len(late) == 1
    assert late.passes(8, key_of(rows, 0))
    assert not late.passes(8, key_of(rows, 2))


def test_hand_overs_for_a_day_leave_nothing_behind() -> None:
    """Each new line begins and ends within a stamp, of which the keys are noted and forgotten."""
    arbiter = Arbiter()
    kept = []
    for turn in range(1_000):
        at_ms = turn * 2 * WINDOW_MS
        for line in (turn, turn + 1):
            passed(arbiter, line, batch(*range(at_ms, at_ms + 5)))
        kept.append(arbiter.statistics().late)
    assert 0 < kept[-1] == max(kept[100:])


def test_the_bound_of_keys_holds() -> None:
    """The oldest to be noted goes first, and may pass again."""
    late = Late(keys_max=2)
    rows = batch(1, 2, 3)
    for row in range(3):
        assert late.passes(1, key_of(rows, row))
    assert len(late) == 2
    assert not late.passes(2, key_of(rows, 2))
    assert late.passes(2, key_of(rows, 0))
