"""`tapekeeper simulate`: the whole system under seeded faults, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tapekeeper.adapters.clock import SystemClock
from tapekeeper.cli.exit_codes import UNTRUE
from tapekeeper.cli.progress import ReadingProgress
from tapekeeper.cli.terminal import console
from tapekeeper.errors import UsageError
from tapekeeper.sim.fault_file import load_faults
from tapekeeper.sim.fault_host import ALL_KINDS
from tapekeeper.sim.fault_menu import Fault, kind_of
from tapekeeper.verify.evidence import NS_PER_S, Evidence
from tapekeeper.verify.leaks import leaks
from tapekeeper.verify.seeds import Tally, run_seed, run_seeds

SEEDS_MAX = 10_000_000
JOBS_MAX = 256


class Summary(msgspec.Struct, frozen=True):
    """What `--json` prints: counts over all seeds, and the seeds that failed.

    Attributes:
        seeds, first: what was run.
        faults: faults that happened.
        kinds: the same by kind, the most frequent first.
        processes: processes that were started, those that went on after a death included.
        made, lost: prints of the market, and those that never came to the process, every one of
            them in an interval that was reported unless a seed failed.
        recovery_s_max: the longest recovery after a last fault, virtual seconds.
        recovery_seed: the seed that took it; None if there was no recovery.
        failed_count: how many seeds failed.
        failed: problems by seed, of the first 100 that failed.
        replay: for each of these the command that runs it again and tells what happened.
        leaks: what grew from seed to seed, where this process ran at least 20 of them itself.
    """

    seeds: int
    first: int
    faults: int
    kinds: dict[str, int]
    processes: int
    made: int
    lost: int
    recovery_s_max: float
    recovery_seed: int | None
    failed_count: int
    failed: dict[str, list[str]]
    replay: dict[str, str]
    leaks: list[str] = []


def simulate_command(
    seeds: Annotated[int, typer.Option(metavar="N", help="How many seeds to run.")] = 200,
    first: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 1,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Faults for every seed, instead of those it draws."),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="N", help="How many processes to use.")] = 1,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Tell what happened in each run.")] = False,
) -> None:
    """Run the real system against a misbehaving gateway, a minute of virtual time per seed.

    One seed is one market, one schedule of faults, one network; the same seed is the same run
    on any machine. Exits with 1 if a seed fails, and names the command that repeats it.
    """
    if not 1 <= seeds <= SEEDS_MAX or first < 0:
        raise UsageError(f"seeds are 1 to {SEEDS_MAX:,} and the first one is not negative")
    if not 1 <= jobs <= JOBS_MAX:
        raise UsageError(f"jobs are 1 to {JOBS_MAX}")
    schedule = None if faults is None else _scripted(faults)
    chosen = range(first, first + seeds)
    if trace:
        tally = Tally()
        for seed in chosen:
            evidence, verdict = run_seed(seed, schedule)
            tally.add(verdict)
            for line in trace_lines(evidence):
                typer.echo(line)
    else:
        clock = SystemClock()
        with ReadingProgress(console(stderr=True), "simulating", clock.monotonic_ns) as progress:
            tally = run_seeds(
                chosen, schedule, lambda so_far: progress(so_far.seeds, seeds), jobs=jobs
            )
    summary = summary_of(tally, first)
    if json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        for line in lines(summary):
            typer.echo(line)
    if summary.failed_count or summary.leaks:
        raise typer.Exit(UNTRUE)


def _scripted(file: Path) -> tuple[Fault, ...]:
    """The faults of a file, all of which end.

    Raises:
        UsageError: one goes on for ever, or the file is no schedule.
        UnreadableSourceError: the file cannot be read.
    """
    schedule = load_faults(file, ALL_KINDS)
    for one in schedule:
        if one.next_s(one.first_s) is not None and one.until_s is None:
            raise UsageError(f"a {kind_of(one)} of {file} never ends: a simulation needs until_s")
    return schedule


def summary_of(tally: Tally, first: int) -> Summary:
    """Counts over all verdicts."""
    return Summary(
        seeds=tally.seeds,
        first=first,
        faults=tally.kinds.total(),
        kinds=dict(tally.kinds.most_common()),
        processes=tally.lives,
        made=tally.made,
        lost=tally.lost,
        recovery_s_max=tally.recovery_s_max,
        recovery_seed=tally.slowest,
        failed_count=tally.failed_count,
        failed={str(one.seed): list(one.findings.problems) for one in tally.failed},
        replay={str(one.seed): one.replay for one in tally.failed},
        leaks=leaks(tally.held),
    )


def lines(summary: Summary) -> Iterator[str]:
    """The same for a person."""
    for seed, problems in summary.failed.items():
        yield f"seed {seed} fails:"
        for problem in problems:
            yield f"  {problem}"
        yield f"  again: {summary.replay[seed]}"
    if summary.failed_count > len(summary.failed):
        yield f"and {summary.failed_count - len(summary.failed):,} more seeds fail"
    slowest = "" if summary.recovery_seed is None else f" (seed {summary.recovery_seed})"
    yield (
        f"{summary.seeds:,} seeds, {summary.failed_count:,} failed: {summary.faults:,} faults, "
        f"longest recovery {summary.recovery_s_max:.1f} s{slowest}"
    )
    yield (
        f"{summary.made:,} prints made, {summary.lost:,} of them lost in intervals that were "
        "reported" + (" (but not all of them: see the failed seeds)" if summary.failed else "")
    )
    yield f"{summary.processes:,} processes: {summary.processes - summary.seeds:,} restarts"
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in summary.kinds.items())
    yield f"faults by kind: {kinds or 'none'}"
    for leak in summary.leaks:
        yield f"WRONG: from seed to seed {leak}"


def trace_lines(evidence: Evidence) -> Iterator[str]:
    """Log and faults of a run by virtual seconds from its start."""
    told = [
        (one.at_s, f"fault {'ends' if one.ended else 'is'} {kind_of(one.fault)}: {one.fault}")
        for one in evidence.happened
    ]
    for entry in evidence.log:
        at_s = (entry.at_ns - evidence.start_ns) / NS_PER_S
        fields = " ".join(f"{key}={value}" for key, value in entry.fields.items())
        told.append((at_s, f"{entry.event} {fields}"))
    for life in evidence.lives:
        born_s = (life.started_ns - evidence.start_ns) / NS_PER_S
        died_s = (life.ended_ns - evidence.start_ns) / NS_PER_S
        told.append((born_s, f"process {life.number} is started"))
        told.append((died_s, f"process {life.number} is {life.end}: {life.why or 'as told'}"))
    plan = evidence.scenario
    resumed = ", resumed" if plan.stateful else ""
    yield (
        f"seed {plan.seed}, {plan.redundancy} lines, {plan.endpoints} endpoints, "
        f"{plan.protocol}{resumed}, room for {plan.room_frames:,} frames, then {plan.on_full}, "
        f"tokens live {plan.token_life_s:g} s, digest {evidence.digest()}"
    )
    for at_s, text in sorted(told, key=lambda one: one[0]):
        yield f"{at_s:10.3f}  {text}"
