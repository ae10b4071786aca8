"""The simulated gateway: REST and both hubs on one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from types import TracebackType
from typing import Self

from aiohttp import web

from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.ports import Clock, Random
from tapekeeper.sim.config import BAD_PORTS, SimConfig
from tapekeeper.sim.connection import HubConnection
from tapekeeper.sim.contracts import PRODUCTS, ContractBook, listed
from tapekeeper.sim.depth import DepthLadder
from tapekeeper.sim.door import Doorkeeper
from tapekeeper.sim.fault_menu import Fault
from tapekeeper.sim.fault_runner import FaultRunner
from tapekeeper.sim.faults import Faults
from tapekeeper.sim.feed import Feed
from tapekeeper.sim.history import History, SeededPast
from tapekeeper.sim.hub import Hub, HubStatistics
from tapekeeper.sim.losses import PrintLosses
from tapekeeper.sim.market import MarketSpec, SyntheticMarket
from tapekeeper.sim.memory_network import MemoryNetwork
from tapekeeper.sim.methods import market_methods, user_methods
from tapekeeper.sim.pace import Pacer
from tapekeeper.sim.player import Track, load_tracks
from tapekeeper.sim.rest import Rest
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.session import SECOND_NS
from tapekeeper.sim.sessions import Sessions
from tapekeeper.sim.subscriptions import Stream, Subscriptions
from tapekeeper.sim.tokens import TokenOffice
from tapekeeper.sim.wire import user_record

MARKET_PATH = "/hubs/market"
USER_PATH = "/hubs/user"

TICK_S = 1.0
"""How often pings and timeouts are looked at, as on the real server."""

SHUTDOWN_S = 1.0
"""How long requests in flight may take when the gateway stops."""

MEMORY_PORT = 8_790
"""Where a gateway in memory is, unless its configuration names a port."""

_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class SimUrls:
    """Where the gateway is."""

    rest: str
    market_hub: str
    user_hub: str


@dataclass(frozen=True, slots=True)
class SimStatistics:
    """Counters of a gateway.

    Attributes:
        logins, logins_refused: answered logins, and those turned away for whatever reason.
        requests: REST requests that were admitted, logins not among them.
        rate_limited: requests answered with 429 for being too many.
        unauthorized: requests answered with 401, on REST and hubs together.
        market, user: the hubs.
        trades_made: prints the market made, by contract.
        trades_sent: prints handed to connections, by contract; two subscribers count twice. On
            a connection that is dropped or muted, what was handed over may not have arrived.
        quotes_sent: quote records handed to connections, by contract.
        depth_sent: rows of depth handed to connections, by contract.
    """

    logins: int
    logins_refused: int
    requests: int
    rate_limited: int
    unauthorized: int
    market: HubStatistics
    user: HubStatistics
    trades_made: dict[str, int]
    trades_sent: dict[str, int]
    quotes_sent: dict[str, int]
    depth_sent: dict[str, int]


class SimGateway:
    """A ProjectX-style gateway for tests and demonstrations.

    Use it as `async with SimGateway(config, clock, random) as gateway`, or call `start` and
    `stop` in the same task. All its tasks live in one task group: a bug in one of them cancels
    that task and comes out of `stop`.

    Args:
        config: how it behaves.
        clock: wall clock for tokens and the market's start, monotonic time for every timer.
        random: for keys, tokens and ids; the market's ticks follow from `config.seed` alone.
        sessions: when the synthetic market trades, and what a day is; default: UTC days, always
            open, so that a demonstration works on a Sunday.
        schedule: faults that happen by themselves, counted from the start.
        network: serves in memory instead of on a socket.

    Attributes:
        faults: misbehaviour on demand.
        runner: runs the schedule.
        finished: set when everything that was to be played has been handed to connections;
            never set where nothing is played and `trades_max` is None.
    """

    def __init__(
        self,
        config: SimConfig,
        clock: Clock,
        random: Random,
        *,
        sessions: Sessions | None = None,
        schedule: Sequence[Fault] = (),
        network: MemoryNetwork | None = None,
    ) -> None:
        self._config = config
        self._schedule = schedule
        self._network = network
        self._clock = clock
        self._sessions = sessions or calendar_by_name("24x7")
        self._subscriptions = Subscriptions()
        self._user_subscriptions = Subscriptions()
        self._book = ContractBook()
        losses = PrintLosses(Seeded(config.seed, "prints that are lost"))
        self.feed = Feed(self._subscriptions, losses)
        self.finished = asyncio.Event()
        office = TokenOffice(
            config.token_life_s,
            clock,
            random,
            single=config.single_token,
            market_data=config.market_data,
        )
        self.faults = Faults(
            self._connections,
            subscriptions=(self._subscriptions, self._user_subscriptions),
            change_key=office.change_key,
            numbers=Seeded(config.seed, "which connection a fault meets"),
            losses=losses,
        )
        self._door = Doorkeeper(
            office, self.faults, clock, allow_query_token=config.allow_query_token
        )
        self._rest = Rest(config, clock, office, self._door, self._book, self.feed)
        market = market_methods(
            self._subscriptions,
            knows=lambda contract_id: self._book.by_id(contract_id) is not None,
            unknown_is_error=config.unknown_contract == "error",
            greet=self.feed.greet,
        )
        user = user_methods(
            self._user_subscriptions,
            knows=lambda account_id: account_id == str(self._rest.account.id),
            greet=self._greet_user,
        )
        self._hubs = {
            "market": Hub(
                MARKET_PATH, config.hub, clock, random, self._door, market, self._subscriptions
            ),
            "user": Hub(
                USER_PATH, config.hub, clock, random, self._door, user, self._user_subscriptions
            ),
        }
        self._exit: contextlib.AsyncExitStack | None = None

    async def start(self) -> SimUrls:
        """Listen, and start the market.

        Raises:
            UsageError: the port is taken, or a product is unknown.
            UnreadableSourceError: what should be played cannot be read.
        """
        sources = self._prepare()
        self.finished.clear()
        async with contextlib.AsyncExitStack() as stack:
            listener = None
            if self._network is None:
                listener = listen(self._config.host, self._config.port)
                stack.callback(listener.close)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            endless = [tasks.create_task(self._tick())]
            endless.append(tasks.create_task(self._play(sources)))
            self.runner = FaultRunner(
                self._schedule, self.faults, self._clock, seed=self._config.seed
            )
            endless.append(tasks.create_task(self.runner.run()))
            stack.callback(_cancel, endless)
            runner = web.AppRunner(
                self._app(), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            stack.callback(self._abort_all)
            if listener is not None:
                await web.SockSite(runner, listener).start()
                port = listener.getsockname()[1]
            elif self._network is not None and runner.server is not None:
                port = self._config.port or MEMORY_PORT
                self._network.listen(port, runner.server)
                stack.callback(self._network.close, port)
            self._exit = stack.pop_all()
        host = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        base = f"http://{host}:{port}"
        return SimUrls(base, f"{base}{MARKET_PATH}", f"{base}{USER_PATH}")

    async def stop(self) -> None:
        """End everything at once, as a real server's process does; safe to call twice.

        Connections get neither Close record nor close frame.
        """
        stack, self._exit = self._exit, None
        if stack is not None:
            await stack.aclose()

    async def __aenter__(self) -> Self:
        self.urls = await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def contracts(self) -> list[str]:
        """Ids of the contracts that trade here, once started."""
        return [one.contract_id for one in self._book.active()]

    def delivers(self, stream: Stream, contract_id: str) -> bool:
        """Whether somebody who subscribed a stream gets it, or lost it to a freeze of late.

        A frozen subscription is for the client to notice: see `Faults.freeze`.
        """
        listeners = self._subscriptions.of(stream, contract_id)
        if any(one.is_open and not one.is_muted for one in listeners):
            return True
        return self.faults.is_frozen(stream, contract_id)

    def statistics(self) -> SimStatistics:
        """The counters now."""
        counts = self._rest.counts
        return SimStatistics(
            logins=counts["logins"],
            logins_refused=counts["logins_refused"],
            requests=counts["requests"],
            rate_limited=counts["rate_limited"],
            unauthorized=self._door.refused,
            market=self._hubs["market"].statistics(),
            user=self._hubs["user"].statistics(),
            trades_made=dict(self.feed.trades_made),
            trades_sent=dict(self.feed.trades_sent),
            quotes_sent=dict(self.feed.quotes_sent),
            depth_sent=dict(self.feed.depth_sent),
        )

    def _prepare(self) -> list[tuple[str, Track | SyntheticMarket]]:
        """Contracts and what makes their ticks; what is played replaces what is synthetic."""
        config = self._config
        start_ns = self._clock.now_ns() if config.start_ns is None else config.start_ns
        tracks = [] if config.play is None else load_tracks(config.play)
        played = {track.instrument.contract_id for track in tracks}
        day = dt.datetime.fromtimestamp(start_ns / SECOND_NS, tz=dt.UTC).date()
        market_pacer = Pacer(self._clock, config.speed)
        market_pacer.start(start_ns)
        sources: list[tuple[str, Track | SyntheticMarket]] = []
        for root in config.products:
            product = PRODUCTS.get(root)
            if product is None:
                raise UsageError(
                    f"unknown product {root!r}: the synthetic market has {', '.join(PRODUCTS)}"
                )
            front, following = listed(product, day)
            self._book.add(following)
            self._book.add(front)
            contract_id = front.contract_id
            if contract_id in played:
                continue
            spec = MarketSpec(
                front,
                product,
                config.seed,
                start_ns,
                config.trades_per_s,
                config.trades_max,
                zero_sizes=config.zero_sizes,
            )
            past = SeededPast(
                product, config.seed, contract_id, start_ns, config.history_days, self._sessions
            )
            history = History(self._sessions, past, seconds_max=config.history_seconds_max)
            self.feed.open(contract_id, history, market_pacer, self._ladder(front))
            sources.append((contract_id, SyntheticMarket(spec, self._sessions)))
        # One pace for all tracks: the first subscriber of any of them starts their common time.
        track_pacer = Pacer(self._clock, config.speed)
        for track in tracks:
            self._book.add(track.instrument)
            contract_id = track.instrument.contract_id
            ladder = self._ladder(track.instrument)
            history = History(self._sessions, seconds_max=config.history_seconds_max)
            self.feed.open(contract_id, history, track_pacer, ladder)
            sources.append((contract_id, track))
        self._track_pacer = track_pacer
        self._track_start_ns = min((track.start_ns for track in tracks), default=0)
        return sources

    def _ladder(self, instrument: Instrument) -> DepthLadder:
        return DepthLadder(
            instrument.contract_id,
            instrument.tick_size,
            self._config.seed,
            self._config.depth_levels,
        )

    async def _play(self, sources: list[tuple[str, Track | SyntheticMarket]]) -> None:
        if self._config.speed == "max":
            await self.feed.run_together({id_: source.events() for id_, source in sources})
        else:
            markets = {id_: it.events() for id_, it in sources if isinstance(it, SyntheticMarket)}
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.feed.run(markets))
                for contract_id, source in sources:
                    if isinstance(source, Track):
                        tasks.create_task(self._play_track(contract_id, source))
        self.finished.set()

    async def _play_track(self, contract_id: str, track: Track) -> None:
        # A recording starts with its first subscriber, who thus gets every row.
        await self._subscriptions.present(Stream.TRADES, contract_id)
        self._track_pacer.start(self._track_start_ns)
        await self.feed.run({contract_id: track.events()})

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep_s(TICK_S)
            for hub in self._hubs.values():
                hub.on_tick()

    async def _date(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The date of answers is that of our clock, not that of the host."""
        response.headers["Date"] = formatdate(self._clock.now_ns() / SECOND_NS, usegmt=True)

    def _app(self) -> web.Application:
        app = web.Application()
        app.on_response_prepare.append(self._date)
        self._rest.add_routes(app)
        for hub in self._hubs.values():
            hub.add_routes(app)
        return app

    def _connections(self, hub: str | None) -> Iterator[HubConnection]:
        for name, one in self._hubs.items():
            if hub is None or hub == name:
                yield from one.live()

    def _abort_all(self) -> None:
        for hub in self._hubs.values():
            hub.abort_all()

    def _greet_user(self, stream: Stream, _: str, connection: HubConnection) -> None:
        if stream is Stream.ACCOUNTS:
            connection.send(user_record("GatewayUserAccount", 1, self._rest.account.wire()))


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket on a loopback address.

    Raises:
        UsageError: the port is taken or may not be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_PORT_TRIES):
        try:
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} on {host} is in use: choose another one, or 0 for any free one"
                ) from error
            raise UsageError(f"cannot listen on port {port} of {host}: {error.strerror}") from error
        if port or listener.getsockname()[1] not in BAD_PORTS:
            return listener
        listener.close()
    raise UsageError(f"the system offers only ports that web clients block; choose one on {host}")
