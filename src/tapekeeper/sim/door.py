"""Who may come in: bearer tokens on REST and on the hubs."""

from __future__ import annotations

from aiohttp import hdrs, web

from tapekeeper.model.secret import Secret
from tapekeeper.ports import Clock
from tapekeeper.sim.faults import Door, Faults
from tapekeeper.sim.tokens import Caller, TokenOffice

SCHEME = "bearer "

FAILED = 1
"""What a code means depends on the operation; this one is a failure of every one."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

SILENCE_S = 120
"""How long a request without an answer is held, unless its client goes first."""


class Doorkeeper:
    """Checks credentials the way a stock JWT bearer handler does.

    The `Authorization` header is always read, its scheme without regard to case. On a hub that
    was prepared for browsers, `access_token` in the query is read, too, and wins where both are
    there, as the usual hook makes it.
    """

    def __init__(
        self, office: TokenOffice, faults: Faults, clock: Clock, *, allow_query_token: bool
    ) -> None:
        self._office = office
        self._clock = clock
        self.faults = faults
        """What is planned to go wrong."""
        self._allow_query_token = allow_query_token
        self.refused = 0
        """Requests turned away for want of a valid token."""

    def caller(self, request: web.Request, *, is_hub: bool) -> Caller:
        """Whose request it is.

        Raises:
            aiohttp.web.HTTPUnauthorized: with a `WWW-Authenticate` that says why.
        """
        token = self._token(request, is_hub=is_hub)
        if token is None:
            self.refused += 1
            raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"}, text="")
        found = self._office.check(token)
        if isinstance(found, str):
            self.refused += 1
            challenge = f'Bearer error="invalid_token", error_description="{found}"'
            raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: challenge}, text="")
        return found

    def fresh_token(self, caller: Caller) -> str:
        """Another token of the caller's session, as a redirect hands out."""
        return self._office.renew(caller)

    def _token(self, request: web.Request, *, is_hub: bool) -> Secret | None:
        if is_hub and self._allow_query_token and (text := request.query.get("access_token")):
            return Secret(text)
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        if not header.lower().startswith(SCHEME):
            return None
        return Secret(header[len(SCHEME) :].strip())

    async def turned_away(self, request: web.Request, door: Door) -> web.Response | None:
        """The answer to a request that a planned fault turns away; it may never come."""
        planned = self.faults.take_refusal(door)
        if planned is None:
            return None
        if planned.manner == "silence":
            for _ in range(SILENCE_S):
                if request.transport is None or request.transport.is_closing():
                    break
                await self._clock.sleep_s(1.0)
        if planned.manner == "fail":
            # The gateway's convention: what goes wrong in the business is a 200 with an error.
            body = {"success": False, "errorCode": FAILED, "errorMessage": "Failed on demand."}
            return web.json_response(body)
        if planned.manner != "answer" and request.transport is not None:
            request.transport.abort()
        headers = {}
        if planned.retry_after_s is not None:
            headers[hdrs.RETRY_AFTER] = str(planned.retry_after_s)
        if planned.status in _REDIRECTS:
            headers[hdrs.LOCATION] = str(request.rel_url)
        return web.Response(status=planned.status, headers=headers)
