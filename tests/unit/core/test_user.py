"""User events: bare and wrapped, whole and sparse."""

from __future__ import annotations

import pytest

from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.gateway.user import (
    AccountUpdate,
    FillUpdate,
    OrderUpdate,
    PositionUpdate,
    UserEvent,
    decode_user,
)
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.tick import Reason, Rejected

NOW = 1_795_185_000_300_000_000
TIME = "2026-05-06T13:36:03.6112156+00:00"
ACCOUNT = (
    '{"id":1,"name":"PRACTICE","balance":150175.38,"canTrade":true,"isVisible":true,'
    '"simulated":true}'
)
ORDER = (
    '{"id":9001,"accountId":1,"contractId":"CON.F.US.MYM.M26","symbolId":"F.US.MYM",'
    f'"creationTimestamp":"{TIME}","updateTimestamp":"{TIME}","status":6,"type":2,"side":0,'
    '"size":15,"fillVolume":0}'
)
POSITION = (
    '{"id":8001,"accountId":1,"contractId":"CON.F.US.MYM.M26","contractDisplayName":"MYMM26",'
    f'"creationTimestamp":"{TIME}","type":1,"size":15,"averagePrice":49909}}'
)
FILL = (
    '{"id":7001,"accountId":1,"contractId":"CON.F.US.MYM.M26",'
    f'"creationTimestamp":"{TIME}","price":49909,"fees":5.55,"commissions":3.75,"side":0,'
    '"size":15,"voided":false,"orderId":9001}'
)


def events(target: str, *arguments: str) -> list[UserEvent | Rejected]:
    """What one invocation carries."""
    return decode_user(Invocation(target, f"[{','.join(arguments)}]".encode()), NOW)


@pytest.mark.parametrize(
    ("target", "data", "event"),
    [
        (
            "GatewayUserAccount",
            ACCOUNT,
            AccountUpdate(
                account_id=1,
                name="PRACTICE",
                balance=150175.38,
                can_trade=True,
                is_visible=True,
                simulated=True,
                action=1,
                ts_recv=NOW,
            ),
        ),
        (
            "GatewayUserOrder",
            ORDER,
            OrderUpdate(
                order_id=9001,
                account_id=1,
                contract_id="CON.F.US.MYM.M26",
                status=6,
                order_type=2,
                side=0,
                size=15,
                fill_volume=0,
                limit_price=None,
                stop_price=None,
                filled_price=None,
                custom_tag=None,
                created_ns=parse_ns(TIME),
                updated_ns=parse_ns(TIME),
                action=1,
                ts_recv=NOW,
            ),
        ),
        (
            "GatewayUserPosition",
            POSITION,
            PositionUpdate(
                position_id=8001,
                account_id=1,
                contract_id="CON.F.US.MYM.M26",
                position_type=1,
                size=15,
                average_price=49909.0,
                created_ns=parse_ns(TIME),
                action=1,
                ts_recv=NOW,
            ),
        ),
        (
            "GatewayUserTrade",
            FILL,
            FillUpdate(
                fill_id=7001,
                order_id=9001,
                account_id=1,
                contract_id="CON.F.US.MYM.M26",
                side=0,
                size=15,
                price=49909.0,
                fees=5.55,
                commissions=3.75,
                profit_and_loss=None,
                voided=False,
                created_ns=parse_ns(TIME),
                action=1,
                ts_recv=NOW,
            ),
        ),
    ],
)
def test_the_events_of_the_reference(target: str, data: str, event: UserEvent) -> None:
    """Wrapped events are read as they are seen live, in any case of the target."""
    wrapped = f'{{"action":1,"data":{data}}}'
    assert events(target, wrapped) == [event]
    assert events(target.lower(), wrapped) == [event]


@pytest.mark.parametrize(
    ("target", "data"),
    [
        ("GatewayUserAccount", ACCOUNT),
        ("GatewayUserOrder", ORDER),
        ("GatewayUserPosition", POSITION),
        ("GatewayUserTrade", FILL),
    ],
)
def test_a_bare_object_has_no_action(target: str, data: str) -> None:
    """The documented bare object is read too; it says of no action."""
    (bare,) = events(target, data)
    assert not isinstance(bare, Rejected)
    assert bare.action is None
    (wrapped,) = events(target, f'{{"data":{data}}}')
    assert wrapped == bare


def test_prices_of_an_order() -> None:
    """Members that an order has are read, and unknown ones ignored."""
    data = ORDER[:-1] + (
        ',"limitPrice":49900,"stopPrice":1.5,"filledPrice":49901.0,"customTag":"mine",'
        '"trailDistance":3,"surprise":{}}'
    )
    (order,) = events("GatewayUserOrder", data)
    assert isinstance(order, OrderUpdate)
    assert (order.limit_price, order.stop_price, order.filled_price) == (49900.0, 1.5, 49901.0)
    assert order.custom_tag == "mine"


def test_codes_have_names() -> None:
    """Known codes are named, new ones are kept and shown as numbers."""
    (order,) = events("GatewayUserOrder", ORDER)
    assert isinstance(order, OrderUpdate)
    assert (order.status_name, order.type_name, order.side_name) == ("pending", "market", "bid")
    (order,) = events("GatewayUserOrder", ORDER.replace('"status":6', '"status":42'))
    assert isinstance(order, OrderUpdate)
    assert (order.status, order.status_name) == (42, "unknown(42)")
    (position,) = events("GatewayUserPosition", POSITION)
    assert isinstance(position, PositionUpdate)
    assert position.type_name == "long"
    (fill,) = events("GatewayUserTrade", FILL.replace('"side":0', '"side":1'))
    assert isinstance(fill, FillUpdate)
    assert fill.side_name == "ask"


def test_several_arguments_are_several_events() -> None:
    """Each argument is an event; null is none."""
    assert len(events("GatewayUserAccount", ACCOUNT, "null", f'{{"data":{ACCOUNT}}}')) == 2


@pytest.mark.parametrize("target", ["GatewayLogout", "GatewayTrade", "SomethingNew"])
def test_other_targets_carry_no_user_events(target: str) -> None:
    """What is not a user event is left to others."""
    assert events(target, ACCOUNT) == []


@pytest.mark.parametrize(
    "data",
    [
        "5",
        "[]",
        "{}",
        ORDER.replace('"id":9001', '"id":"9001"'),
        ORDER.replace(TIME, "yesterday"),
        '{"action":1,"data":null}',
        '{"action":1,"data":{"id":1}}',
    ],
)
def test_an_unreadable_event_is_rejected_and_is_no_tick(data: str) -> None:
    """It is kept as received, its neighbour is read, and no tick is counted."""
    good, rejected = events("GatewayUserOrder", ORDER, data)
    assert isinstance(good, OrderUpdate)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.ticks) == (Reason.PAYLOAD, 0)
    assert rejected.raw == data.encode()


def test_unreadable_arguments_are_rejected_whole() -> None:
    """Arguments that are no JSON array are one rejected input."""
    (rejected,) = decode_user(Invocation("GatewayUserOrder", b"[" * 50_000), NOW)
    assert isinstance(rejected, Rejected)
