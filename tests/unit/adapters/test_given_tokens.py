"""A user's own token source is asked with care: in time, one at a time, and without being shown."""

from __future__ import annotations

import asyncio
import base64
import functools
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import jwt
import pytest

from tapekeeper.adapters.given_tokens import CALLS_MAX, GRACE_S, GivenTokens, TokenCallable
from tapekeeper.adapters.tokens import DEFAULT_LIFE_S, GIVEN_LIFE_MIN_S, KeptTokens
from tapekeeper.errors import AuthError, DeadlineError, OutsideError
from tapekeeper.model.secret import Secret
from tapekeeper.sim.virtual_time import VirtualClock, run_virtual

_TEXT = "test-canary-not-a-secret"
_NS = 1_000_000_000
_SIGNING_KEY = "test-signing-key-not-a-secret-0000"


async def _coroutine(text: str = _TEXT) -> str:
    await asyncio.sleep(0)
    return text


class _Object:
    async def __call__(self) -> Secret:
        return Secret(_TEXT)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "source",
    [
        lambda: _TEXT,
        lambda: f" {_TEXT}\n",
        lambda: Secret(_TEXT),
        lambda: _coroutine(_TEXT),
        functools.partial(_coroutine),
        _coroutine,
        _Object(),
    ],
)
async def test_every_kind_of_source_gives_a_secret(source: TokenCallable) -> None:
    """Plain or coroutine function, text or Secret, with or without blanks around it."""
    assert await GivenTokens(source).issue() == Secret(_TEXT)


@pytest.mark.asyncio
async def test_a_plain_function_may_block() -> None:
    """It runs in a thread of its own, and the loop goes on meanwhile."""
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()
    release = threading.Event()

    def block() -> str:
        loop.call_soon_threadsafe(begun.set)
        release.wait()
        return threading.current_thread().name

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(GivenTokens(block).issue())
        await begun.wait()
        release.set()
    assert asked.result() == Secret("token source")


@pytest.mark.asyncio
async def test_a_plain_function_that_hangs_is_called_again_but_not_without_end() -> None:
    """One call may hang by accident; threads do not pile up; a return makes it usable again."""
    release = threading.Event()
    calls: list[threading.Thread] = []

    def hang() -> str:
        calls.append(threading.current_thread())
        release.wait()
        return _TEXT

    given = GivenTokens(hang)
    for _ in range(CALLS_MAX):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await given.issue()
    for _ in range(3):
        with pytest.raises(DeadlineError, match="hangs: 3 calls of it have not returned"):
            await given.issue()
    release.set()
    calls[0].join()
    assert await given.issue() == Secret(_TEXT)
    assert len(calls) == CALLS_MAX + 1
    assert all(thread.daemon for thread in calls)


@pytest.mark.asyncio
async def test_a_plain_function_that_hung_once_is_no_obstacle() -> None:
    """The next call gives a token although the first has never returned."""
    release = threading.Event()
    calls: list[threading.Thread] = []

    def hang_once() -> str:
        calls.append(threading.current_thread())
        if len(calls) == 1:
            release.wait()
        return _TEXT

    given = GivenTokens(hang_once)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await given.issue()
    assert await given.issue() == Secret(_TEXT)
    release.set()
    calls[0].join()


# Python says of a coroutine that cannot be closed that it cannot be; that is what is tested.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_coroutine_that_catches_its_cancellation_holds_nobody() -> None:
    """The deadline holds, the source is called again, and who leaves gets away."""
    calls = 0

    async def swallow() -> str:
        nonlocal calls
        calls += 1
        while True:
            try:
                await asyncio.sleep(1000)  # virtual time: it passes at once
            except:  # noqa: E722, S112 - what users write
                continue

    async def main(clock: VirtualClock) -> tuple[float, float]:
        tokens = KeptTokens(GivenTokens(swallow), clock)
        with pytest.raises(DeadlineError, match="renewing the token took longer than 40 s"):
            await tokens()
        first_s = clock.monotonic_ns() / _NS
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(tokens())
            await clock.sleep_s(5)
            asked.cancel()
        assert asked.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return first_s, clock.monotonic_ns() / _NS

    first_s, second_s = run_virtual(main)
    assert first_s == 40 + GRACE_S
    assert second_s == first_s + 5 + GRACE_S
    assert calls == 2


