"""Every moment that no line covered is reported once, however late it is known."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.errors import DeadlineError, InvocationError, JournalError
from tapekeeper.model.gap import GapCause
from tapekeeper.runtime.coverage import (
    Coverage,
    CoverageBook,
    CoverageReport,
    Hole,
    Uncovered,
)
from tapekeeper.runtime.line_values import HubCall

_A = HubCall("SubscribeContractTrades", ("A",))
_B = HubCall("SubscribeContractTrades", ("B",))


def test_nothing_is_reported_before_the_first_acknowledgement() -> None:
    """Who subscribes is told when it is in force."""
    coverage = Coverage()
    assert coverage.lasting is None
    assert coverage.began(1, 100) == []


def test_one_line_that_comes_back_leaves_one_interval() -> None:
    """From the last byte of the old connection to the acknowledgement on the new one."""
    coverage = Coverage()
    coverage.began(1, 100)
    assert coverage.ended(1, until_ns=170, now_ns=200, why="lost") == []
    assert coverage.lasting == Hole(170, None, "lost")
    assert coverage.began(1, 230) == [Hole(170, 230, "lost")]


def test_what_another_line_covers_is_no_interval() -> None:
    """Either of two may go."""
    coverage = Coverage()
    coverage.began(1, 100)
    coverage.began(2, 110)
    assert coverage.ended(1, until_ns=150, now_ns=180, why="lost") == []
    assert coverage.began(1, 190) == []
    assert coverage.ended(2, until_ns=200, now_ns=200, why="lost") == []
    assert coverage.lasting is None


def test_a_line_that_only_seemed_to_cover_is_found_out() -> None:
    """The second of two silent lines to be given up reports what neither of them heard."""
    coverage = Coverage()
    coverage.began(1, 100)
    coverage.began(2, 100)
    assert coverage.ended(1, until_ns=150, now_ns=180, why="silent") == []
    coverage.began(1, 190)
    assert coverage.ended(2, until_ns=160, now_ns=195, why="silent") == [Hole(160, 190, "silent")]


def test_asking_again_on_the_same_connection_takes_nothing_back() -> None:
    """The life began with the first acknowledgement."""
    coverage = Coverage()
    coverage.began(1, 100)
    coverage.began(2, 100)
    coverage.began(2, 170)
    assert coverage.ended(1, until_ns=150, now_ns=180, why="lost") == []


@st.composite
def _lives(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """Lives (line, began, last byte, end) of up to three lines, one after the other on each."""
    lives = []
    for line in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, 10))
        for _ in range(draw(st.integers(0, 5))):
            began = at + draw(st.integers(0, 6))
            last = began + draw(st.integers(0, 10))
            end = last + draw(st.integers(0, 8))
            lives.append((line, began, last, end))
            at = end + 1
    return lives


def _events(lives: list[tuple[int, int, int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """(at, 0 for a begin or 1 for an end, line, last byte), in order of time."""
    found = []
    for line, began, last, end in lives:
        found += [(began, 0, line, last), (end, 1, line, last)]
    yield from sorted(found)


@given(_lives())
def test_the_intervals_are_exactly_the_moments_that_no_life_covered(
    lives: list[tuple[int, int, int, int]],
) -> None:
    """Between the first acknowledgement and the last end, whatever overlaps with what."""
    coverage = Coverage()
    holes: list[Hole] = []
    for at, kind, line, last in _events(lives):
        if kind == 0:
            holes += coverage.began(line, at)
        else:
            holes += coverage.ended(line, until_ns=last, now_ns=at, why="x")
    if not lives:
        return
    lasting = coverage.lasting
    assert lasting is not None
    first, end = min(life[1] for life in lives), max(life[3] for life in lives)
    holes.append(Hole(lasting.from_ns, end, "x"))
    told = [m for hole in holes for m in range(hole.from_ns, hole.to_ns or 0)]
    missed = [
        m for m in range(first, end) if not any(began <= m < last for _, began, last, _ in lives)
    ]
    assert sorted(told) == missed


def test_subscriptions_that_fail_together_are_one_interval() -> None:
    """A person reads one line per outage, which names what it was about."""
    book = CoverageBook()
    for call in (_A, _B):
        book.confirmed(1, call, 100)
    book.ended(1, until_ns=150, now_ns=151, why="lost")
    assert [interval.calls for interval in book.lasting()] == [(_A, _B)]
    book.confirmed(1, _A, 170)
    book.confirmed(1, _B, 180)
    (interval,) = book.take()
    assert (interval.from_ns, interval.to_ns, interval.calls) == (150, 180, (_A, _B))
    assert book.take() == []


def test_a_subscription_that_is_not_back_stays_open_alone() -> None:
    """One that the new connection refuses does not hide that the others are back."""
    book = CoverageBook()
    for call in (_A, _B):
        book.confirmed(1, call, 100)
    book.ended(1, until_ns=150, now_ns=151, why="lost")
    book.confirmed(1, _A, 170)
    assert [interval.calls for interval in book.take()] == [(_A,)]
    assert [interval.calls for interval in book.lasting()] == [(_B,)]
    book.withdrawn(_B)
    assert book.lasting() == []


def test_what_the_new_connection_refuses_is_uncovered_for_that_reason() -> None:
    """One interval, whose text has the loss and the first refusal, and only of that call."""
    book = CoverageBook()
    for call in (_A, _B):
        book.confirmed(1, call, 100)
    book.unconfirmed(_B, InvocationError("covered by another line"), 140)
    book.ended(1, until_ns=150, now_ns=151, why="lost")
    book.confirmed(1, _A, 170)
    for _ in range(2):
        book.unconfirmed(_B, InvocationError("the hub refused it"), 175)
    (lasting,) = book.lasting()
    assert (lasting.cause, lasting.why) == (
        GapCause.REFUSED_SUBSCRIPTION,
        "lost; then the hub refused it",
    )
    assert [each.cause for each in book.take()] == [GapCause.DISCONNECT]
    book.confirmed(1, _B, 190)
    (ended,) = book.take()
    assert (ended.from_ns, ended.to_ns, ended.cause) == (150, 190, lasting.cause)


def test_what_is_not_answered_is_uncovered_until_it_is_or_its_data_come() -> None:
    """Nobody knows whether it is in force, so what comes until then may not be all."""
    book = CoverageBook()
    for _ in range(2):  # asked again
        book.unconfirmed(_A, DeadlineError("no answer"), 100)
    book.ended(1, until_ns=150, now_ns=160, why="lost")
    (lasting,) = book.lasting()
    assert (lasting.from_ns, lasting.to_ns, lasting.why) == (100, None, "no answer")
    book.confirmed(2, _A, 190)
    (ended,) = book.take()
    assert (ended.from_ns, ended.to_ns) == (100, 190)
    assert ended.cause is GapCause.REFUSED_SUBSCRIPTION


def test_what_another_line_has_confirmed_needs_no_further_answer() -> None:
    """It is covered, whatever the second line's hub does."""
    book = CoverageBook()
    book.confirmed(1, _A, 100)
    book.unconfirmed(_A, DeadlineError("no answer"), 110)
    assert (book.take(), book.lasting()) == ([], [])


