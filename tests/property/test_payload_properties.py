"""Gateway payloads on any input: nothing raises, and every tick is accounted for."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.rest_payloads import Operation, decode_answer, match_contract
from tapekeeper.core.gateway.times import format_ns, parse_ns
from tapekeeper.core.gateway.user import decode_user
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.errors import GatewayError, UnknownContractError
from tapekeeper.model.instrument import Instrument

YEAR_1_NS = -62_135_596_800 * 10**9
YEAR_10000_NS = 253_402_300_800 * 10**9
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
TIMES = st.sampled_from(
    ["2026-11-20T14:30:00.1234567+00:00", "2026-11-20T14:30:00Z", "2026-11-20T14:30:00", "now", ""]
)
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    TIMES,
    st.just([]),
    st.just({}),
)
PRINTS = st.fixed_dictionaries(
    {},
    optional={
        "price": st.floats(1, 1e6) | ODD,
        "volume": st.integers(0, 1_000) | ODD,
        "timestamp": TIMES | ODD,
        "type": st.sampled_from([0, 1, 2]) | ODD,
        "symbolId": ODD,
    },
)
QUOTES = st.fixed_dictionaries(
    {},
    optional={
        "lastPrice": st.floats(1, 1e6) | ODD,
        "bestBid": st.floats(1, 1e6) | ODD,
        "volume": st.integers(0, 1_000) | ODD,
        "lastUpdated": TIMES | ODD,
        "timestamp": TIMES | ODD,
    },
)
GOOD = st.fixed_dictionaries(
    {
        "price": st.floats(1, 1e6),
        "volume": st.integers(0, 1_000),
        "timestamp": st.just("2026-11-20T14:30:00.1234567+00:00"),
        "type": st.sampled_from([0, 1]),
    }
)
TICKS = PRINTS | QUOTES | GOOD | ODD
DATA = TICKS | st.lists(TICKS, max_size=5) | st.fixed_dictionaries({"data": st.lists(TICKS)})
EVENTS = st.tuples(
    st.sampled_from(["GatewayTrade", "gatewaytrade", "GatewayQuote", "GatewayDepth"]),
    st.one_of(
        st.tuples(st.sampled_from(["A", "B"]), DATA).map(msgspec.json.encode),
        st.lists(ODD, max_size=3).map(msgspec.json.encode),
        st.binary(max_size=30),
    ),
)


@given(st.lists(EVENTS, max_size=8))
def test_received_is_accepted_plus_rejected(events: list[tuple[str, bytes]]) -> None:
    """No payload raises; of trades and of quotes, received = accepted + rejected ticks."""
    decoder, burst = MarketDecoder(), Burst()
    for target, arguments in events:
        decoder.decode(Invocation(target, arguments), 7, burst)
    rows = sum(map(len, burst.trades.values()))
    lost_trades = sum(item.ticks for item in burst.rejected_trades)
    lost_quotes = sum(item.ticks for item in burst.rejected_quotes)
    assert burst.trades_received == rows + lost_trades
    assert burst.quotes_received == len(burst.quotes) + lost_quotes
    assert burst.trades_received + burst.quotes_received == decoder.next_seq
    numbers = [seq for batch in burst.trades.values() for seq in batch.seq]
    numbers += [quote.seq for quote in burst.quotes]
    assert len(set(numbers)) == len(numbers)
    for batch in burst.trades.values():
        assert batch.seq == sorted(batch.seq)
        assert set(batch.side) <= {-1, 0, 1}
        columns = (batch.ts_event, batch.price, batch.size, batch.side, batch.ts_recv, batch.seq)
        assert {len(column) for column in columns} == {len(batch)}


@given(st.lists(GOOD, max_size=5), st.lists(PRINTS, min_size=1, max_size=3), st.randoms())
def test_bad_prints_do_not_cost_their_neighbours(
    good: list[dict[str, Any]], odd: list[dict[str, Any]], random: Any
) -> None:
    """The rows of a list are those of its elements sent one by one."""
    prints = [*good, *odd]
    random.shuffle(prints)
    together, alone, decoder = Burst(), Burst(), MarketDecoder()
    call = Invocation("GatewayTrade", msgspec.json.encode(["A", prints]))
    MarketDecoder().decode(call, 7, together)
    for item in prints:
        call = Invocation("GatewayTrade", msgspec.json.encode(["A", [item]]))
        decoder.decode(call, 7, alone)
    assert together == alone
    assert together.trades_received == len(prints)


@given(
    st.sampled_from(
        ["GatewayUserOrder", "GatewayUserTrade", "GatewayUserPosition", "GatewayUserAccount"]
    ),
    st.lists(st.dictionaries(st.sampled_from(["id", "action", "data", "size"]), ODD)).map(
        msgspec.json.encode
    )
    | st.binary(max_size=30),
)
def test_user_events_never_raise(target: str, arguments: bytes) -> None:
    """Whatever the user hub sends becomes events or rejected inputs."""
    assert isinstance(decode_user(Invocation(target, arguments), 7), list)


@given(st.integers(YEAR_1_NS // 100, YEAR_10000_NS // 100 - 1), st.booleans())
def test_any_timestamp_round_trips(ticks: int, drop: bool) -> None:  # noqa: FBT001 - hypothesis fills by position
    """Every 100 ns from year 1 to 9999 survives writing and reading."""
    text = format_ns(ticks * 100, digits_drop_zeros=drop)
    assert parse_ns(text) == ticks * 100


@given(
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)),  # noqa: DTZ001 - hypothesis wants naive bounds
    st.integers(-14 * 60, 14 * 60),
)
def test_offsets_agree_with_the_standard_library(moment: dt.datetime, offset_min: int) -> None:
    """Within the microseconds that datetime can hold, both read the same instant."""
    zoned = moment.replace(tzinfo=dt.timezone(dt.timedelta(minutes=offset_min)))
    elapsed = zoned - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    expected_us = (elapsed.days * 86_400 + elapsed.seconds) * 10**6 + elapsed.microseconds
    assert parse_ns(zoned.isoformat()) == expected_us * 1_000


@given(TEXT | st.from_regex(r"[0-9:.TZ+-]{15,40}", fullmatch=True))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    """Reading a time has two outcomes, and what is read can be written in the same instant."""
    try:
        ns = parse_ns(text)
    except ValueError:
        return
    if YEAR_1_NS <= ns < YEAR_10000_NS:  # an offset can lead out of it
        assert parse_ns(format_ns(ns)) == ns // 100 * 100


@given(
    st.binary(max_size=60) | st.dictionaries(TEXT, ODD).map(msgspec.json.encode),
    st.sampled_from([200, 200, 200, 401, 429, 500]),
    st.sampled_from(list(Operation)),
)
def test_any_answer_is_understood_or_refused(
    body: bytes, status: int, operation: Operation
) -> None:
    """No answer raises anything but a gateway error that names the operation."""
    try:
        answer = decode_answer(body, status, operation)
    except GatewayError as error:
        assert str(error).startswith(operation.value)  # noqa: PT017 - either outcome is right
    else:
        assert answer.success


@given(
    TEXT | st.sampled_from(["A", "AZ6", "CON.F.US.A.Z26"]),
    st.lists(
        st.builds(
            Instrument,
            contract_id=st.sampled_from(["CON.F.US.A.Z26", "CON.F.US.A.H27", "CON.F.US.AB.Z26"]),
            name=st.sampled_from(["AZ6", "AH7", "ABZ6"]),
            active=st.booleans(),
        ),
        max_size=6,
    ),
)
def test_a_match_was_found_and_is_named_by_the_text(text: str, found: list[Instrument]) -> None:
    """A match is one of what was found, and the text is its id, name, symbol or product."""
    try:
        item = match_contract(text, found)
    except UnknownContractError:
        return
    assert item in found
    assert text.strip().casefold() in {
        item.contract_id.casefold(),
        item.name.casefold(),
        item.root.casefold(),
        item.product.casefold(),
    }
