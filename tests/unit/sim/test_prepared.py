"""A prepared market sends real records, each stamp once, and knows what they sum to."""

from __future__ import annotations

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.signalr.protocol import JSON
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.sim.contracts import PRODUCTS
from tapekeeper.sim.outbox import BURST_BYTES
from tapekeeper.sim.prepared import STEP_NS, STEPS_PER_S, PreparedMarket, Rates

MES = "CON.F.US.MES.H26"
START_NS = 1_767_625_201_000_000_000
RATES = Rates(prints=10, burst_prints=3_000, burst_every_s=5)


def _market(seed: int = 1) -> PreparedMarket:
    return PreparedMarket(MES, PRODUCTS["MES"], RATES, seed)


def _decoded(messages: list[bytes]) -> Burst:
    decoder, burst = MarketDecoder(), Burst()
    for message in messages:
        for record in JSON.new_splitter(10**7).feed(message):
            call = JSON.decode(record)
            assert isinstance(call, Invocation)
            decoder.decode(call, 0, burst)
    return burst


def test_what_is_sent_is_what_it_says() -> None:
    """Prints, volume and quotes, over two sessions' worth of seconds and a burst."""
    market = _market()
    messages = [
        message
        for number in range(6 * STEPS_PER_S)
        for message in market.step(START_NS + number * STEP_NS)
    ]
    burst = _decoded(messages)
    sizes = list(burst.trades[MES].size)
    assert (len(sizes), sum(sizes)) == (market.prints, market.volume)
    assert market.prints == 4 * (5 * RATES.prints + RATES.burst_prints)
    assert market.quotes == burst.quotes_received == 6 * STEPS_PER_S
    assert not burst.rejected_trades


def test_no_two_steps_share_a_stamp() -> None:
    """Each print lies within its step, so bars have them in their order and no echo is made."""
    market = _market()
    for number in range(8):
        from_ns = START_NS + number * STEP_NS
        burst = _decoded(market.step(from_ns)[:-1])
        stamps = list(burst.trades[MES].ts_event)
        assert all(from_ns <= at_ns < from_ns + STEP_NS for at_ns in stamps)
        assert stamps == sorted(stamps)


def test_messages_are_no_larger_than_a_server_joins() -> None:
    """A burst goes out in several."""
    market = _market()
    second = next(n for n in range(5) if (START_NS // 10**9 + n) % 5 == 0)
    messages = market.step(START_NS + second * 10**9)
    assert len(messages) > 2
    assert max(map(len, messages)) <= BURST_BYTES


def test_the_seed_decides() -> None:
    """The same seed makes the same market, another one another."""
    assert _market(1).step(START_NS) == _market(1).step(START_NS)
    assert _market(1).step(START_NS) != _market(2).step(START_NS)