def test_a_stream_that_had_stopped_stays_stale_when_it_is_refused_anew() -> None:
    """Asking again is the cure that failed, and not the trouble."""
    book = CoverageBook()
    book.confirmed(1, _A, 100)
    book.stopped(_A, None, since_ns=150, now_ns=210, why="no trades")
    book.unconfirmed(_A, InvocationError("the hub refused it"), 220)
    assert [(each.cause, each.why) for each in book.lasting()] == [
        (GapCause.STALE_STREAM, "no trades")
    ]


def test_an_answered_farewell_leaves_no_interval_and_a_silent_one_does() -> None:
    """At the end only the silence that came before it is in doubt."""
    book = CoverageBook()
    book.confirmed(1, _A, 0)
    book.ended(1, until_ns=100, now_ns=200, why="stopped")
    book.close(300)
    assert book.take() == []
    book.confirmed(1, _A, 0)
    book.ended(1, until_ns=100, now_ns=5_000_000_000, why="stopped")
    book.close(5_000_000_000)
    assert [(i.from_ns, i.to_ns) for i in book.take()] == [(100, 5_000_000_000)]


# --- streams that stop on a connection that lives --------------------------------------------


def _told(book: CoverageBook) -> list[tuple[int, int | None]]:
    return [(each.from_ns, each.to_ns) for each in book.take()]


