"""Negotiation: URLs, and answers as a real server writes them."""

from __future__ import annotations

import traceback

import pytest

from tapekeeper.core.signalr.negotiate import (
    Negotiated,
    Redirect,
    negotiate_url,
    parse_answer,
    redirected_url,
    websocket_url,
)
from tapekeeper.errors import ProtocolError
from tapekeeper.model.secret import Secret

TRANSPORTS = (
    b'"availableTransports":[{"transport":"WebSockets","transferFormats":["Text","Binary"]},'
    b'{"transport":"ServerSentEvents","transferFormats":["Text"]},'
    b'{"transport":"LongPolling","transferFormats":["Text","Binary"]}]'
)
V1 = (
    b'{"negotiateVersion":1,"connectionId":"aaaTplxhYklz_4jZBXI5Rg",'
    b'"connectionToken":"gPcYjbeM8eziNBWbp5bINw",' + TRANSPORTS + b"}"
)
V0 = b'{"negotiateVersion":0,"connectionId":"PudhwFwJJ5ynrSCinHprEQ",' + TRANSPORTS + b"}"


@pytest.mark.parametrize(
    ("hub", "url"),
    [
        (
            "https://rtc.test/hubs/market",
            "https://rtc.test/hubs/market/negotiate?negotiateVersion=1",
        ),
        ("https://rtc.test/hub/", "https://rtc.test/hub/negotiate?negotiateVersion=1"),
        (
            "https://rtc.test/hub?a=b%20c",
            "https://rtc.test/hub/negotiate?a=b%20c&negotiateVersion=1",
        ),
        (
            "http://rtc.test:8080/hub?NegotiateVersion=0",
            "http://rtc.test:8080/hub/negotiate?NegotiateVersion=0",
        ),
        ("wss://rtc.test/hub", "https://rtc.test/hub/negotiate?negotiateVersion=1"),
        ("https://rtc.test", "https://rtc.test/negotiate?negotiateVersion=1"),
        ("https://rtc.test/hub#part", "https://rtc.test/hub/negotiate?negotiateVersion=1"),
    ],
)
def test_negotiate_url(hub: str, url: str) -> None:
    """`/negotiate` joins the path, the query stays, the version is added unless it is there."""
    assert negotiate_url(hub) == url


@pytest.mark.parametrize(
    ("hub", "negotiated", "url"),
    [
        ("https://rtc.test/hub", Negotiated("name", "token", 1), "wss://rtc.test/hub?id=token"),
        ("http://rtc.test/hub?a=1", Negotiated("name", None, 0), "ws://rtc.test/hub?a=1&id=name"),
        ("https://rtc.test/hub?a=1", None, "wss://rtc.test/hub?a=1"),
        ("ws://rtc.test/hub", None, "ws://rtc.test/hub"),
        (
            "https://rtc.test/hub",
            Negotiated("n", "a+b/c=", 1),
            "wss://rtc.test/hub?id=a%2Bb%2Fc%3D",
        ),
    ],
)
def test_websocket_url(hub: str, negotiated: Negotiated | None, url: str) -> None:
    """The id is the token of version 1 or the connectionId of version 0, or absent."""
    assert websocket_url(hub, negotiated) == url


def test_a_version_1_answer() -> None:
    """The measured answer of version 1 gives id and token."""
    assert parse_answer(V1) == Negotiated("aaaTplxhYklz_4jZBXI5Rg", "gPcYjbeM8eziNBWbp5bINw", 1)


@pytest.mark.parametrize("body", [V0, V0.replace(b'"negotiateVersion":0,', b"")])
def test_a_version_0_answer(body: bytes) -> None:
    """Without a version, or with version 0, only the connectionId counts."""
    assert parse_answer(body) == Negotiated("PudhwFwJJ5ynrSCinHprEQ", None, 0)


def test_unknown_members_are_ignored() -> None:
    """A newer server may say more, such as how long its token lives."""
    assert isinstance(parse_answer(V1[:-1] + b',"tokenLifetimeSeconds":60}'), Negotiated)


def test_a_redirect() -> None:
    """A redirect carries a URL and perhaps a token, which its repr hides."""
    body = b'{"url":"https://other.test/hub?x=1","accessToken":"test-token-not-a-secret"}'
    answer = parse_answer(body)
    assert answer == Redirect("https://other.test/hub?x=1", Secret("test-token-not-a-secret"))
    assert "not-a-secret" not in repr(answer)
    assert parse_answer(b'{"url":"https://other.test/hub"}') == Redirect(
        "https://other.test/hub", None
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b'{"error":"The client requested a non-integer protocol version."}',
            "refused the negotiation: The client requested a non-integer protocol version",
        ),
        (b'{"ProtocolVersion":"1.5","Url":"/signalr"}', "old ASP.NET SignalR"),
        (
            b'{"useStatefulReconnect":true,' + V1[1:],
            "stateful reconnect, which was not asked for",
        ),
        (
            (
                b'{"connectionId":"a","availableTransports":'
                b'[{"transport":"LongPolling","transferFormats":["Text"]}]}'
            ),
            "does not offer the WebSockets transport for text .it offers: LongPolling",
        ),
        (
            (
                b'{"connectionId":"a","availableTransports":'
                b'[{"transport":"WebSockets","transferFormats":["Binary"]}]}'
            ),
            "WebSockets transport for text",
        ),
        (b'{"connectionId":"a"}', "it offers: none"),
        (b'{"negotiateVersion":1,"connectionId":"a",' + TRANSPORTS + b"}", "no connectionToken"),
        (b"{" + TRANSPORTS + b"}", "no connectionId"),
        (b"<html>", "cannot be read"),
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"error":"\xff"}', "cannot be read"),
    ],
)
def test_refused_answers(body: bytes, sentence: str) -> None:
    """Every answer that cannot be used is refused with a sentence that says why."""
    with pytest.raises(ProtocolError, match=sentence):
        parse_answer(body)


