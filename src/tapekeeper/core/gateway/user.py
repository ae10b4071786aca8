"""Events of the user hub: the account's own orders, fills, positions and balance.

Documented as the bare object, live events are `{"action": <int>, "data": {...}}` in the one
argument; both are read. Members without a value are omitted. Every event is an upsert under the
object's id: a fill can come twice, and before the order that it fills.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.times import parse_ns
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.model.tick import Reason, Rejected


class OrderStatus(IntEnum):
    """`status` of an order. Pending comes first and is no rejection."""

    NONE = 0
    OPEN = 1
    FILLED = 2
    CANCELLED = 3
    EXPIRED = 4
    REJECTED = 5
    PENDING = 6
    PENDING_CANCELLATION = 7
    SUSPENDED = 8


class OrderType(IntEnum):
    """`type` of an order."""

    UNKNOWN = 0
    LIMIT = 1
    MARKET = 2
    STOP_LIMIT = 3
    STOP = 4
    TRAILING_STOP = 5
    JOIN_BID = 6
    JOIN_ASK = 7


class OrderSide(IntEnum):
    """`side` of an order or a fill."""

    BID = 0  # buys
    ASK = 1  # sells


class PositionType(IntEnum):
    """`type` of a position; its size has no sign."""

    UNDEFINED = 0
    LONG = 1
    SHORT = 2


class AccountUpdate(msgspec.Struct, frozen=True):
    """The state of an account.

    Attributes:
        account_id: the gateway's id.
        name: the gateway's name of it.
        balance: money of the account, or None where it was not sent.
        can_trade, is_visible, simulated: flags of the gateway, None where not sent.
        action: the envelope's action, None for a bare object.
        ts_recv: host clock, ns UTC.
    """

    account_id: int
    name: str
    balance: float | None
    can_trade: bool | None
    is_visible: bool | None
    simulated: bool | None
    action: int | None
    ts_recv: int


class OrderUpdate(msgspec.Struct, frozen=True):
    """The state of an order. Prices are in the contract's quotation, sizes contracts.

    Codes are kept as the integers that came, because the gateway may add some; the `..._name`
    properties name those that are known.
    """

    order_id: int
    account_id: int
    contract_id: str
    status: int
    order_type: int
    side: int
    size: int
    fill_volume: int
    limit_price: float | None
    stop_price: float | None
    filled_price: float | None
    custom_tag: str | None
    created_ns: int | None
    updated_ns: int | None
    action: int | None
    ts_recv: int

    @property
    def status_name(self) -> str:
        """Such as `filled`, or `unknown(9)`."""
        return _name(OrderStatus, self.status)

    @property
    def type_name(self) -> str:
        """Such as `market`, or `unknown(9)`."""
        return _name(OrderType, self.order_type)

    @property
    def side_name(self) -> str:
        """`bid` or `ask`, or `unknown(9)`."""
        return _name(OrderSide, self.side)


class PositionUpdate(msgspec.Struct, frozen=True):
    """The state of a position; flat is size 0 with the old average price."""

    position_id: int
    account_id: int
    contract_id: str
    position_type: int
    size: int
    average_price: float
    created_ns: int | None
    action: int | None
    ts_recv: int

    @property
    def type_name(self) -> str:
        """Such as `long`, or `unknown(9)`."""
        return _name(PositionType, self.position_type)


class FillUpdate(msgspec.Struct, frozen=True):
    """A fill of an own order (the gateway's `trade`, a half-turn).

    Its id is the key: a closing trade makes the gateway send the opening fill again.
    `profit_and_loss` is None for fills that open a position.
    """

    fill_id: int
    order_id: int
    account_id: int
    contract_id: str
    side: int
    size: int
    price: float
    fees: float | None
    commissions: float | None
    profit_and_loss: float | None
    voided: bool
    created_ns: int | None
    action: int | None
    ts_recv: int

    @property
    def side_name(self) -> str:
        """`bid` or `ask`, or `unknown(9)`."""
        return _name(OrderSide, self.side)


UserEvent: TypeAlias = AccountUpdate | OrderUpdate | PositionUpdate | FillUpdate


class _Account(msgspec.Struct, rename="camel"):
    id: int
    name: str = ""
    balance: float | None = None
    can_trade: bool | None = None
    is_visible: bool | None = None
    simulated: bool | None = None

    def event(self, action: int | None, recv_ns: int) -> UserEvent:
        return AccountUpdate(
            self.id,
            self.name,
            self.balance,
            self.can_trade,
            self.is_visible,
            self.simulated,
            action,
            recv_ns,
        )


class _Order(msgspec.Struct, rename="camel"):
    id: int
    account_id: int
    contract_id: str
    status: int
    type: int
    side: int
    size: int
    fill_volume: int | None = None
    limit_price: float | None = None
    stop_price: float | None = None
    filled_price: float | None = None
    custom_tag: str | None = None
    creation_timestamp: str | None = None
    update_timestamp: str | None = None

    def event(self, action: int | None, recv_ns: int) -> UserEvent:
        return OrderUpdate(
            order_id=self.id,
            account_id=self.account_id,
            contract_id=self.contract_id,
            status=self.status,
            order_type=self.type,
            side=self.side,
            size=self.size,
            fill_volume=self.fill_volume or 0,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            filled_price=self.filled_price,
            custom_tag=self.custom_tag,
            created_ns=_time(self.creation_timestamp),
            updated_ns=_time(self.update_timestamp),
            action=action,
            ts_recv=recv_ns,
        )


class _Position(msgspec.Struct, rename="camel"):
    id: int
    account_id: int
    contract_id: str
    type: int
    size: int
    average_price: float
    creation_timestamp: str | None = None

    def event(self, action: int | None, recv_ns: int) -> UserEvent:
        return PositionUpdate(
            self.id,
            self.account_id,
            self.contract_id,
            self.type,
            self.size,
            self.average_price,
            _time(self.creation_timestamp),
            action,
            recv_ns,
        )


class _Fill(msgspec.Struct, rename="camel"):
    id: int
    order_id: int
    account_id: int
    contract_id: str
    side: int
    size: int
    price: float
    fees: float | None = None
    commissions: float | None = None
    profit_and_loss: float | None = None
    voided: bool | None = None
    creation_timestamp: str | None = None

    def event(self, action: int | None, recv_ns: int) -> UserEvent:
        return FillUpdate(
            fill_id=self.id,
            order_id=self.order_id,
            account_id=self.account_id,
            contract_id=self.contract_id,
            side=self.side,
            size=self.size,
            price=self.price,
            fees=self.fees,
            commissions=self.commissions,
            profit_and_loss=self.profit_and_loss,
            voided=self.voided or False,
            created_ns=_time(self.creation_timestamp),
            action=action,
            ts_recv=recv_ns,
        )


class _Envelope(msgspec.Struct):
    data: msgspec.Raw
    action: int | None = None


_UNREADABLE = (ValueError, RecursionError)  # msgspec's errors are ValueErrors
_decode_arguments = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_DECODERS: dict[str, msgspec.json.Decoder[_Account | _Order | _Position | _Fill]] = {
    "gatewayuseraccount": msgspec.json.Decoder(_Account),
    "gatewayuserorder": msgspec.json.Decoder(_Order),
    "gatewayuserposition": msgspec.json.Decoder(_Position),
    "gatewayusertrade": msgspec.json.Decoder(_Fill),
}


def decode_user(invocation: Invocation, recv_ns: int) -> list[UserEvent | Rejected]:
    """The events that `invocation` carries, one per argument; none for other targets.

    Targets are compared without case, nulls are skipped, unknown members ignored. An argument
    that cannot be read is a `Rejected` of reason payload that stands for no tick.

    Args:
        invocation: any invocation of the user hub.
        recv_ns: when its frame was received, host clock, ns UTC.
    """
    decoder = _DECODERS.get(invocation.target.lower())
    if decoder is None:
        return []
    try:
        arguments = _decode_arguments(json_arguments(invocation))
    except _UNREADABLE as error:
        return [_rejected(f"unreadable arguments: {error}", invocation.arguments, recv_ns)]
    events: list[UserEvent | Rejected] = []
    for raw in map(bytes, arguments):
        if raw == b"null":
            continue
        data, action = _unwrapped(raw)
        try:
            events.append(decoder.decode(data).event(action, recv_ns))
        except _UNREADABLE as error:
            events.append(_rejected(f"an unreadable {invocation.target}: {error}", raw, recv_ns))
    return events


def _unwrapped(raw: bytes) -> tuple[bytes, int | None]:
    try:
        envelope = _decode_envelope(raw)
    except _UNREADABLE:
        return raw, None  # no envelope: the object itself
    return bytes(envelope.data), envelope.action


def _rejected(detail: str, raw: bytes, recv_ns: int) -> Rejected:
    return Rejected(Reason.PAYLOAD, detail, raw, recv_ns, ticks=0)


def _time(text: str | None) -> int | None:
    return None if text is None else parse_ns(text)


def _name(kind: type[IntEnum], code: int) -> str:
    try:
        return kind(code).name.lower()
    except ValueError:
        return f"unknown({code})"


def object_of(event: UserEvent) -> tuple[type, int]:
    """What a user event is about."""
    if isinstance(event, OrderUpdate):
        return OrderUpdate, event.order_id
    if isinstance(event, FillUpdate):
        return FillUpdate, event.fill_id
    if isinstance(event, AccountUpdate):
        return AccountUpdate, event.account_id
    return type(event), event.position_id
