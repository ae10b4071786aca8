"""A market at thousands of ticks a second, cheap enough to be made for days.

Making a print and writing it costs several times what reading it does. So the records are written
once, with everything but the second of their stamps, and sent again and again with that put in.
Prices walk from one print to the next as in any market, sizes and sides are drawn, and every print
of a run has a stamp that none has had before.

A second has four steps. What trades within a step goes out at its end, with one quote that tells
the volume of the day, so the volume audit has something to hold prints against.
"""

from __future__ import annotations

from dataclasses import dataclass

from tapekeeper.core.gateway.times import format_ns
from tapekeeper.sim.contracts import Product
from tapekeeper.sim.outbox import BURST_BYTES
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import SECOND_NS
from tapekeeper.sim.wire import Print, QuoteDelta, Trades, quote_record, trades_record

STEPS_PER_S = 4
STEP_NS = SECOND_NS // STEPS_PER_S

RECORD_PRINTS = 4
"""Prints that travel in one record."""

VARIANTS = 8
"""Different steps of each rate; which one comes is drawn."""

_DAY_NS = 86_400 * SECOND_NS
_MARK_NS = 0  # the second that stands for any: 1970-01-01T00:00:00
_MARK = format_ns(_MARK_NS)[:19].encode()
_WIDTH_TICKS = 40  # how far the walk of a step may go from where it begins


@dataclass(frozen=True, slots=True)
class Rates:
    """How much a contract trades.

    Attributes:
        prints: of a step.
        burst_prints: of a step of a burst.
        burst_every_s: a burst of one second comes so often.
    """

    prints: int
    burst_prints: int
    burst_every_s: int


@dataclass(frozen=True, slots=True)
class _Step:
    """The prints of a step: messages, without their second, and what they sum to."""

    messages: tuple[bytes, ...]
    prints: int
    volume: int


class PreparedMarket:
    """The ticks of one contract, step by step.

    Args:
        contract_id: of the contract.
        product: its prices.
        rates: how much it trades.
        seed: of everything that is drawn.

    Attributes:
        prints: made so far.
        quotes: the same.
        volume: of all prints, contracts.
    """

    def __init__(self, contract_id: str, product: Product, rates: Rates, seed: int) -> None:
        self._contract_id = contract_id
        self._product = product
        self._rates = rates
        self._numbers = Seeded(seed, f"prepared {contract_id}")
        self._calm = self._prepare(rates.prints)
        self._bursts = self._prepare(rates.burst_prints)
        self._day_volume = 0
        self._day = -1
        self.prints = 0
        self.quotes = 0
        self.volume = 0

    def step(self, from_ns: int) -> list[bytes]:
        """The messages of the step that begins at `from_ns`, exchange time, ns UTC.

        Each holds whole records; steps are to be asked for in order, each once.
        """
        second, within_ns = divmod(from_ns, SECOND_NS)
        in_burst = second % self._rates.burst_every_s == 0
        variants = (self._bursts if in_burst else self._calm)[within_ns // STEP_NS]
        step = variants[self._numbers.below(len(variants))]
        day = from_ns // _DAY_NS
        if day != self._day:
            self._day, self._day_volume = day, 0
        self._day_volume += step.volume
        self.prints += step.prints
        self.volume += step.volume
        self.quotes += 1
        stamp = format_ns(from_ns)[:19].encode()
        quote = QuoteDelta(
            self._contract_id,
            from_ns + STEP_NS - 100,
            {
                "bestBid": self._product.price_text(self._product.start_ticks - 1),
                "bestAsk": self._product.price_text(self._product.start_ticks),
                "volume": str(self._day_volume),
            },
        )
        return [*(one.replace(_MARK, stamp) for one in step.messages), quote_record(quote)]

    def _prepare(self, prints: int) -> tuple[tuple[_Step, ...], ...]:
        return tuple(
            tuple(self._written(prints, quarter) for _ in range(VARIANTS))
            for quarter in range(STEPS_PER_S)
        )

    def _written(self, prints: int, quarter: int) -> _Step:
        numbers, ticks = self._numbers, 0
        records: list[bytes] = []
        volume = 0
        for first in range(0, prints, RECORD_PRINTS):
            made = []
            for _ in range(min(RECORD_PRINTS, prints - first)):
                ticks += numbers.below(3) - 1
                ticks = min(_WIDTH_TICKS, max(-_WIDTH_TICKS, ticks))
                size = 1 + int(12 * numbers.random() ** 6)
                volume += size
                price = self._product.price_text(self._product.start_ticks + ticks)
                made.append(Print(price, size, numbers.below(2)))
            at_ns = _MARK_NS + quarter * STEP_NS + first * (STEP_NS // prints)
            records.append(trades_record(Trades(self._contract_id, at_ns, tuple(made))))
        return _Step(tuple(_joined(records)), prints, volume)


def _joined(records: list[bytes]) -> list[bytes]:
    """Whole records in messages as large as a server joins them."""
    messages: list[list[bytes]] = [[]]
    size = 0
    for record in records:
        if messages[-1] and size + len(record) > BURST_BYTES:
            messages.append([])
            size = 0
        messages[-1].append(record)
        size += len(record)
    return [b"".join(message) for message in messages]
