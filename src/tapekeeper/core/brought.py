"""What each line has brought of late, before anything is merged.

The tape is whole as long as one line brings a print, so only here can it be seen that another
line brings none of it any more.
"""

from __future__ import annotations

from collections.abc import Iterable

LINES_MAX = 32
"""Lines that are kept apart; as many as the arbiter keeps figures of."""


class LineNews:
    """What one line brought since the last time that was asked.

    Attributes:
        trades, quotes: the contracts of which it brought any.
    """

    __slots__ = ("quotes", "trades")

    def __init__(self) -> None:
        self.trades: set[str] = set()  # bound: contracts that the gateway sends, as is the next
        self.quotes: set[str] = set()


class Brought:
    """See the module's text."""

    def __init__(self) -> None:
        self._news: dict[int, LineNews] = {}

    def note(self, line: int, trades: Iterable[str], quotes: Iterable[str]) -> None:
        """A line brought trades and quotes of these contracts."""
        news = self._news.get(line)
        if news is None:
            if len(self._news) >= LINES_MAX:
                del self._news[next(iter(self._news))]
            news = self._news[line] = LineNews()
        news.trades.update(trades)
        news.quotes.update(quotes)

    def ended(self, line: int) -> None:
        """Nothing more comes of a line."""
        self._news.pop(line, None)

    def take(self) -> dict[int, LineNews]:
        """What came since the last time, by the number of the line."""
        news, self._news = self._news, {}
        return news
