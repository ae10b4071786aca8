"""In which form a hub gets the token, and how the form is found out where nobody knows.

    auth     first    after a 401 with a fresh token       once a form has worked
    -------  -------  -----------------------------------  ----------------------
    header   header   header                               header
    query    query    query                                query
    auto     header   query, once for every fresh token    that one, for good

Nothing goes back and forth: a form that has worked at an address is kept there for the life of
the process, and a later 401 then is about the token and not about its form. The query form puts
the token into the logs of every proxy on the way, so it is never tried before the header has
failed with a token that is known to be good: it was renewed after a refusal, or another address
has taken it.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from tapekeeper.model.secret import Secret
from tapekeeper.ports import Log

Form: TypeAlias = Literal["header", "query"]
"""Where the token travels. Any standard server reads the header; the query form is for gateways
that read nothing else."""

Auth: TypeAlias = Literal["header", "query", "auto"]
"""A form, or to find out which one it must be."""

PLACES_MAX = 64
"""Addresses that are remembered. A gateway has four: negotiation and upgrade of two hubs; more
come from redirects only. The oldest is forgotten first."""

SAME_TOKEN_TRIES = 3
"""A source may give the same token again after it was told that it does not work; refused this
often, it is as fresh as it will ever be."""


class _Place:
    __slots__ = ("proven", "refused", "times", "tried")

    def __init__(self) -> None:
        self.proven: Form | None = None
        self.refused: Secret | None = None  # the first token that was refused in the header
        self.times = 0  # how often it was
        self.tried: Secret | None = None  # the last token that was tried in the query


class TokenForms:
    """Remembers for every address which form works there.

    Addresses are without their query, so that nothing secret is kept or shown.

    Args:
        auth: the form, or "auto".
        log: told what was found out.
    """

    def __init__(self, auth: Auth, log: Log) -> None:
        self._auth: Auth = auth
        self._log = log
        self._places: dict[str, _Place] = {}  # bound: PLACES_MAX
        self._good: Secret | None = None  # the last token that was taken anywhere

    def of(self, place: str) -> Form:
        """The form to use at `place`."""
        if self._auth != "auto":
            return self._auth
        known = self._places.get(place)
        return "header" if known is None or known.proven is None else known.proven

    def proven(self) -> dict[str, Form]:
        """The form that has worked, by address."""
        return {name: one.proven for name, one in self._places.items() if one.proven is not None}

    def worked(self, place: str, form: Form, token: Secret) -> None:
        """The hub took the token in this form."""
        known = self._known(place)
        if self._auth == "auto":
            self._good = token
        if known.proven is not None:
            return
        known.proven = form
        known.refused = known.tried = None
        if self._auth == "auto":
            self._say(place, form)

    def may_try_query(self, place: str, token: Secret) -> bool:
        """Whether a token that was refused with 401 is to be tried in the query now.

        Says so once for each fresh token, and never where a form has worked.
        """
        if self._auth != "auto":
            return False
        known = self._known(place)
        if known.proven is not None or token == known.tried:
            return False
        if known.refused is None:
            known.refused = token
        if token == known.refused and token != self._good:
            known.times += 1
            if known.times < SAME_TOKEN_TRIES:
                return False
        known.tried = token
        return True

    def query_refused(self, place: str) -> None:
        """It was tried in the query and refused there too: the form is not what is wrong."""
        self._log(
            "token_form_unknown",
            level="warning",
            place=place,
            reason="a fresh token was refused in the header and in the query string alike; "
            "the header stays",
        )

    def _known(self, place: str) -> _Place:
        known = self._places.get(place)
        if known is None:
            if len(self._places) >= PLACES_MAX:
                del self._places[next(iter(self._places))]
            known = self._places[place] = _Place()
        return known

    def _say(self, place: str, form: Form) -> None:
        if form == "header":
            self._log("token_form", place=place, form=form, reason="it takes the token there")
            return
        self._log(
            "token_form",
            level="warning",
            place=place,
            form=form,
            reason="it takes the token in the query string only, where every proxy on the way "
            'logs it; set gateway.auth = "query" to keep this without asking first',
        )
