"""Depth of book that follows a simulated market.

The prints and quotes of a contract are made elsewhere; a ladder makes rows that go with them. A
print takes contracts from the level it met, and its row says so; a quote moves the best prices, so
that levels in between go and new ones come; and now and then somebody adds or cancels. It begins
with its first subscriber, so that a market whose depth nobody asks for costs nothing. The numbers
follow from the seed and from what the ladder has seen.
"""

from __future__ import annotations

from decimal import Decimal

from tapekeeper.model.depth import DepthKind
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.wire import DepthLine, DepthRows, QuoteDelta, Trades

_SIZE_MAX = 80
_STIR_SHARE = 0.5
"""How often somebody adds or cancels beside what prints and quotes do."""


class DepthLadder:
    """The book of one contract.

    Args:
        contract_id: of all rows.
        tick_size: price step; where it is unknown (0) there is no depth.
        seed: of the sizes.
        levels: of each side.

    Attributes:
        bids, asks: contracts by price in ticks; empty until somebody listens.
    """

    def __init__(self, contract_id: str, tick_size: float, seed: int, levels: int) -> None:
        self._contract_id = contract_id
        self._tick = Decimal(str(tick_size))
        self._numbers = Seeded(seed, f"depth of {contract_id}")
        self._levels = levels
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}

    @property
    def has_begun(self) -> bool:
        """Whether there is any level."""
        return bool(self.bids or self.asks)

    def snapshot(self, quote: QuoteDelta | None, *, anew: bool) -> DepthRows | None:
        """A Reset and the whole book; None without both best prices.

        Args:
            quote: the whole state now.
            anew: whether nobody else follows, so that the levels are made for this moment.
        """
        if quote is None or not self._tick:
            return None
        if anew:
            self._move(quote)
        if not self.has_begun:
            return None
        rows = [DepthLine(int(DepthKind.RESET), "0", 0)]
        for kind, best, side, sign in (
            (DepthKind.BID, DepthKind.BEST_BID, self.bids, -1),
            (DepthKind.ASK, DepthKind.BEST_ASK, self.asks, 1),
        ):
            prices = sorted(side, key=lambda ticks: sign * ticks)
            rows += [self._row(kind, ticks, side[ticks]) for ticks in prices]
            rows += [self._row(best, ticks, side[ticks]) for ticks in prices[:1]]
        return DepthRows(self._contract_id, quote.ts_ns, tuple(rows))

    def follow(self, event: Trades | QuoteDelta, quote: QuoteDelta | None) -> DepthRows | None:
        """The rows that go with an event; None where there are none, or it has not begun.

        Args:
            event: what happened.
            quote: the whole state after it.
        """
        if quote is None or not self.has_begun:
            return None
        rows = self._trade(event) if isinstance(event, Trades) else self._move(quote)
        if self._numbers.random() < _STIR_SHARE:
            rows += self._stir()
        return DepthRows(self._contract_id, event.ts_ns, tuple(rows)) if rows else None

    def _trade(self, event: Trades) -> list[DepthLine]:
        rows = []
        for one in event.prints:
            ticks = self._ticks(one.price)
            side, kind = self._side_at(ticks)
            left = max(0, side.get(ticks, 0) - one.size)
            rows.append(self._row(DepthKind.TRADE, ticks, left, one.size))
            if ticks in side:
                rows.append(self._row(kind, ticks, self._put(side, ticks, left), one.size))
        return rows

    def _side_at(self, ticks: int) -> tuple[dict[int, int], DepthKind]:
        if ticks in self.asks:
            return self.asks, DepthKind.ASK
        return self.bids, DepthKind.BID

    def _move(self, quote: QuoteDelta) -> list[DepthLine]:
        """Follow the best prices: take away what lies between them, fill up to all levels."""
        bid, ask = self._best(quote)
        if bid is None or ask is None:
            return []
        rows = []
        for side, best, sign, kind, news in (
            (self.bids, bid, -1, DepthKind.BID, DepthKind.NEW_BEST_BID),
            (self.asks, ask, 1, DepthKind.ASK, DepthKind.NEW_BEST_ASK),
        ):
            inside = {best + sign * step for step in range(self._levels)}
            gone = [ticks for ticks in side if ticks not in inside]
            rows += [self._row(kind, ticks, self._put(side, ticks, 0)) for ticks in sorted(gone)]
            came = [ticks for ticks in sorted(inside) if ticks not in side and ticks > 0]
            rows += [self._row(kind, ticks, self._put(side, ticks, self._size())) for ticks in came]
            if best in came:
                rows.append(self._row(news, best, side[best]))
        return rows

    def _stir(self) -> list[DepthLine]:
        bids = self._numbers.random() < 0.5  # noqa: PLR2004 - either side alike
        side, kind = (self.bids, DepthKind.BID) if bids else (self.asks, DepthKind.ASK)
        if not side:
            return []
        ticks = sorted(side)[self._numbers.below(len(side))]
        return [self._row(kind, ticks, self._put(side, ticks, self._size()))]

    def _best(self, quote: QuoteDelta) -> tuple[int | None, int | None]:
        texts = (quote.members.get("bestBid"), quote.members.get("bestAsk"))
        bid, ask = (None if text is None else self._ticks(text) for text in texts)
        return bid, ask

    def _size(self) -> int:
        return 1 + self._numbers.below(_SIZE_MAX)

    def _ticks(self, price: str) -> int:
        return int(Decimal(price) / self._tick)

    @staticmethod
    def _put(side: dict[int, int], ticks: int, size: int) -> int:
        if size:
            side[ticks] = size
        else:
            side.pop(ticks, None)
        return size

    def _row(self, kind: DepthKind, ticks: int, size: int, volume: int = 0) -> DepthLine:
        return DepthLine(int(kind), str(self._tick * ticks), size, volume)
