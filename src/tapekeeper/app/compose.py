"""The composition root: the only place that constructs adapters and joins them to the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from tapekeeper.adapters.child import Child
from tapekeeper.adapters.dates import GatewayDates
from tapekeeper.adapters.given_tokens import GivenTokens, TokenCallable
from tapekeeper.adapters.http_session import CountsSockets, socket_count
from tapekeeper.adapters.rest import GatewayAuth, GatewayRest, RestCaller, Retry
from tapekeeper.adapters.token_forms import TokenForms
from tapekeeper.adapters.tokens import KeptTokens, KeyLogin, TokenIssuer
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.app.archive.background import Archiving
from tapekeeper.app.archive.compaction import default_archive
from tapekeeper.app.archive.history import Archive
from tapekeeper.app.archive.live import LiveHistory
from tapekeeper.app.archive.warm import Hot
from tapekeeper.app.compose_limits import Limited, compose_limits
from tapekeeper.app.config import Config
from tapekeeper.app.contracts import find_contract, guessed
from tapekeeper.app.disk import Disk, open_disk
from tapekeeper.app.outside import Outside, in_the_loop, real_outside
from tapekeeper.core.calendar import Calendar
from tapekeeper.core.endpoints import Endpoints
from tapekeeper.core.gateway.proofs import proves
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.core.gateway.stamps import stamp_ns
from tapekeeper.core.hot import HotTrades
from tapekeeper.core.recent import RecentQuotes
from tapekeeper.core.runlog import MARKET_HUB, USER_HUB
from tapekeeper.core.signalr.protocol import protocol_by_name
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.core.signalr.session import SessionTimers
from tapekeeper.errors import UnknownContractError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.queue import OnFull
from tapekeeper.model.snapshot import Census
from tapekeeper.ports import Clock, Files, Log, Random, Scratch, Transport
from tapekeeper.runtime.announcer import Announcer
from tapekeeper.runtime.caretaker import Caretaker
from tapekeeper.runtime.comparison import Comparison
from tapekeeper.runtime.continuing import State, begin_with, state_at_end
from tapekeeper.runtime.dispatch import Dispatch
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.forward_clock import ForwardClock
from tapekeeper.runtime.gap_keeper import GapKeeper
from tapekeeper.runtime.history import History, HistoryPolicy
from tapekeeper.runtime.intake import FeedLimits
from tapekeeper.runtime.journaler import Journaler
from tapekeeper.runtime.limiter import Limiter
from tapekeeper.runtime.line_values import HubCall, Inbox, LineSpec
from tapekeeper.runtime.loop_lag import LoopWatch
from tapekeeper.runtime.pool import LinePool
from tapekeeper.runtime.pool_values import PoolPolicy
from tapekeeper.runtime.run_end import read_run_end
from tapekeeper.runtime.shedding import FailurePolicy, ShedStatistics
from tapekeeper.runtime.supervisor import Helper, Supervisor
from tapekeeper.runtime.syncer import Syncer
from tapekeeper.runtime.token_keeper import TokenKeeper
from tapekeeper.runtime.watch import Watch

RELEASE_TIMEOUT_S = 5.0
"""For closing idle connections, where the farewell of a TLS peer may not come."""
_MEGABYTE = 1_000_000


@dataclass(slots=True)
class Parts:
    """A composed tape; `Tape` is its face."""

    config: Config
    rest: GatewayRest
    tokens: KeptTokens
    forms: TokenForms
    feed: Feed
    journaler: Journaler
    care: Caretaker
    gaps: GapKeeper
    history: History | None
    market: LinePool
    user: LinePool | None
    keeper: TokenKeeper
    watch: Watch
    comparison: Comparison | None
    loop: LoopWatch | None
    limiter: Limiter | None
    dates: GatewayDates
    transport: AiohttpTransport
    sockets: CountsSockets
    supervisor: Supervisor
    log: Log
    resources: AsyncExitStack
    past: LiveHistory
    hot: HotTrades
    archiving: Archiving | None
    state: State
    calendars: dict[str, Calendar] = field(default_factory=dict)

    @property
    def pools(self) -> tuple[LinePool, ...]:
        """The lines of every hub, market first."""
        return tuple(pool for pool in (self.market, self.user) if pool is not None)

    async def log_in(self) -> list[int]:
        """Get a first token and the ids of the accounts it may see.

        Raises:
            AuthError: the credentials were refused.
            OutsideError: the gateway could not be asked.
        """
        await self.tokens()
        if self.user is None:
            return []
        return [account.id for account in await self.rest.accounts(only_active=True)]

    def census(self) -> Census:
        """What is held now, counted from those who have it and not from who should."""
        mailboxes = self.feed.dispatch.statistics()
        feed = self.feed.statistics()
        return Census(
            tasks=self.supervisor.census(),
            sockets=self.sockets.open_sockets,
            websockets=self.transport.open_websockets,
            mailboxes=len(mailboxes),
            waiting=feed.waiting_frames + sum(one.waiting for one in mailboxes),
            queue_bytes=feed.waiting_bytes + sum(one.waiting_bytes for one in mailboxes),
            spilled_bytes=feed.spilled_bytes + sum(one.spilled_bytes for one in mailboxes),
        )

    async def resolve(self, text: str) -> Instrument:
        """The contract that `text` names, with its calendar.

        Raises:
            UnknownContractError: none, or more than one, matches.
        """
        found = await find_contract(self.rest, self.config.calendar, text)
        if self.config.calendar.guesses(found.product):
            self.log(
                "calendar_guessed",
                level="warning",
                contract=found.contract_id,
                calendar=found.calendar,
                reason=guessed(found),
            )
        return found

    def calendar_of(self, name: str) -> Calendar:
        """The calendar called `name`, with the exceptions of the configuration.

        Raises:
            ConfigError: there is none, or an exception cannot be.
        """
        known = self.calendars.get(name)
        if known is None:
            known = self.calendars[name] = self.config.calendar.calendar(name)
        return known

    def unfollow(self, contract_id: str) -> None:
        """Nobody wants a contract any more."""
        self.gaps.unfollow(contract_id)
        self.feed.unsubscribe(contract_id)
        if self.history is not None:
            self.history.forget(contract_id)

    def recover(self) -> None:
        """Go on where the last run ended, before anything is connected; say what is missing.

        Raises:
            JournalError: the ledger cannot be written.
            UnreadableSourceError: the journal's folder cannot be read.
        """
        end = read_run_end(self.gaps.files)
        if end is not None:
            begin_with(self.state, end, feed=self.feed, gaps=self.gaps, log=self.log)

    async def abandon(self) -> None:
        """Give everything up before the supervisor was started."""
        try:
            self.journaler.close()
        finally:
            await self.close()

    async def close(self) -> None:
        """Release the network; what does not let go in time is left to the system."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await self.resources.aclose()


