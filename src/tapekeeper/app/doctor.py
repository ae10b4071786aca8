"""Finds out, step by step, whether a configuration works, and says what to do where it does not.

The order is that of a connection's life: the configuration, the key, the name, the port, the
certificate, the clock, the login, what the login may see, both hubs, first data. What needs
something that failed is skipped and says so, so that one cause is one failure.

Nothing is written, and nothing is changed at the gateway but a login and some connections. Where
the gateway allows one session only, those may end the connections of a tape that is running.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tapekeeper.adapters.reach import clock_difference_s, dial, inspect_tls, look_up
from tapekeeper.adapters.rest import GatewayAuth, GatewayRest, RestCaller
from tapekeeper.adapters.token_forms import Form, TokenForms
from tapekeeper.adapters.tokens import KeptTokens, KeyLogin, market_data_claim
from tapekeeper.adapters.websocket import AiohttpTransport
from tapekeeper.app.compose import line_spec
from tapekeeper.app.config import ENV_DELIMITER, ENV_PREFIX, Config, load_config
from tapekeeper.app.contracts import find_contract, guessed
from tapekeeper.app.doctor_values import CONFIGURATION, KEY, Check, Report, Verdict
from tapekeeper.app.outside import Outside
from tapekeeper.core.gateway.packed import json_arguments
from tapekeeper.core.gateway.times import format_ns
from tapekeeper.core.runlog import MARKET_HUB, USER_HUB
from tapekeeper.core.signalr.records import Invocation
from tapekeeper.deadline import deadline
from tapekeeper.errors import ConfigError, DeadlineError, OutsideError, UnknownContractError
from tapekeeper.model.instrument import Instrument
from tapekeeper.runtime.line import Line
from tapekeeper.runtime.line_values import Arrival, HubCall, Inbound, LineState, Transition
from tapekeeper.runtime.pool_values import Acknowledgement
from tapekeeper.runtime.waiters import Waiters

SKEW_MAX_S = 2.0
"""No bar depends on the host's clock, but lag, logs and the session calendar are read by it."""

EXPIRY_DAYS_MIN = 14

_KEY_VARIABLE = f"{ENV_PREFIX}GATEWAY{ENV_DELIMITER}API_KEY"
_DATA_CALLS = ("SubscribeContractTrades", "SubscribeContractQuotes")
_DATA = frozenset({"gatewaytrade", "gatewayquote"})
_PROTOCOL_SIGNS = ("The protocol '", "WebSockets transport for binary")
_QUERY_ADVICE = (
    "if the gateway reads the token from the query string only, --try-query finds out; it puts "
    "the token into an address, which proxies on the way log"
)


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """What to look at, and how patiently.

    Attributes:
        try_query: also try the token in the query string of both hubs.
        contract: whose first data to wait for; None means the first one of the configuration,
            or else the first front contract of the data tier.
        data_timeout_s: how long to wait for first data.
        step_timeout_s: how long every other step may take.
    """

    try_query: bool = False
    contract: str | None = None
    data_timeout_s: float = 15.0
    step_timeout_s: float = 20.0


async def examine(
    source: Path | Config,
    options: DoctorOptions,
    outside: Outside,
    on_check: Callable[[Check], None] = lambda _check: None,
) -> Report:
    """Look at everything; never raises for what it finds.

    Args:
        source: a configuration file (the environment is laid over it), or a configuration.
        options: see `DoctorOptions`.
        outside: time, chance and network.
        on_check: called with every check as soon as it is done.
    """
    return await _Doctor(options, outside, on_check).examine(source)


