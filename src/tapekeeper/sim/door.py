"""Who may come in: bearer tokens on REST and on the hubs."""

from __future__ import annotations

from aiohttp import hdrs, web

from tapekeeper.model.secret import Secret
from tapekeeper.sim.faults import Door, Faults
from tapekeeper.sim.tokens import Caller, TokenOffice

SCHEME = "bearer "


class Doorkeeper:
    """Checks credentials the way a stock JWT bearer handler does.

    The `Authorization` header is always read, its scheme without regard to case. On a hub that
    was prepared for browsers, `access_token` in the query is read, too, and wins where both are
    there, as the usual hook makes it.
    """

    def __init__(self, office: TokenOffice, faults: Faults, *, allow_query_token: bool) -> None:
        self._office = office
        self._faults = faults
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

    def _token(self, request: web.Request, *, is_hub: bool) -> Secret | None:
        if is_hub and self._allow_query_token and (text := request.query.get("access_token")):
            return Secret(text)
        header = request.headers.get(hdrs.AUTHORIZATION, "")
        if not header.lower().startswith(SCHEME):
            return None
        return Secret(header[len(SCHEME) :].strip())

    def planned_refusal(self, door: Door) -> web.Response | None:
        """The answer to a request that a planned fault turns away."""
        planned = self._faults.take_refusal(door)
        if planned is None:
            return None
        headers = {}
        if planned.retry_after_s is not None:
            headers[hdrs.RETRY_AFTER] = str(planned.retry_after_s)
        return web.Response(status=planned.status, headers=headers)
