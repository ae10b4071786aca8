"""Which quotes and user events of several lines are news."""

from __future__ import annotations

from tapekeeper.core.echoes import EVENTS_MAX, OBJECTS_MAX, WINDOW_NS, EventEchoes, QuoteEchoes
from tapekeeper.model.tick import Quote

START = 1_767_625_200_000_000_000
MS = 1_000_000


def quote(ms: int, bid: float, *, recv_ms: int = 0) -> Quote:
    """A quote stamped `ms` after START."""
    return Quote("MES", START + ms * MS, START + recv_ms * MS, 0, bid=bid)


def said(echoes: QuoteEchoes, line: int, item: Quote) -> bool:
    """Whether a quote is news; published if it is."""
    news = not echoes.is_echo(line, item)
    if news:
        echoes.publish(line, item)
    return news


def test_what_the_publishing_line_says_is_always_news() -> None:
    """One line alone may repeat itself, and go back in time."""
    echoes = QuoteEchoes()
    assert [said(echoes, 1, quote(ms, 5.0)) for ms in (0, 0, 3, 1)] == [True] * 4


def test_another_lines_older_or_equal_state_is_an_echo() -> None:
    """What was published with its stamp, or is behind what is published, says nothing new."""
    echoes = QuoteEchoes()
    for bid in (5.0, 6.0):
        said(echoes, 1, quote(1, bid))
    assert [said(echoes, 2, each) for each in (quote(0, 4.0), quote(1, 5.0), quote(1, 6.0))] == [
        False,
        False,
        False,
    ]


def test_the_line_that_comes_first_with_something_new_publishes() -> None:
    """A new state of the same stamp, or a later stamp, is news whoever brings it, and once."""
    echoes = QuoteEchoes()
    said(echoes, 1, quote(1, 5.0))
    assert said(echoes, 2, quote(1, 6.0))
    assert said(echoes, 1, quote(2, 7.0))
    assert not said(echoes, 2, quote(2, 7.0))


def test_a_line_that_is_gone_holds_nobody_back() -> None:
    """After a wild stamp of a dead line the other is believed again when the window is over."""
    echoes = QuoteEchoes()
    said(echoes, 1, quote(10**9, 5.0))
    assert not said(echoes, 2, quote(5, 6.0, recv_ms=5))
    assert said(echoes, 2, quote(6, 6.0, recv_ms=WINDOW_NS // MS + 1))


def test_a_forgotten_contract_begins_anew() -> None:
    """After the end of a subscription nothing of it is compared with."""
    echoes = QuoteEchoes()
    said(echoes, 1, quote(1, 5.0))
    echoes.forget("MES")
    assert said(echoes, 2, quote(0, 4.0))


def delivered(echoes: EventEchoes, *events: tuple[int, float]) -> list[bool]:
    """Whether each (line, balance) of one account is news."""
    return [not echoes.is_echo(line, "account", balance, START) for line, balance in events]


def test_the_same_event_of_two_lines_is_delivered_once() -> None:
    """Whichever line leads, and however far the other is behind."""
    echoes = EventEchoes()
    assert delivered(echoes, (1, 1.0), (1, 2.0), (2, 1.0), (2, 2.0), (2, 3.0), (1, 3.0)) == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_state_that_returns_is_news() -> None:
    """A balance may come back to an old value; one line alone is never doubted."""
    echoes = EventEchoes()
    assert delivered(echoes, (1, 1.0), (1, 2.0), (2, 1.0), (1, 1.0), (2, 2.0), (2, 1.0)) == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert delivered(echoes, (1, 1.0), (1, 1.0)) == [True, True]


def test_what_is_older_than_the_window_is_not_compared_with() -> None:
    """A new line's event after the window is news, whatever was before."""
    echoes = EventEchoes()
    assert not echoes.is_echo(1, "account", 1.0, START)
    assert not echoes.is_echo(2, "account", 1.0, START + WINDOW_NS + 1)


def test_what_is_remembered_is_bounded() -> None:
    """Beyond the bounds the oldest goes, and what it was is news again."""
    echoes = EventEchoes()
    assert all(delivered(echoes, *((1, float(n)) for n in range(EVENTS_MAX + 1))))
    assert delivered(echoes, (2, 0.0)) == [True]
    for number in range(OBJECTS_MAX):
        assert not echoes.is_echo(1, number, "x", START)
    assert not echoes.is_echo(2, "account", float(EVENTS_MAX), START)
