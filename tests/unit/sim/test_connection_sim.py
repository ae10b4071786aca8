"""Doors, methods, subscriptions and connections, without a socket between them."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tapekeeper.core.signalr.records import Invocation
from tapekeeper.sim.config import HubLimits
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.door import Doorkeeper
from tapekeeper.sim.faults import Door, Faults
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.methods import Method, Methods, market_methods
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.subscriptions import Stream, Subscriptions
from tapekeeper.sim.tokens import TokenOffice


def connection(over: Subscriptions | None = None) -> HubConnection:
    """A connection whose bytes go nowhere; its subscriptions end with it."""
    return HubConnection(
        make_mocked_request("GET", "/hubs/market"),
        HubLimits(send_buffer_bytes=100),
        ManualClock(),
        lambda _connection, _call: None,
        (over or Subscriptions()).remove_all,
    )


def door(*, allow_query_token: bool) -> tuple[Doorkeeper, str]:
    """A doorkeeper and a token it accepts."""
    office = TokenOffice(60.0, ManualClock(), Seeded(1, "keys"))
    keeper = Doorkeeper(
        office, Faults(lambda _: []), ManualClock(), allow_query_token=allow_query_token
    )
    return keeper, office.issue("test-user")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_word_is_matched_without_regard_to_case(scheme: str) -> None:
    """As a stock bearer handler does."""
    keeper, token = door(allow_query_token=False)
    request = make_mocked_request("GET", "/", headers={"Authorization": f"{scheme} {token}"})
    assert keeper.caller(request, is_hub=True).user_name == "test-user"


@pytest.mark.parametrize("header", [None, "", "Basic x", "Bearer", "Bearer x"])
def test_without_a_good_token_nobody_comes_in(header: str | None) -> None:
    """Another scheme is no token, and each refusal is counted."""
    keeper, _ = door(allow_query_token=False)
    headers = {} if header is None else {"Authorization": header}
    with pytest.raises(web.HTTPUnauthorized):
        keeper.caller(make_mocked_request("GET", "/", headers=headers), is_hub=True)
    assert keeper.refused == 1


def test_the_query_is_read_on_hubs_only_and_only_when_allowed() -> None:
    """REST never takes a token from a URL."""
    keeper, token = door(allow_query_token=True)
    request = make_mocked_request("GET", f"/?access_token={token}")
    assert keeper.caller(request, is_hub=True).user_name == "test-user"
    with pytest.raises(web.HTTPUnauthorized):
        keeper.caller(request, is_hub=False)
    strict, token = door(allow_query_token=False)
    request = make_mocked_request("GET", f"/?access_token={token}")
    with pytest.raises(web.HTTPUnauthorized):
        strict.caller(request, is_hub=True)


@pytest.mark.asyncio
async def test_planned_refusals_belong_to_their_door() -> None:
    """A refused upgrade leaves the login alone."""
    faults = Faults(lambda _: [])
    office = TokenOffice(60.0, ManualClock(), Seeded(1, "keys"))
    keeper = Doorkeeper(office, faults, ManualClock(), allow_query_token=False)
    request = make_mocked_request("POST", "/")
    faults.refuse(Door.UPGRADE, 1, 503, retry_after_s=9)
    assert await keeper.turned_away(request, Door.LOGIN) is None
    refusal = await keeper.turned_away(request, Door.UPGRADE)
    assert refusal is not None
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "9")
    assert await keeper.turned_away(request, Door.UPGRADE) is None


@pytest.mark.asyncio
async def test_subscribing_twice_is_subscribing_once() -> None:
    """One listener hears a record once; without a subscription unsubscribing does nothing."""
    subscriptions, one = Subscriptions(), connection()
    subscriptions.remove(Stream.TRADES, "x", one)
    subscriptions.add(Stream.TRADES, "x", one)
    subscriptions.add(Stream.TRADES, "x", one)
    subscriptions.add(Stream.QUOTES, "x", one)
    assert subscriptions.of(Stream.TRADES, "x") == [one]
    await subscriptions.present(Stream.TRADES, "x")
    subscriptions.remove(Stream.TRADES, "x", one)
    assert subscriptions.of(Stream.TRADES, "x") == []
    assert subscriptions.of(Stream.QUOTES, "x") == [one]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["close", "abort"])
async def test_subscriptions_end_in_the_moment_the_connection_does(how: str) -> None:
    """Not when the socket is finally gone: nothing is published to nobody in between."""
    subscriptions = Subscriptions()
    one = connection(subscriptions)
    subscriptions.add(Stream.TRADES, "x", one)
    if how == "close":
        one.close()
    else:
        one.abort("a test")
    assert subscriptions.of(Stream.TRADES, "x") == []
    assert not one.send(b"late\x1e")


@pytest.mark.asyncio
async def test_a_connection_whose_buffer_is_full_is_aborted() -> None:
    """The first record beyond the limit ends it, and says why."""
    one = connection()
    assert one.send(b"x" * 101)
    assert one.is_crowded
    assert not one.send(b"y")
    assert one.aborted_because == "its send buffer is full"
    await one.room()


@pytest.mark.asyncio
async def test_a_muted_connection_takes_nothing_and_counts_it() -> None:
    """What was lost is known, and is not counted as sent."""
    one = connection()
    one.mute()
    assert not one.send(b"x")
    assert (one.records_sent, one.muted_records, one.aborted_because) == (0, 1, None)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "arguments", "given"),
    [
        ("none", b"[]", ""),
        ("none", b"[1]", None),
        ("text", b'["a"]', "a"),
        ("text", b"[1]", None),
        ("text", b"[null]", None),
        ("text", b"[]", None),
        ("number", b"[7]", "7"),
        ("number", b'["7"]', None),
        ("number", b"[7.5]", None),
        ("number", b"[true]", None),
        ("number", b"[7,7]", None),
    ],
)
async def test_arguments_are_bound_by_number_and_type(
    kind: str, arguments: bytes, given: str | None
) -> None:
    """What does not fit never reaches the method."""
    seen: list[str] = []
    method = Method("Do", kind, lambda _, argument: seen.append(argument))  # type: ignore[arg-type]  # a parameter is no literal
    Methods([method]).answer(connection(), Invocation("dO", arguments, "1"))
    assert seen == ([] if given is None else [given])


@pytest.mark.asyncio
async def test_the_greeting_comes_before_the_completion() -> None:
    """What a method sends to its caller precedes the answer, as on the real server."""
    sent: list[str] = []
    methods = market_methods(
        Subscriptions(),
        knows=lambda contract_id: contract_id == "x",
        unknown_is_error=True,
        greet=lambda stream, contract_id, one: sent.append(f"{stream} {one.send(b'hello')}"),
    )
    one = connection()
    methods.answer(one, Invocation("SubscribeContractQuotes", b'["x"]', "1"))
    assert sent == ["quotes True"]
    assert one.records_sent == 2
