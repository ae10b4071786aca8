"""A line is judged by what another line brings."""

from __future__ import annotations

from itertools import pairwise

from tapekeeper.core.brought import LINES_MAX, Brought
from tapekeeper.core.freshness import Cause, FreshnessPolicy, MendStep, Stream
from tapekeeper.core.line_freshness import LineFresh, LineFreshness, LineMend, LineStale

S = 1_000_000_000
MES = "CON.F.US.MES.H26"
KEY = (MES, Stream.TRADES)
WALL_NS = 1_767_625_200 * S


class Looks:
    """Looks once a second at two lines, 1 and 2."""

    def __init__(self) -> None:
        self.freshness = LineFreshness(FreshnessPolicy())
        self.lines = {1, 2}
        self.at_s = 0
        self.changes: list[LineStale | LineFresh] = []
        self.mends: list[tuple[int, LineMend]] = []

    def run(self, length_s: int, *bringers: int, every_s: int = 1) -> list[LineStale | LineFresh]:
        """Let time pass in which these lines bring data; the new transitions."""
        known = len(self.changes)
        for _ in range(length_s):
            self.at_s += 1
            came = [(KEY, set(bringers))] if bringers and self.at_s % every_s == 0 else []
            look = self.freshness.look(
                WALL_NS + self.at_s * S, self.at_s * S, lines=self.lines, came=came
            )
            self.changes += look.changes
            self.mends += [(self.at_s, mend) for mend in look.mends]
        return self.changes[known:]


def test_a_line_that_lacks_what_the_other_brings_is_found_after_the_floor() -> None:
    """It is asked again, then replaced; what it brings meanwhile acquits it."""
    looks = Looks()
    assert looks.run(100, 1, 2) == []
    assert looks.run(60, 2) == []
    assert looks.run(1, 2) == [LineStale(1, *KEY, WALL_NS + 100 * S)]
    assert looks.freshness.stale() == ((1, *KEY),)
    assert looks.run(30, 2) == []
    assert looks.mends == [
        (161, LineMend(1, *KEY, MendStep.RESUBSCRIBE)),
        (191, LineMend(1, *KEY, MendStep.REPLACE_LINE)),
    ]
    assert looks.run(1, 1, 2) == [LineFresh(1, *KEY, 92 * S, Cause.DATA)]
    assert looks.freshness.stale() == ()


def test_a_quiet_market_and_a_late_line_are_no_evidence() -> None:
    """What nobody brings is missed by nobody, and what comes half a minute late has come."""
    looks = Looks()
    looks.run(10, 1, 2)
    assert looks.run(7_200) == []
    for _ in range(20):
        assert looks.run(30, 1) == []
        assert looks.run(1, 2) == []


def test_a_single_print_that_one_line_lost_is_no_frozen_stream() -> None:
    """Three that it does not bring are, however slowly they come."""
    looks = Looks()
    looks.run(10, 1, 2)
    assert looks.run(1_190, 1, every_s=600) == []
    assert len(looks.run(600, 1, every_s=600)) == 1


def test_a_line_that_is_alone_is_not_judged() -> None:
    """There is nothing to measure it by; what it lacked before it still lacks."""
    looks = Looks()
    looks.run(100, 2)
    looks.lines = {1}
    assert looks.run(600) == []
    assert looks.freshness.stale() == ((1, *KEY),)
    looks.lines = {3}
    (fresh,) = looks.run(1)
    assert isinstance(fresh, LineFresh)
    assert fresh.cause is Cause.DISCONNECTED


def test_lines_that_lack_the_same_one_after_the_other_are_replaced_ever_less() -> None:
    """A gateway that serves one connection only is not stormed."""
    looks = Looks()
    for number in range(3, 40):
        looks.run(95, 2)
        looks.lines = {number, 2}
        assert looks.run(1, 2, number) is not None
    replaced = [at_s for at_s, mend in looks.mends if mend.step is MendStep.REPLACE_LINE]
    assert 3 <= len(replaced) <= 5
    gaps = [after - before for before, after in pairwise(replaced)]
    assert gaps == sorted(gaps)


def test_what_is_forgotten_is_missed_no_more() -> None:
    """Nobody expects anything of a contract that was unsubscribed."""
    looks = Looks()
    looks.run(100, 2)
    looks.freshness.forget(MES)
    assert looks.freshness.stale() == ()


def test_after_a_pause_of_the_process_lines_are_compared_anew() -> None:
    """What arrived meanwhile is read from one line before it is from the other."""
    looks = Looks()
    looks.run(100, 1, 2)
    looks.run(2, 2)
    looks.at_s += 7_200
    assert looks.run(50, 2) == []
    assert looks.run(2, 1, 2) == []


def test_what_was_brought_is_told_once_for_every_line() -> None:
    """With the contracts, and nothing of a line that has ended."""
    brought = Brought()
    brought.note(1, [MES], ["MNQ"])
    brought.note(1, [], [MES])
    brought.note(2, [MES], [])
    brought.ended(2)
    news = brought.take()
    assert list(news) == [1]
    assert (news[1].trades, news[1].quotes) == ({MES}, {MES, "MNQ"})
    assert brought.take() == {}
    for line in range(LINES_MAX + 5):
        brought.note(line, [MES], [])
    assert len(brought.take()) == LINES_MAX
