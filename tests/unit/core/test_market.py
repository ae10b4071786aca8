"""Market events: every accepted shape, and what an unreadable tick costs."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest

from tapekeeper.core.gateway.market import QUOTE_STATES_MAX, Burst, MarketDecoder
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.session import Called, Garbled, Session
from tapekeeper.model.tick import Quote, Reason, Rejected, Trade

ES = "CON.F.US.EP.Z26"
NOW = 1_795_185_000_300_000_000
TIME = "2026-11-20T14:30:00.1234567+00:00"
TIME_NS = 1_795_185_000_123_456_700
PRINT = '{"symbolId":"F.US.EP","price":6841.25,"timestamp":"' + TIME + '","type":0,"volume":2}'
OTHER = '{"symbolId":"F.US.EP","price":6841.5,"timestamp":"' + TIME + '","type":1,"volume":1}'


def decoded(data: str, *, target: str = "GatewayTrade", contract: str = f'"{ES}"') -> Burst:
    """What one event makes of an empty burst."""
    burst = Burst()
    MarketDecoder().decode(Invocation(target, f"[{contract},{data}]".encode()), NOW, burst)
    return burst


def rows(burst: Burst, contract_id: str = ES) -> list[Trade]:
    """The trades of a contract."""
    batch = burst.trades[contract_id]
    return [batch.row(index) for index in range(len(batch))]


class TestShapes:
    @pytest.mark.parametrize(
        "data",
        [
            f"[{PRINT}]",
            PRINT,
            f"[null,{PRINT},null]",
            f'{{"data":{PRINT}}}',
            f'{{"data":[{PRINT}]}}',
            f'{{"action":1,"data":[{PRINT},null]}}',
            f" [ {PRINT} ] ",
        ],
    )
    def test_one_print_in_every_accepted_shape(self, data: str) -> None:
        """Object, list, list with nulls and envelope all hold the same print."""
        burst = decoded(data)
        assert rows(burst) == [Trade(ES, TIME_NS, 6841.25, 2, 0, NOW, 0)]
        assert burst.trades_received == 1
        assert burst.rejected == []

    @pytest.mark.parametrize("data", ["[]", "[null]", "[null,null]", '{"data":[]}'])
    def test_padding_is_not_counted(self, data: str) -> None:
        """Nulls and empty lists are no ticks, and make no batch."""
        assert decoded(data) == Burst()

    def test_every_print_of_a_list_counts_in_its_order(self) -> None:
        """A list keeps its order, equal prints included; numbers rise over all ticks."""
        burst = decoded(f"[{PRINT},{OTHER},{PRINT}]")
        assert [(row.price, row.side, row.seq) for row in rows(burst)] == [
            (6841.25, 0, 0),
            (6841.5, 1, 1),
            (6841.25, 0, 2),
        ]
        assert burst.trades_received == 3

    def test_extra_arguments_are_ignored(self) -> None:
        """A newer gateway may send more arguments."""
        assert rows(decoded(f'[{PRINT}],"more"')) == rows(decoded(f"[{PRINT}]"))

    @pytest.mark.parametrize("target", ["GatewayTrade", "gatewaytrade", "GATEWAYTRADE"])
    def test_targets_have_no_case(self, target: str) -> None:
        """Event names are matched without regard to case."""
        assert decoded(f"[{PRINT}]", target=target).trades_received == 1

    @pytest.mark.parametrize("target", ["GatewayDepth", "GatewayLogout", "GatewayTrades", ""])
    def test_other_targets_are_counted_as_ignored(self, target: str) -> None:
        """Depth, logout and unknown events are no ticks."""
        assert decoded(f"[{PRINT}]", target=target) == Burst(ignored=1)


class TestContracts:
    def test_the_first_argument_alone_names_the_contract(self) -> None:
        """Two expiries share their symbolId and are never mixed; batches keep arrival order."""
        decoder, burst = MarketDecoder(), Burst()
        for contract in ("B", "A", "B"):
            call = Invocation("GatewayTrade", f'["{contract}",[{PRINT}]]'.encode())
            decoder.decode(call, NOW, burst)
        assert list(burst.trades) == ["B", "A"]
        assert [row.seq for row in rows(burst, "B")] == [0, 2]
        assert decoder.next_seq == 3

    def test_a_print_of_another_product_is_refused_and_its_neighbour_stays(self) -> None:
        """What is called for one contract and says that it is of another one is of neither."""
        wrong = PRINT.replace("F.US.EP", "F.US.MES")
        burst = decoded(f"[{PRINT},{wrong},{OTHER}]")
        assert [row.price for row in rows(burst)] == [6841.25, 6841.5]
        (rejected,) = burst.rejected_trades
        assert rejected.reason is Reason.WRONG_CONTRACT
        assert (rejected.contract_id, rejected.raw) == (ES, wrong.encode())
        assert "F.US.MES" in rejected.detail
        assert burst.trades_received == 3

    def test_a_quote_of_another_product_changes_no_state(self) -> None:
        """Its `symbol` is looked at as the `symbolId` of a print is."""
        decoder, burst = MarketDecoder(), Burst()
        stamp = f'"lastUpdated":"{TIME}"'
        for data in (
            f'{{"symbol":"F.US.EP","bestBid":1.0,{stamp}}}',
            f'{{"symbol":"F.US.MES","bestBid":2.0,{stamp}}}',
            f'{{"bestAsk":3.0,{stamp}}}',
        ):
            decoder.decode(Invocation("GatewayQuote", f'["{ES}",{data}]'.encode()), NOW, burst)
        assert [(quote.bid, quote.ask) for quote in burst.quotes] == [(1.0, None), (1.0, 3.0)]
        assert [each.reason for each in burst.rejected_quotes] == [Reason.WRONG_CONTRACT]

    @pytest.mark.parametrize(
        ("contract_id", "symbol"),
        [
            (ES, '"F.US.EP"'),
            (ES, '""'),
            (ES, "null"),
            (ES, "5"),
            (ES, "{}"),
            ("CON.F.US.BTCUSDT", '"F.US.BTCUSDT"'),
            ("ESZ6", '"F.US.EP"'),
        ],
    )
    def test_what_names_no_other_product_is_accepted(self, contract_id: str, symbol: str) -> None:
        """A symbol that is absent, empty or no text says nothing; so does an id of another form."""
        data = PRINT.replace('"F.US.EP"', symbol)
        burst = decoded(f"[{data}]", contract=f'"{contract_id}"')
        assert [row.price for row in rows(burst, contract_id)] == [6841.25]

    @pytest.mark.parametrize("symbol", ["F.US", "F.US.E", "F.US.EP.H27", "US.EP", "f.us.ep"])
    def test_a_part_of_the_product_is_another_one(self, symbol: str) -> None:
        """The whole name is compared."""
        burst = decoded(f"[{PRINT.replace('F.US.EP', symbol)}]")
        assert [each.reason for each in burst.rejected] == [Reason.WRONG_CONTRACT]

    def test_what_the_gateway_calls_a_product_is_believed(self) -> None:
        """Its list of contracts knows better than the form of an id."""
        decoder, burst = MarketDecoder(), Burst()
        decoder.know(ES, "F.US.ES")
        for symbol in ("F.US.ES", "F.US.EP", "F.US.NQ"):
            data = PRINT.replace("F.US.EP", symbol)
            call = Invocation("GatewayTrade", f'["{ES}",[{data}]]'.encode())
            decoder.decode(call, NOW, burst)
        assert len(rows(burst)) == 2
        assert [each.reason for each in burst.rejected] == [Reason.WRONG_CONTRACT]

    @pytest.mark.parametrize(
        "arguments",
        ["[]", f'["{ES}"]', f'["",[{PRINT}]]', f"[5,[{PRINT}]]", f"[null,{PRINT}]", "[", "{}"],
    )
    @pytest.mark.parametrize("kind", ["Trade", "Quote"])
    def test_an_event_without_a_contract_is_rejected_whole(self, arguments: str, kind: str) -> None:
        """It counts as one tick of its kind, and is kept as received."""
        decoder, burst = MarketDecoder(), Burst()
        decoder.decode(Invocation(f"Gateway{kind}", arguments.encode()), NOW, burst)
        (rejected,) = burst.rejected
        assert (rejected.reason, rejected.ticks) == (Reason.PAYLOAD, 1)
        assert rejected.raw == arguments.encode()
        assert (burst.trades_received, burst.quotes_received) == (
            (1, 0) if kind == "Trade" else (0, 1)
        )
        assert (burst.trades, burst.quotes) == ({}, [])

    @pytest.mark.parametrize("data", ["5", "null", '"text"', "true", '{"data":{"data":[]}}'])
    def test_data_without_ticks_is_rejected_whole(self, data: str) -> None:
        """Data of another shape counts as one tick; the contract is known."""
        (rejected,) = decoded(data).rejected
        assert (rejected.reason, rejected.contract_id) == (Reason.PAYLOAD, ES)


class TestPrints:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (f'{{"volume":1,"timestamp":"{TIME}"}}', Reason.PRICE),
            (f'{{"price":null,"volume":1,"timestamp":"{TIME}"}}', Reason.PRICE),
            (f'{{"price":1.5,"timestamp":"{TIME}"}}', Reason.SIZE),
            (f'{{"price":1.5,"volume":null,"timestamp":"{TIME}"}}', Reason.SIZE),
            (f'{{"price":1.5,"volume":1.5,"timestamp":"{TIME}"}}', Reason.SIZE),
            (f'{{"price":1.5,"volume":1e30,"timestamp":"{TIME}"}}', Reason.SIZE),
            (f'{{"price":1.5,"volume":9223372036854775808,"timestamp":"{TIME}"}}', Reason.SIZE),
            (f'{{"price":"1.5","volume":1,"timestamp":"{TIME}"}}', Reason.PAYLOAD),
            (f'{{"price":1e400,"volume":1,"timestamp":"{TIME}"}}', Reason.PAYLOAD),
            (f'{{"price":1.5,"volume":"1","timestamp":"{TIME}"}}', Reason.PAYLOAD),
            (f'{{"price":1.5,"volume":true,"timestamp":"{TIME}"}}', Reason.PAYLOAD),
            ('{"price":1.5,"volume":1}', Reason.TIME),
            ('{"price":1.5,"volume":1,"timestamp":null}', Reason.TIME),
            ('{"price":1.5,"volume":1,"timestamp":1795185000}', Reason.TIME),
            ('{"price":1.5,"volume":1,"timestamp":"yesterday"}', Reason.TIME),
            ('{"price":1.5,"volume":1,"timestamp":""}', Reason.TIME),
            ('{"price":1.5,"volume":1,"timestamp":"2026-11-20T14:30:00"}', Reason.TIME),
            ("{}", Reason.TIME),
            ("5", Reason.PAYLOAD),
            ("[]", Reason.PAYLOAD),
            ('"text"', Reason.PAYLOAD),
        ],
    )
    def test_a_bad_print_costs_itself_alone(self, bad: str, reason: Reason) -> None:
        """Its neighbours are accepted; it is kept as received with the rule that failed."""
        burst = decoded(f"[{PRINT},{bad},{OTHER}]")
        assert [(row.price, row.seq) for row in rows(burst)] == [(6841.25, 0), (6841.5, 2)]
        (rejected,) = burst.rejected
        assert rejected == Rejected(reason, rejected.detail, bad.encode(), NOW, ES)
        assert rejected.detail
        assert burst.trades_received == 3

    @pytest.mark.parametrize(
        ("volume", "size"), [("2", 2), ("2.0", 2), ("2.000000000", 2), ("0", 0), ("-1", -1)]
    )
    def test_a_volume_is_a_whole_number_however_written(self, volume: str, size: int) -> None:
        """Trailing zeros do not matter; whether the number is sensible is for validation."""
        data = PRINT.replace('"volume":2', f'"volume":{volume}')
        assert [row.size for row in rows(decoded(f"[{data}]"))] == [size]

    @pytest.mark.parametrize(
        ("price", "value"), [("6841", 6841.0), ("2100.50", 2100.5), ("-37.63", -37.63), ("0", 0.0)]
    )
    def test_a_price_is_the_nearest_float(self, price: str, value: float) -> None:
        """Prices are read as written, negative ones too."""
        data = PRINT.replace("6841.25", price)
        assert [row.price for row in rows(decoded(f"[{data}]"))] == [value]

    @pytest.mark.parametrize(
        ("kind", "side"),
        [
            ('"type":0,', 0),
            ('"type":1,', 1),
            ("", -1),
            ('"type":null,', -1),
            ('"type":2,', -1),
            ('"type":-1,', -1),
            ('"type":"0",', -1),
            ('"type":true,', -1),
            ('"type":[0],', -1),
        ],
    )
    def test_an_unknown_side_is_never_a_buy(self, kind: str, side: int) -> None:
        """Only 0 and 1 say who was the aggressor; the print counts in any case."""
        data = PRINT.replace('"type":0,', kind)
        assert [row.side for row in rows(decoded(f"[{data}]"))] == [side]

    @pytest.mark.parametrize(
        ("kind", "code"),
        [
            ('"type":1,', None),
            ("", None),
            ('"type":null,', None),
            ('"type":7,', 7),
            ('"type":-1,', -1),
            ('"type":"Cross",', '"Cross"'),
            ('"type":[0],', "[0]"),
            ('"type":"' + "x" * 99 + '",', '"' + "x" * 39),
        ],
    )
    def test_a_code_of_a_side_that_nobody_knows_is_kept(
        self, kind: str, code: int | str | None
    ) -> None:
        """As evidence of the print, whichever way it was read."""
        decoder, burst = MarketDecoder(), Burst()
        data = PRINT.replace('"type":0,', kind)
        decoder.decode(Invocation("GatewayTrade", f'["{ES}",[{data}]]'.encode()), NOW, burst)
        (row,) = rows(burst)
        assert decoder.odd_sides.of(row) == code

    def test_an_empty_time_is_unreadable_in_the_first_print_too(self) -> None:
        """What is remembered of the print before cannot stand for a time that is not there."""
        burst = decoded('[{"price":1.5,"volume":1,"timestamp":""}]')
        assert burst.trades == {}
        assert [item.reason for item in burst.rejected_trades] == [Reason.TIME]


class TestQuotes:
    def update(self, decoder: MarketDecoder, data: str, *, contract: str = ES) -> Burst:
        """What one quote event makes of an empty burst."""
        burst = Burst()
        call = Invocation("GatewayQuote", f'["{contract}",{data}]'.encode())
        decoder.decode(call, NOW, burst)
        return burst

    def test_the_documented_quote(self) -> None:
        """The bytes of the reference give bid and the time of the change."""
        data = (
            '{"symbol":"F.US.EP","bestBid":6841.25,"lastUpdated":"2026-11-20T14:30:00.2Z",'
            '"timestamp":"2026-11-20T14:30:00Z"}'
        )
        burst = self.update(MarketDecoder(), data)
        ts_event = parse_ns("2026-11-20T14:30:00.2Z")
        assert burst == Burst(quotes=[Quote(ES, ts_event, NOW, 0, bid=6841.25)], quotes_received=1)

    def test_sparse_updates_are_merged(self) -> None:
        """Absent and null members leave what is known; every update gives the whole state."""
        decoder = MarketDecoder()
        self.update(
            decoder,
            '{"lastPrice":1,"bestBid":2,"bestAsk":3,"open":4,"high":5,"low":6,"volume":7,'
            '"timestamp":"2026-11-20T14:30:00Z"}',
        )
        data = '{"bestBid":2.5,"bestAsk":null,"volume":9.0,"lastUpdated":"2026-11-20T14:30:01Z"}'
        (quote,) = self.update(decoder, data).quotes
        assert quote == Quote(
            ES, parse_ns("2026-11-20T14:30:01Z"), NOW, 1, 1.0, 2.5, 3.0, 4.0, 5.0, 6.0, 9
        )

    def test_contracts_do_not_share_a_state(self) -> None:
        """Each contract has its own state, and numbers run over all of them."""
        decoder = MarketDecoder()
        self.update(decoder, '{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"}', contract="A")
        (quote,) = self.update(
            decoder, '{"bestAsk":2,"timestamp":"2026-11-20T14:30:00Z"}', contract="B"
        ).quotes
        assert (quote.bid, quote.ask, quote.seq) == (None, 2.0, 1)

    def test_an_update_without_a_time_keeps_the_state_s(self) -> None:
        """The last known time stays; where none is known, the update cannot be placed."""
        decoder = MarketDecoder()
        assert self.update(decoder, '{"bestBid":1}').rejected[0].reason is Reason.TIME
        self.update(decoder, '{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"}')
        (quote,) = self.update(decoder, '{"bestAsk":2}').quotes
        assert (quote.ts_event, quote.bid, quote.ask) == (
            parse_ns("2026-11-20T14:30:00Z"),
            1.0,
            2.0,
        )

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ('{"bestBid":"5"}', Reason.PAYLOAD),
            ('{"volume":2.5}', Reason.SIZE),
            ('{"bestBid":5,"lastUpdated":"now"}', Reason.TIME),
            ('{"bestBid":5,"timestamp":7}', Reason.PAYLOAD),
        ],
    )
    def test_a_bad_update_leaves_the_state(self, data: str, reason: Reason) -> None:
        """It is rejected whole, and nothing of it is merged."""
        decoder = MarketDecoder()
        self.update(decoder, '{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"}')
        burst = self.update(decoder, data)
        (rejected,) = burst.rejected
        assert (rejected.reason, rejected.raw, rejected.contract_id) == (reason, data.encode(), ES)
        assert burst.quotes_received == 1
        assert self.update(decoder, "{}").quotes[0].bid == 1.0

    def test_a_list_of_updates(self) -> None:
        """Some clients see lists; each element is an update, one bad one costs itself alone."""
        data = '[{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"},5,null,{"bestAsk":2}]'
        burst = self.update(MarketDecoder(), data)
        assert [(quote.bid, quote.ask) for quote in burst.quotes] == [(1.0, None), (1.0, 2.0)]
        assert (burst.quotes_received, len(burst.rejected_quotes)) == (3, 1)
        assert burst.rejected_trades == []

    def test_a_forgotten_contract_starts_anew(self) -> None:
        """After `forget` nothing old is merged; forgetting an unknown one is harmless."""
        decoder = MarketDecoder()
        self.update(decoder, '{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"}')
        decoder.forget(ES)
        decoder.forget("unknown")
        (quote,) = self.update(decoder, '{"bestAsk":2,"timestamp":"2026-11-20T14:30:00Z"}').quotes
        assert quote.bid is None

    def test_states_are_bounded(self) -> None:
        """Beyond the bound the longest known contract is dropped, the others stay."""
        decoder = MarketDecoder()
        first = '{"bestBid":1,"timestamp":"2026-11-20T14:30:00Z"}'
        for number in range(QUOTE_STATES_MAX + 1):
            self.update(decoder, first, contract=str(number))
        assert self.update(decoder, "{}", contract="1").quotes != []
        assert self.update(decoder, "{}", contract="0").quotes == []


class _Frame(msgspec.Struct):
    t: int
    ws: str


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "trades", "quotes"),
    [
        ("esh2_2022-01-24_sparse_faults", 2_026, 605),
        ("esu4_2024-07-01", 120, 2_103),
    ],
)
def test_recorded_frames(shared_data: Path, name: str, trades: int, quotes: int) -> None:
    """Recorded frames give every tick, with faults of the wire quarantined beside them."""
    session, decoder, burst, garbled = Session(), MarketDecoder(), Burst(), 0
    session.start(0)
    with gzip.open(shared_data / "wire" / f"{name}.signalr.jsonl.gz") as file:
        for line in file:
            frame = msgspec.json.decode(line, type=_Frame)
            for event in session.receive(frame.ws.encode(), frame.t):
                if isinstance(event, Called):
                    decoder.decode(event.invocation, frame.t, burst)
                garbled += isinstance(event, Garbled)
    assert sum(map(len, burst.trades.values())) == burst.trades_received == trades
    assert len(burst.quotes) == burst.quotes_received == quotes
    assert burst.rejected == []
    assert garbled == ("faults" in name)