class _Doctor:
    def __init__(
        self, options: DoctorOptions, outside: Outside, on_check: Callable[[Check], None]
    ) -> None:
        self._options = options
        self._outside = outside
        self._on_check = on_check
        self._checks: list[Check] = []
        self._names: dict[str, bool] = {}  # hosts, and whether they were found
        self._ways: set[str] = set()  # origins that were tried
        self._unreachable: set[str] = set()  # and those that failed
        self._needed = True  # whether the tape cannot do without what is looked at

    async def examine(self, source: Path | Config) -> Report:
        config = self._configuration(source)
        if config is not None:
            has_key = self._key(config)
            for origin in dict.fromkeys(map(_origin, _addresses(config))):
                await self._way(origin)
            for origin in dict.fromkeys(map(_origin, _fallbacks(config))):
                await self._spare_way(origin)
            async with self._outside.session() as session:
                await self._gateway(config, session, has_key=has_key)
        return Report(tuple(self._checks))

    def _add(self, name: str, verdict: Verdict, detail: str, advice: str = "") -> None:
        check = Check(name, verdict, detail, advice)
        self._checks.append(check)
        self._on_check(check)

    def _fail(self, name: str, why: object, advice: str) -> None:
        self._add(name, Verdict.FAILED if self._needed else Verdict.NOTE, str(why), advice)

    # --- what is on this machine ----------------------------------------------------------

    def _configuration(self, source: Path | Config) -> Config | None:
        try:
            config = load_config(source)
        except ConfigError as error:
            for line in str(error).splitlines():
                name = KEY if "API key" in line or "api_key" in line else CONFIGURATION
                self._fail(name, line, "`tapekeeper config` prints an annotated example")
            return None
        contracts = ", ".join(entry.contract for entry in config.subscribe) or "no contract"
        self._add(CONFIGURATION, Verdict.OK, f"it is valid and follows {contracts}")
        return config

    def _key(self, config: Config) -> bool:
        try:
            config.credentials()
        except ConfigError as error:
            self._fail(KEY, error, "keys are made in the settings of your account at the firm")
            return False
        path = config.gateway.api_key_file
        if os.environ.get(_KEY_VARIABLE):
            where = f"it comes from the variable {_KEY_VARIABLE}"
        elif path is not None and os.name == "posix":
            where = f"it comes from {path}, which nobody but you can read"
        elif path is not None:
            where = f"it comes from {path}; who may read that is for its access list to say"
        else:
            where = "it comes from the configuration"
        self._add(KEY, Verdict.OK, where)
        return True

    # --- the way there --------------------------------------------------------------------

    async def _way(self, origin: str) -> None:
        """Name, port and certificate of one address; what fails makes it unreachable."""
        self._ways.add(origin)
        parts = urlsplit(origin)
        host = parts.hostname or ""
        encrypted = parts.scheme in {"https", "wss"}
        port = parts.port or (443 if encrypted else 80)
        if host not in self._names:
            self._names[host] = await self._name(host, port)
        if not (
            self._names[host]
            and await self._port(host, port)
            and await self._certificate(host, port, encrypted=encrypted)
        ):
            self._unreachable.add(origin)

    async def _spare_way(self, origin: str) -> None:
        """The same for an address that is used only while the first one fails."""
        if origin in self._ways:
            return
        before = len(self._checks)
        self._needed = False
        await self._way(origin)
        self._needed = True
        if len(self._checks) == before:
            self._add(f"fallback {origin}", Verdict.NOTE, "its host was not found")

    async def _name(self, host: str, port: int) -> bool:
        try:
            addresses = await look_up(host, port, timeout_s=self._options.step_timeout_s)
        except OutsideError as error:
            advice = "check the address for typing errors, and this machine's network and resolver"
            self._fail(f"dns {host}", error, advice)
            return False
        self._add(f"dns {host}", Verdict.OK, ", ".join(addresses))
        return True

    async def _port(self, host: str, port: int) -> bool:
        name = f"tcp {host}:{port}"
        try:
            await dial(host, port, timeout_s=self._options.step_timeout_s)
        except OutsideError as error:
            advice = "check the port and firewalls; perhaps the gateway is down for maintenance"
            self._fail(name, error, advice)
            return False
        self._add(name, Verdict.OK, "somebody listens")
        return True

    async def _certificate(self, host: str, port: int, *, encrypted: bool) -> bool:
        name = f"tls {host}:{port}"
        if not encrypted:
            self._add(name, Verdict.SKIPPED, "the address is not https and stays on loopback")
            return True
        try:
            facts = await inspect_tls(host, port, timeout_s=self._options.step_timeout_s)
        except OutsideError as error:
            advice = (
                "check this machine's clock and certificates; a proxy that opens connections "
                "must be trusted by the system, or be avoided"
            )
            self._fail(name, error, advice)
            return False
        days = (facts.expires.timestamp() - self._outside.clock.now_ns() / 1e9) / 86_400
        verdict = Verdict.OK if days >= EXPIRY_DAYS_MIN else Verdict.NOTE
        detail = f"{facts.version}; the certificate is trusted and ends in {days:,.0f} days"
        self._add(name, verdict, detail)
        return True

    async def _clock(self, config: Config, session: aiohttp.ClientSession) -> None:
        url = f"{config.gateway.rest_url}/api/Status/ping"
        try:
            ahead_s, margin_s = await clock_difference_s(
                session, url, self._outside.clock, timeout_s=self._options.step_timeout_s
            )
        except OutsideError as error:
            self._add("clock", Verdict.NOTE, f"it cannot be compared: {error}")
            return
        side = "ahead of" if ahead_s > 0 else "behind"
        found = f"{abs(ahead_s):.1f} s {side} the gateway's, give or take {margin_s:.1f} s"
        if abs(ahead_s) - margin_s <= SKEW_MAX_S:
            self._add("clock", Verdict.OK, found)
        else:
            advice = "let the system keep its time by NTP; bars are right all the same"
            self._add("clock", Verdict.NOTE, found, advice)

    # --- the gateway ----------------------------------------------------------------------

    async def _gateway(
        self, config: Config, session: aiohttp.ClientSession, *, has_key: bool
    ) -> None:
        reachable = _origin(config.gateway.rest_url) not in self._unreachable
        if reachable:
            await self._clock(config, session)
        if not (reachable and has_key):
            missing = "a key" if reachable else "a way to the gateway"
            for name in ("login", "accounts", "contracts", "hubs", "first data"):
                self._add(name, Verdict.SKIPPED, f"it needs {missing}")
            return
        clock = self._outside.clock
        caller = RestCaller(
            session, config.gateway.rest_url, clock, timeout_s=self._options.step_timeout_s
        )
        user_name, api_key = config.credentials()
        tokens = KeptTokens(KeyLogin(GatewayAuth(caller), user_name, api_key), clock)
        if not await self._login(tokens):
            for name in ("accounts", "contracts", "hubs", "first data"):
                self._add(name, Verdict.SKIPPED, "it needs a login")
            return
        await self._accounts(config, GatewayRest(caller, tokens))
        contract = await self._contracts(config, caller, tokens)
        await self._market(config, session, tokens, contract)
        if config.gateway.user_hub:
            await self._hub(config, session, tokens, USER_HUB)

    async def _login(self, tokens: KeptTokens) -> bool:
        try:
            token = await tokens()
        except OutsideError as error:
            advice = "check gateway.user_name and the API key, and that the key is not revoked"
            if error.retryable:
                advice = "the gateway did not do its part; try again in a few minutes"
            self._fail("login", error, advice)
            return False
        renewed_s = tokens.due_in_s() or 0.0
        self._add(
            "login", Verdict.OK, f"the token is good; its renewal is due in {renewed_s:,.0f} s"
        )
        claim = market_data_claim(token)
        if claim is None:
            found = "the token does not say; what follows shows it"
            self._add("entitlement", Verdict.NOTE, found)
        else:
            self._add("entitlement", Verdict.OK, f"the token names the market data {claim}")
        return True

    async def _accounts(self, config: Config, rest: GatewayRest) -> None:
        try:
            accounts = await rest.accounts(only_active=True)
        except OutsideError as error:
            advice = "the login works but may not read accounts; ask the firm about API access"
            self._fail("accounts", error, advice)
            return
        trading = sum(account.can_trade for account in accounts)
        found = f"{len(accounts)} active, of which {trading} may trade"
        if accounts or not config.gateway.user_hub:
            self._add("accounts", Verdict.OK, found)
        else:
            self._add("accounts", Verdict.NOTE, found, "the user hub will have nothing to tell")

    async def _contracts(
        self, config: Config, caller: RestCaller, tokens: KeptTokens
    ) -> Instrument | None:
        """Whether the data tier has the wanted contracts; the one to wait for, or None."""
        live = config.gateway.live
        rest = GatewayRest(caller, tokens, live=live)
        wanted = [entry.contract for entry in config.subscribe]
        if self._options.contract is not None:
            wanted.insert(0, self._options.contract)
        found: list[Instrument] = []
        try:
            available = await rest.available()
            for text in dict.fromkeys(wanted):
                try:
                    found.append(await find_contract(rest, config.calendar, text))
                except UnknownContractError as error:
                    self._fail(f"contract {text}", error, "correct it, or check gateway.live")
            if not available:
                other = await GatewayRest(caller, tokens, live=not live).available()
                self._no_contracts(live=live, other=len(other))
                return found[0] if found else None
        except OutsideError as error:
            self._fail("contracts", error, "the login works but may not read contracts")
            return None
        tier = "live" if live else "simulated"
        names = "".join(f"; {item.name} is {item.contract_id}" for item in found)
        self._add("contracts", Verdict.OK, f"{len(available)} in the {tier} data tier{names}")
        for item in found:
            if config.calendar.guesses(item.product):
                self._add(f"sessions {item.product}", Verdict.NOTE, guessed(item))
        if not found and not wanted:
            front = next((item for item in available if item.active), available[0])
            name = config.calendar.name_for(front.product)
            return msgspec.structs.replace(front, calendar=name)
        return found[0] if found else None

    def _no_contracts(self, *, live: bool, other: int) -> None:
        tier = "live" if live else "simulated"
        advice = "ask the firm which market data your account is entitled to"
        if other:
            advice = f"the other tier has {other}: set gateway.live = {str(not live).lower()}"
        self._fail("contracts", f"there are none in the {tier} data tier", advice)

    # --- the hubs -------------------------------------------------------------------------

    def _forms(self, config: Config) -> tuple[Form, ...]:
        """The forms to try; the one that the tape would begin with comes last."""
        if config.gateway.auth == "query":
            return ("header", "query")
        return ("query", "header") if self._options.try_query else ("header",)

    async def _market(
        self,
        config: Config,
        session: aiohttp.ClientSession,
        tokens: KeptTokens,
        contract: Instrument | None,
    ) -> None:
        form = await self._hub(config, session, tokens, MARKET_HUB)
        if contract is None or form is None:
            missing = "the market hub" if form is None else "a contract"
            self._add("first data", Verdict.SKIPPED, f"it needs {missing}")
            return
        async with self._connected(config, session, tokens, MARKET_HUB, form) as connected:
            await self._first_data(config, contract, connected)

    async def _hub(
        self, config: Config, session: aiohttp.ClientSession, tokens: KeptTokens, hub: str
    ) -> Form | None:
        """The form in which a hub takes the token, the one of the tape preferred; or None."""
        if _origin(_hub_url(config, hub)) in self._unreachable:
            self._add(f"{hub} hub", Verdict.SKIPPED, "it needs a way to the hub")
            return None
        forms = self._forms(config)
        failures: dict[Form, str | None] = {}
        for form in forms:
            async with self._connected(config, session, tokens, hub, form) as connected:
                failures[form] = connected.failure
        working: list[Form] = [form for form in forms if failures[form] is None]
        # The tape finds out by itself with "auto"; otherwise it has only the form it was told.
        needed = working[-1:] if config.gateway.auth == "auto" else []
        for form in forms:
            self._tell_form(
                hub, form, failures[form], working, needed=form in (needed or forms[-1:])
            )
        return working[-1] if working else None

    def _tell_form(
        self, hub: str, form: Form, why: str | None, working: list[Form], *, needed: bool
    ) -> None:
        name = f"{hub} hub, token in the {form}"
        if why is None:
            advice = "" if needed else f'gateway.auth = "{form}" would work, too'
            self._add(name, Verdict.OK, "it answers", advice)
        elif not needed:
            self._add(name, Verdict.NOTE, why)
        elif any(sign in why for sign in _PROTOCOL_SIGNS):
            self._fail(name, why, 'set gateway.protocol = "json", which every hub speaks')
        elif working:
            self._fail(name, why, f'set gateway.auth = "{working[-1]}"')
        elif form == "header" and not self._options.try_query:
            self._fail(name, why, _QUERY_ADVICE)
        else:
            self._fail(name, why, "it fails in both forms, so the form is not the cause")

    @asynccontextmanager
    async def _connected(
        self,
        config: Config,
        session: aiohttp.ClientSession,
        tokens: KeptTokens,
        hub: str,
        form: Form,
    ) -> AsyncIterator[_Visit]:
        """A line, as the tape has it, that has become live or failed once."""
        visit = _Visit()
        line = Line(
            line_spec(config, hub, _hub_url(config, hub)),
            transport=AiohttpTransport(session, TokenForms(form, _say_nothing)),
            tokens=tokens,
            clock=self._outside.clock,
            random=self._outside.random,
            inbox=visit,
            log=_say_nothing,
            numbers=itertools.count(1).__next__,
            on_transition=visit.step,
            on_answer=visit.answers.tell,
        )
        visit.line = line
        async with asyncio.TaskGroup() as group:
            group.create_task(line.run(), name=f"doctor {hub}")
            try:
                async with asyncio.timeout(self._options.step_timeout_s):
                    await visit.settled.wait()
            except TimeoutError:
                visit.failure = f"it did not answer within {self._options.step_timeout_s:g} s"
            try:
                yield visit
            finally:
                await line.stop()

    async def _first_data(self, config: Config, contract: Instrument, visit: _Visit) -> None:
        name = f"first data of {contract.name}"
        visit.contract_id = contract.contract_id
        if visit.failure is not None:
            self._fail(name, visit.failure, "the hub answered a moment ago: try again")
            return
        patience_s = line_spec(config, MARKET_HUB, _hub_url(config, MARKET_HUB)).subscribe_timeout_s
        try:
            for target in _DATA_CALLS:
                await visit.subscribe(HubCall(target, (contract.contract_id,)), patience_s)
        except OutsideError as error:
            self._fail(name, error, "ask the firm whether your account may see this contract")
            return
        now_ns = self._outside.clock.now_ns()
        calendar = config.calendar.calendar(contract.calendar)
        if not calendar.is_open(now_ns):
            opens = format_ns(calendar.next_open_ns(now_ns))
            detail = f"subscribed; its market is closed until {opens}, so none is expected"
            self._add(name, Verdict.NOTE, detail)
            return
        try:
            async with asyncio.timeout(self._options.data_timeout_s):
                await visit.came.wait()
        except TimeoutError:
            self._fail(
                name,
                f"subscribed, but none came within {self._options.data_timeout_s:g} s although "
                f"the calendar {contract.calendar} says that its market is open",
                "try a busier one with --contract; if that is silent, too, ask the firm about "
                "your entitlement to market data",
            )
            return
        waited_s = (self._outside.clock.now_ns() - now_ns) / 1e9
        self._add(name, Verdict.OK, f"{visit.first} after {max(0.0, waited_s):.1f} s")


