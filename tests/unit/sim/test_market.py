"""The synthetic market, the contracts it trades, the wire it speaks, and its history."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import Counter
from decimal import Decimal

import pytest

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, Timeframe
from tapekeeper.sim.contracts import PRODUCTS, SEARCH_MAX, ContractBook, expiries, listed
from tapekeeper.sim.history import History, HistoryBar, SeededPast
from tapekeeper.sim.manual_clock import DEFAULT_START_NS
from tapekeeper.sim.market import MarketSpec, SyntheticMarket
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.wire import MarketEvent, Print, QuoteDelta, Trades, quote_record, trades_record

DAY = dt.date(2026, 11, 20)
CME = calendar_by_name("cme")
ALWAYS = calendar_by_name("24x7")


def market(
    root: str = "MES",
    *,
    seed: int = 1,
    start_ns: int = DEFAULT_START_NS,
    trades_per_s: float = 4.0,
    trades_max: int | None = 20_000,
    zero_sizes: bool = False,
) -> SyntheticMarket:
    """A market in the sessions of the CME."""
    product = PRODUCTS[root]
    instrument = listed(product, DAY)[0]
    spec = MarketSpec(
        instrument, product, seed, start_ns, trades_per_s, trades_max, zero_sizes=zero_sizes
    )
    return SyntheticMarket(spec, CME)


def trades_of(events: list[MarketEvent]) -> list[Trades]:
    """The trade records among events."""
    return [one for one in events if isinstance(one, Trades)]


@pytest.fixture(scope="module")
def events() -> list[MarketEvent]:
    """Twenty thousand prints and their quotes."""
    return list(market().events())


def test_the_same_seed_gives_the_same_ticks(events: list[MarketEvent]) -> None:
    """A market can be repeated; another seed is another market."""
    assert list(market().events()) == events
    assert list(market(seed=2).events()) != events


def test_the_market_makes_exactly_the_prints_it_is_limited_to(events: list[MarketEvent]) -> None:
    """`trades_max` counts prints, not records."""
    assert sum(len(one.prints) for one in trades_of(events)) == 20_000


def test_exchange_time_never_runs_back(events: list[MarketEvent]) -> None:
    """Coarser stamps do not fall behind finer ones."""
    stamps = [one.ts_ns for one in events]
    assert stamps == sorted(stamps)


def test_every_price_is_on_the_grid(events: list[MarketEvent]) -> None:
    """Prices are whole ticks, written with the tick's decimals."""
    prices = {print_.price for one in trades_of(events) for print_ in one.prints}
    assert len(prices) > 20
    assert all(Decimal(price) % Decimal("0.25") == 0 for price in prices)


def test_the_shapes_that_break_clients_are_all_there(events: list[MarketEvent]) -> None:
    """Bursts, several prints a record, equal stamps, repeats, missing sides, quiet, 0-7 digits."""
    trades = trades_of(events)
    at_once = Counter(one.ts_ns for one in trades for _ in one.prints)
    assert max(at_once.values()) >= 30
    assert {len(one.prints) for one in trades} == set(range(1, 9))
    assert {print_.side for one in trades for print_ in one.prints} == {-1, 0, 1}
    repeats = Counter((one.ts_ns, print_) for one in trades for print_ in one.prints)
    assert max(repeats.values()) > 1
    waits = [after.ts_ns - before.ts_ns for before, after in itertools.pairwise(trades)]
    assert max(waits) > 5 * SECOND_NS
    digits = {len(f"{one.ts_ns % SECOND_NS // 100:07d}".rstrip("0")) for one in trades}
    assert digits >= {0, 3, 6, 7}


@pytest.mark.parametrize("trades_per_s", [0.5, 4.0, 50.0, 200.0])
def test_the_rate_is_about_what_was_asked_for(trades_per_s: float) -> None:
    """It is the mean over long times, quiet stretches included, however high it is."""
    count = 10_000
    spent_ns = 0
    for seed in range(10):
        made = list(market(seed=seed, trades_per_s=trades_per_s, trades_max=count).events())
        spent_ns += made[-1].ts_ns - DEFAULT_START_NS
    assert 0.9 < 10 * count / (spent_ns / SECOND_NS) / trades_per_s < 1.1


def test_a_busy_market_is_quiet_as_often_as_a_calm_one() -> None:
    """The chance of a quiet stretch is one of exchange time: a few in twenty minutes."""
    made = list(market(trades_per_s=100.0, trades_max=120_000).events())
    waits = [after.ts_ns - before.ts_ns for before, after in itertools.pairwise(made)]
    quiet = [wait for wait in waits if wait >= 5 * SECOND_NS]
    assert 1 <= len(quiet) <= 12


