"""One process of a simulated run: the real composition and its user, from start to end.

It ends because it is asked to, because it fails and says so, or because it is killed. A killed one
does not unwind: at that moment its disk, its connections and its log are cut off, so that what its
tasks still do while they are cancelled reaches nobody.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

from tapekeeper.adapters.http_session import open_session
from tapekeeper.app.config import Config
from tapekeeper.app.outside import Outside
from tapekeeper.app.tape import Tape
from tapekeeper.core.journal import segment_number
from tapekeeper.errors import OutsideError, TapekeeperError, UnknownContractError
from tapekeeper.model.measure import BarSize
from tapekeeper.sim.memory_files import MemoryDisk, MemoryFiles
from tapekeeper.sim.memory_network import MemoryConnector, MemoryNetwork
from tapekeeper.sim.memory_scratch import MemoryScratch
from tapekeeper.sim.seeded import Seeded
from tapekeeper.sim.virtual_time import VirtualClock
from tapekeeper.verify.evidence import NS_PER_S, End, Evidence, Life, Logged
from tapekeeper.verify.scenario import ADDED, GUEST, PRODUCTS, SIZES

_GUEST_STAYS_S = 15.0
_ADDED_WITHIN_S = 60.0


class Process:
    """See the module's text.

    Args:
        evidence: what becomes of it is added there.
        config: of the tape.
        host: wall and monotonic clock that the tape reads.
        true: a clock that never steps.
        disk: the host's.
        network: the host's.
        guest_goes: set when no further contract is to come and go.
    """

    def __init__(
        self,
        evidence: Evidence,
        config: Config,
        *,
        host: VirtualClock,
        true: VirtualClock,
        disk: MemoryDisk,
        network: MemoryNetwork,
        guest_goes: asyncio.Event,
    ) -> None:
        number = len(evidence.lives) + 1
        self._files = MemoryFiles(disk)
        self._refused_before = len(disk.refusals)
        segments = [found for found in map(segment_number, self._files.names()) if found]
        self.life = Life(number, max(segments, default=0) + 1, true.now_ns())
        evidence.lives.append(self.life)
        self.evidence = evidence
        self._true = true
        self._connector: MemoryConnector | None = None
        self._guest_goes = guest_goes
        self._numbers = Seeded(evidence.scenario.seed, f"guest {number}")
        self._moments = Seeded(evidence.scenario.seed, f"added {number}")
        self._network = network
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.tape = Tape(
            config,
            outside=Outside(
                clock=host,
                random=Seeded(evidence.scenario.seed, f"jitter {number}"),
                files=lambda _: self._files,
                scratch=lambda _: MemoryScratch(disk),
                session=self._session,
                log=lambda _: self._log,
            ),
        )

    @property
    def is_up(self) -> bool:
        """Whether it follows its contracts."""
        return self.life.end is End.RUNNING and self.life.subscribed_ns is not None

    def ask_to_stop(self) -> None:
        """Let it stop in order; returns at once."""
        self._asked.set()

    def kill(self, share: float | None) -> None:
        """Kill it now, or for a `share` in the middle of its next write; see `Host.runs`."""
        if not self._files.is_alive:
            return
        if share is not None:
            self._files.die_writing(share, lambda: self.kill(None))
            return
        life = self.life
        if self.life.subscribed_ns is not None:
            life.status = self.tape.status()
        life.end, life.ended_ns = End.KILLED, self._true.now_ns()
        self._files.die()
        if self._connector is not None:
            self._connector.die()
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Live until it ends, however that is.

        Raises:
            Exception: a bug, or outside trouble that the process should have borne.
        """
        self._task = asyncio.current_task()
        life = self.life
        try:
            await self._run()
        # boundary: of a process, because what a dead one unwinds is no part of the world
        except BaseException:
            if self._files.is_alive:
                raise
        finally:
            if life.end is End.RUNNING:
                life.end = End.STOPPED
            life.refused = len(self._files.disk.refusals) - self._refused_before
            life.stop_s = (self._true.now_ns() - life.ended_ns) / NS_PER_S

    async def _run(self) -> None:
        life = self.life
        async with asyncio.TaskGroup() as readers:
            try:
                async with self.tape:
                    try:
                        await self._use(readers)
                    finally:
                        self._ends()
            except* TapekeeperError as failures:
                # A group, where a task of the user met the trouble; all of it has one cause.
                self._failed(_first(failures))
        if self._files.is_alive and life.subscribed_ns is not None:
            life.status, life.result = self.tape.status(), self.tape.result()

    def _ends(self) -> None:
        if self._files.is_alive:
            self.life.ended_ns = self._true.now_ns()

    def _failed(self, error: BaseException) -> None:
        if self._files.is_alive:
            self.life.end, self.life.why = End.FAILED, f"{type(error).__name__}: {error}"
            self.life.ended_ns = self.life.ended_ns or self._true.now_ns()

    async def _use(self, readers: asyncio.TaskGroup) -> None:
        for product in PRODUCTS:
            instrument = await self.tape.subscribe(product, SIZES)
            self.evidence.contracts[product] = instrument.contract_id
            for timeframe in SIZES:
                readers.create_task(self._read(product, timeframe))
        self.life.subscribed_ns = self._true.now_ns()
        async with asyncio.TaskGroup() as tasks:
            guest = later = None
            if self.evidence.scenario.guest and not self._guest_goes.is_set():
                guest = tasks.create_task(self._come_and_go())
            if self.evidence.scenario.adds and not self._guest_goes.is_set():
                later = tasks.create_task(self._add())
            await self._guest_goes.wait()
            for task in (guest, later):
                if task is not None:
                    task.cancel()
        await self._asked.wait()

    async def _read(self, product: str, timeframe: BarSize) -> None:
        """A subscriber: what it gets has left the process."""
        async for bar in self.tape.bars(product, timeframe):
            if self._files.is_alive:
                self.life.left.append(bar)

    async def _come_and_go(self) -> None:
        """Another contract, subscribed and given up; the gateway may refuse or not answer."""
        clock, numbers = self._true, self._numbers
        while True:
            await clock.sleep_s(_GUEST_STAYS_S * numbers.random())
            with suppress(OutsideError, UnknownContractError):
                await self.tape.subscribe(GUEST, SIZES)
            await clock.sleep_s(_GUEST_STAYS_S * numbers.random())
            with suppress(OutsideError, UnknownContractError):
                await self.tape.unsubscribe(GUEST)

    async def _add(self) -> None:
        """More bar sizes of a contract that is followed, at any moment of what happens."""
        await self._true.sleep_s(_ADDED_WITHIN_S * self._moments.random())
        with suppress(OutsideError, UnknownContractError):
            await self.tape.subscribe(PRODUCTS[0], ADDED)

    def _session(self) -> aiohttp.ClientSession:
        self._connector = MemoryConnector(self._network)
        return open_session(connector=self._connector)

    def _log(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        if self._files.is_alive:
            at_ns = self._true.now_ns()
            self.evidence.log.append(Logged(at_ns, event, {"level": level, **fields}))


def _first(failure: BaseException) -> BaseException:
    """The first of the errors that a group holds, however deep."""
    return _first(failure.exceptions[0]) if isinstance(failure, BaseExceptionGroup) else failure
