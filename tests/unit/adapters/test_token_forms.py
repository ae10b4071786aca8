"""The form of the token is found out once, with fresh tokens only, and said."""

from __future__ import annotations

import pytest

from tapekeeper.adapters.token_forms import PLACES_MAX, SAME_TOKEN_TRIES, Form, TokenForms
from tapekeeper.model.secret import Secret

_PLACE = "https://hub.test/hubs/market"
_OLD, _FRESH, _LATER = (Secret(f"test-{name}-not-a-secret") for name in ("old", "fresh", "later"))


class _Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, /, **fields: object) -> None:
        self.events.append((event, fields))


def _auto() -> tuple[TokenForms, _Log]:
    log = _Log()
    return TokenForms("auto", log), log


@pytest.mark.parametrize("form", ["header", "query"])
def test_a_form_that_was_chosen_is_never_changed(form: Form) -> None:
    """Whatever is refused, nothing else is tried, and nothing is said."""
    log = _Log()
    forms = TokenForms(form, log)
    assert [forms.may_try_query(_PLACE, token) for token in (_OLD, _FRESH)] == [False, False]
    forms.worked(_PLACE, form, _FRESH)
    assert forms.of(_PLACE) == form
    assert forms.proven() == {_PLACE: form}
    assert log.events == []


def test_the_query_is_for_a_fresh_token() -> None:
    """The first refusal may be of an old token; each fresh one after it is tried once."""
    forms, _ = _auto()
    asked = [forms.may_try_query(_PLACE, token) for token in (_OLD, _FRESH, _FRESH, _LATER)]
    assert asked == [False, True, False, True]
    assert forms.of(_PLACE) == "header"


def test_a_source_that_only_has_one_token_gets_its_try_too() -> None:
    """The same token refused again and again is as fresh as it will be, and is tried once."""
    forms, _ = _auto()
    asked = [forms.may_try_query(_PLACE, _OLD) for _ in range(SAME_TOKEN_TRIES + 2)]
    assert asked == [False] * (SAME_TOKEN_TRIES - 1) + [True, False, False]


def test_a_token_that_was_taken_elsewhere_is_fresh_enough() -> None:
    """An upgrade that refuses what the negotiation has just taken needs no renewal first."""
    forms, _ = _auto()
    forms.worked(f"{_PLACE}/negotiate", "header", _FRESH)
    assert forms.may_try_query(_PLACE, _FRESH)
    assert not forms.may_try_query(_PLACE, _FRESH)


@pytest.mark.parametrize("form", ["header", "query"])
def test_what_has_worked_stays(form: Form) -> None:
    """Neither later refusals nor a later success of the other form change it."""
    forms, log = _auto()
    forms.worked(_PLACE, form, _FRESH)
    forms.worked(_PLACE, "query" if form == "header" else "header", _LATER)
    assert not any(forms.may_try_query(_PLACE, token) for token in (_OLD, _FRESH, _LATER))
    assert forms.of(_PLACE) == form
    assert forms.proven() == {_PLACE: form}
    assert len(log.events) == 1
    event, fields = log.events[0]
    assert event == "token_form"
    assert (fields["place"], fields["form"]) == (_PLACE, form)
    assert fields.get("level", "info") == ("info" if form == "header" else "warning")


def test_a_refusal_in_both_forms_is_said() -> None:
    """It is the token then, or the rights that come with it."""
    forms, log = _auto()
    forms.query_refused(_PLACE)
    assert [event for event, _ in log.events] == ["token_form_unknown"]
    assert forms.proven() == {}


def test_addresses_do_not_pile_up() -> None:
    """Redirects to ever new addresses push the oldest one out."""
    forms, _ = _auto()
    for number in range(PLACES_MAX + 1):
        forms.worked(f"{_PLACE}/{number}", "query", _FRESH)
    assert len(forms.proven()) == PLACES_MAX
    assert forms.of(f"{_PLACE}/0") == "header"
    assert forms.of(f"{_PLACE}/{PLACES_MAX}") == "query"