def test_a_coroutine_may_tidy_up_when_it_is_cancelled() -> None:
    """Time limits of its own work in it, and what it awaits at its end is awaited."""
    steps: list[str] = []

    async def tidy() -> str:
        try:
            async with asyncio.timeout(3):
                await asyncio.Event().wait()
        except TimeoutError:
            steps.append("its own limit")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.5)  # virtual time: it passes at once
            steps.append("tidied up")
        return ""

    async def main(clock: VirtualClock) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await GivenTokens(tidy).issue()
        return clock.monotonic_ns() / _NS

    assert run_virtual(main) == 10.5
    assert steps == ["its own limit", "tidied up"]


def _below(report: traceback.TracebackException) -> list[str]:
    """The frames of a report but the test's own, with their locals, and its sentence."""
    del report.stack[0]
    return list(report.format())


def _raise(error: BaseException) -> str:
    raise error


async def _raise_later(error: BaseException) -> str:
    raise error


@pytest.mark.asyncio
@pytest.mark.parametrize("call", [_raise, _raise_later])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(_TEXT),
        TimeoutError(_TEXT),
        SystemError(_TEXT),
        asyncio.CancelledError(_TEXT),
        KeyError(_TEXT),
        StopIteration(_TEXT),
        SystemExit(_TEXT),
        GeneratorExit(_TEXT),
        BaseException(_TEXT),
    ],
)
async def test_a_failure_is_told_by_kind_and_place_only(
    call: Callable[[BaseException], str | Awaitable[str]], error: BaseException
) -> None:
    """Its text may hold a token, so neither sentence nor traceback shows it; it may pass.

    A library that ends the program or an interpreter's own signals are no exception to that.
    """
    if isinstance(error, StopIteration) and call is _raise_later:
        error = RuntimeError(_TEXT)  # what Python makes of it in a coroutine
    with pytest.raises(OutsideError) as caught:
        await GivenTokens(functools.partial(call, error)).issue()
    sentence = str(caught.value)
    assert sentence.startswith(f"the token source failed: {type(error).__name__} in test_given_")
    assert caught.value.retryable
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The test's own frame holds the error.
    assert [line for line in _below(report) if _TEXT in line] == []
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_a_key_press_is_for_the_program() -> None:
    """Ctrl-C that comes while a coroutine function runs is no failure of that function's."""

    async def main(_: VirtualClock) -> None:
        with pytest.raises(KeyboardInterrupt):
            await GivenTokens(functools.partial(_raise_later, KeyboardInterrupt())).issue()

    with pytest.raises(KeyboardInterrupt):  # the loop gives it to who runs it, too
        run_virtual(main)


@pytest.mark.asyncio
async def test_a_thread_gets_no_key_press() -> None:
    """Python gives Ctrl-C to the main thread; in another one it is the function's own doing."""
    with pytest.raises(OutsideError, match="failed: KeyboardInterrupt"):
        await GivenTokens(functools.partial(_raise, KeyboardInterrupt())).issue()


@pytest.mark.asyncio
async def test_a_source_says_itself_that_the_credentials_are_refused() -> None:
    """What it raises of our own tree is taken as it is."""
    refused = AuthError("no more", status=401)
    for call in (_raise, _raise_later):
        with pytest.raises(AuthError) as caught:
            await GivenTokens(functools.partial(call, refused)).issue()
        assert caught.value is refused


@pytest.mark.asyncio
async def test_our_own_cancellation_is_not_a_failure_of_the_source() -> None:
    """Who asks and is cancelled stays cancelled."""
    begun = asyncio.Event()

    async def hang() -> str:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        asked = group.create_task(GivenTokens(hang).issue())
        await begun.wait()
        asked.cancel()
    assert asked.cancelled()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (None, "returned NoneType, not a text"),
        (_TEXT.encode(), "returned bytes, not a text"),
        ("  ", "returned an empty text"),
        (Secret(""), "returned an empty text"),
        (_TEXT * 7_000, "returned more than 65,536 characters"),
        ({"token": _TEXT}, "returned dict, not a text"),
    ],
)
async def test_what_is_no_token_is_refused_without_being_shown(
    value: object, sentence: str
) -> None:
    """The sentence says what is wrong with it, and no frame on its way holds it."""
    with pytest.raises(OutsideError) as caught:
        await GivenTokens(lambda: value).issue()  # type: ignore[arg-type, return-value] # on purpose
    assert str(caught.value) == f"the token source {sentence}"
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert [line for line in _below(report) if _TEXT in line] == []


def _jwt(number: int, **claims: float) -> str:
    return jwt.encode({"n": number, **claims}, _SIGNING_KEY, algorithm="HS256")


