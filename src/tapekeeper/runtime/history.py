"""Repairs gaps from the gateway's own bars, and warms up what is newly followed.

One task, one gap at a time: starts first, because somebody waits for them, then in the order in
which gaps were noticed. A gap is taken up when the smallest bars that it touches are over and the
gateway has had time to make its own of them. What it answers goes into the journal as one repair,
so a replay does not ask again.

A gateway that cannot be asked, or whose bars are short, is asked again a bounded number of times.
Then what there is counts, and the gap says what is left of it; such gaps are taken up once more
when another gap has ended, because that is when the gateway has come back.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from tapekeeper.core.backoff import Backoff
from tapekeeper.core.gateway.rest_payloads import BarUnit
from tapekeeper.core.joining import Ask, Beginning, Joined, Pages, Plan, due_ns, join, plan
from tapekeeper.core.pipeline import Outputs, Subscription
from tapekeeper.errors import OutsideError
from tapekeeper.model.bar import Bar
from tapekeeper.model.gap import ABSENCES, Gap, GapCause, GapState, HistoryRow, Repair
from tapekeeper.model.measure import timeframes_of
from tapekeeper.model.timeframe import Unit
from tapekeeper.ports import BarHistory, Clock, Log, Random
from tapekeeper.runtime.added_volume import AddedVolume
from tapekeeper.runtime.feed import Feed

ATTEMPTS_MAX = 6
"""Times that one gap is asked for in a row; with the waits below about two minutes."""

_BASE_MS, _CAP_MS = 5_000, 60_000
_LOOK_S = 1.0
"""How often it is looked whether bars are over: the shortest there are last so long."""

JOBS_MAX = 1_000
"""Gaps that wait, and gaps that were given up. What is more is left to the ledger: of those that
wait the newest that nobody waits for, of the others the oldest."""

START_PATIENCE_NS = 60_000_000_000
"""A start does not wait longer for the end of the smallest bar that it lies in: what was before
is wanted now, and the rest is repaired when that bar is over."""

_UNITS = {Unit.SECOND: BarUnit.SECOND, Unit.MINUTE: BarUnit.MINUTE, Unit.HOUR: BarUnit.HOUR}


class WarmUp(StrEnum):
    """What has become of the bars before a contract was followed."""

    OFF = "off"  # nobody asks for them
    PENDING = "pending"  # they are on their way
    READY = "ready"  # they are there, as far as the gateway's history reaches
    SHORT = "short"  # the gateway could not be asked, or told less than came live, or all is over


@dataclass(frozen=True, slots=True)
class HistoryPolicy:
    """How history is asked for.

    Attributes:
        settle_ns: event time after the end of a bar, for the gateway to have made its own of it.
        warm_up_bars: bars of each timeframe before a start.
    """

    settle_ns: int = 5_000_000_000
    warm_up_bars: int = 500


class HistoryStatus(msgspec.Struct, frozen=True):
    """Counters of what was asked for.

    Attributes:
        warm_ups: by contract and timeframe.
        waiting, given_up: gaps.
        repaired: gaps for all of which history stands now.
        partly: gaps for which it stands in part, or not at all.
        requests, rows: asked for, and received.
        refused: rows on no grid of ours, or which contradict themselves.
        differing: rows that say something else of a bar that came live and is complete; such bars
            are left as they are.
        failures: requests that came to nothing.
    """

    warm_ups: dict[str, dict[str, WarmUp]] = {}
    waiting: int = 0
    given_up: int = 0
    repaired: int = 0
    partly: int = 0
    requests: int = 0
    rows: int = 0
    refused: int = 0
    differing: int = 0
    failures: int = 0


@dataclass(slots=True)
class _Job:
    gap: Gap
    backoff: Backoff = field(default_factory=lambda: Backoff(_BASE_MS, _CAP_MS))
    not_before_ns: int = 0  # monotonic
    is_due_only: bool = False  # nothing of it is to be had before its smallest bars are over

    @property
    def order(self) -> tuple[bool, int]:
        return self.gap.cause is not GapCause.START, self.gap.gap_id


class History:
    """See the module's text.

    Args:
        feed: says which gaps there are, and carries repairs to journal and bars.
        source: the gateway.
        policy: see `HistoryPolicy`.
        clock, random: for waits.
        log: says what was repaired, and what could not be.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        source: BarHistory,
        policy: HistoryPolicy,
        clock: Clock,
        random: Random,
        log: Log,
    ) -> None:
        self._feed = feed
        self._source = source
        self._policy = policy
        self._clock = clock
        self._random = random
        self._log = log
        self._jobs: dict[int, _Job] = {}  # bound: JOBS_MAX
        self._given_up: dict[int, Gap] = {}  # bound: JOBS_MAX
        self._added = AddedVolume()
        self._warm: dict[str, dict[str, WarmUp]] = {}  # bound: followed contracts, ever
        self._absences: set[int] = set()  # of contracts whose bars go on. Bound: one for each
        self._changed = asyncio.Event()  # of `_warm`; replaced at every change
        self._is_over = False  # nothing is asked for any more
        self._wake = asyncio.Event()
        self._told: Gap | None = None  # what is being told by this itself
        self._repaired = self._partly = self._requests = self._rows = 0
        self._refused = self._differing = self._failures = 0
        feed.listen(self._saw)

    # -- what is known ---------------------------------------------------------------------------

    def warm_up(self, contract_id: str, timeframe: str) -> WarmUp:
        """What has become of the warm-up of a timeframe."""
        return self._warm.get(contract_id, {}).get(timeframe, WarmUp.OFF)

    async def wait_warm(self, contract_id: str, timeframe: str) -> WarmUp:
        """Wait until a warm-up is over, however it ended: at the latest when this stops."""
        while (state := self.warm_up(contract_id, timeframe)) is WarmUp.PENDING:
            await self._changed.wait()
        return state

    def status(self) -> HistoryStatus:
        """A frozen view of the counters."""
        return HistoryStatus(
            warm_ups={contract_id: dict(each) for contract_id, each in self._warm.items()},
            waiting=len(self._jobs),
            given_up=len(self._given_up),
            repaired=self._repaired,
            partly=self._partly,
            requests=self._requests,
            rows=self._rows,
            refused=self._refused,
            differing=self._differing,
            failures=self._failures,
        )

    def _saw(self, outputs: Outputs) -> None:
        self._added.saw(outputs.gaps, outputs.findings)
        for gap in outputs.gaps:
            if gap == self._told:
                continue
            if gap.state not in {GapState.LASTING, GapState.ENDED}:
                pass  # what is said of it now is not that it begins or ends
            elif gap.cause is GapCause.START:
                self._set_warm(gap, WarmUp.PENDING)
            elif gap.gap_id in self._absences or (
                gap.cause in ABSENCES and self._is_followed_on(gap.contract_id)
            ):
                # Its bars go on, so what stands between them is what was when nobody was there.
                self._absences.add(gap.gap_id)
                self._set_warm(gap, WarmUp.PENDING)
            if gap.state is not GapState.ENDED:
                self._amend(gap)
                continue
            self._put(_Job(gap))
            again, self._given_up = self._given_up, {}
            for other in again.values():
                self._put(_Job(other))

    def _is_followed_on(self, contract_id: str) -> bool:
        """Whether a contract is followed that has had no start in this process."""
        return contract_id not in self._warm and self._feed.subscription(contract_id) is not None

    def _amend(self, gap: Gap) -> None:
        """Something else was found to stand for a gap that waits: all of it, or a part."""
        if gap.state is GapState.REPAIRED:
            self._given_up.pop(gap.gap_id, None)
            if self._jobs.pop(gap.gap_id, None) is not None:
                self._end_warm(gap, WarmUp.READY)
            if self._added.is_short(gap):
                self._put(_Job(gap))
            return
        job = self._jobs.get(gap.gap_id)
        if gap.state is GapState.PARTLY_REPAIRED and job is not None:
            job.gap = gap
        elif gap.state is GapState.PARTLY_REPAIRED:
            self._keep(gap)

    def _put(self, job: _Job) -> None:
        self._jobs[job.gap.gap_id] = job
        if len(self._jobs) > JOBS_MAX:
            last = self._jobs.pop(max(self._jobs.values(), key=lambda one: one.order).gap.gap_id)
            self._log("history", level="warning", gap=last.gap.gap_id, reason="too many gaps")
            self._end_warm(last.gap, WarmUp.SHORT)
        self._wake.set()

    def _set_warm(self, start: Gap, state: WarmUp) -> None:
        if state is WarmUp.PENDING and self._is_over:
            state = WarmUp.SHORT
        wanted = dict.fromkeys(self._warmed_by(start), state)
        self._warm.setdefault(start.contract_id, {}).update(wanted)
        self._notify()

    def _end_warm(self, gap: Gap, state: WarmUp) -> None:
        """Let go who waits for a start, however; one that has an end keeps it."""
        warm = self._warm.get(gap.contract_id, {})
        if self._is_waited_for(gap):
            pending = [one for one in self._warmed_by(gap) if warm.get(one) is WarmUp.PENDING]
            warm.update(dict.fromkeys(pending, state))
            self._notify()

    def _warmed_by(self, start: Gap) -> list[str]:
        # Measured bars have no history, so nobody waits for it.
        sizes = timeframes_of(self._feed.pipeline.timeframes(start.contract_id))
        names = map(str, sizes)
        return [name for name in names if not start.timeframes or name in start.timeframes]

    def forget(self, contract_id: str) -> None:
        """A contract is followed no more: nobody waits for its bars."""
        self._warm.pop(contract_id, None)
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # -- the task --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Repair what there is, until cancelled."""
        try:
            await self._run()
        finally:
            self._is_over = True
            for warm in self._warm.values():
                pending = [one for one, state in warm.items() if state is WarmUp.PENDING]
                warm.update(dict.fromkeys(pending, WarmUp.SHORT))
            self._notify()

    async def _run(self) -> None:
        while True:
            if not self._jobs:
                self._wake.clear()
                await self._wake.wait()
            for job in sorted(self._jobs.values(), key=lambda job: job.order):
                is_wanted = self._jobs.get(job.gap.gap_id) is job
                if is_wanted and self._clock.monotonic_ns() >= job.not_before_ns:
                    await self._take(job)
            if self._jobs:
                await self._clock.sleep_s(_LOOK_S)

    async def _take(self, job: _Job) -> None:
        gap = job.gap
        wanted = self._feed.subscription(gap.contract_id)
        plan_ = None if wanted is None else self._plan(job, wanted)
        if wanted is None:
            # Nobody reads these bars any more; who follows the contract again will.
            self._drop(job)
            self._keep(gap)
        if wanted is None or plan_ is None:
            return
        try:
            answers = {ask: await self._ask(gap.contract_id, ask) for ask in plan_.all_asks()}
        except OutsideError as error:
            self._failures += 1
            if error.retryable and self._again(job, error.retry_after_s):
                return
            self._give_up(job, f"the gateway's history could not be asked: {error}")
            return
        await self._feed.catch_up()  # what has come meanwhile is live
        if (
            self._jobs.get(gap.gap_id) is not job
            or self._feed.subscription(gap.contract_id) is None
            or any(self._has_moved(gap.contract_id, each) for each in plan_.beginnings)
        ):
            return  # it is another gap by now, or nobody wants it any more: the next round says
        joined = join(
            plan_,
            answers,
            self._live(plan_, wanted),
            wanted.calendar,
            missing=self._added.missing(gap),
            came=self._added.came(gap),
        )
        self._added.note(gap, joined)
        is_over = plan_.over_ns >= plan_.to_ns
        is_short = (is_over and not joined.is_whole) or not joined.has_begun
        if is_short and self._again(job, None):
            return
        self._repair(job, plan_, joined)

    def _plan(self, job: _Job, wanted: Subscription) -> Plan | None:
        """What to ask for now; None to look again later."""
        gap = job.gap
        if gap.state is GapState.REPAIRED:
            # More is known to be missing by now than history had: it is asked again.
            self._drop(job)
            self._feed.know([msgspec.structs.replace(gap, restored=())])
            return None
        event_ns = self._feed.exchange.earliest_ns(self._clock.now_ns())
        if event_ns is None or gap.to_ns is None:
            return None
        passed_ns = event_ns - self._policy.settle_ns
        # Measured bars have no history: see `MeasuredBars.mark`.
        timeframes = timeframes_of(wanted.timeframes)
        due = due_ns(gap, timeframes, wanted.calendar)
        is_start = gap.cause is GapCause.START and not gap.restored
        patience_ns = START_PATIENCE_NS if is_start and not job.is_due_only else due
        if passed_ns < gap.to_ns or (passed_ns < due and due - gap.to_ns < patience_ns):
            return None
        plan_ = plan(
            gap,
            timeframes,
            wanted.calendar,
            until_ns=passed_ns,
            horizon_ns=wanted.policy.horizon_ns,
            whole_ns=self._feed.pipeline.whole_ns(gap.contract_id),
            warm_up_bars=self._policy.warm_up_bars,
            lacks=self._feed.pipeline.lacks(gap.contract_id),
        )
        if plan_ is None:
            self._put_off(job, is_over=passed_ns >= due)
        return plan_

    def _put_off(self, job: _Job, *, is_over: bool) -> None:
        """Nothing of a gap is to be had: not yet, or not at all."""
        if is_over:  # it has no begin, or no bars of time are wanted
            self._drop(job)
            self._end_warm(job.gap, WarmUp.SHORT)
            return
        # It lies in bars that form: what was before these is there already.
        job.is_due_only = True
        self._end_warm(job.gap, WarmUp.READY)

    async def _ask(self, contract_id: str, ask: Ask) -> list[HistoryRow]:
        pages = Pages(ask)
        length_ns = ask.asked.length_ns
        while (page := pages.next()) is not None:
            start_ns, end_ns, limit = page
            self._requests += 1
            bars = await self._source.retrieve_bars(
                contract_id,
                start_ns=start_ns,
                end_ns=end_ns,
                unit=_UNITS[ask.asked.unit],
                unit_number=ask.asked.count,
                limit=limit,
            )
            self._rows += len(bars)
            pages.take(
                HistoryRow(bar.ts_open, bar.ts_open + length_ns, bar.o, bar.h, bar.l, bar.c, bar.v)
                for bar in bars
            )
        return pages.rows

    def _live(self, plan_: Plan, wanted: Subscription) -> dict[str, dict[int, Bar]]:
        """The closed bars that there are of what was asked for."""
        contract_id = wanted.instrument.contract_id
        names = [str(ask.timeframe) for ask in plan_.asks]
        names += [beginning.lack.made_of for beginning in plan_.beginnings]
        return {
            name: {bar.ts_open: bar for bar in self._feed.recent.of(contract_id, name)}
            for name in dict.fromkeys(names)
        }

    def _has_moved(self, contract_id: str, beginning: Beginning) -> bool:
        """Whether a bar lacks something else of its beginning than was asked for."""
        lacks = self._feed.pipeline.lacks(contract_id)
        return lacks.get(str(beginning.timeframe)) != beginning.lack

    # -- how it ends -----------------------------------------------------------------------------

    def _again(self, job: _Job, retry_after_s: float | None) -> bool:
        """Try a job again later; False if that was done often enough."""
        if job.backoff.attempts + 1 >= ATTEMPTS_MAX:
            return False
        delay_ms = job.backoff.next_delay_ms(self._random.random(), retry_after_s)
        job.not_before_ns = self._clock.monotonic_ns() + delay_ms * 1_000_000
        return True

    def _repair(self, job: _Job, plan_: Plan, joined: Joined) -> None:
        self._drop(job)
        self._refused += joined.refused
        self._differing += joined.differing
        gap = joined.repair.gap
        self._know(joined.repair)
        rest = gap.unrestored
        is_open_ended = gap.cause is GapCause.START and len(rest) == 1 and rest[0][0] is None
        if gap.state is GapState.REPAIRED or (is_open_ended and joined.is_whole):
            self._repaired += 1
        elif plan_.over_ns < plan_.to_ns and gap.restored:
            self._put(_Job(gap))  # its last bars are not over yet
        else:
            self._partly += 1
            self._keep(gap)
        self._log(
            "history",
            gap=gap.gap_id,
            contract=gap.contract_id,
            state=gap.state.value,
            bars=sum(len(one.rows) for one in joined.repair.history),
            refused=joined.refused,
            differing=joined.differing,
            reason=gap.note,
        )
        if self._is_waited_for(gap):
            is_there = joined.is_whole or plan_.over_ns < plan_.to_ns
            is_there = is_there and joined.has_begun
            self._set_warm(gap, WarmUp.READY if is_there else WarmUp.SHORT)

    def _know(self, note: Gap | Repair) -> None:
        self._told = note.gap if isinstance(note, Repair) else note
        try:
            self._feed.know([note])
        finally:
            self._told = None

    def _give_up(self, job: _Job, note: str) -> None:
        self._drop(job)
        self._partly += 1
        gap = msgspec.structs.replace(job.gap, note=note)
        self._keep(gap)
        self._know(gap)
        self._log("history", level="warning", gap=gap.gap_id, reason=note)
        if self._is_waited_for(gap):
            self._set_warm(gap, WarmUp.SHORT)

    def _is_waited_for(self, gap: Gap) -> bool:
        """Whether somebody may wait for what stands in front of a contract's first bar."""
        return gap.cause is GapCause.START or gap.gap_id in self._absences

    def _keep(self, gap: Gap) -> None:
        """Remember a gap for when the gateway has come back."""
        self._given_up[gap.gap_id] = gap
        if len(self._given_up) > JOBS_MAX:
            del self._given_up[min(self._given_up)]

    def _drop(self, job: _Job) -> None:
        if self._jobs.get(job.gap.gap_id) is job:
            del self._jobs[job.gap.gap_id]
