"""Tokens from a callable of the user's, such as a broker's own login or a secret store."""

from __future__ import annotations

import asyncio
import inspect
import threading
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from tapekeeper.errors import DeadlineError, OutsideError
from tapekeeper.model.secret import Secret

Given: TypeAlias = str | Secret
TokenCallable: TypeAlias = Callable[[], Given | Awaitable[Given]]
"""Gives a token that is valid now. It may be a coroutine function, or a plain function, which is
called in a thread of its own, so that it may block. It may raise an `OutsideError` to say whether
trying again can help; whatever else it raises counts as trouble that may pass."""

_CHARS_MAX = 64 * 1024
"""Servers refuse much shorter headers than this; a longer text is something else."""


class GivenTokens:
    """A `tapekeeper.adapters.tokens.TokenIssuer` that asks a callable.

    Its deadline is the caller's. A plain function cannot be stopped from outside, so its thread is
    left behind when the deadline passes, and no second one is started while it runs. The thread
    does not keep the process alive.

    Args:
        source: see `TokenCallable`.
    """

    just_issued = False

    def __init__(self, source: TokenCallable) -> None:
        self._source = source
        self._thread: threading.Thread | None = None

    async def issue(self) -> Secret:
        """Ask the callable.

        Raises:
            DeadlineError: an earlier call has not returned yet.
            OutsideError: it failed, or gave no token. Neither the text of its failure nor what it
                gave is shown, because both may hold a token.
        """
        wrong = ""
        given: object = None
        try:
            given = await self._ask()
        except OutsideError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            wrong = _failure(error)  # something of its own was cancelled, not we
        # boundary: the user's code must not stop the recording, whatever it raises
        except Exception as error:  # noqa: BLE001 - see the line above
            wrong = _failure(error)
        # Raised here and not above, so that no traceback carries the failure along as context.
        if wrong:
            raise OutsideError(wrong)
        return _secret(given)

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
        if self._thread is not None and self._thread.is_alive():
            raise DeadlineError("the token source has not returned from an earlier call")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[object] = loop.create_future()

        def tell(given: object, failed: BaseException | None) -> None:
            if answer.done():
                return  # the one who asked has given up
            if failed is None:
                answer.set_result(given)
            else:
                answer.set_exception(failed)

        def work() -> None:
            given: object = None
            failed: BaseException | None = None
            try:
                given = self._source()
            except StopIteration:
                failed = RuntimeError()  # a future cannot hold the original
            # boundary: the user's code in a thread, whose failure the one who asked must get
            except BaseException as error:  # noqa: BLE001 - see the line above
                failed = error
            with suppress(RuntimeError):  # the loop is closed, and nobody asks any more
                loop.call_soon_threadsafe(tell, given, failed)

        self._thread = threading.Thread(target=work, name="token source", daemon=True)
        self._thread.start()
        return await answer


def _is_coroutine_function(source: TokenCallable) -> bool:
    called = getattr(source, "__call__", None)  # noqa: B004 - an object may have an async __call__
    return inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(called)


def _secret(given: object) -> Secret:
    """What was given, as a Secret.

    Raises:
        OutsideError: it is no token.
    """
    if isinstance(given, Secret):
        text = given.reveal().strip()
    elif isinstance(given, str):
        text = given.strip()
    else:
        raise OutsideError(f"the token source returned {type(given).__name__}, not a text")
    if not text:
        raise OutsideError("the token source returned an empty text")
    if len(text) > _CHARS_MAX:
        raise OutsideError(f"the token source returned more than {_CHARS_MAX:,} characters")
    return Secret(text)


def _failure(error: BaseException) -> str:
    """Kind and place of a failure of the callable's, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"the token source failed: {type(error).__name__}{where}"