def test_where_a_redirect_may_lead() -> None:
    """A redirect leads to http(s), and never from https to plain http."""
    token = Secret("test-other-not-a-secret")
    onward = Redirect("https://other.test/hub", token)
    assert redirected_url("https://rtc.test/hub", onward) == "https://other.test/hub"
    plain = Redirect("http://other.test/hub", token)
    assert redirected_url("http://rtc.test/hub", plain) == "http://other.test/hub"
    with pytest.raises(ProtocolError, match="from https to plain http"):
        redirected_url("https://rtc.test/hub", plain)
    for url in ("file:///etc/hosts", "/hub", "", "http://[nonsense"):
        with pytest.raises(ProtocolError, match="not an http"):
            redirected_url("https://rtc.test/hub", Redirect(url, token))


@pytest.mark.parametrize(
    ("hub", "url"),
    [
        ("https://rtc.test/hub", "https://rtc.test/other?x=1"),
        ("wss://rtc.test/hub", "https://RTC.test:443/hub"),
        ("http://127.0.0.1:80/hub", "http://127.0.0.1/hub"),
    ],
)
def test_a_redirect_within_the_origin_needs_no_token(hub: str, url: str) -> None:
    """Security, host and port are the origin; the token in use was given for it."""
    assert redirected_url(hub, Redirect(url, None)) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://other.test/hub",
        "https://rtc.test:444/hub",
        "https://rtc.test:0/hub",
        "https://rtc.test:99999/hub",
        "https://rtc.test@other.test/hub",
        "https://rtc.test.other.test/hub",
    ],
)
@pytest.mark.parametrize("token", [None, Secret("")])
def test_a_redirect_to_another_origin_brings_its_token(url: str, token: Secret | None) -> None:
    """The token in use is not carried to whom it was not given for."""
    with pytest.raises(ProtocolError, match="another origin without a token"):
        redirected_url("https://rtc.test/hub", Redirect(url, token))


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"no","accessToken":"test-token-not-a-secret"}',
        b'{"connectionId":"a","accessToken":"test-token-not-a-secret"}',
        b'{"accessToken":"test-token-not-a-secret"',
        b'{"url":7,"accessToken":"test-token-not-a-secret"}',
        b'{"url":"https://other.test/","accessToken":["test-token-not-a-secret"]}',
    ],
)
def test_a_refused_answer_leaves_no_token_in_the_locals(body: bytes) -> None:
    """A reporter that prints the frames of our code finds no token that came with the answer."""
    with pytest.raises(ProtocolError) as caught:
        parse_answer(body)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    del report.stack[0]  # of this test, which knows the body
    assert report.stack
    assert "not-a-secret" not in "".join(report.format())


def test_a_connection_that_can_be_resumed_is_asked_for() -> None:
    """The query says so, once, whatever else it holds."""
    assert (
        negotiate_url("https://rtc.test/hub?a=b", stateful=True)
        == "https://rtc.test/hub/negotiate?a=b&negotiateVersion=1&useStatefulReconnect=true"
    )
    named = "https://rtc.test/hub?usestatefulreconnect=false"
    assert negotiate_url(named, stateful=True).count("tatefulreconnect") == 1


@pytest.mark.parametrize("offered", [True, False])
def test_the_server_decides_whether_it_can_be_resumed(*, offered: bool) -> None:
    """The answer says it first, as measured; one that says nothing does not offer it."""
    body = b'{"useStatefulReconnect":true,' + V1[1:] if offered else V1
    answer = parse_answer(body, stateful=True)
    assert isinstance(answer, Negotiated)
    assert answer.stateful is offered


def test_binary_messages_must_be_offered() -> None:
    """A binary protocol asks for another transfer format than a text one."""
    text_only = (
        b'{"connectionId":"a","availableTransports":'
        b'[{"transport":"WebSockets","transferFormats":["Text"]}]}'
    )
    assert isinstance(parse_answer(text_only), Negotiated)
    assert isinstance(parse_answer(V1, binary=True), Negotiated)
    with pytest.raises(ProtocolError, match="WebSockets transport for binary"):
        parse_answer(text_only, binary=True)