async def compose(
    config: Config, given: TokenCallable | None = None, outside: Outside | None = None
) -> Parts:
    """Make all parts of a tape; nothing is connected yet.

    Args:
        config: the settings.
        given: gives the tokens; None means a login with the user name and API key of `config`.
        outside: time, chance, disk, network and log; None means the real ones.

    Raises:
        ConfigError: the credentials are missing, or a calendar is unknown.
        JournalError: the journal cannot be written.
    """
    outside = outside or real_outside()
    # Tokens and the host are judged by the wall clock, all else by one that never goes back.
    wall, clock = outside.clock, ForwardClock(outside.clock)
    outside = replace(outside, clock=clock)
    log = outside.log(config.log)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(outside.session())
        dates = GatewayDates(wall)
        caller = RestCaller(session, config.gateway.rest_url, wall, dates=dates)
        tokens, rest = _gateway(config, given, caller, wall, outside.random)
        disk = stack.enter_context(closing(open_disk(config, outside, log)))
        files = disk.files
        journaler, syncer = _journal(config, outside, disk)
        state = _state(config, files)
        feed = _feed(config, outside, journaler, disk.scratch, log, state)
        care = _care(config, outside, files, journaler, log)
        gaps = _gaps(config, outside, feed, files, log)
        stack.callback(gaps.close)
        history = _history(config, outside, feed=feed, rest=rest, log=log)
        forms = TokenForms(config.gateway.auth, log)
        transport = AiohttpTransport(session, forms, dates=dates)
        announcer = _announcer(outside, feed, journaler, disk, gaps, log)
        hubs = _Hubs(transport, tokens, feed, log, gaps, announcer)
        pools = _pools(config, outside, hubs)
        keeper = _keeper(tokens, pools, wall, outside.random, log)
        watch = _watch(config, outside, feed, pools[MARKET_HUB], hubs)
        loop = _loop_watch(outside, log)
        hot = _hot(config, feed)
        past = _past(config, outside, files, partial(_hot_of, hot, feed, journaler))
        limited = Limited(feed, hot, past, syncer, loop)
        limiter = compose_limits(config, outside, limited, log=log, tell=announcer)
        troubles = partial(_troubles, care, limiter)
        announcer.judge([pool.report for pool in pools.values()], keeper.status, troubles)
        comparison = _comparison(config, outside, rest, feed, gaps, log)
        archiving = _archiving(config, outside, files, log)
        helpers = _helpers(token=keeper, watch=watch, loop=loop, comparison=comparison)
        helpers |= _helpers(history=history, care=care, archive=archiving, limits=limiter)
        supervisor = _supervisor(feed, journaler, pools, clock=clock, helpers=helpers, sync=syncer)
        return Parts(
            config=config,
            rest=rest,
            tokens=tokens,
            forms=forms,
            feed=feed,
            journaler=journaler,
            care=care,
            gaps=gaps,
            history=history,
            market=pools[MARKET_HUB],
            user=pools.get(USER_HUB),
            keeper=keeper,
            watch=watch,
            comparison=comparison,
            loop=loop,
            limiter=limiter,
            dates=dates,
            transport=transport,
            sockets=socket_count(session),
            supervisor=supervisor,
            log=log,
            past=past,
            hot=hot,
            archiving=archiving,
            state=state,
            resources=stack.pop_all(),
        )


