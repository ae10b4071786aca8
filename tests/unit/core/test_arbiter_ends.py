"""Nobody waits for a connection that has ended."""

from __future__ import annotations

from tapekeeper.core.arbiter import Admitted, Arbiter
from tapekeeper.model.tick import TradeBatch

MES = "CON.F.US.MES.H26"
START = 1_767_625_200_000_000_000
MS = 1_000_000


def batch(*stamps_ms: int) -> TradeBatch:
    """Prints that are received when they are made, in ms after START."""
    made = TradeBatch(MES)
    for seq, ms in enumerate(stamps_ms):
        made.append(START + ms * MS, 1.0, 1, 0, START + ms * MS, seq)
    return made


def stamps(admitted: Admitted) -> list[int]:
    """What passes, in ms after START."""
    return [(ts - START) // MS for each in admitted.batches for ts in each.ts_event]


def let_go(arbiter: Arbiter, line: int) -> list[int]:
    """What the end of a line lets pass."""
    gone = arbiter.ended(line)
    return stamps(gone[MES]) if gone else []


def arbiter_of(*lines: int) -> Arbiter:
    """An arbiter to which these lines are connected."""
    made = Arbiter()
    for line in lines:
        made.connected(line, START)
    return made


def test_the_line_behind_one_that_ended_does_not_wait() -> None:
    """What was under way on the old connection is lost, and not late."""
    arbiter = arbiter_of(1)
    arbiter.admit(1, batch(0))
    assert let_go(arbiter, 1) == []
    arbiter.connected(2, START + 20 * MS)
    assert stamps(arbiter.admit(2, batch(30))) == [30]
    assert not arbiter.holds(MES)


def test_prints_that_wait_for_a_line_go_on_with_its_end() -> None:
    """Behind everything that it has brought."""
    arbiter = arbiter_of(1, 2)
    arbiter.admit(1, batch(0))
    assert stamps(arbiter.admit(2, batch(20, 30))) == []
    assert let_go(arbiter, 1) == [20, 30]
    assert (arbiter.held, arbiter.holds(MES)) == (0, False)
    assert stamps(arbiter.admit(2, batch(40))) == [40]


def test_prints_go_on_waiting_for_a_line_that_lives() -> None:
    """Of two lines one has ended, and the other may still bring what came before."""
    arbiter = arbiter_of(1, 2, 3)
    arbiter.admit(1, batch(0))
    arbiter.admit(2, batch(0))
    assert stamps(arbiter.admit(3, batch(20))) == []
    assert let_go(arbiter, 1) == []
    assert arbiter.holds(MES)
    assert let_go(arbiter, 2) == [20]


def test_a_line_that_has_brought_nothing_yet_is_waited_for() -> None:
    """Two lines that come back together may each have missed what the other brings."""
    arbiter = arbiter_of(1, 2, 3)
    arbiter.admit(1, batch(0))
    let_go(arbiter, 1)
    assert stamps(arbiter.admit(2, batch(30))) == []
    assert stamps(arbiter.admit(3, batch(20, 30, 40))) == []
    assert let_go(arbiter, 3) == [20, 30, 40]


def test_two_that_wait_for_each_other_go_on_doing_so() -> None:
    """Which of them began before shows by what they bring, until the hold is over."""
    arbiter = arbiter_of(1, 2, 3)
    arbiter.admit(1, batch(0))
    arbiter.admit(2, batch(20))
    arbiter.admit(3, batch(30))
    assert let_go(arbiter, 1) == []
    assert stamps(arbiter.admit(2, batch(1_020))) == [20, 30, 1_020]


def test_what_an_ended_line_left_waiting_goes_before_the_only_one_that_lives() -> None:
    """It was waited for by nobody who could bring more of it."""
    arbiter = arbiter_of(1, 2, 3)
    arbiter.admit(1, batch(0))
    assert stamps(arbiter.admit(2, batch(20, 30))) == []
    assert [let_go(arbiter, line) for line in (1, 2)] == [[], []]
    assert stamps(arbiter.admit(3, batch(30, 40))) == [20, 30, 40]


def test_what_a_line_brought_before_it_ended_is_still_known() -> None:
    """Its successor repeats nothing."""
    arbiter = arbiter_of(1, 2)
    arbiter.admit(1, batch(0, 10, 20))
    let_go(arbiter, 1)
    assert stamps(arbiter.admit(2, batch(10, 20, 30))) == [30]


def test_a_line_nobody_knows_may_end() -> None:
    """A connection that brought nothing of any contract."""
    assert Arbiter().ended(7) == {}
