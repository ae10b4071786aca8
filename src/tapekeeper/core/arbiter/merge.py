"""The arbiter: lets each print through once, whichever lines bring it.

Prints have no identity of their own, and real prints repeat. So nothing is judged by content
alone: for every line the occurrences of (event time, price, size, side) are counted, and the n-th
occurrence is let through when the first line brings its n-th. If for each event time at least one
line brings all of its prints, what is let through is exactly the source, whatever the delays,
the batches, the joining and the leaving.

While one line alone contributes to a contract nothing is counted: its batches pass as they are
and are kept for the window, so that counts can be made, only as far back as they are needed, when
a second line comes. Only a second line can tell a line's repetition from real prints.

Decisions, each with its counter in `LineTally` or `ArbiterStatistics`:

held      A line that joins at the head of the tape may have missed prints that are still under
          way on another. Its prints wait until another line has passed the first of them, or
          until `hold_ns` after it was connected, by the times of receipt or a timer. Otherwise
          they would close bars over the others' heads. Where every other connection has ended
          there is nobody to wait for, so they do not wait.
repeats   A line that steps back in event time to a print it brought before, and goes on as it
          did, repeats itself; this is not counted as occurrences. A step back with other content
          is a late print. A repetition that begins at the very stamp at which the line stands
          cannot be told from real prints, and is let through unless another line explains it.
stale     Beyond the window not every print is counted. One whose time some line has passed is
          taken for a duplicate; the others are few, and remain counted: see `late`.
evicted   Beyond `keys_max` keys the oldest are forgotten: the window gets shorter, never wrong.

Everything depends on the order of rows of one contract, their event times and their times of
receipt; not on how batches are cut. So a replay decides the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, takewhile

from tapekeeper.core.arbiter.keys import (
    Key,
    emission,
    emitted_count,
    emitted_first,
    key_of,
    keys_of,
    time_of,
)
from tapekeeper.core.arbiter.legs import LONG_AGO_NS, Figures, Leg, Tape, picked
from tapekeeper.model.snapshot import ArbiterStatistics, LineTally
from tapekeeper.model.tick import TradeBatch

WINDOW_NS = 10_000_000_000
"""How far a line may lag behind another; real lags are below a second, stalls reach some."""
HOLD_NS = 1_000_000_000
"""How long prints of a joining line wait: twice the largest delay between lines to be borne."""
KEYS_MAX = 65_536
"""Keys, and rows of history per line, for each contract: 6,500 prints a second over the window,
some 60 MB for each contract that is as busy as that."""
LEGS_MAX = 64
"""Lines of one contract within the window, those that have ended included; the one not heard for
longest goes first beyond it, and what it brought may pass again. Lines that fail as soon as they
are connected make a few within the window, and are tried ever less often."""
TALLIES_MAX = 32
"""Lines whose figures are kept; beyond it the oldest goes first that contributes no more."""
SILENCE_NS = 120_000_000_000
"""Longer than a connection is believed in that brings nothing, and may then bring old prints."""
_SPANS_MAX = 8
_PRUNES_PER_WINDOW = 64


@dataclass(slots=True)
class Admitted:
    """What one call let through.

    Attributes:
        batches: in order; sequence numbers rise within a batch.
        duplicates: rows that another line, or the same one, had brought before.
    """

    batches: list[TradeBatch] = field(default_factory=list)
    duplicates: int = 0


class Arbiter:
    """Merges the lines of any number of contracts; see the module's text.

    Args:
        window_ns: event time for which occurrences are remembered.
        hold_ns: time of receipt for which a joining line's prints may wait.
        keys_max: bound of keys, and of rows of history per line, for each contract.
        earliest_ns, latest_ns: prints stamped before the one, or not before the other, pass
            uncounted; validation refuses them, they must not move the window, and a key has no
            room for any year.
    """

    def __init__(
        self,
        *,
        window_ns: int = WINDOW_NS,
        hold_ns: int = HOLD_NS,
        keys_max: int = KEYS_MAX,
        earliest_ns: int = LONG_AGO_NS,
        latest_ns: int = 1 << 63,
    ) -> None:
        self._window_ns = window_ns
        self._hold_ns = hold_ns
        self._keys_max = keys_max
        self._earliest_ns, self._latest_ns = earliest_ns, latest_ns
        self._tapes: dict[str, Tape] = {}
        self._figures: dict[int, Figures] = {}
        self._connected_ns: dict[int, int] = {}
        self._holding: set[str] = set()
        self._unfollowed: dict[str, int] = {}  # until when they are remembered, time of receipt
        self._evicted = 0
        self.held = 0

    # -- what comes in -----------------------------------------------------------------------

    def connected(self, line: int, recv_ns: int) -> None:
        """Learn when a line began; one that began long ago has missed nothing under way.

        Without it a line begins with its first print of each contract.
        """
        while len(self._connected_ns) >= TALLIES_MAX:
            del self._connected_ns[next(iter(self._connected_ns))]
        self._connected_ns[line] = recv_ns

    def ended(self, line: int) -> dict[str, Admitted]:
        """Learn that a line's connection has ended, so that nobody waits for it any more.

        Returns:
            What may pass now of the contracts of which rows waited.
        """
        self._connected_ns.pop(line, None)
        for tape in self._tapes.values():
            if line in tape.legs:
                tape.legs[line].over = True
        let_go = {contract_id: Admitted() for contract_id in sorted(self._holding)}
        for contract_id, out in let_go.items():
            self._let_go(contract_id, out)
        return let_go

    def admit(self, line: int, batch: TradeBatch) -> Admitted:
        """Take a batch that a line brought; what may pass now, other lines' held rows included.

        Args:
            line: number of the connection.
            batch: at least one row, in the order in which the line brought them. It is kept, so
                it must not be changed afterwards.
        """
        out = Admitted()
        if self._unfollowed:
            self._unfollowed.pop(batch.contract_id, None)
            self._forget_unfollowed(batch.ts_recv[-1])
        tape = self._tapes.get(batch.contract_id)
        if tape is None:
            tape = self._tapes[batch.contract_id] = Tape(self._keys_max)
        figures = self._figures_of(line)
        figures.rows += len(batch)
        if max(batch.ts_event) >= self._latest_ns or min(batch.ts_event) < self._earliest_ns:
            batch = self._without_wild(figures, batch, out)
            if not len(batch):
                return out
        leg = tape.legs.get(line)
        if leg is None:
            leg = self._join(tape, figures, batch)
        if batch.contract_id in self._holding:
            self._admit_while_holding(tape, leg, batch, out)
        else:
            self._admit_rows(tape, leg, batch, out)
        return out

    def holds(self, contract_id: str) -> bool:
        """Whether rows of a joining line wait."""
        return contract_id in self._holding

    def release(self, contract_id: str) -> Admitted:
        """Let waiting rows go their way, because a timer says that nothing came for long."""
        out = Admitted()
        if contract_id in self._holding:
            tape = self._tapes[contract_id]
            self._open(contract_id, tape, tape.waiting_legs(), out)
        return out

    def unfollow(self, contract_id: str) -> None:
        """Learn that nobody wants a contract; to be called when nothing of it waits.

        What is known of it goes when nothing of it has come for `SILENCE_NS`: followed again
        before, a slow line may still bring what another one has brought already.
        """
        tape = self._tapes.get(contract_id)
        if tape is not None:
            heard_ns = max((leg.recv_ns for leg in tape.legs.values()), default=LONG_AGO_NS)
            self._unfollowed[contract_id] = heard_ns + SILENCE_NS

    def _forget_unfollowed(self, now_ns: int) -> None:
        gone = [each for each, until_ns in self._unfollowed.items() if until_ns <= now_ns]
        for contract_id in gone:
            del self._unfollowed[contract_id], self._tapes[contract_id]

    # -- what can be read --------------------------------------------------------------------

    def tallies(self) -> tuple[LineTally, ...]:
        """The figures of the latest lines, in the order in which they joined."""
        return tuple(figures.tally() for figures in self._figures.values())

    def statistics(self) -> ArbiterStatistics:
        """What is kept now, and what was given up."""
        tapes = self._tapes.values()
        return ArbiterStatistics(
            contracts_counted=sum(tape.counting for tape in tapes),
            keys=sum(len(tape.emitted) for tape in tapes),
            rows=sum(leg.history_rows for tape in tapes for leg in tape.legs.values()),
            held=self.held,
            evicted=self._evicted,
            late=sum(len(tape.late) for tape in tapes),
        )

    # -- joining -----------------------------------------------------------------------------

    def _figures_of(self, line: int) -> Figures:
        figures = self._figures.get(line)
        if figures is None:
            if len(self._figures) >= TALLIES_MAX:
                present = {number for tape in self._tapes.values() for number in tape.legs}
                gone = (number for number in self._figures if number not in present)
                del self._figures[next(gone, next(iter(self._figures)))]
            figures = self._figures[line] = Figures(line)
        return figures

    def _without_wild(self, figures: Figures, batch: TradeBatch, out: Admitted) -> TradeBatch:
        """Let impossible stamps pass uncounted; the rows that are left."""
        wild = {
            row
            for row, ts_ns in enumerate(batch.ts_event)
            if not self._earliest_ns <= ts_ns < self._latest_ns
        }
        out.batches.append(picked(batch, sorted(wild)))
        figures.first += len(wild)
        return batch.without(wild)

    def _join(self, tape: Tape, figures: Figures, batch: TradeBatch) -> Leg:
        if len(tape.legs) >= LEGS_MAX:
            quietest = min(tape.legs, key=lambda number: tape.legs[number].recv_ns)
            if tape.legs[quietest].waiting is None:
                self._leave(tape, quietest)
        leg = Leg(figures, batch)
        if figures.line in tape.spans:
            # The same connection after a silence: it has missed nothing.
            leg.first_ns, leg.high_ns = tape.spans.pop(figures.line)
            leg.last_ns = leg.high_ns
            tape.legs[figures.line] = leg
            return leg
        leg.waits_until_ns = self._connected_ns.get(figures.line, leg.recv_ns) + self._hold_ns
        if (
            tape.legs
            and tape.head_ns() <= leg.first_ns
            and leg.recv_ns < leg.waits_until_ns
            and (batch.contract_id in self._holding or self._living(tape) - {figures.line})
        ):
            leg.waiting = []
            self._holding.add(batch.contract_id)
        tape.legs[figures.line] = leg
        return leg

    def _living(self, tape: Tape) -> set[int]:
        """The lines that may still bring rows, whether or not they have brought any yet."""
        return {number for number, leg in tape.legs.items() if not leg.over}.union(
            self._connected_ns
        )

    def _let_go(self, contract_id: str, out: Admitted) -> None:
        """Let all rows go that wait while no other line lives that they could wait for.

        With two that wait for each other it is not known yet which of them began before.
        """
        tape = self._tapes[contract_id]
        living, waiting = self._living(tape), tape.waiting_legs()
        if len(living) <= 1 and living <= {leg.figures.line for leg in waiting}:
            self._open(contract_id, tape, waiting, out)

    def _admit_while_holding(self, tape: Tape, leg: Leg, batch: TradeBatch, out: Admitted) -> None:
        """In runs within which nothing opens, so that it does not matter how batches are cut."""
        row = 0
        while row < len(batch):
            recv_ns = batch.ts_recv[row]
            over = [each for each in tape.waiting_legs() if recv_ns >= each.waits_until_ns]
            if over:
                # What begins before goes before.
                last_ns = over[-1].first_ns
                early = [each for each in tape.waiting_legs() if each.first_ns <= last_ns]
                self._open(batch.contract_id, tape, early, out)
            if tape.legs.get(leg.figures.line) is not leg:  # what was opened is far ahead of it
                leg = self._join(tape, leg.figures, picked(batch, (row,)))
            end = _end_of_run(tape, leg, batch, row)
            run = batch if end - row == len(batch) else picked(batch, range(row, end))
            row = end
            if leg.waiting is None:
                self._admit_rows(tape, leg, run, out)
                self._open(batch.contract_id, tape, [], out)
            else:
                leg.waiting.append(run)
                leg.waiting_at_first += run.ts_event.count(leg.first_ns)
                leg.recv_ns = run.ts_recv[-1]
                leg.figures.held += len(run)
                self.held += len(run)
                self._let_go(batch.contract_id, out)

    def _open(self, contract_id: str, tape: Tape, legs: list[Leg], out: Admitted) -> None:
        """Let the rows of these legs go the common way, then those of legs that are passed."""
        while True:
            for leg in legs:
                for batch in self._taken(leg):
                    self._admit_rows(tape, leg, batch, out)
            waiting = tape.waiting_legs()
            if not waiting:
                self._holding.discard(contract_id)
                return
            head_ns = tape.head_ns()
            legs = [leg for leg in waiting if leg.first_ns < head_ns][:1]
            if not legs:
                return

    def _taken(self, leg: Leg) -> list[TradeBatch]:
        taken, leg.waiting = leg.waiting or [], None
        rows = sum(map(len, taken))
        leg.figures.held -= rows
        self.held -= rows
        return taken

    # -- the common way ----------------------------------------------------------------------

    def _admit_rows(self, tape: Tape, leg: Leg, batch: TradeBatch, out: Admitted) -> None:
        if not tape.counting and len(tape.legs) > 1 and len(tape.open_legs()) > 1:
            self._start_counting(tape, batch.ts_event[0])
        if not tape.counting:
            self._pass(tape, leg, batch, out)
            return
        done = self._count(tape, leg, batch, out)
        if done < len(batch):  # the other lines fell out of the window on the way
            self._pass(tape, leg, picked(batch, range(done, len(batch))), out)

    def _pass(self, tape: Tape, leg: Leg, batch: TradeBatch, out: Admitted) -> None:
        """The way of a line that is alone."""
        times = batch.ts_event
        last_ns = times[-1]
        before_ns = leg.last_ns if len(times) == 1 else times[-2]
        leg.high_ns = max(leg.high_ns, min(before_ns, last_ns))
        leg.last_ns = last_ns
        leg.recv_ns = batch.ts_recv[-1]
        leg.figures.first += len(times)
        leg.remember(batch)
        floor_ns = max(tape.floor_ns, leg.high_ns - self._window_ns)
        tape.floor_ns = leg.trim(floor_ns, self._keys_max, tape.late)
        out.batches.append(batch)

    def _count(self, tape: Tape, leg: Leg, batch: TradeBatch, out: Admitted) -> int:
        """Count rows until the batch ends or the line is alone; how many were taken."""
        emitted, counts, figures = tape.emitted, leg.counts, leg.figures
        keep: list[int] = []
        left_out: set[int] = set()
        last_ns = leg.last_ns
        row = -1
        times = batch.ts_event
        for row, key in enumerate(keys_of(batch)):
            ts_ns = times[row]
            if (
                ts_ns < last_ns
                or ts_ns < tape.floor_ns
                or ts_ns < tape.counted_ns
                or leg.tail is not None
            ):
                leg.last_ns = last_ns
                verdict = self._unusual(tape, leg, batch, row, left_out)
                if verdict is not None:
                    if verdict:
                        keep.append(row)
                    continue
            count = counts.get(key, 0) + 1
            counts[key] = count
            so_far = emitted.get(key)
            so_often = 0 if so_far is None else emitted_count(so_far)
            if so_far is None or count > so_often:
                emitted[key] = emission(count, batch.ts_recv[row], figures.line)
                keep.append(row)
            elif count == so_often:
                self._note_lag(figures, so_far, batch.ts_recv[row])
            confirmed_ns = min(last_ns, ts_ns)
            last_ns = ts_ns
            if confirmed_ns > leg.high_ns:
                leg.high_ns = confirmed_ns
                if confirmed_ns > tape.high_ns:
                    self._advance(tape, leg, confirmed_ns)
                    if not tape.counting:
                        break
        leg.last_ns = last_ns
        self._close_batch(tape, leg, batch, row + 1, keep, left_out, out)
        return row + 1

    def _close_batch(
        self,
        tape: Tape,
        leg: Leg,
        batch: TradeBatch,
        taken: int,
        keep: list[int],
        left_out: set[int],
        out: Admitted,
    ) -> None:
        """Hand out what may pass, and remember what the line brought."""
        leg.recv_ns = batch.ts_recv[taken - 1]
        leg.figures.first += len(keep)
        leg.figures.duplicates += taken - len(keep)
        out.duplicates += taken - len(keep)
        if keep:
            out.batches.append(batch if len(keep) == len(batch) else picked(batch, keep))
        own = [row for row in range(taken) if row not in left_out]
        if own:
            leg.remember(batch if len(own) == len(batch) else picked(batch, own))
        tape.floor_ns = leg.trim(tape.floor_ns, self._keys_max, tape.late)
        if len(tape.emitted) > self._keys_max:
            self._evict(tape)

    # -- the uncommon ways -------------------------------------------------------------------

    def _unusual(
        self, tape: Tape, leg: Leg, batch: TradeBatch, row: int, left_out: set[int]
    ) -> bool | None:
        """Judge a row that may not simply be counted; whether it passes, None if it may."""
        key = key_of(batch, row)
        ts_ns = batch.ts_event[row]
        if leg.tail is not None and self._goes_on(tape, leg, batch, row, left_out):
            return self._repeat(leg, row, left_out)
        if ts_ns < tape.floor_ns:
            leg.figures.stale += 1
            left_out.add(row)  # no part of what is remembered
            own = leg.first_ns <= ts_ns < leg.reach_ns()
            leg.tail = [] if own else None
            return not (own or tape.covered(ts_ns)) and self._passes_late(tape, leg, key)
        if ts_ns < tape.counted_ns:
            self._count_back(tape, ts_ns)
        if ts_ns < leg.last_ns and key in leg.counts:
            tail = _brought(leg, batch, row, left_out)
            leg.spots = [at for at, known in enumerate(tail) if known == key]
            if leg.spots:
                leg.tail = tail
                return self._repeat(leg, row, left_out)
        return None

    def _passes_late(self, tape: Tape, leg: Leg, key: Key) -> bool:
        """Whether a print that no line covered is one more than was let through."""
        if key in tape.emitted:  # out of the window, and not pruned yet
            self._drop_keys(tape, [key], edges=frozenset({time_of(key)}))
        for other in tape.legs.values():
            if other.first_ns == time_of(key):  # of which nothing may have been counted
                other.note_first(tape.late)
        return tape.late.passes(leg.figures.line, key)

    def _goes_on(
        self, tape: Tape, leg: Leg, batch: TradeBatch, row: int, left_out: set[int]
    ) -> bool:
        """Whether a row is the next of a repetition; the end of it if not."""
        key = key_of(batch, row)
        if leg.tail == [] and batch.ts_event[row] >= tape.floor_ns:
            # It began in the time that is forgotten and comes to what is not.
            brought = _brought(leg, batch, row, left_out)
            leg.tail = [known for known in brought if time_of(known) >= tape.floor_ns]
            leg.spots = [-1]
        tail = leg.tail or []
        ends = len(tail) - 1
        leg.spots = [at + 1 for at in leg.spots if at < ends and tail[at + 1] == key]
        if not leg.spots:
            leg.tail = None
        return leg.tail is not None

    def _repeat(self, leg: Leg, row: int, left_out: set[int]) -> bool:
        leg.figures.repeats += 1
        left_out.add(row)
        return False

    def _start_counting(self, tape: Tape, ts_ns: int) -> None:
        tape.counting = True
        legs = tape.open_legs()
        # A joining line's first stamp is not confirmed by a second.
        known = [leg.high_ns for leg in legs if leg.history]
        tape.high_ns = max(known or [leg.high_ns for leg in legs])
        tape.floor_ns = max(tape.floor_ns, tape.high_ns - self._window_ns)
        tape.pruned_ns = tape.floor_ns
        tape.review_ns = tape.high_ns
        tape.counted_ns = 1 << 63
        # A line that is behind will come to its own next rows, which are counted too.
        self._count_back(tape, min(ts_ns, *(leg.last_ns for leg in legs)))

    def _count_back(self, tape: Tape, from_ns: int) -> None:
        """Count what was brought from this time on, up to where counts begin."""
        until_ns, tape.counted_ns = tape.counted_ns, from_ns
        floor_ns = max(from_ns, tape.floor_ns)
        for leg in tape.legs.values():
            for batch in leg.history:
                if max(batch.ts_event) < floor_ns:
                    continue
                rows = zip(batch.ts_event, keys_of(batch), batch.ts_recv, strict=True)
                for ts_ns, key, recv_ns in rows:
                    if floor_ns <= ts_ns < until_ns:
                        count = leg.counts[key] = leg.counts.get(key, 0) + 1
                        if count > emitted_count(tape.emitted.get(key, 0)):
                            tape.emitted[key] = emission(count, recv_ns, leg.figures.line)

    def _note_lag(self, figures: Figures, so_far: int, recv_ns: int) -> None:
        """How much later than the first a line brought an occurrence; the first one's lead."""
        first_recv_ns, first_line = emitted_first(so_far)
        if first_line == figures.line:
            return
        lag_ns = max(0, recv_ns - first_recv_ns)  # the host's clock may have been set back
        figures.lags += 1
        figures.lag_ns_sum += lag_ns
        figures.lag_ns_max = max(figures.lag_ns_max, lag_ns)
        leader = self._figures.get(first_line)
        if leader is not None:
            leader.leads += 1
            leader.lead_ns_sum += lag_ns
            leader.lead_ns_max = max(leader.lead_ns_max, lag_ns)

    # -- what falls out of the window ----------------------------------------------------------

    def _advance(self, tape: Tape, leg: Leg, high_ns: int) -> None:
        tape.high_ns = high_ns
        tape.floor_ns = max(tape.floor_ns, high_ns - self._window_ns)
        if tape.floor_ns - tape.pruned_ns >= self._window_ns // _PRUNES_PER_WINDOW:
            self._prune(tape)
        if high_ns < tape.review_ns:
            return
        gone = [
            number
            for number, other in tape.legs.items()
            if other is not leg and other.waiting is None and other.reach_ns() < tape.floor_ns
        ]
        for number in gone:
            self._leave(tape, number)
        others = [other.reach_ns() for other in tape.legs.values() if other is not leg]
        tape.review_ns = min(others, default=LONG_AGO_NS) + self._window_ns
        if not others:
            self._prune_all(tape)
            tape.counting = False
            tape.emitted.clear()
            leg.counts.clear()
            leg.tail = None

    def _leave(self, tape: Tape, number: int) -> None:
        self._prune_all(tape)
        leg = tape.legs.pop(number)
        if len(tape.spans) >= _SPANS_MAX:
            del tape.spans[next(iter(tape.spans))]
        tape.spans[number] = leg.first_ns, leg.reach_ns()
        tape.late.forget_before(min(tape.passed_by_all_ns(), tape.high_ns - SILENCE_NS))

    def _prune(self, tape: Tape) -> None:
        """Forget keys below the floor that came first; others follow when those before them do."""
        tape.pruned_ns = tape.floor_ns
        old = takewhile(lambda key: time_of(key) < tape.floor_ns, tape.emitted)
        self._drop_keys(tape, list(old), tape.edges())

    def _prune_all(self, tape: Tape) -> None:
        """Forget all keys below the floor, those that came late included."""
        tape.pruned_ns = tape.floor_ns
        old = [key for key in tape.emitted if time_of(key) < tape.floor_ns]
        self._drop_keys(tape, old, tape.edges())

    def _evict(self, tape: Tape) -> None:
        """Forget an eighth of the keys, and count nothing at or below their times any more."""
        many = max(len(tape.emitted) - self._keys_max, self._keys_max // 8)
        old = [key for key, _ in zip(tape.emitted, range(many), strict=False)]
        # Never above the head of the tape: what is new there must not look old.
        newest_ns = max(map(time_of, old))
        tape.floor_ns = max(tape.floor_ns, min(newest_ns + 1, tape.head_ns()))
        self._evicted += len(old)
        self._drop_keys(tape, old, tape.edges())

    def _drop_keys(self, tape: Tape, keys: Iterable[Key], edges: frozenset[int]) -> None:
        """Forget keys, note who missed them, and remember how often those of `edges` passed."""
        legs = tape.open_legs()
        for key in keys:
            emitted = emitted_count(tape.emitted.pop(key))
            ts_ns = time_of(key)
            if ts_ns in edges:
                brought = {leg.figures.line: leg.counts[key] for leg in legs if key in leg.counts}
                tape.late.note(key, emitted, brought)
            for leg in legs:
                missed = emitted - leg.counts.pop(key, 0)
                if missed > 0 and leg.first_ns < ts_ns < leg.high_ns:
                    leg.figures.lost += missed


def _end_of_run(tape: Tape, leg: Leg, batch: TradeBatch, row: int) -> int:
    """Up to where rows of a batch that begin at `row` can go together while others wait.

    A row that reaches beyond what waits opens it, and is the last of its run; one that is
    received when somebody has waited for long enough is the first of the next. The first row
    that waits shows whether it has to.
    """
    waiting = tape.waiting_legs()
    if not waiting:
        return len(batch)
    first_ns = min(each.first_ns for each in waiting)
    alone = tape.head_ns() > first_ns if leg.waiting is None else row == 0 or not leg.waiting
    if alone:
        return row + 1
    until_ns = min(each.waits_until_ns for each in waiting)
    for at in range(row + 1, len(batch)):
        if batch.ts_recv[at] >= until_ns:
            return at
        if leg.waiting is None and batch.ts_event[at - 1] > first_ns:
            return at
    return len(batch)


def _brought(leg: Leg, batch: TradeBatch, row: int, left_out: set[int]) -> list[Key]:
    """The line's own rows before this one, as far as they are remembered."""
    present = (key_of(batch, at) for at in range(row) if at not in left_out)
    return [*chain.from_iterable(map(keys_of, leg.history)), *present]