def test_a_stopped_stream_is_uncovered_until_its_data_flow_again() -> None:
    """Asking again, or a new connection, ends it not: the hub may confirm and send nothing."""
    book = CoverageBook()
    for call in (_A, _B):
        book.confirmed(1, call, 100)
    book.stopped(_A, None, since_ns=150, now_ns=210, why="no trades")
    assert [(each.from_ns, each.calls) for each in book.lasting()] == [(150, (_A,))]
    assert [each.cause for each in book.lasting()] == [GapCause.STALE_STREAM]
    book.confirmed(1, _A, 220)
    book.confirmed(2, _A, 230)
    book.ended(1, until_ns=240, now_ns=240, why="replaced")
    assert _told(book) == []
    book.flows(_A, None, now_ns=250)
    assert _told(book) == [(150, 250)]
    assert [each.calls for each in book.lasting()] == [(_B,)]


def test_one_of_two_lines_that_lacks_a_stream_covers_it_no_more() -> None:
    """That costs nothing while the other one brings it, and shows when that one ends."""
    book = CoverageBook()
    for line in (1, 2):
        book.confirmed(line, _A, 100)
    book.stopped(_A, 1, since_ns=150, now_ns=210, why="no trades")
    assert (_told(book), book.lasting()) == ([], [])
    book.ended(2, until_ns=300, now_ns=310, why="lost")
    assert [each.from_ns for each in book.lasting()] == [300]
    book.flows(_A, 1, now_ns=320)
    assert _told(book) == [(300, 320)]


def test_silence_that_began_before_the_present_connection_is_reported_from_its_begin() -> None:
    """A line was lost and came back, and the stream was frozen all the time."""
    book = CoverageBook()
    book.confirmed(1, _A, 100)
    book.ended(1, until_ns=150, now_ns=150, why="lost")
    book.confirmed(1, _A, 160)
    assert _told(book) == [(150, 160)]
    book.stopped(_A, None, since_ns=120, now_ns=200, why="no trades")
    book.flows(_A, None, now_ns=210)
    assert _told(book) == [(120, 210)]


def test_what_nobody_wants_any_more_may_stop() -> None:
    """It leaves no trace, and begins anew when it is wanted again."""
    book = CoverageBook()
    book.confirmed(1, _A, 100)
    book.stopped(_A, None, since_ns=120, now_ns=200, why="no trades")
    book.withdrawn(_A)
    book.flows(_A, None, now_ns=210)
    book.stopped(_B, None, since_ns=120, now_ns=200, why="no trades")
    book.confirmed(1, _A, 300)
    book.confirmed(1, _B, 300)
    assert (_told(book), book.lasting()) == ([], [])
    book.ended(1, until_ns=310, now_ns=310, why="lost")
    assert len(book.lasting()) == 1


def test_what_was_found_is_told_although_its_listener_cannot_write() -> None:
    """A full disk ends the tape, and what it could not enter is in the log and the status."""
    book = CoverageBook()
    logged: list[str] = []

    def refuse(_found: list[Uncovered], _lasting: list[Uncovered]) -> None:
        raise JournalError("no space left on device")

    report = CoverageReport("market", book, lambda event, /, **_: logged.append(event), refuse)
    book.confirmed(1, _A, 100)
    book.ended(1, until_ns=150, now_ns=200, why="lost")
    book.close(2_000_000_000)
    with pytest.raises(JournalError):
        report.tell()
    assert logged == ["uncovered"]
    assert [each.from_ns for each in report.intervals()] == [150]