class _Desk:
    """A coroutine source that counts its calls and gives tokens that end at `ends_s`."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.calls = 0
        self.delay_s = 1.0
        self.life_s = 1000.0
        self.age_s = 0.0

    async def __call__(self) -> str:
        self.calls += 1
        await self.clock.sleep_s(self.delay_s)
        issued_s = self.clock.now_ns() / _NS - self.age_s
        return _jwt(self.calls, iat=issued_s, exp=issued_s + self.life_s)


@contextmanager
def _desk(clock: VirtualClock) -> Iterator[tuple[_Desk, KeptTokens]]:
    desk = _Desk(clock)
    yield desk, KeptTokens(GivenTokens(desk), clock)


def test_concurrent_callers_share_one_call_of_the_source() -> None:
    """Single flight holds for a user's source as for a login."""

    async def main(clock: VirtualClock) -> None:
        with _desk(clock) as (desk, tokens):
            given = await asyncio.gather(*(tokens() for _ in range(10)))
            assert len(set(given)) == 1
            assert desk.calls == 1

    run_virtual(main)


def test_a_token_is_asked_for_again_before_it_ends_by_its_own_word() -> None:
    """What counts is what is left of a token when it comes, not how long it lived before."""

    async def main(clock: VirtualClock) -> None:
        with _desk(clock) as (desk, tokens):
            desk.age_s = 500.0
            first = await tokens()
            await clock.sleep_s(399)
            assert await tokens() == first
            await clock.sleep_s(2)
            assert await tokens() != first
            assert desk.calls == 2

    run_virtual(main)


def test_a_token_that_has_ended_by_this_clock_is_tried_nevertheless() -> None:
    """The gateway judges; the source is not asked without end because of a wrong clock."""

    async def main(clock: VirtualClock) -> None:
        with _desk(clock) as (desk, tokens):
            desk.age_s = 5000.0
            first = await tokens()
            await clock.sleep_s(GIVEN_LIFE_MIN_S * 0.8 - 1)
            assert await tokens() == first
            tokens.invalidate(first)
            assert await tokens() != first
            assert desk.calls == 2

    run_virtual(main)


def test_a_source_that_hangs_has_a_deadline() -> None:
    """The next caller may try again."""

    async def main(clock: VirtualClock) -> None:
        with _desk(clock) as (desk, tokens):
            desk.delay_s = 1e6
            with pytest.raises(DeadlineError, match="renewing the token took longer than 40 s"):
                await tokens()
            desk.delay_s = 1.0
            await tokens()
            assert desk.calls == 2

    run_virtual(main)


def _claims(payload: str) -> str:
    """A token with that payload, which need be no JSON."""
    parts = ('{"alg":"HS256","typ":"JWT"}', payload, "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize(
    "payload",
    [
        '{"exp":1' + "0" * 400 + "}",
        '{"exp":1' + "0" * 5_000 + "}",
        '{"exp":1e300}',
        '{"exp":1e400}',
        '{"exp":NaN}',
        '{"exp":[1]}',
        "[" * 40_000,
    ],
    ids=["wide", "too wide to read", "far", "without end", "no number", "list", "deep"],
)
def test_a_token_with_an_end_that_none_has_lives_a_day(payload: str) -> None:
    """Whatever it says, it is renewed one day, and never ends the tape."""
    token = _claims(payload)

    async def main(clock: VirtualClock) -> float | None:
        tokens = KeptTokens(GivenTokens(lambda: token), clock)
        assert await tokens() == Secret(token)
        return tokens.due_in_s()

    assert run_virtual(main) == DEFAULT_LIFE_S * 0.8


def test_an_end_in_milliseconds_is_read_as_such() -> None:
    """Issuers write both; a token of the year 58,000 would never be renewed."""

    async def main(clock: VirtualClock) -> float | None:
        ends_ms = (clock.now_ns() + 1_000 * _NS) // 1_000_000
        tokens = KeptTokens(GivenTokens(lambda: _jwt(1, exp=ends_ms)), clock)
        await tokens()
        return tokens.due_in_s()

    assert run_virtual(main) == pytest.approx(800.0)


@pytest.mark.parametrize("text", ["with blank", "with\r\nHeader: x", "nul\0", "umlaut-ä"])
def test_a_token_that_no_header_can_carry_is_refused(text: str) -> None:
    """It would break the request, or put something else into it."""

    async def main(clock: VirtualClock) -> None:
        async def source() -> str:
            return text

        with pytest.raises(OutsideError, match="no header can carry"):
            await KeptTokens(GivenTokens(source), clock)()

    run_virtual(main)
