"""Where and how a hub is connected to: found by negotiation, and kept for coming back."""

from __future__ import annotations

from tapekeeper.core.signalr.negotiate import (
    REDIRECTS_MAX,
    Negotiated,
    negotiate_url,
    parse_answer,
    redirected_url,
    websocket_url,
)
from tapekeeper.errors import ProtocolError
from tapekeeper.model.secret import Secret
from tapekeeper.ports import Transport
from tapekeeper.runtime.line_values import LineSpec


class Way:
    """How a connection is opened, so that it can be opened there again. Holds secrets.

    Args:
        url: to upgrade; with the id, where there is one.
        token: to send.
        is_given: whether a redirect gave the token, for this connection only.
        stateful: whether the server agreed that the connection can be resumed.
    """

    __slots__ = ("is_given", "stateful", "token", "url")

    def __init__(self, url: str, token: Secret, *, is_given: bool, stateful: bool) -> None:
        self.url = url
        self.token = token
        self.is_given = is_given
        self.stateful = stateful


async def find_way(spec: LineSpec, transport: Transport, hub_url: str, token: Secret) -> Way:
    """Negotiate with `hub_url` if the spec says so. Redirects are for this connection only.

    Raises:
        OutsideError: it cannot be reached, or refuses, or answers nonsense.
    """
    if not spec.negotiate:
        return Way(websocket_url(hub_url, None), token, is_given=False, stateful=False)
    url, bearer, stateful = hub_url, token, spec.stateful_reconnect
    for _ in range(REDIRECTS_MAX):
        # The body, which may hold a token, has no name here: tracebacks may show locals.
        answer = parse_answer(
            await transport.post(
                negotiate_url(url, stateful=stateful),
                token=bearer,
                timeout_s=spec.connect_timeout_s,
            ),
            stateful=stateful,
            binary=spec.protocol.is_binary,
        )
        if isinstance(answer, Negotiated):
            is_given = bearer is not token
            return Way(
                websocket_url(url, answer), bearer, is_given=is_given, stateful=answer.stateful
            )
        url = redirected_url(url, answer)
        bearer = answer.access_token or bearer
    raise ProtocolError(f"the negotiation was redirected more than {REDIRECTS_MAX} times")
