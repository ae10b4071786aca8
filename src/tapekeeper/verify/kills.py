"""kill -9 at seeded moments: real processes, real files, real sockets, a market under load.

One simulated gateway goes on meanwhile, as a market does. Process after process keeps the same
journal, and is killed at a moment that the seed decides: most while the data flow, some while it
starts. The last one stops in order. Then what they left is judged:

- whatever a subscriber was given, a replay of that process's journal makes; no number of a quote
  was given twice, by whatever process, and no revision of a bar in two ways;
- every process goes on where the one before ended;
- bars are those that sorting the prints of the journal makes, over all processes: one that was
  forming at a kill has the prints of both sides;
- the ledger names each end, from the last print that there is.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.adapters.files import FolderFiles
from tapekeeper.core.journal import segment_name
from tapekeeper.model.gap import ABSENCES, Gap
from tapekeeper.runtime.continuing import REPLAY_BYTES_MAX
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.journal_reader import segment_numbers
from tapekeeper.sim.config import TEST_API_KEY, TEST_USER, SimConfig
from tapekeeper.sim.gateway import SimGateway, SimUrls
from tapekeeper.sim.seeded import Seeded
from tapekeeper.verify.checks import unlike_the_oracle
from tapekeeper.verify.killed import Delivered
from tapekeeper.verify.leaks import Held, held, leaks
from tapekeeper.verify.losses import accounts
from tapekeeper.verify.runs import Run, runs_of
from tapekeeper.verify.scenario import PRODUCTS

UP_S = 60.0
"""A process that does not say that it is up within this is broken."""

MEAN_S = 0.8
"""Between the confirmation of the contracts and the kill, on average."""

EARLY_SHARE = 0.15
"""Of the moments, those that lie in a start."""

EARLY_S = 2.0

DELIVERED = "delivered-{:06d}.jsonl"


@dataclass(frozen=True, slots=True)
class KillPlan:
    """What is to be done.

    Attributes:
        moments: how often a process is killed.
        seed: of the moments and the market.
        trades_per_s: mean rate of each of two contracts.
    """

    moments: int = 300
    seed: int = 1
    trades_per_s: float = 300.0


@dataclass(slots=True)
class Killing:
    """One process: the number of the first segment it would write, and when it was killed."""

    number: int
    run: int
    was_up: bool = False
    after_s: float = 0.0


class Killed(msgspec.Struct, frozen=True):
    """What came of it.

    Attributes:
        problems: one sentence each; empty is good.
        kills: processes that were killed, and those of them that were up.
        up: those of them that were up.
        torn: ends with an unfinished write.
        bars, quotes: that subscribers were given.
        gaps: entries of the ledger for the time between two processes.
    """

    problems: tuple[str, ...]
    kills: int
    up: int
    torn: int
    bars: int
    quotes: int
    gaps: int


def kill_often(plan: KillPlan, folder: Path, on_kill: Callable[[Killing], None]) -> Killed:
    """Run the processes and judge what they leave.

    Args:
        plan: see `KillPlan`.
        folder: takes the journal and what subscribers wrote down; empty.
        on_kill: told of each process that has ended.
    """
    samples: list[Held] = []
    killings = asyncio.run(_run(plan, folder, on_kill, samples))
    killed = judge_kills(folder, killings)
    problems = (*killed.problems, *(f"from kill to kill {leak}" for leak in leaks(samples)))
    return msgspec.structs.replace(killed, problems=problems)


async def _run(
    plan: KillPlan, folder: Path, on_kill: Callable[[Killing], None], samples: list[Held]
) -> list[Killing]:
    clock, chance = SystemClock(), Seeded(plan.seed, "kills")
    config = SimConfig(
        seed=plan.seed, products=PRODUCTS, trades_per_s=plan.trades_per_s, token_life_s=86_400.0
    )
    killings = []
    async with SimGateway(config, clock, Seeded(plan.seed, "gateway")) as gateway:
        for number in range(1, plan.moments + 2):
            one = Killing(
                number, max(segment_numbers(FolderFiles(_journal(folder))), default=0) + 1
            )
            killings.append(one)
            is_last = number > plan.moments
            if chance.random() < EARLY_SHARE and not is_last:
                one.after_s = EARLY_S * chance.random()
            else:
                one.was_up, one.after_s = True, chance.exponential(MEAN_S)
            await _one(one, folder, gateway.urls, in_order=is_last)
            samples.append(held())
            on_kill(one)
    return killings


async def _one(one: Killing, folder: Path, urls: SimUrls, *, in_order: bool) -> None:
    """Start a process, and end it.

    Raises:
        RuntimeError: it ended by itself, or never came up.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tapekeeper.verify.killed",
        str(_journal(folder)),
        str(folder / DELIVERED.format(one.number)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **_settings(urls)},
    )
    try:
        if one.was_up:
            assert process.stdout is not None  # noqa: S101 - asked for above
            async with asyncio.timeout(UP_S):
                if await process.stdout.readline() != b"up" + os.linesep.encode():
                    raise RuntimeError(f"process {one.number} did not come up")
        await SystemClock().sleep_s(one.after_s)
        if in_order:
            assert process.stdin is not None  # noqa: S101 - asked for above
            process.stdin.close()
            async with asyncio.timeout(UP_S):
                await process.wait()
            if process.returncode:
                raise RuntimeError(f"the last process ended with {process.returncode}")
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def _settings(urls: SimUrls) -> dict[str, str]:
    """Of the tape, as it reads them from its environment."""
    values = {
        "GATEWAY__REST_URL": urls.rest,
        "GATEWAY__MARKET_HUB_URL": urls.market_hub,
        "GATEWAY__USER_HUB_URL": urls.user_hub,
        "GATEWAY__USER_NAME": TEST_USER,
        "GATEWAY__API_KEY": TEST_API_KEY,
        "CALENDAR__DEFAULT": "24x7",
        "JOURNAL__SEGMENT_MB": "1",
        "LOG__LEVEL": "error",
    }
    return {f"TAPEKEEPER_{name}": value for name, value in values.items()}


