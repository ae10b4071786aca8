"""Tokens from a callable of the user's, such as a broker's own login or a secret store."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from tapekeeper.errors import DeadlineError, OutsideError
from tapekeeper.model.secret import Secret

Given: TypeAlias = str | Secret
TokenCallable: TypeAlias = Callable[[], Given | Awaitable[Given]]
"""Gives a token that is valid now. It may be a coroutine function, or a plain function, which is
called in a thread of its own, so that it may block. It may raise an `OutsideError` to say whether
trying again can help; whatever else it raises, `SystemExit` included, counts as trouble that may
pass."""

_CHARS_MAX = 64 * 1024
"""Servers refuse much shorter headers than this; a longer text is something else."""


CALLS_MAX = 3
"""Calls of a plain function that may be under way at once: one that hangs may be the fault of a
moment, so the next one is a new call; so many are a fault of the function's."""

GRACE_S = 1.0
"""What a coroutine may take to end after it was cancelled; then it is not resumed any more."""


class _Driven:
    """Awaits a coroutine in its place, and can leave it where it is.

    A coroutine that catches its own cancellation and goes on would keep whoever awaits it for
    ever: the task that renews the token, and with it everybody who leaves the tape.

    Args:
        source: what to await.
    """

    def __init__(self, source: Awaitable[object]) -> None:
        self._source: Awaitable[object] | None = source
        self._is_left = False
        self.given_up = False

    def __await__(self) -> Generator[Any, None, object]:
        source, self._source = self._source, None
        if source is None:
            raise RuntimeError("it is awaited once")
        inner = source.__await__()
        del source
        thrown: BaseException | None = None
        while True:
            try:
                waits_for = next(inner) if thrown is None else _throw(inner, thrown)
            except StopIteration as end:
                return end.value
            thrown = None
            try:
                yield waits_for
            # boundary: whatever it is that wakes the coroutine is the coroutine's to handle
            except BaseException as error:
                if self._is_left:
                    # Here and now, where it may still look for its loop: one that catches that
                    # failure, too, and goes on would never come to an end.
                    with suppress(RuntimeError):
                        _close(inner)
                    del inner
                    raise
                thrown = error

    def give_up(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task that awaits this, and for certain after `GRACE_S`."""
        self.given_up = True
        task.cancel()
        asyncio.get_running_loop().call_later(GRACE_S, self._leave, task)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self._is_left = True
        task.cancel()


def _close(inner: Generator[Any, None, object] | Iterator[Any]) -> None:
    close = getattr(inner, "close", None)
    if close is not None:
        close()


def _throw(inner: Generator[Any, None, object] | Iterator[Any], error: BaseException) -> object:
    throw = getattr(inner, "throw", None)
    if throw is None:  # an iterator of the user's own making
        raise error
    return throw(error)


class _Failed:
    """What a plain function raised, on its way from its thread.

    Not set on a future: raised from there, some kinds are taken for the loop's own.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class GivenTokens:
    """A `tapekeeper.adapters.tokens.TokenIssuer` that asks a callable.

    Its deadline is the caller's. A plain function cannot be stopped from outside, so its thread is
    left behind when the deadline passes; up to `CALLS_MAX` run at the same time. The threads do
    not keep the process alive. A coroutine is cancelled, and one that goes on all the same is left
    where it is and never resumed.

    Args:
        source: see `TokenCallable`.
    """

    just_issued = False

    def __init__(self, source: TokenCallable) -> None:
        self._source = source
        self._threads: list[threading.Thread] = []  # bound: CALLS_MAX

    async def issue(self) -> Secret:
        """Ask the callable.

        Raises:
            DeadlineError: too many earlier calls have not returned yet.
            OutsideError: it failed, or gave no token. Neither the text of its failure nor what it
                gave is shown, because both may hold a token.
        """
        driven = _Driven(self._ask())
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_outcome(driven), name="token source")
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                driven.give_up(task)
                raise
        outcome = task.result()
        if isinstance(outcome, Secret):
            return outcome
        # Raised here and not where it was met, so that no traceback carries along what was given
        # or the frames that it failed in, whose locals a reporter may show.
        raise outcome

    async def extend(self, held: Secret) -> None:
        """Nothing but the callable gives tokens."""
        del held

    async def _ask(self) -> object:
        given: object
        if _is_coroutine_function(self._source):
            given = self._source()
        else:
            given = await self._in_thread()
        return await given if inspect.isawaitable(given) else given

    async def _in_thread(self) -> object:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= CALLS_MAX:
            raise DeadlineError(
                f"the token source hangs: {len(self._threads)} calls of it have not returned, and "
                "it is not called again before one of them does"
            )
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()

        def tell(given: object) -> None:
            if not answer.done():  # else the one who asked has given up
                answer.set_result(given)

        def work() -> None:
            given: object
            try:
                given = self._source()
            # boundary: the user's code in a thread, whose failure the one who asked must get
            except BaseException as error:  # noqa: BLE001 - see the line above
                given = _Failed(error)
            with suppress(RuntimeError):  # the loop is closed, and nobody asks any more
                loop.call_soon_threadsafe(tell, given)

        # aside: the user's code may block; what hangs is left behind, `CALLS_MAX` at most
        thread = threading.Thread(target=work, name="token source", daemon=True)
        self._threads.append(thread)
        thread.start()
        return await answer


async def _outcome(driven: _Driven) -> Secret | OutsideError:
    """The token that the callable gave, or why there is none.

    A value and nothing that is raised, and the text only as a Secret, because reporters show the
    result of a task and the locals of every frame that an error passed.

    Raises:
        KeyboardInterrupt: somebody pressed Ctrl-C while a coroutine function ran in the loop's
            thread. It is for the program, and no failure of the callable's. A thread of its own
            never gets it from a key, so what raises one there is the callable.
    """
    try:
        given = await driven
    except asyncio.CancelledError as error:
        if driven.given_up:
            raise
        return _failure(error)  # something of its own was cancelled, not we
    except KeyboardInterrupt:
        raise
    # A vendor's library may call `sys.exit`.
    # boundary: the user's code must not stop the recording, whatever it raises
    except BaseException as error:  # noqa: BLE001 - see the line above
        return _failure(error)
    return _failure(given.error) if isinstance(given, _Failed) else _secret(given)


def _is_coroutine_function(source: TokenCallable) -> bool:
    called = getattr(source, "__call__", None)  # noqa: B004 - an object may have an async __call__
    return inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(called)


def _secret(given: object) -> Secret | OutsideError:
    """What was given, as a Secret, or why it is no token."""
    if isinstance(given, Secret):
        text = given.reveal().strip()
    elif isinstance(given, str):
        text = given.strip()
    else:
        return OutsideError(f"the token source returned {type(given).__name__}, not a text")
    if not text:
        return OutsideError("the token source returned an empty text")
    if len(text) > _CHARS_MAX:
        return OutsideError(f"the token source returned more than {_CHARS_MAX:,} characters")
    return Secret(text)


def _failure(error: BaseException) -> OutsideError:
    """Kind and place of a failure of the callable's, without its text.

    An `OutsideError` is the callable's own word and stays what it is, but leaves its way behind.
    """
    if isinstance(error, OutsideError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return OutsideError(f"the token source failed: {type(error).__name__}{where}")
