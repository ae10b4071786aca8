"""What a tape asks the hubs for: the streams of a contract, and those of the accounts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from tapekeeper.app.compose import Parts
from tapekeeper.app.start import Patience
from tapekeeper.errors import DeadlineError
from tapekeeper.runtime.line_values import HubCall
from tapekeeper.runtime.pool import LinePool

MARKET_STREAMS = ("Trades", "Quotes")
"""What is always subscribed for a contract."""
DEPTH_STREAM = "MarketDepth"
"""Subscribed where it is asked for: it makes no bar, and is more than all the rest."""
USER_STREAMS = ("Orders", "Positions", "Trades")


async def connect(parts: Parts, patiently: Patience) -> None:
    """Log in and follow the accounts, however long that takes."""
    accounts = await patiently(parts.log_in, "logging in")
    await follow_accounts(parts, accounts, patiently)


async def follow_accounts(parts: Parts, accounts: Iterable[int], patiently: Patience) -> None:
    """Subscribe all streams of the accounts, where there is a user hub."""
    user = parts.user
    if user is None:
        return
    everything = HubCall("SubscribeAccounts")
    await patiently(lambda: ask(user, everything), str(everything))
    for account_id in accounts:
        for stream in USER_STREAMS:
            call = HubCall(f"Subscribe{stream}", (account_id,))
            await patiently(partial(ask, user, call), str(call))


async def ask(
    pool: LinePool, call: HubCall, *, holder: str = "tape", undo: HubCall | None = None
) -> None:
    """Subscribe; one that had no answer says what the connection is at."""
    try:
        await pool.subscribe(call, holder, undo=undo)
    except DeadlineError as error:
        states = [f"{line.state}: {line.reason}" for line in pool.status().lines]
        late = f"{error}; the connection is {'; another is '.join(states)}"
    else:
        return
    raise DeadlineError(late)


def streams(*, depth: bool) -> tuple[str, ...]:
    """The streams of a contract."""
    return (*MARKET_STREAMS, DEPTH_STREAM) if depth else MARKET_STREAMS


def calls(stream: str, contract_id: str) -> tuple[HubCall, HubCall]:
    """The call that subscribes a stream of a contract, and the one that undoes it."""
    arguments = (contract_id,)
    return (
        HubCall(f"SubscribeContract{stream}", arguments),
        HubCall(f"UnsubscribeContract{stream}", arguments),
    )
