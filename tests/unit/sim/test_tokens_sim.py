"""Tokens: who gets in, for how long, and until when."""

from __future__ import annotations

import jwt
import pytest

from tapekeeper.model.secret import Secret
from tapekeeper.sim.manual_clock import ManualClock
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.tokens import REVOKED_MAX, Caller, TokenOffice


@pytest.fixture
def clock() -> ManualClock:
    """A clock that the test moves."""
    return ManualClock()


@pytest.fixture
def office(clock: ManualClock) -> TokenOffice:
    """An office whose tokens live for an hour."""
    return TokenOffice(3_600.0, clock, Seeded(1, "keys"))


def caller_of(office: TokenOffice, token: str) -> Caller:
    """The caller of a token that must be valid."""
    found = office.check(Secret(token))
    assert isinstance(found, Caller)
    return found


def test_a_token_names_its_user_and_says_when_it_expires(
    office: TokenOffice, clock: ManualClock
) -> None:
    """It is a JWT with `exp` one life ahead, in whole seconds."""
    token = office.issue("test-user")
    assert caller_of(office, token).user_name == "test-user"
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] == clock.now_ns() // 1_000_000_000 + 3_600
    assert jwt.get_unverified_header(token)["alg"] == "HS256"


def test_a_token_is_valid_until_its_expiry_and_not_at_it(
    office: TokenOffice, clock: ManualClock
) -> None:
    """The last second counts, the moment of expiry does not."""
    token = office.issue("test-user")
    clock.advance(3_599.0)
    caller_of(office, token)
    clock.advance(1.0)
    assert office.check(Secret(token)) == "The token is expired"


def test_a_renewed_token_outlives_the_old_one(office: TokenOffice, clock: ManualClock) -> None:
    """`validate` gives a token of the same session whose life starts now."""
    old = office.issue("test-user")
    clock.advance(1_800.0)
    new = office.renew(caller_of(office, old))
    assert new != old
    clock.advance(1_800.0)
    assert office.check(Secret(old)) == "The token is expired"
    assert caller_of(office, new).session_id


def test_logging_out_ends_every_token_of_the_session_and_no_other(office: TokenOffice) -> None:
    """A renewed token dies with its session, a second login does not."""
    first, other = office.issue("test-user"), office.issue("test-user")
    caller = caller_of(office, first)
    renewed = office.renew(caller)
    office.revoke(caller)
    assert office.check(Secret(first)) == "The session has ended"
    assert office.check(Secret(renewed)) == "The session has ended"
    caller_of(office, other)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_not_a_token_is_refused(office: TokenOffice, token: str) -> None:
    """Garbage and the unsigned algorithm get the same refusal."""
    assert office.check(Secret(token)) == "The signature is invalid"


def test_a_token_of_another_process_is_refused(office: TokenOffice, clock: ManualClock) -> None:
    """Every gateway signs with a key of its own."""
    stranger = TokenOffice(3_600.0, clock, Seeded(2, "keys"))
    assert office.check(Secret(stranger.issue("test-user"))) == "The signature is invalid"


def test_ended_sessions_are_remembered_within_bounds(office: TokenOffice) -> None:
    """The list of revoked sessions has a cap; the newest are kept."""
    last = office.issue("test-user")
    for number in range(REVOKED_MAX):
        office.revoke(Caller("test-user", str(number)))
    office.revoke(caller_of(office, last))
    assert office.check(Secret(last)) == "The session has ended"
