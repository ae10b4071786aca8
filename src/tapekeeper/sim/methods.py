"""The methods of the two hubs, and the texts a hub answers wrong calls with.

Method names are matched without regard to case. A call without an id is never answered, right
or wrong. Sources: the gateway's reference (7.2) for names and arguments, measurements on
ASP.NET Core 9.0.7 for the texts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.signalr.records import StreamInvocation, encode_completion
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.session import Call
from tapekeeper.sim.subscriptions import Stream, Subscriptions

Refusal = str | None
"""What a method throws, as the text behind `HubException: `; None if it succeeds."""

Action = Callable[[HubConnection, str], Refusal]


@dataclass(frozen=True, slots=True)
class CallFault:
    """What goes wrong with one call.

    Attributes:
        refusal: the text it is refused with; None carries it out and never answers.
        lost: whether it is not carried out either.
    """

    refusal: str | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """One hub method.

    Attributes:
        name: as declared.
        argument: what it takes: nothing, one string, or one whole number.
        action: called with the connection and the argument as text.
    """

    name: str
    argument: Literal["none", "text", "number"]
    action: Action


_decode_none = msgspec.json.Decoder(tuple[()]).decode
_decode_text = msgspec.json.Decoder(tuple[str]).decode
_decode_number = msgspec.json.Decoder(tuple[int]).decode


def _bind(method: Method, arguments: bytes) -> str:
    """The argument as text; raises `msgspec.DecodeError` where number or type is wrong."""
    if method.argument == "none":
        _decode_none(arguments)
        return ""
    if method.argument == "text":
        return _decode_text(arguments)[0]
    return str(_decode_number(arguments)[0])


class Methods:
    """A hub's methods by name."""

    def __init__(self, methods: list[Method]) -> None:
        self._methods = {method.name.lower(): method for method in methods}

    def answer(self, connection: HubConnection, call: Call, fault: CallFault | None = None) -> None:
        """Run a call; its events go out before its completion."""
        if fault is not None and fault.lost:
            return
        if fault is not None and fault.refusal is not None:
            error: str | None = _thrown(call.target, fault.refusal)
        else:
            error = self._run(connection, call)
        if call.invocation_id is not None and (fault is None or fault.refusal is not None):
            connection.send(encode_completion(call.invocation_id, error=error))

    def _run(self, connection: HubConnection, call: Call) -> str | None:
        failed = f"Failed to invoke '{call.target}' due to an error on the server."
        method = self._methods.get(call.target.lower())
        if method is None:
            return f"{failed} HubException: Method does not exist."
        if isinstance(call, StreamInvocation):
            return (
                f"The client attempted to invoke the non-streaming '{call.target}' method with "
                "a streaming invocation."
            )
        try:
            argument = _bind(method, json_arguments(call))
        except ValueError:  # msgspec's errors are ValueErrors too
            return failed
        refusal = method.action(connection, argument)
        if refusal is None:
            return None
        return _thrown(call.target, refusal)


def _thrown(target: str, text: str) -> str:
    return f"An unexpected error occurred invoking '{target}' on the server. HubException: {text}"


def market_methods(
    subscriptions: Subscriptions,
    *,
    knows: Callable[[str], bool],
    unknown_is_error: bool,
    greet: Callable[[Stream, str, HubConnection], None],
) -> Methods:
    """The methods of the market hub.

    Args:
        subscriptions: where subscriptions are kept.
        knows: whether a contract id exists.
        unknown_is_error: whether subscribing another one is refused; otherwise it stays silent.
        greet: sends what a new subscriber gets at once.
    """

    def subscribe(stream: Stream) -> Action:
        def action(connection: HubConnection, contract_id: str) -> Refusal:
            if not knows(contract_id):
                return "Contract not found." if unknown_is_error else None
            subscriptions.add(stream, contract_id, connection)
            greet(stream, contract_id, connection)
            return None

        return action

    def unsubscribe(stream: Stream) -> Action:
        def action(connection: HubConnection, contract_id: str) -> Refusal:
            if knows(contract_id):
                subscriptions.remove(stream, contract_id, connection)
            return None

        return action

    names = {
        "ContractQuotes": Stream.QUOTES,
        "ContractTrades": Stream.TRADES,
        "ContractMarketDepth": Stream.DEPTH,
    }
    return Methods(
        [Method(f"Subscribe{name}", "text", subscribe(stream)) for name, stream in names.items()]
        + [
            Method(f"Unsubscribe{name}", "text", unsubscribe(stream))
            for name, stream in names.items()
        ]
    )


def user_methods(
    subscriptions: Subscriptions,
    *,
    knows: Callable[[str], bool],
    greet: Callable[[Stream, str, HubConnection], None],
) -> Methods:
    """The methods of the user hub; `knows` says whether an account id (as text) exists."""

    def subscribe(stream: Stream) -> Action:
        def action(connection: HubConnection, account_id: str) -> Refusal:
            if account_id and not knows(account_id):
                return "Account not found."
            subscriptions.add(stream, account_id, connection)
            greet(stream, account_id, connection)
            return None

        return action

    def unsubscribe(stream: Stream) -> Action:
        def action(connection: HubConnection, account_id: str) -> Refusal:
            if not account_id or knows(account_id):
                subscriptions.remove(stream, account_id, connection)
            return None

        return action

    methods = [
        Method("SubscribeAccounts", "none", subscribe(Stream.ACCOUNTS)),
        Method("UnsubscribeAccounts", "none", unsubscribe(Stream.ACCOUNTS)),
    ]
    for name, stream in {
        "Orders": Stream.ORDERS,
        "Positions": Stream.POSITIONS,
        "Trades": Stream.FILLS,
    }.items():
        methods.append(Method(f"Subscribe{name}", "number", subscribe(stream)))
        methods.append(Method(f"Unsubscribe{name}", "number", unsubscribe(stream)))
    return Methods(methods)