def _gateway(
    config: Config, given: TokenCallable | None, caller: RestCaller, wall: Clock, random: Random
) -> tuple[KeptTokens, GatewayRest]:
    """Its tokens and its REST calls."""
    issuer = _issuer(config, caller, given)
    tokens = KeptTokens(issuer, wall, refresh_at_share=config.gateway.token_refresh_share)
    retry = Retry(wall, random)
    return tokens, GatewayRest(caller, tokens, live=config.gateway.live, retry=retry)


def _keeper(
    tokens: KeptTokens, pools: dict[str, LinePool], wall: Clock, random: Random, log: Log
) -> TokenKeeper:
    return TokenKeeper(tokens, tuple(pools.values()), clock=wall, random=random, log=log)


def _hot(config: Config, feed: Feed) -> HotTrades:
    hot = HotTrades(config.trades.keep_mb * _MEGABYTE)
    if config.trades.keep_mb:
        feed.listen(lambda outputs: hot.add(outputs.trades))
    return hot


def _hot_of(trades: HotTrades, feed: Feed, journaler: Journaler, contract: str) -> Hot | None:
    """What is in memory of a contract, where it can be said what of the journal it is."""
    if journaler.statistics().shed.times:
        return None  # what was not recorded is of no run
    instruments = tuple(feed.pipeline.instruments())
    try:
        contract_id = match_contract(contract, list(instruments)).contract_id
    except UnknownContractError:
        return None
    return Hot(journaler.run, contract_id, trades.window(contract_id), instruments)


def _nothing_hot(_contract: str) -> Hot | None:
    """Where no trades are kept in memory."""
    return None


def _past(
    config: Config, outside: Outside, files: Files, hot_of: Callable[[str], Hot | None]
) -> LiveHistory:
    folder = config.archive.dir or default_archive(config.journal.dir)
    kept = Archive(files, folder, keep_bytes=config.archive.cache_mb * _MEGABYTE)
    return LiveHistory(kept, outside.in_thread, hot_of if config.trades.keep_mb else _nothing_hot)


def _archiving(config: Config, outside: Outside, files: Files, log: Log) -> Archiving | None:
    if not config.archive.enabled or outside.in_thread is None:
        return None
    return Archiving(
        journal=config.journal.dir,
        archive=config.archive.dir,
        files=files,
        child=Child(),
        in_thread=outside.in_thread,
        clock=outside.clock,
        log=log,
        every_s=config.archive.every_s,
    )


