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
from tapekeeper.sim.fault_menu import kind_of
from tapekeeper.verify.seeds import Verdict, run_seed, run_seeds
from tapekeeper.verify.evidence import NS_PER_S, Evidence

SEEDS_MAX = 10_000_000


class Summary(msgspec.Struct, frozen=True):
    """What `--json` prints: counts over all seeds, and the seeds that failed.

    Attributes:
        seeds, first: what was run.
        faults: faults that happened.
        made, lost: prints of the market, and those that never came to the process, every one of
            them in an interval that was reported unless a seed failed.
        recovery_s_max: the longest recovery after a last fault, virtual seconds.
        failed: problems by seed.
    """

    seeds: int
    first: int
    faults: int
    made: int
    lost: int
    recovery_s_max: float
    failed: dict[str, list[str]]


def simulate_command(
    seeds: Annotated[int, typer.Option(metavar="N", help="How many seeds to run.")] = 200,
    first: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 1,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Faults for every seed, instead of those it draws."),
    ] = None,
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
    schedule = None if faults is None else load_faults(faults)
    if schedule is not None and any(one.next_s(one.first_s) is not None for one in schedule):
        endless = next(one for one in schedule if one.next_s(one.first_s) is not None)
        if endless.until_s is None:
            raise UsageError(
                f"a {kind_of(endless)} of {faults} never ends: a simulation needs until_s"
            )
    chosen = range(first, first + seeds)
    verdicts: list[Verdict] = []
    if trace:
        for seed in chosen:
            evidence, verdict = run_seed(seed, schedule)
            verdicts.append(verdict)
            for line in trace_lines(evidence):
                typer.echo(line)
    else:
        clock = SystemClock()
        with ReadingProgress(console(stderr=True), "simulating", clock.monotonic_ns) as progress:

            def done(verdict: Verdict) -> None:
                verdicts.append(verdict)
                progress(len(verdicts), seeds)

            run_seeds(chosen, schedule, done)
    summary = summary_of(verdicts, first)
    if json:
        typer.echo(msgspec.json.encode(summary).decode())
    else:
        for line in lines(summary, [one for one in verdicts if not one.holds]):
            typer.echo(line)
    if summary.failed:
        raise typer.Exit(UNTRUE)


def summary_of(verdicts: list[Verdict], first: int) -> Summary:
    """Counts over all verdicts."""
    found = [one.findings for one in verdicts]
    return Summary(
        seeds=len(verdicts),
        first=first,
        faults=sum(one.faults for one in verdicts),
        made=sum(one.made for one in found),
        lost=sum(one.lost for one in found),
        recovery_s_max=max((one.recovered_s or 0.0 for one in verdicts), default=0.0),
        failed={str(one.seed): list(one.findings.problems) for one in verdicts if not one.holds},
    )


def lines(summary: Summary, failed: list[Verdict]) -> Iterator[str]:
    """The same for a person."""
    for verdict in failed:
        yield f"seed {verdict.seed} fails:"
        for problem in verdict.findings.problems:
            yield f"  {problem}"
        yield f"  again: {verdict.replay}"
    yield (
        f"{summary.seeds:,} seeds, {len(failed):,} failed: {summary.faults:,} faults, "
        f"longest recovery {summary.recovery_s_max:.1f} s"
    )
    yield (
        f"{summary.made:,} prints made, {summary.lost:,} of them lost in intervals that were "
        "reported" + (" (but not all of them: see the failed seeds)" if failed else "")
    )


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
    plan = evidence.scenario
    yield (
        f"seed {plan.seed}, {plan.redundancy} lines, tokens live {plan.token_life_s:g} s, "
        f"digest {evidence.digest()}"
    )
    for at_s, text in sorted(told, key=lambda one: one[0]):
        yield f"{at_s:10.3f}  {text}"