def test_prints_of_size_0_are_made_on_request_only(events: list[MarketEvent]) -> None:
    """They are legal and rare; without the switch there are none."""
    assert all(print_.size > 0 for one in trades_of(events) for print_ in one.prints)
    asked = trades_of(list(market(zero_sizes=True).events()))
    assert any(print_.size == 0 for one in asked for print_ in one.prints)


def test_quotes_are_sparse_and_their_volume_adds_up_the_trades(
    events: list[MarketEvent],
) -> None:
    """Only changed members are sent; `volume` is cumulative and equals the prints so far."""
    volume, state = 0, dict[str, str]()
    sparse = 0
    for one in events:
        if isinstance(one, Trades):
            volume += sum(print_.size for print_ in one.prints)
            continue
        assert all(state.get(name) != text for name, text in one.members.items())
        state |= one.members
        sparse += len(one.members) < len(state)
        assert int(state["volume"]) == volume
        assert Decimal(state["bestBid"]) < Decimal(state["bestAsk"])
        assert Decimal(state["low"]) <= Decimal(state["lastPrice"]) <= Decimal(state["high"])
    assert sparse > 1_000


def test_the_market_trades_in_its_sessions_and_starts_the_day_anew() -> None:
    """Across the daily break nothing trades, and the session's volume starts from zero."""
    friday_close_ns = CME.session_of(DEFAULT_START_NS).close_ns
    start_ns = friday_close_ns - 5 * MINUTE_NS
    made = list(market(start_ns=start_ns, trades_max=5_000).events())
    assert all(CME.is_open(one.ts_ns) for one in made)
    after = [one for one in made if one.ts_ns >= friday_close_ns]
    assert after
    assert len(after) < len(made)
    assert after[0].ts_ns >= CME.next_open_ns(friday_close_ns)
    first_quote = next(one for one in after if isinstance(one, QuoteDelta))
    before_it = itertools.takewhile(lambda one: one is not first_quote, after)
    assert int(first_quote.members["volume"]) == sum(
        print_.size for one in before_it if isinstance(one, Trades) for print_ in one.prints
    )


def test_a_trade_record_has_the_bytes_of_the_real_gateway() -> None:
    """Decimals keep their zeros, stamps drop theirs, and an unknown side leaves `type` out."""
    event = Trades(
        "CON.F.US.EP.U25",
        1_721_569_500_123_456_700,
        (Print("2100.25", 2, 0), Print("2100.50", 1, -1)),
    )
    assert trades_record(event) == (
        b'{"type":1,"target":"GatewayTrade","arguments":["CON.F.US.EP.U25",['
        b'{"symbolId":"F.US.EP","price":2100.25,'
        b'"timestamp":"2024-07-21T13:45:00.1234567+00:00","type":0,"volume":2},'
        b'{"symbolId":"F.US.EP","price":2100.50,'
        b'"timestamp":"2024-07-21T13:45:00.1234567+00:00","volume":1}]]}\x1e'
    )


def test_a_quote_record_holds_the_changed_members_only() -> None:
    """`symbol` is the product root, and both times are there."""
    event = QuoteDelta("CON.F.US.EP.U25", 1_721_569_500_000_000_000, {"bestBid": "2100.25"})
    assert json.loads(quote_record(event)[:-1])["arguments"] == [
        "CON.F.US.EP.U25",
        {
            "symbol": "F.US.EP",
            "bestBid": 2100.25,
            "lastUpdated": "2024-07-21T13:45:00+00:00",
            "timestamp": "2024-07-21T13:45:00+00:00",
        },
    ]


@pytest.mark.parametrize(
    ("root", "day", "contract_ids"),
    [
        ("ES", dt.date(2026, 11, 20), ["CON.F.US.EP.Z26", "CON.F.US.EP.H27"]),
        ("MES", dt.date(2026, 12, 9), ["CON.F.US.MES.Z26", "CON.F.US.MES.H27"]),
        ("MES", dt.date(2026, 12, 10), ["CON.F.US.MES.H27", "CON.F.US.MES.M27"]),
        ("MGC", dt.date(2026, 11, 20), ["CON.F.US.MGC.Z26", "CON.F.US.MGC.G27"]),
        ("MCL", dt.date(2026, 11, 20), ["CON.F.US.MCLE.Z26", "CON.F.US.MCLE.F27"]),
    ],
)
def test_the_front_contract_follows_the_date(
    root: str, day: dt.date, contract_ids: list[str]
) -> None:
    """The codes are the gateway's, the front month is active, the roll is before the expiry."""
    found = listed(PRODUCTS[root], day)
    assert [one.contract_id for one in found] == contract_ids
    assert [one.active for one in found] == [True, False]


def test_expiries_come_in_order_and_belong_to_the_product() -> None:
    """Gold lists G J M Q V Z only."""
    found = expiries(PRODUCTS["GC"], DAY, 7)
    assert "".join(letter for letter, _ in found) == "ZGJMQVZ"
    assert [year for _, year in found] == [2026, 2027, 2027, 2027, 2027, 2027, 2027]