def _journal(config: Config, outside: Outside, disk: Disk) -> tuple[Journaler, Syncer | None]:
    every_ms = config.journal.sync_every_ms if config.journal.durability == "power" else None
    syncer = None
    if outside.in_thread is not None or every_ms is not None:
        syncer = Syncer(
            outside.in_thread or in_the_loop,
            clock=outside.clock,
            slowness=disk.syncs,
            every_s=None if every_ms is None else every_ms / 1_000,
            goes_on=config.journal.on_failure == "shed",
        )
    journaler = Journaler(
        disk.files,
        segment_bytes_max=config.journal.segment_mb * _MEGABYTE,
        created_ns=outside.clock.now_ns(),
        settle=syncer,
        sync_every_ms=every_ms,
        on_failure=FailurePolicy(config.journal.on_failure),
        disk=disk.writes.statistics,
    )
    return journaler, syncer


def _gaps(config: Config, outside: Outside, feed: Feed, files: Files, log: Log) -> GapKeeper:
    return GapKeeper(
        feed=feed,
        files=files,
        clock=outside.clock,
        log=log,
        keep=config.gaps.keep,
        may_shed=config.journal.on_failure == "shed",
    )


def _announcer(
    outside: Outside, feed: Feed, journaler: Journaler, disk: Disk, gaps: GapKeeper, log: Log
) -> Announcer:
    announcer = Announcer(feed.dispatch, clock=outside.clock, log=log)
    disk.on_change(announcer.look)
    journaler.on_shed(partial(_tell_of_shedding, gaps, announcer))
    return announcer


def _tell_of_shedding(gaps: GapKeeper, announcer: Announcer, shed: ShedStatistics) -> None:
    gaps.recording(shed)
    announcer.look()


def _care(
    config: Config, outside: Outside, files: Files, journaler: Journaler, log: Log
) -> Caretaker:
    return Caretaker(
        files=files,
        journaler=journaler,
        policy=config.journal.retention(),
        in_thread=outside.in_thread or in_the_loop,
        clock=outside.clock,
        log=log,
    )


def _troubles(care: Caretaker, limiter: Limiter | None) -> tuple[str, ...]:
    return (*care.troubles(), *(() if limiter is None else limiter.troubles()))


def _state(config: Config, files: Files) -> State:
    return state_at_end(
        files,
        grace_ns=config.bars.grace_ms * 1_000_000,
        keep=config.bars.keep,
        bytes_max=round(config.journal.resume_mb * _MEGABYTE),
    )


def _feed(
    config: Config, outside: Outside, journaler: Journaler, scratch: Scratch, log: Log, state: State
) -> Feed:
    return Feed(
        pipeline=state.pipeline,
        journaler=journaler,
        recent=state.recent,
        recent_quotes=RecentQuotes(config.quotes.keep),
        dispatch=Dispatch(config.queues.defaults(), log=log, scratch=scratch, clock=outside.clock),
        clock=outside.clock,
        limits=FeedLimits(
            config.feed.max_frames,
            config.feed.max_mb * _MEGABYTE,
            OnFull(config.feed.on_full),
            config.feed.spill_mb * _MEGABYTE,
        ),
        log=log,
        scratch=scratch,
    )


def _comparison(
    config: Config, outside: Outside, rest: GatewayRest, feed: Feed, gaps: GapKeeper, log: Log
) -> Comparison | None:
    if not config.audit.compare:
        return None
    return Comparison(
        theirs=rest,
        ours=feed.recent,
        followed=feed.pipeline,
        gaps=gaps.ledger,
        clock=outside.clock,
        log=log,
        every_s=config.audit.compare_every_s,
        settle_s=config.audit.settle_s,
    )


def _history(
    config: Config, outside: Outside, *, feed: Feed, rest: GatewayRest, log: Log
) -> History | None:
    if not config.history.enabled:
        return None
    policy = HistoryPolicy(
        settle_ns=_ns(config.history.settle_s), warm_up_bars=config.history.warm_up_bars
    )
    return History(
        feed=feed,
        source=rest,
        policy=policy,
        clock=outside.clock,
        random=outside.random,
        log=log,
    )


def _supervisor(
    feed: Feed,
    journaler: Journaler,
    pools: dict[str, LinePool],
    *,
    clock: Clock,
    helpers: dict[str, Helper],
    sync: Syncer | None,
) -> Supervisor:
    return Supervisor(
        feed=feed,
        journaler=journaler,
        pools=tuple(pools.values()),
        clock=clock,
        helpers=helpers,
        keepers=_helpers(sync=sync),
    )


def _helpers(**helpers: Helper | None) -> dict[str, Helper]:
    return {name: helper for name, helper in helpers.items() if helper is not None}


