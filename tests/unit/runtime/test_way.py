"""Where a hub is connected to: what negotiation, redirects and the hub's offer make of it."""

from __future__ import annotations

import pytest

from tapekeeper.errors import ConnectFailedError, ProtocolError
from tapekeeper.model.secret import Secret
from tapekeeper.runtime.line_values import LineSpec
from tapekeeper.runtime.way import Way, find_way
from tapekeeper.sim.scripted_hub import ScriptedHub
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

HUB = "https://hub.test/hubs/market"
OWN = Secret("own-token-not-a-secret")
ANSWER = (
    b'{"negotiateVersion":1,"connectionId":"c","connectionToken":"t",'
    b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}'
)
OFFER = b'{"useStatefulReconnect":true,' + ANSWER[1:]
AWAY = b'{"url":"https://other.test/hub","accessToken":"given-token-not-a-secret"}'


def way(
    *answers: bytes | ConnectFailedError, negotiate: bool = True, stateful: bool = False
) -> tuple[Way, ScriptedHub]:
    """The way that is found with these answers, and the hub that was asked."""
    found: list[tuple[Way, ScriptedHub]] = []

    async def main(clock: VirtualClock) -> None:
        hub = ScriptedHub(clock, answers=list(answers))
        spec = LineSpec(
            name="market", hub_url=HUB, negotiate=negotiate, stateful_reconnect=stateful
        )
        found.append((await find_way(spec, hub, HUB, OWN), hub))

    run_virtual(main)
    return found[0]


def test_without_negotiation_it_is_the_hub_itself() -> None:
    """No id, our own token, and nothing that could be resumed."""
    found, hub = way(negotiate=False)
    assert (found.url, found.token, found.is_given, found.stateful) == (
        "wss://hub.test/hubs/market",
        OWN,
        False,
        False,
    )
    assert hub.negotiations == []


@pytest.mark.parametrize(("asked", "answer"), [(True, OFFER), (True, ANSWER), (False, ANSWER)])
def test_it_can_be_resumed_where_the_hub_offers_it(*, asked: bool, answer: bytes) -> None:
    """It is offered only to who asks, and not by every hub."""
    found, hub = way(answer, stateful=asked)
    assert found.url == "wss://hub.test/hubs/market?id=t"
    assert found.stateful is (answer is OFFER)
    assert ("useStatefulReconnect=true" in hub.negotiations[0].url) is asked


def test_a_redirect_s_token_is_given_for_this_connection() -> None:
    """It is sent from there on, and is not ours to renew."""
    found, hub = way(AWAY, OFFER, stateful=True)
    assert found.url == "wss://other.test/hub?id=t"
    assert found.token.reveal() == "given-token-not-a-secret"
    assert found.is_given
    assert [one.token for one in hub.negotiations] == [OWN, found.token]
    assert "useStatefulReconnect=true" in hub.negotiations[1].url


def test_redirects_without_end_are_given_up() -> None:
    """Official clients follow a hundred."""
    with pytest.raises(ProtocolError, match="more than 100 times"):
        way(*[AWAY] * 100)


def test_trouble_on_the_way_is_the_caller_s() -> None:
    """A refusal comes out as it is."""
    with pytest.raises(ConnectFailedError, match="busy"):
        way(ConnectFailedError("busy", status=503))