class _Visit:
    """What one connection came to; it is the line's inbox."""

    line: Line  # set right after

    def __init__(self) -> None:
        self.settled = asyncio.Event()
        self.came = asyncio.Event()
        self.answers = Waiters()
        self.failure: str | None = None
        self.first = ""
        self.contract_id = ""

    async def subscribe(self, call: HubCall, timeout_s: float) -> None:
        """Ask for a subscription and wait for its answer.

        Raises:
            InvocationError: the hub refused it.
            DeadlineError: it did not answer, or there was no connection to ask.
        """
        with self.answers.waiting(call) as answer:
            self.line.want(call)
            async with deadline(timeout_s, str(call)):
                if await answer is Acknowledgement.UNCONFIRMED:
                    raise DeadlineError(f"the hub did not answer {call}")

    def step(self, transition: Transition) -> None:
        if self.settled.is_set():
            return
        if transition.after is LineState.BACKING_OFF:
            self.failure = transition.reason
        if transition.after in {LineState.BACKING_OFF, LineState.LIVE}:
            self.settled.set()

    def __call__(self, arrival: Arrival, /) -> bool:
        if isinstance(arrival, Inbound) and not self.came.is_set():
            for call in arrival.calls:
                if call.target.lower() in _DATA and self._is_ours(call):
                    self.first = call.target
                    self.came.set()
        return True

    async def wait_room(self) -> None:
        """Never called, because there is always room."""

    def _is_ours(self, call: Invocation) -> bool:
        try:
            decoded = msgspec.json.decode(json_arguments(call))
        except ValueError:
            return False  # msgspec's errors are ValueErrors too
        return isinstance(decoded, list) and decoded[:1] == [self.contract_id]


def _say_nothing(_event: str, /, **_fields: object) -> None:
    """The doctor says everything itself."""


def _addresses(config: Config) -> list[str]:
    gateway = config.gateway
    hubs = [gateway.market_hub_url, *([gateway.user_hub_url] if gateway.user_hub else [])]
    return [gateway.rest_url, *hubs]


def _fallbacks(config: Config) -> list[str]:
    gateway = config.gateway
    user = gateway.user_hub_fallbacks if gateway.user_hub else ()
    return [*gateway.market_hub_fallbacks, *user]


def _hub_url(config: Config, hub: str) -> str:
    return config.gateway.market_hub_url if hub == MARKET_HUB else config.gateway.user_hub_url


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
