"""Payloads in MessagePack: every form a .NET server may write, read like the same in JSON."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

import msgspec
import pytest
from msgspec.msgpack import Ext

from tapekeeper.core.gateway.market import Burst, MarketDecoder
from tapekeeper.core.gateway.packed import json_arguments, stamp_ns
from tapekeeper.core.gateway.packed_ticks import packed_prints, packed_quote
from tapekeeper.core.gateway.proofs import proves
from tapekeeper.core.gateway.user import FillUpdate, OrderUpdate, decode_user
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.tick import Quote, Reason, Rejected, Trade

ES = "CON.F.US.EP.Z26"
NOW = 1_795_185_000_300_000_000
TIME = "2026-11-20T14:30:00.1234567+00:00"
TIME_NS = 1_795_185_000_123_456_700
SECOND = 1_795_185_000
EXACT = Ext(-1, (123_456_700 << 34 | SECOND).to_bytes(8))
AHEAD = [Ext(-1, (123_456_700 << 34 | SECOND + 5_400).to_bytes(8)), 90]
WHOLE = {"Price": 6841.25, "Timestamp": EXACT, "Type": 0, "Volume": 2, "SymbolId": "F.US.EP"}
TRADE = Trade(ES, TIME_NS, 6841.25, 2, 0, NOW, 0)


def called(target: str, *arguments: Any) -> Invocation:
    """A packed invocation."""
    return Invocation(target, msgspec.msgpack.encode(arguments), packed=True)


def decoded(*arguments: Any, target: str = "GatewayTrade") -> Burst:
    """What one event makes of an empty burst."""
    burst = Burst()
    MarketDecoder().decode(called(target, *arguments), NOW, burst)
    return burst


def rows(burst: Burst) -> list[Trade]:
    """All trades of a burst."""
    return [
        batch.row(index) for batch in burst.trades.values() for index in range(len(batch.price))
    ]


class TestTimes:
    @pytest.mark.parametrize(
        ("stamp", "ns"),
        [
            (TIME, TIME_NS),
            (EXACT, TIME_NS),
            ((AHEAD[0], 90), TIME_NS),
            (Ext(-1, SECOND.to_bytes(4)), SECOND * 10**9),
            (Ext(-1, (99).to_bytes(4) + SECOND.to_bytes(8)), SECOND * 10**9 + 99),
            (Ext(-1, (0).to_bytes(4) + (-1).to_bytes(8, signed=True)), -(10**9)),
            (Ext(-1, (999_999_999).to_bytes(4) + (-1).to_bytes(8, signed=True)), -1),
        ],
    )
    def test_every_digit_is_kept(self, stamp: Any, ns: int) -> None:
        """All three lengths of the extension, an offset taken off, and ISO text."""
        assert stamp_ns(stamp) == ns

    def test_the_library_writes_the_same_extension(self) -> None:
        """What an independent encoder makes of a moment is that moment."""
        moment = dt.datetime(2026, 11, 20, 14, 30, 0, 123_456, tzinfo=dt.UTC)
        ext = msgspec.msgpack.decode(msgspec.msgpack.encode(moment), type=Ext)
        assert stamp_ns(ext) == TIME_NS - 700

    @pytest.mark.parametrize(
        "stamp",
        [
            Ext(5, SECOND.to_bytes(4)),
            Ext(-1, b""),
            Ext(-1, SECOND.to_bytes(5)),
            Ext(-1, (10**9 << 34 | SECOND).to_bytes(8)),
            Ext(-1, (10**9).to_bytes(4) + SECOND.to_bytes(8)),
            Ext(-1, (0).to_bytes(4) + (2**62).to_bytes(8)),
            "noon",
        ],
    )
    def test_what_is_no_time_is_refused(self, stamp: Any) -> None:
        """Other extensions, other lengths, a second too much, and years beyond 9999."""
        with pytest.raises(ValueError, match=r"."):
            stamp_ns(stamp)


class TestProducts:
    def test_a_print_of_another_product_is_refused_alone(self) -> None:
        """As in JSON, and its neighbours stay."""
        burst = decoded(ES, [WHOLE, {**WHOLE, "SymbolId": "F.US.MES"}, WHOLE])
        assert [row.price for row in rows(burst)] == [6841.25, 6841.25]
        assert [each.reason for each in burst.rejected] == [Reason.WRONG_CONTRACT]

    def test_a_quote_of_another_product_is_refused(self) -> None:
        """Its member is called otherwise and read alike."""
        for symbol, quotes in (("F.US.EP", 1), ("F.US.MES", 0)):
            data = {"Symbol": symbol, "BestBid": 6841.25, "LastUpdated": EXACT}
            burst = decoded(ES, data, target="GatewayQuote")
            assert len(burst.quotes) == quotes
            reasons = [each.reason for each in burst.rejected]
            assert reasons == [Reason.WRONG_CONTRACT] * (1 - quotes)


class TestTrades:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"Price": "6841.25"},
            {"Price": "6841.250000000"},
            {"Timestamp": AHEAD},
            {"Timestamp": TIME},
            {"Type": "Buy"},
            {"More": [1, {}]},
        ],
    )
    def test_the_usual_form_needs_no_rewriting(self, changes: dict[str, Any]) -> None:
        """Decimals as text, offsets and names of enums are read by the typed decoder."""
        call = called("GatewayTrade", ES, [None, {**WHOLE, **changes}])
        assert packed_prints(call.arguments) == (ES, [(TIME_NS, 6841.25, 2, 0)])
        assert rows(decoded(ES, [{**WHOLE, **changes}])) == [TRADE]

    @pytest.mark.parametrize(
        "data",
        [
            WHOLE,
            {"Data": [WHOLE]},
            {"Action": 1, "Data": WHOLE},
            [{"price": 6841.25, "timestamp": EXACT, "type": 0, "volume": 2}],
            [{"price": "06841.25", "timestamp": AHEAD, "type": "BUY", "volume": "2"}],
            [{**WHOLE, "Volume": 2.0}],
        ],
    )
    def test_other_forms_are_rewritten(self, data: Any) -> None:
        """One object, envelopes, camelCase and odd numbers are judged where JSON is."""
        assert rows(decoded(ES, data)) == [TRADE]

    def test_a_side_that_is_not_known_is_no_guess(self) -> None:
        """Other names, other codes and none at all are unknown."""
        prints = [{**WHOLE, "Type": kind} for kind in ("Cross", 7, None)]
        assert [row.side for row in rows(decoded(ES, prints))] == [-1, -1, -1]

    @pytest.mark.parametrize(
        ("flaw", "reason"),
        [
            ({"Timestamp": Ext(5, b"1234")}, Reason.TIME),
            ({"Timestamp": "noon"}, Reason.TIME),
            ({"Timestamp": [EXACT, 0, 0]}, Reason.TIME),
            ({"Price": "many"}, Reason.PAYLOAD),
            ({"Price": "1_0"}, Reason.PAYLOAD),
            ({"Price": None}, Reason.PRICE),
            ({"Volume": 1.5}, Reason.SIZE),
            ({"Volume": 2**63}, Reason.SIZE),
        ],
    )
    def test_an_unreadable_print_costs_itself_alone(
        self, flaw: dict[str, Any], reason: Reason
    ) -> None:
        """Its neighbours count; it is quarantined with the reason JSON would get."""
        burst = decoded(ES, [WHOLE, {**WHOLE, **flaw}, WHOLE])
        assert [row.seq for row in rows(burst)] == [0, 2]
        assert [item.reason for item in burst.rejected_trades] == [reason]
        assert burst.trades_received == 3

    @pytest.mark.parametrize(
        "arguments", [b"\x90", b"\x91\xa1C", b"\x92\x01\x90", b"\x92\xa1C\xc1", b"\x91" * 90_000]
    )
    def test_unreadable_arguments_are_kept_whole(self, arguments: bytes) -> None:
        """What cannot be read at all is one quarantined tick, as it came."""
        burst = Burst()
        call = Invocation("GatewayTrade", arguments, packed=True)
        MarketDecoder().decode(call, NOW, burst)
        (rejected,) = burst.rejected
        assert rejected.reason is Reason.PAYLOAD
        assert burst.trades_received == 1


class TestQuotes:
    UPDATE: ClassVar = {
        "Symbol": "F.US.EP",
        "BestBid": "6841.25",
        "LastUpdated": EXACT,
        "Timestamp": AHEAD,
    }

    @pytest.mark.parametrize(
        "changes", [{}, {"BestBid": 6841.25}, {"LastUpdated": None}, {"LastUpdated": AHEAD}]
    )
    def test_the_usual_form_needs_no_rewriting(self, changes: dict[str, Any]) -> None:
        """A sparse update with decimals as text or numbers is read by the typed decoder."""
        call = called("GatewayQuote", ES, self.UPDATE | changes)
        contract_id, update = packed_quote(call.arguments)
        assert (contract_id, update.time_ns, update.best_bid) == (ES, TIME_NS, 6841.25)
        burst = decoded(ES, self.UPDATE | changes, target="GatewayQuote")
        assert burst.quotes == [Quote(ES, TIME_NS, NOW, 0, bid=6841.25)]

    def test_updates_are_merged(self) -> None:
        """Members that are not sent keep what is known, whatever form each update has."""
        decoder, burst = MarketDecoder(), Burst()
        for update in (
            self.UPDATE,
            {"bestAsk": "6841.50", "timestamp": EXACT, "volume": 9},
            {"LastPrice": "6841.25", "Volume": "10", "Timestamp": EXACT},
            {"BestBid": 6841.0},
        ):
            decoder.decode(called("GatewayQuote", ES, update), NOW, burst)
        assert burst.rejected == []
        assert burst.quotes[-1] == Quote(
            ES, TIME_NS, NOW, 3, last=6841.25, bid=6841.0, ask=6841.5, volume=10
        )

    @pytest.mark.parametrize(
        ("update", "reason"),
        [
            ({"BestBid": 1}, Reason.TIME),
            ({"BestBid": "x", "Timestamp": EXACT}, Reason.PAYLOAD),
            ({"Volume": 1.5, "Timestamp": EXACT}, Reason.SIZE),
        ],
    )
    def test_a_flawed_update_changes_nothing(self, update: dict[str, Any], reason: Reason) -> None:
        """It is quarantined once and counted once; the state stays."""
        burst = decoded(ES, update, target="GatewayQuote")
        assert [item.reason for item in burst.rejected_quotes] == [reason]
        assert (burst.quotes_received, burst.quotes) == (1, [])


class TestUserEvents:
    def test_an_order_with_names_of_enums(self) -> None:
        """Names become the codes that JSON has, and decimals numbers."""
        order = {
            "Id": 9001, "AccountId": 1, "ContractId": ES, "Status": "PendingCancellation",
            "Type": "StopLimit", "Side": "Ask", "Size": 3, "FillVolume": 0,
            "LimitPrice": "6841.25", "UpdateTimestamp": EXACT, "CustomTag": "12.5",
        }  # fmt: skip
        (event,) = decode_user(called("GatewayUserOrder", {"Action": 1, "Data": order}), NOW)
        assert isinstance(event, OrderUpdate)
        assert (event.status_name, event.type_name) == ("pending_cancellation", "stop_limit")
        assert (event.side_name, event.limit_price, event.updated_ns) == ("ask", 6841.25, TIME_NS)
        assert (event.custom_tag, event.action) == ("12.5", 1)

    def test_a_fill_with_numbers(self) -> None:
        """Numbers stay what they are."""
        fill = {
            "Id": 7001, "OrderId": 9001, "AccountId": 1, "ContractId": ES, "Side": 0, "Size": 15,
            "Price": 49909, "Fees": 5.55, "Voided": False, "CreationTimestamp": AHEAD,
        }  # fmt: skip
        (event,) = decode_user(called("GatewayUserTrade", fill), NOW)
        assert isinstance(event, FillUpdate)
        assert (event.price, event.fees, event.created_ns) == (49909.0, 5.55, TIME_NS)

    def test_what_cannot_be_read_is_quarantined(self) -> None:
        """An event that stands for no tick, with the reason."""
        call = Invocation("GatewayUserOrder", b"\x91\xc1", packed=True)
        (event,) = decode_user(call, NOW)
        assert isinstance(event, Rejected)
        assert event.raw == b"\x91\xc1"


class TestRewriting:
    def test_values_that_json_has_are_kept(self) -> None:
        """Other calls are rewritten as they are, names in camelCase, bytes in base64."""
        call = called("Other", None, True, -5, 2**64 - 1, 1.5, "é\x1e", {"AB": b"\x00"}, [])
        text = '[null,true,-5,18446744073709551615,1.5,"é\\u001e",{"aB":"AA=="},[]]'
        assert json_arguments(call).decode() == text

    def test_json_is_left_alone(self) -> None:
        """Not even its spaces are touched."""
        assert json_arguments(Invocation("T", b"[ 1 ]")) == b"[ 1 ]"

    def test_depth_is_bounded(self) -> None:
        """A payload that is nested without sense is refused, whatever its depth."""
        for depth in (20, 90_000):
            call = Invocation("T", b"\x91" * depth + b"\x01", packed=True)
            with pytest.raises(ValueError, match="nested"):
                json_arguments(call)


def test_packed_data_prove_a_subscription() -> None:
    """The contract or account is found in packed data, too, and not in unreadable data."""
    trade = called("GatewayTrade", ES, [WHOLE])
    assert proves("SubscribeContractTrades", (ES,), trade)
    assert not proves("SubscribeContractTrades", ("CON.F.US.EP.H27",), trade)
    order = called("GatewayUserOrder", {"Action": 1, "Data": {"AccountId": 1}})
    assert proves("SubscribeOrders", (1,), order)
    assert not proves("SubscribeOrders", (11,), order)
    assert not proves("SubscribeOrders", (1,), Invocation(order.target, b"\x91\xc1", packed=True))
