"""Quotes and user events that more than one line brings: what is news, and what is an echo.

Unlike prints both are states: what counts is the latest, and to deliver one twice does no harm
while to lose one does. So where it cannot be told, it is news. What the one line that is alone
brings is always news.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

from tapekeeper.model.tick import Quote

WINDOW_NS = 10_000_000_000
"""Time of receipt after which an echo is not expected any more, as for prints."""
STATES_MAX = 256
"""Quote states with one stamp that are told apart, for each contract."""
OBJECTS_MAX = 4_096
"""Orders, fills, positions and accounts whose events are remembered; the oldest goes first."""
EVENTS_MAX = 64
"""Events of one object that are remembered."""
_LINES_MAX = 8

_State = tuple[float | int | None, ...]


@dataclass(slots=True)
class _Published:
    line: int
    ts_event: int
    ts_recv: int
    states: set[_State]  # published with this stamp


class QuoteEchoes:
    """Tells which of several lines' quotes say something new about a contract.

    The line that published last is believed: what it brings goes out. Another line's quote is an
    echo if its stamp is older than what is published, or if that state has been published with
    that stamp. A line that was not heard for the window is not waited for.
    """

    def __init__(self, *, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._published: dict[str, _Published] = {}

    def is_echo(self, line: int, quote: Quote) -> bool:
        """Whether another line has said this, or something later, already."""
        known = self._published.get(quote.contract_id)
        if known is None or known.line == line:
            return False
        if quote.ts_recv - known.ts_recv > self._window_ns:
            return False
        if quote.ts_event == known.ts_event:
            return _state(quote) in known.states
        return quote.ts_event < known.ts_event

    def publish(self, line: int, quote: Quote) -> None:
        """Note a quote that goes out."""
        known = self._published.get(quote.contract_id)
        if known is None or known.ts_event != quote.ts_event or len(known.states) >= STATES_MAX:
            self._published[quote.contract_id] = _Published(
                line, quote.ts_event, quote.ts_recv, {_state(quote)}
            )
            return
        known.line, known.ts_recv = line, quote.ts_recv
        known.states.add(_state(quote))

    def forget(self, contract_id: str) -> None:
        """Drop what is known of a contract."""
        self._published.pop(contract_id, None)


def _state(quote: Quote) -> _State:
    return (
        quote.last,
        quote.bid,
        quote.ask,
        quote.open,
        quote.high,
        quote.low,
        quote.volume,
    )


@dataclass(slots=True)
class _Object:
    """The latest events of one object, and how far in them each line is."""

    events: deque[tuple[int, Hashable]] = field(default_factory=deque)
    dropped: int = 0  # events before `events[0]`
    at: dict[int, int] = field(default_factory=dict)  # line -> number of the next event


class EventEchoes:
    """Tells which user events another line has delivered.

    Every line brings the events of one object in the same order. A line's event is an echo if it
    is among those of the window that were delivered after the last one the line brought itself;
    so a balance that returns to an old value is news. A new line begins at the window's start.
    """

    def __init__(self, *, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._objects: dict[Hashable, _Object] = {}

    def is_echo(self, line: int, key: Hashable, content: Hashable, recv_ns: int) -> bool:
        """Whether the event was delivered; notes it if not.

        Args:
            line: number of the connection.
            key: the object it is about.
            content: all of it but the time of receipt.
            recv_ns: host clock, ns UTC.
        """
        about = self._objects.get(key)
        if about is None:
            if len(self._objects) >= OBJECTS_MAX:
                del self._objects[next(iter(self._objects))]
            about = self._objects[key] = _Object()
        events = about.events
        while events and (len(events) >= EVENTS_MAX or recv_ns - events[0][0] > self._window_ns):
            events.popleft()
            about.dropped += 1
        begin = max(0, about.at.get(line, 0) - about.dropped)
        for index in range(begin, len(events)):
            if events[index][1] == content:
                self._note(about, line, about.dropped + index + 1)
                return True
        events.append((recv_ns, content))
        self._note(about, line, about.dropped + len(events))
        return False

    def _note(self, about: _Object, line: int, number: int) -> None:
        if line not in about.at and len(about.at) >= _LINES_MAX:
            del about.at[min(about.at, key=lambda each: about.at[each])]
        about.at[line] = number