def _loop_watch(outside: Outside, log: Log) -> LoopWatch | None:
    look_s = outside.loop_look_s
    return None if look_s is None else LoopWatch(outside.clock, log, look_s)


@dataclass(frozen=True, slots=True)
class _Hubs:
    """What the pools of all hubs share."""

    transport: Transport
    tokens: KeptTokens
    inbox: Inbox
    log: Log
    gaps: GapKeeper
    tell: Announcer


def _watch(config: Config, outside: Outside, feed: Feed, market: LinePool, hubs: _Hubs) -> Watch:
    return Watch(
        policy=config.freshness.policy(),
        newest=feed.pipeline,
        brought=feed.pipeline.brought,
        mender=market,
        clock=outside.clock,
        log=hubs.log,
        tell=hubs.tell,
        looked=hubs.tell.look,
        since_seq=feed.pipeline.next_seq,
    )


def _pools(config: Config, outside: Outside, hubs: _Hubs) -> dict[str, LinePool]:
    """The pool of every hub, by its name."""
    gateway = config.gateway
    urls_of = {MARKET_HUB: (gateway.market_hub_url, *gateway.market_hub_fallbacks)}
    if gateway.user_hub:
        urls_of[USER_HUB] = (gateway.user_hub_url, *gateway.user_hub_fallbacks)
    # One count for all hubs: the journal knows a connection by its number alone.
    numbers = count(_first_line_number(outside.clock.now_ns()))
    return {
        name: LinePool(
            line_spec(config, name, urls[0]),
            _pool_policy(config),
            transport=hubs.transport,
            tokens=hubs.tokens,
            clock=outside.clock,
            random=outside.random,
            inbox=hubs.inbox,
            log=hubs.log,
            numbers=lambda: next(numbers),
            proves=_proves,
            stamp_of=stamp_ns if name == MARKET_HUB else None,
            on_coverage=hubs.gaps.cover if name == MARKET_HUB else None,
            tell=hubs.tell,
            endpoints=Endpoints(tuple(dict.fromkeys(urls))) if len(urls) > 1 else None,
        )
        for name, urls in urls_of.items()
    }


def _proves(call: HubCall, data: Invocation) -> bool:
    return proves(call.target, call.arguments, data)


def _pool_policy(config: Config) -> PoolPolicy:
    pool = config.pool
    return PoolPolicy(
        redundancy=pool.redundancy,
        lines_max=pool.lines_max,
        overlap_s=pool.overlap_s,
        handover_timeout_s=pool.handover_timeout_s,
        max_session_s=pool.max_session_s,
        down_after_s=pool.down_after_s,
    )


def _issuer(config: Config, caller: RestCaller, given: TokenCallable | None) -> TokenIssuer:
    """Where tokens come from.

    Raises:
        ConfigError: there are no credentials, and nothing else gives tokens.
    """
    if given is not None:
        return GivenTokens(given)
    user_name, api_key = config.credentials()
    return KeyLogin(GatewayAuth(caller), user_name, api_key)


def _first_line_number(now_ns: int) -> int:
    """Connections are numbered within a journal, which outlives a process: begin with the time.

    Milliseconds modulo 2**31 leave room to count on in the journal's 32 bits, and two runs do
    not get near each other's numbers within three weeks.
    """
    return now_ns // 1_000_000 % 2**31


def line_spec(config: Config, name: str, url: str) -> LineSpec:
    """How the configuration wants the hub at `url` to be connected to."""
    line = config.line
    return LineSpec(
        name=name,
        hub_url=url,
        protocol=protocol_by_name(config.gateway.protocol),
        negotiate=config.gateway.negotiate,
        stateful_reconnect=config.gateway.stateful_reconnect,
        timers=SessionTimers(
            handshake_timeout_ns=_ns(line.handshake_timeout_s),
            keep_alive_ns=_ns(line.keep_alive_s),
            server_timeout_ns=_ns(line.server_timeout_s),
            invocation_timeout_ns=_ns(line.invocation_timeout_s),
        ),
        connect_timeout_s=line.connect_timeout_s,
        backoff_base_ms=line.backoff_base_ms,
        backoff_cap_ms=line.backoff_cap_ms,
        healthy_after_s=line.healthy_after_s,
        down_after_s=config.pool.down_after_s,
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