def test_the_search_is_fuzzy_and_bounded() -> None:
    """`ES` finds other products, too; at most twenty come back, front contracts only."""
    book = ContractBook()
    for product in PRODUCTS.values():
        for instrument in listed(product, DAY):
            book.add(instrument)
    roots = {one.name[:-2] for one in book.search("es")}
    assert {"ES", "MES"} <= roots
    assert len(book.search("")) == len(PRODUCTS)
    for number in range(SEARCH_MAX):
        book.add(listed(PRODUCTS["ES"], dt.date(2030 + number, 1, 1))[0])
    assert len(book.search("")) == SEARCH_MAX
    assert all(one.active for one in book.search(""))


def test_seeded_numbers_are_the_same_everywhere_and_spread_out() -> None:
    """The first numbers of a seed are fixed; positions of the other sequence are independent."""
    numbers = Seeded(1, "x")
    drawn = [numbers.random() for _ in range(10_000)]
    assert drawn[:2] == [Seeded(1, "x").random(), drawn[1]]
    assert 0.49 < sum(drawn) / len(drawn) < 0.51
    assert all(0.0 <= one < 1.0 for one in drawn)
    placed = [Seeded(1, "x").at(index) for index in range(-5_000, 5_000)]
    assert 0.49 < sum(placed) / len(placed) < 0.51
    assert len(set(placed)) == len(placed)


def history(days: int = 2) -> History:
    """A history with a seeded past only."""
    past = SeededPast(PRODUCTS["MES"], 1, "x", DEFAULT_START_NS, days, ALWAYS)
    return History(ALWAYS, past)


def bars(
    source: History,
    timeframe: str,
    start_ns: int,
    end_ns: int = DEFAULT_START_NS + DAY_NS,
    *,
    limit: int = 20_000,
    until_ns: int | None = None,
) -> list[HistoryBar]:
    """Bars of a timeframe given as text."""
    return source.bars(Timeframe.parse(timeframe), start_ns, end_ns, limit=limit, until_ns=until_ns)


@pytest.mark.parametrize(("small", "large"), [("1s", "1m"), ("1m", "15m"), ("15m", "4h")])
def test_bars_of_all_sizes_come_from_the_same_prints(small: str, large: str) -> None:
    """The smaller bars of an interval add up to the larger one."""
    start_ns = DEFAULT_START_NS - 8 * HOUR_NS
    parts = bars(history(), small, start_ns)
    wholes = [bar for bar in bars(history(), large, start_ns) if bar.start_ns < DEFAULT_START_NS]
    assert len(wholes) > 1
    timeframe = Timeframe.parse(large)
    for whole in wholes:
        end_ns = ALWAYS.interval(timeframe, whole.start_ns).end_ns
        inside = [one for one in parts if whole.start_ns <= one.start_ns < end_ns]
        assert whole.open == inside[-1].open
        assert whole.close == inside[0].close
        assert whole.high == max(one.high for one in inside)
        assert whole.low == min(one.low for one in inside)
        assert whole.volume == sum(one.volume for one in inside)


def test_bars_come_newest_first_within_the_range_and_the_limit() -> None:
    """Both ends are inclusive; a limit keeps the newest."""
    end_ns = DEFAULT_START_NS - HOUR_NS
    start_ns = end_ns - 59 * MINUTE_NS
    found = bars(history(), "1m", start_ns, end_ns)
    assert [one.start_ns for one in found] == [end_ns - number * MINUTE_NS for number in range(60)]
    assert bars(history(), "1m", start_ns, end_ns, limit=7) == found[:7]


def test_the_past_reaches_as_far_as_configured_and_meets_the_market() -> None:
    """One day of minutes, the last one ending at the start at the starting price."""
    found = bars(history(1), "1m", 0)
    assert len(found) == 1_440
    assert found[0].close == 6_000.0
    assert found[-1].start_ns == DEFAULT_START_NS - DAY_NS


def test_ticks_continue_the_past_and_the_unfinished_bar_waits_for_its_end() -> None:
    """Live prints fold into the same bars; a bar that is not over is left out unless asked."""
    source = history()
    stamp_ns = DEFAULT_START_NS + 61 * SECOND_NS
    source.add(Trades("x", stamp_ns, (Print("6001.25", 3, 0), Print("6000.75", 2, 1))))
    source.add(Trades("x", stamp_ns + 1, (Print("6001.00", 1, -1),)))
    assert bars(source, "1m", DEFAULT_START_NS, until_ns=stamp_ns) == []
    (bar,) = bars(source, "1m", DEFAULT_START_NS)
    assert bar == HistoryBar(DEFAULT_START_NS + MINUTE_NS, 6001.25, 6001.25, 6000.75, 6001.0, 6)