def _journal(folder: Path) -> Path:
    return folder / "journal"


# --- the judgement --------------------------------------------------------------------------------


def judge_kills(folder: Path, killings: list[Killing]) -> Killed:
    """Whether what processes left is true; see the module's text."""
    files = FolderFiles(_journal(folder))
    runs, unread = runs_of(files)
    ledger, damage = read_ledger(files)
    gaps = ledger.find(causes=ABSENCES)
    problems = [f"the journal is damaged: {one}" for one in unread if not one.expected]
    problems += [f"the ledger is damaged: {one}" for one in damage]
    bars = quotes = 0
    numbers: Counter[int] = Counter()
    told: dict[tuple[object, ...], str] = {}
    for one in killings:
        items = list(_delivered(folder / DELIVERED.format(one.number)))
        run = runs.get(one.run, Run(one.run))
        problems += (f"process {one.number}: {what}" for what in _unfounded(items, run))
        numbers.update(item.quote.seq for item in items if item.quote is not None)
        if not run.is_continued:
            told.clear()
        problems += (f"process {one.number}: {what}" for what in _otherwise(items, told))
        bars += sum(item.bar is not None for item in items)
        quotes += sum(item.quote is not None for item in items)
    for run in runs.values():
        problems += (f"run {run.number}: {what}" for what in unlike_the_oracle(run, run.bars))
    twice = [number for number, count in numbers.items() if count > 1]
    if twice:
        problems.append(f"{len(twice)} numbers were given out twice, the first is {min(twice)}")
    problems += _begun_anew(files, runs)
    problems += _unnamed(runs, gaps)
    killed = killings[:-1]
    return Killed(
        tuple(problems),
        len(killed),
        sum(one.was_up for one in killed),
        sum(one.expected for one in unread),
        bars,
        quotes,
        len(gaps),
    )


def _begun_anew(files: FolderFiles, runs: Mapping[int, Run]) -> Iterator[str]:
    """Runs behind others that began with nothing, although they need not have."""
    since = next(iter(runs), 0)
    for run in list(runs.values())[1:]:
        if run.is_continued:
            continue
        before = (each for each in segment_numbers(files) if since <= each < run.number)
        if sum(files.size(segment_name(each)) for each in before) <= REPLAY_BYTES_MAX:
            yield f"run {run.number} began with nothing behind that of segment {since}"
        since = run.number


def _delivered(path: Path) -> Iterator[Delivered]:
    """What was written down; half a line at the end was not."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield msgspec.json.decode(line, type=Delivered)


def _unfounded(items: list[Delivered], run: Run) -> Iterator[str]:
    """What a subscriber was given, and a replay of the journal does not make."""
    given = Counter(map(repr, (one.bar for one in items if one.bar is not None)))
    if extra := given - Counter(map(repr, run.outputs.closed)):
        yield f"{extra.total()} bars were given out that its journal does not make"
    ticks = [one.quote for one in items if one.quote is not None]
    if unknown := {repr(one) for one in ticks} - {repr(one) for one in run.outputs.quotes}:
        yield f"{len(unknown)} quotes were given out that its journal does not have"


def _otherwise(items: list[Delivered], told: dict[tuple[object, ...], str]) -> Iterator[str]:
    """Bars that were told otherwise before, by this process or one that it goes on from."""
    wrong = 0
    for bar in (one.bar for one in items if one.bar is not None):
        key = (bar.contract_id, bar.timeframe, bar.ts_open, bar.revision)
        wrong += told.setdefault(key, repr(bar)) != repr(bar)
    if wrong:
        yield f"{wrong} bars were given out otherwise before, under the same revision"


def _unnamed(runs: Mapping[int, Run], gaps: list[Gap]) -> Iterator[str]:
    """Every run but the last one had another one behind it."""
    for number in sorted(runs)[:-1]:
        last = {one.contract_id: one.ts_event[-1] for one in runs[number].outputs.trades}
        for contract_id, ts_ns in last.items():
            if not any(accounts(gap, contract_id, ts_ns) for gap in gaps):
                yield f"the ledger does not name the end of run {number} for {contract_id}"
