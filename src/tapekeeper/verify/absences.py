"""Whether the ledger of a simulated run names the time in which no process was there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from tapekeeper.core.journal import Ending
from tapekeeper.model.gap import Gap, GapCause
from tapekeeper.runtime.gap_files import read_ledger
from tapekeeper.runtime.journal_reader import JournalReader, segment_numbers
from tapekeeper.verify.evidence import End, Evidence
from tapekeeper.verify.losses import accounts, frozen_spans, slow_ns
from tapekeeper.verify.oracle import Key
from tapekeeper.verify.runs import Run


def unnamed(evidence: Evidence, runs: Mapping[int, Run]) -> Iterator[str]:
    """One sentence for each end of a process, and one on the prints, that the ledger leaves out."""
    ledger, problems = read_ledger(evidence.files)
    yield from (f"the ledger is damaged: {each}" for each in problems)
    gaps = [gap for gap in ledger.find() if gap.cause is not GapCause.START]
    yield from _unnamed_ends(evidence, runs, gaps)
    yield from _unnamed_prints(evidence, runs, gaps)


def _unnamed_ends(evidence: Evidence, runs: Mapping[int, Run], gaps: list[Gap]) -> Iterator[str]:
    """A process that had prints and was followed by another one left a gap behind its last."""
    sealed = _sealed(evidence)
    for place, life in enumerate(evidence.lives):
        run, later = runs.get(life.run), evidence.lives[place + 1 :]
        # A process that wrote nothing left the number of its segment to the next one.
        is_its_own = run is not None and all(one.run != life.run for one in later)
        if run is None or not is_its_own or not any(one.subscribed_ns for one in later):
            continue
        last = {batch.contract_id: batch.ts_event[-1] for batch in run.outputs.trades}
        cause = GapCause.STOPPED if life.run in sealed else GapCause.CRASH
        if (life.end, cause) == (End.STOPPED, GapCause.CRASH):
            yield f"process {life.number} stopped, and its journal is not sealed"
        for contract_id in sorted(set(evidence.contracts.values()) & set(last)):
            if not any(
                gap.cause is cause and accounts(gap, contract_id, last[contract_id]) for gap in gaps
            ):
                yield (
                    f"the ledger does not name the end of process {life.number} ({life.end}) "
                    f"for {contract_id}"
                )


def _sealed(evidence: Evidence) -> set[int]:
    """The runs whose last segment is sealed."""
    of_run: dict[int, Ending] = {}
    for number in segment_numbers(evidence.files):
        reader = JournalReader(evidence.files, {number})
        for _ in reader:
            pass
        if reader.run:
            of_run[reader.run] = reader.ending
    return {run for run, ending in of_run.items() if ending is Ending.SEALED}


def _unnamed_prints(evidence: Evidence, runs: Mapping[int, Run], gaps: list[Gap]) -> Iterator[str]:
    """Prints that no process has, although one was there before and one after them.

    Those of a subscription that is frozen, and not found yet, are those that nobody can know of.
    """
    came: Counter[Key] = Counter()
    for run in runs.values():
        came.update(run.reached.trades)
        came.update(run.reached.spoilt)
    excused = tuple(frozen_spans(evidence))
    begun: set[str] = set()  # contracts that a process has had a print of
    until_ns = evidence.last.ended_ns - slow_ns(evidence, evidence.last)
    spans = {
        contract_id: [gap for gap in gaps if gap.contract_id == contract_id]
        for contract_id in evidence.contracts.values()
    }
    left_out = []
    for one in evidence.made:
        for key in one.prints:
            contract_id, ts_ns = key[:2]
            if contract_id not in spans:
                continue
            if came[key] > 0:
                came[key] -= 1
                begun.add(contract_id)
            elif (
                contract_id in begun
                and one.at_ns <= until_ns
                and not any(span.holds(one.at_ns, contract_id) for span in excused)
                and not any(accounts(gap, contract_id, ts_ns) for gap in spans[contract_id])
            ):
                left_out.append((one.at_ns, key))
    if left_out:
        at_s = (left_out[0][0] - evidence.start_ns) / 1e9
        yield (
            f"{len(left_out)} prints that no process has are in no gap of the ledger, the first "
            f"{at_s:.3f} s after the start: {left_out[0][1]}"
        )
