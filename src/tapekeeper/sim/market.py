"""A synthetic market: ticks of one contract that follow from a seed.

The shapes are those that recorded data shows and that have broken clients: bursts of prints
with one and the same stamp, several prints a record, stamps of 0 to 7 digits, prints without a
side, identical prints side by side, quiet stretches, sparse quotes whose volume is cumulative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tapekeeper.model.instrument import Instrument
from tapekeeper.model.session import Session
from tapekeeper.sim.contracts import Product
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import SECOND_NS
from tapekeeper.sim.sessions import Sessions
from tapekeeper.sim.wire import MarketEvent, Print, QuoteDelta, Trades

RECORD_PRINTS_MAX = 8
"""Most prints that travel in one record."""

_BURST_SHARE = 0.03
_BURST_PRINTS = (10, 60)
_MOMENT_PRINTS_MEAN = 2.8  # of the shares above and `_few`; turns a rate of prints into moments
# By exchange time, not by moment: a busy market would otherwise be quiet most of the time.
_QUIETS_PER_S = 1 / 360
_QUIET_S = (5.0, 40.0)
_QUIET_S_PER_S = _QUIETS_PER_S * (_QUIET_S[0] + _QUIET_S[1]) / 2  # beside a second of trading
_NO_SIDE_SHARE = 0.005
_ZERO_SIZE_SHARE = 0.01
_QUOTE_SHARE = 0.7
_PRICE_TICKS_MIN = 100

# (share, ns): how finely a moment is stamped. The exchange is not that irregular; the writer of
# the wire is, because it drops trailing zeros.
_RESOLUTIONS = ((0.01, SECOND_NS), (0.10, 1_000_000), (0.30, 1_000), (1.0, 100))


@dataclass(slots=True)
class _Day:
    """What a session has seen so far; prices in ticks."""

    volume: int = 0
    open: int | None = None
    high: int = 0
    low: int = 0

    def add(self, ticks: int, size: int) -> None:
        if self.open is None:
            self.open = self.high = self.low = ticks
        self.high = max(self.high, ticks)
        self.low = min(self.low, ticks)
        self.volume += size


@dataclass(slots=True)
class MarketSpec:
    """What one synthetic contract is made from; see `SimConfig` for the numbers."""

    instrument: Instrument
    product: Product
    seed: int
    start_ns: int
    trades_per_s: float
    trades_max: int | None = None
    zero_sizes: bool = False


@dataclass(slots=True)
class SyntheticMarket:
    """The ticks of one contract from its start on, the same for the same specification.

    Attributes:
        spec: what it is made from.
        sessions: when it trades; session volumes start anew with each.
    """

    spec: MarketSpec
    sessions: Sessions
    _numbers: Seeded = field(init=False)
    _ticks: int = field(init=False)
    _day: _Day = field(init=False, default_factory=_Day)
    _session: Session | None = field(init=False, default=None)
    _sent: dict[str, str] = field(init=False, default_factory=dict)  # bound: the quote's members
    _made: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Start where the seed says."""
        self._numbers = Seeded(self.spec.seed, self.spec.instrument.contract_id)
        self._ticks = self.spec.product.start_ticks

    def events(self) -> Iterator[MarketEvent]:
        """Trades and quotes in order of exchange time; endless without `trades_max`."""
        at_ns = self.spec.start_ns
        last_ns = 0
        while self.spec.trades_max is None or self._made < self.spec.trades_max:
            at_ns = self._next_moment(at_ns)
            # A coarser stamp may lie before the last one; exchange time does not run back.
            last_ns = max(last_ns, self._stamp(at_ns))
            self._enter_session(last_ns)
            yield from self._trades(last_ns)
            if self._numbers.random() < _QUOTE_SHARE:
                yield self._quote(last_ns)

    def _next_moment(self, at_ns: int) -> int:
        numbers = self._numbers
        # Trading is that much faster than the mean rate, which counts the quiet stretches.
        trading_per_s = self.spec.trades_per_s * (1.0 + _QUIET_S_PER_S)
        wait_s = numbers.exponential(_MOMENT_PRINTS_MEAN / trading_per_s)
        if numbers.random() < _QUIETS_PER_S * wait_s:
            low, high = _QUIET_S
            wait_s += low + (high - low) * numbers.random()
        at_ns += max(1, round(wait_s * SECOND_NS))
        return at_ns if self.sessions.is_open(at_ns) else self.sessions.next_open_ns(at_ns)

    def _stamp(self, at_ns: int) -> int:
        chosen = self._numbers.random()
        step_ns = next(step_ns for share, step_ns in _RESOLUTIONS if chosen < share)
        # The opening moment keeps its exact time, so no print falls before its session.
        floor_ns = at_ns // step_ns * step_ns
        return floor_ns if self.sessions.is_open(floor_ns) else at_ns

    def _enter_session(self, at_ns: int) -> None:
        session = self.sessions.session_of(at_ns)
        if session != self._session:
            self._session = session
            self._day = _Day()

    def _trades(self, at_ns: int) -> Iterator[Trades]:
        left = self._prints_of_moment()
        if self.spec.trades_max is not None:
            left = min(left, self.spec.trades_max - self._made)
        self._made += left
        while left:
            count = min(left, 1 + self._numbers.below(RECORD_PRINTS_MAX))
            left -= count
            prints = tuple(self._print() for _ in range(count))
            yield Trades(self.spec.instrument.contract_id, at_ns, prints)

    def _prints_of_moment(self) -> int:
        if self._numbers.random() < _BURST_SHARE:
            low, high = _BURST_PRINTS
            return low + self._numbers.below(high - low)
        return self._few()

    def _few(self) -> int:
        """1 to 6, small numbers more often: 1.9 on average."""
        return 1 + int(6 * self._numbers.random() ** 4.5)

    def _print(self) -> Print:
        numbers = self._numbers
        chosen = numbers.random()
        if chosen < 0.15:  # noqa: PLR2004 - a third of the prints move the price, as in ES
            self._ticks = max(_PRICE_TICKS_MIN, self._ticks - 1)
        elif chosen > 0.85:  # noqa: PLR2004 - the other half of the walk
            self._ticks += 1
        size = 1 + int(12 * numbers.random() ** 6)
        if self.spec.zero_sizes and numbers.random() < _ZERO_SIZE_SHARE:
            size = 0
        side = -1 if numbers.random() < _NO_SIDE_SHARE else numbers.below(2)
        self._day.add(self._ticks, size)
        return Print(self.spec.product.price_text(self._ticks), size, side)

    def _quote(self, at_ns: int) -> QuoteDelta:
        text = self.spec.product.price_text
        bid = self._ticks - self._numbers.below(2)
        members = {
            "symbolName": f'"/{self.spec.product.root}"',
            "lastPrice": text(self._ticks),
            "bestBid": text(bid),
            "bestAsk": text(bid + 1 + (self._numbers.random() < 0.1)),  # noqa: PLR2004 - wide at times
            "volume": str(self._day.volume),
        }
        if self._day.open is not None:
            members["open"] = text(self._day.open)
            members["high"] = text(self._day.high)
            members["low"] = text(self._day.low)
        changed = {name: one for name, one in members.items() if self._sent.get(name) != one}
        self._sent.update(changed)
        return QuoteDelta(self.spec.instrument.contract_id, at_ns, changed)
