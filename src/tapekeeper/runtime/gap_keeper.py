"""Turns what is missing into entries of the gap ledger, in order with the data around them.

Others say what they see in host time: the pool, which subscriptions nothing covered; the tape,
since when a contract is followed; the feed, what was quarantined. Bars need event time, so an
interval is put on the exchange's clock (`tapekeeper.runtime.exchange_time`). Before the first trade
of all the two clocks may be anything apart, and what is seen until then waits.

A gap reaches the bars by way of the feed, which writes it into the journal first. The ledger and
its file are told afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import msgspec

from tapekeeper.core.absence import followed_until, healed_by, lasting_absence
from tapekeeper.core.gateway.traded import ANY
from tapekeeper.core.ledger import GAPS_MAX
from tapekeeper.core.pipeline import Outputs
from tapekeeper.model.audit import AuditFinding, AuditKind, AuditState, AuditVerdict
from tapekeeper.model.gap import ABSENCES, Gap, GapCause, GapState
from tapekeeper.model.measure import BarSize, Measure
from tapekeeper.model.tick import Reason, Rejected, Trade, TradeBatch
from tapekeeper.ports import Clock, Files, Log
from tapekeeper.runtime.coverage import Uncovered
from tapekeeper.runtime.feed import Feed
from tapekeeper.runtime.gap_files import GapFiles, read_ledger
from tapekeeper.runtime.intake import Overflowed
from tapekeeper.runtime.late_prints import LATE_NS, TOO_LATE, holds, late_runs
from tapekeeper.runtime.noticed_late import NoticedLate
from tapekeeper.runtime.run_end import RunEnd
from tapekeeper.runtime.shedding import ShedStatistics
from tapekeeper.runtime.suspects import Suspects

TRADES = "SubscribeContractTrades"
"""The subscription that bars are made of."""

MARGIN_NS = 250_000_000
"""How much earlier an interval is taken to begin than the fastest delivery says: receive lag of
recorded days is 2 ms at the 99th percentile and 106 ms at most."""

UNPLACED_MAX = 10_000
"""Intervals that wait for a first trade; there is one for every contract and outage."""

SETTLE_NS = 60_000_000_000
"""For so long the end of an interval may turn out to be later than it was taken to be, and by no
more than that: a way that is stuck is given up, and data on time come again, within half a minute.
Where a feed's clock runs faster than ours (a simulation) each delivery is faster than the last."""

SETTLING_MAX = 1_000
"""Ends that may; there is one for every contract and outage."""

_JOINED = "; and what followed, because too much was waiting for a first trade"

_ORDERLY = frozenset({GapCause.START, GapCause.STOPPED})


class _Interval(msgspec.Struct, frozen=True):
    """What somebody saw, in host time (ns UTC); no begin means since ever."""

    gap: Gap
    from_ns: int | None
    to_ns: int | None


class _Settling(msgspec.Struct, frozen=True):
    """The end of a gap: by the host's clock, and by the exchange's as told and at most, ns UTC."""

    gap_id: int
    host_ns: int
    to_ns: int
    most_ns: int


class GapKeeper:
    """See the module's text. Everything here runs in the loop's one thread, and awaits nothing.

    Args:
        feed: journals gaps and carries them to the bars.
        files: the folder of the journal, which is locked by this process.
        clock: stamps entries.
        log: says when a gap begins and ends.
        keep: gaps in memory, for reading; the files have all.
        may_shed: whether the ledger's file waits where the disk takes nothing.

    Attributes:
        files: as given.

    Raises:
        UnreadableSourceError: a file of the ledger cannot be read at all.
    """

    def __init__(
        self,
        *,
        feed: Feed,
        files: Files,
        clock: Clock,
        log: Log,
        keep: int = GAPS_MAX,
        may_shed: bool = False,
    ) -> None:
        self._feed = feed
        self.files = files
        self._clock = clock
        self._log = log
        self._written = GapFiles(files, may_shed=may_shed)
        self.ledger, self.problems = read_ledger(files, keep)
        self._next_id = self._own_id = self.ledger.next_id
        self._uncovered: dict[str, _Interval] = {}  # bound: followed contracts
        self._starting: dict[str, _Interval] = {}  # bound: followed contracts
        self._unrecorded: dict[str, _Interval] = {}  # bound: followed contracts
        self._spoilt: dict[str, Gap] = {}  # bound: followed contracts
        self._overflowed: dict[str, Gap] = {}  # bound: followed contracts
        self._incomplete: dict[str, Gap] = {}  # bound: followed contracts
        self._left: dict[str, Gap] = {}  # bound: contracts that were followed and are no more
        self._absent: dict[str, Gap] = {}  # bound: contracts that the run before followed
        self._resumed: set[int] = set()  # of earlier runs. Bound: those that lasted at the start
        self._suspects = Suspects()
        self._noticed = NoticedLate()
        self._followed: set[str] = set()
        self._made: dict[str, set[BarSize]] = {}  # bound: contracts ever followed
        # Event time of the last trade of the burst before, ns UTC. Bound: contracts ever followed.
        self._traded_ns: dict[str, int] = {}
        # The first event time since a contract was asked for, ns UTC. Bound: as before.
        self._begun_ns: dict[str, int] = {}
        self._unplaced: list[_Interval] = []  # bound: UNPLACED_MAX
        self._settling: deque[_Settling] = deque(maxlen=SETTLING_MAX)
        feed.listen(self._saw)
        feed.on_overflow(self._note_overflow)

    # -- what others say -------------------------------------------------------------------------

    def recover(self, end: RunEnd) -> None:
        """Learn how the run before this one ended; called before anything is connected.

        What it followed is missed since, and the ledger says so at once: who follows a contract
        again, now or in a later process, ends its gap. Nothing of it is in the journal until then.

        Raises:
            JournalError: the ledger's file cannot be written.
        """
        in_order = end.cause is GapCause.STOPPED
        self._log(
            "recovery",
            level="info" if in_order and not end.problem else "warning",
            run=end.run,
            segment=end.segment,
            ending=end.ending.value,
            cut_bytes=end.cut_bytes,
            contracts=len(end.traded_ns),
            reason=f"{end.evidence}; {end.problem}" if end.problem else end.evidence,
        )
        for contract_id, traded_ns in end.traded_ns.items():
            lasting = lasting_absence(self.ledger, contract_id)
            if lasting is not None:
                # That run, too, ended before it could say when it followed it again.
                if traded_ns is not None and end.evidence not in lasting.evidence:
                    evidence = f"{lasting.evidence}; then {end.evidence}"
                    self._keep(msgspec.structs.replace(lasting, evidence=evidence))
                continue
            # Prints are not quite in order, so one from before the last may be missing.
            last_ns = None if traded_ns is None else traded_ns - MARGIN_NS
            assured_ns = end.assured_ns[contract_id]
            if assured_ns is None:
                from_ns = followed_until(self.ledger, contract_id, last_ns)
            else:
                from_ns = assured_ns - MARGIN_NS
            if from_ns is not None:  # or its start lasts still, of which all of this is part
                gap = self._new(contract_id, end.cause, end.evidence)
                self._keep(msgspec.structs.replace(gap, from_ns=from_ns))
        self._own_id = self._next_id

    def absences(self, contract_ids: Iterable[str]) -> list[Gap]:
        """Since when contracts whose bars go on lack their prints; called behind `recover`.

        Following such a contract ends its absence, and is no start.
        """
        found: list[Gap] = []
        for contract_id in contract_ids:
            self._made[contract_id] = set(self._feed.pipeline.timeframes(contract_id))
            last = self._feed.pipeline.last_trade(contract_id)
            absence = lasting_absence(self.ledger, contract_id)
            if last is not None and absence is not None:
                self._traded_ns[contract_id] = last.ts_event
                self._absent[contract_id] = absence
                found.append(absence)
        return found

    def follow(self, contract_id: str) -> None:
        """A contract is asked for: until `followed` its prints are missing.

        Where it is followed already, and bar sizes were added, these lack what was before.
        """
        sizes = self._feed.pipeline.timeframes(contract_id)
        known = self._made.get(contract_id, set(sizes))
        self._made[contract_id] = set(sizes)
        for size in sizes:  # small before large
            if size not in known:
                self._widen(contract_id, size)
        if contract_id in self._followed or contract_id in self._starting:
            return
        last = self._feed.pipeline.last_trade(contract_id)
        from_ns = None if last is None else last.ts_event
        self._begun_ns.pop(contract_id, None)
        known_absence = self._absent.pop(contract_id, None)
        if known_absence is not None and last is not None:
            self._go_on(known_absence)
            return
        gap = self._left.pop(contract_id, None)
        if gap is None:
            gap = self._new(contract_id, GapCause.START, "the contract was not followed before")
            gap = msgspec.structs.replace(gap, from_ns=from_ns)
        self._starting[contract_id] = _Interval(gap, None, None)
        absence = lasting_absence(self.ledger, contract_id)
        self._feed.know([gap])
        if absence is not None:
            self._resumed.add(absence.gap_id)
            self._feed.know([absence])

    def _go_on(self, absence: Gap) -> None:
        """A contract of the run before is followed again, and its bars go on."""
        self._resumed.add(absence.gap_id)
        self._starting[absence.contract_id] = _Interval(absence, None, None)
        # What was not repaired when that run ended is asked for by this one.
        states = [GapState.ENDED, GapState.PARTLY_REPAIRED]
        known = self.ledger.find(contract_id=absence.contract_id, states=states)
        self._feed.know([gap for gap in known if _can_be_repaired(gap)] + [absence])

    def _widen(self, contract_id: str, size: BarSize) -> None:
        """A bar size begins behind prints that there are."""
        whole_ns = self._feed.pipeline.whole_ns(contract_id, str(size))
        if whole_ns is None and isinstance(size, Measure):
            return  # nothing was before: it begins as the contract does
        evidence = f"bars of {size} were not asked for before"
        gap = self._new(contract_id, GapCause.START, evidence)
        gap = msgspec.structs.replace(gap, timeframes=(str(size),))
        if whole_ns is None:  # no print has come yet: they begin as the contract does
            self._place(_Interval(gap, None, self._clock.now_ns()))
        else:
            self._feed.know([msgspec.structs.replace(gap, to_ns=whole_ns)])

    def followed(self, contract_id: str) -> None:
        """The gateway has confirmed it: from now on nothing is missing."""
        self._followed.add(contract_id)
        start = self._starting.pop(contract_id, None)
        if start is None:
            return
        now_ns = self._clock.now_ns()
        self._place(_Interval(start.gap, None, now_ns))
        for gap in self.ledger.find(contract_id=contract_id, states=[GapState.LASTING]):
            if gap.gap_id < self._own_id:
                # It lasted when an earlier process ended, and nothing has come since.
                self._resumed.add(gap.gap_id)
                self._place(_Interval(gap, None, now_ns))

    def unfollow(self, contract_id: str) -> None:
        """Nobody wants it any more; what lasts ends."""
        self._followed.discard(contract_id)
        now_ns = self._clock.now_ns()
        for lasting in (self._starting, self._uncovered, self._unrecorded):
            interval = lasting.pop(contract_id, None)
            if interval is not None:
                self._place(_Interval(interval.gap, interval.from_ns, now_ns))
        self._spoilt.pop(contract_id, None)
        self._overflowed.pop(contract_id, None)
        incomplete = self._incomplete.pop(contract_id, None)
        if incomplete is not None:
            self._place(_Interval(incomplete, None, now_ns))
        last = self._feed.pipeline.last_trade(contract_id)
        if last is not None and contract_id not in self._left:
            # The bar that is forming now goes on without its prints, and says so when it is over.
            gap = self._new(contract_id, GapCause.START, "the contract is followed no more")
            gap = self._left[contract_id] = msgspec.structs.replace(gap, from_ns=last.ts_event)
            self._feed.know([gap])

    def recording(self, shed: ShedStatistics) -> None:
        """Learn that what arrives is not recorded any more, or that it is again.

        Its prints reach the bars of this process, and no replay will have them: what the journal
        can prove of these bars is what a gap leaves of them.
        """
        if shed.reason:
            self._log("journal_sheds", level="error", reason=shed.reason)
            evidence = f"its prints reached the bars and are in no journal: {shed.reason}"
            for contract_id in sorted(self._followed - self._unrecorded.keys()):
                gap = self._new(contract_id, GapCause.OVERFLOW, evidence)
                gap = msgspec.structs.replace(gap, from_ns=self._traded_ns.get(contract_id))
                self._unrecorded[contract_id] = _Interval(gap, shed.since_ns, None)
                self._place(self._unrecorded[contract_id])
            return
        self._log("journal_records_again", entries_lost=shed.entries)
        self._written.write_behind()
        now_ns = self._clock.now_ns()
        for contract_id in list(self._unrecorded):
            interval = self._unrecorded.pop(contract_id)
            self._place(_Interval(interval.gap, interval.from_ns, now_ns))

    def cover(self, found: Iterable[Uncovered], lasting: Iterable[Uncovered]) -> None:
        """Learn which subscriptions were not covered, and which are not now."""
        # A contract may have several that are told at once.
        ended = [
            (contract_id, interval) for interval in found for contract_id in _trades_of(interval)
        ]
        still = {contract_id: one for one in lasting for contract_id in _trades_of(one)}
        for contract_id, known in list(self._uncovered.items()):
            now = still.get(contract_id)
            if now is None or now.from_ns != known.from_ns:
                del self._uncovered[contract_id]
                ends = [each for each in ended if each[0] == contract_id]
                if not ends:
                    self._place(_Interval(known.gap, known.from_ns, self._clock.now_ns()))
                    continue
                ended.remove(ends[0])
                self._place(self._recaused(known, ends[0][1]))
            elif known.gap.cause is not now.cause:
                interval = self._uncovered[contract_id] = self._recaused(known, now)
                self._place(interval)
        for contract_id, end in ended:
            gap = self._new(contract_id, end.cause, end.why)
            self._noticed.note(gap.gap_id, self._traded_ns.get(contract_id))
            self._place(_Interval(gap, end.from_ns, end.to_ns))
        for contract_id, now in still.items():
            if contract_id not in self._uncovered:
                gap = self._new(contract_id, now.cause, now.why)
                self._noticed.note(gap.gap_id, self._traded_ns.get(contract_id))
                interval = self._uncovered[contract_id] = _Interval(gap, now.from_ns, None)
                self._place(interval)

    def _saw(self, outputs: Outputs) -> None:
        """Learn what the feed has just published."""
        for gap in outputs.gaps:
            self._keep(gap)
            if gap.cause is GapCause.START and gap.restored and not gap.timeframes:
                self._credit(gap)
        for finding in outputs.findings:
            if finding.kind is AuditKind.MISSING:
                self._note_missing(finding)
            elif finding.kind is AuditKind.RETURNED:
                self._note_returned(finding)
        for verdict in outputs.verdicts:
            self._note_verdict(verdict)
        for trade in outputs.readmitted:
            self._note_let_in(trade)
        if outputs.late:
            self._note_late(outputs.late)
        if outputs.trades:
            self._saw_trades(outputs.trades)
        # Afterwards: what comes in the same burst may have come before it.
        if outputs.spoilt:
            self._note_spoilt(outputs.spoilt)
        for batch in outputs.trades:
            self._traded_ns[batch.contract_id] = batch.ts_event[-1]

    def _saw_trades(self, trades: Sequence[TradeBatch]) -> None:
        """Learn what the first trades show: where intervals lie, and where a spell ends."""
        for batch in trades:
            if batch.contract_id not in self._begun_ns:
                self._begun_ns[batch.contract_id] = min(batch.ts_event)
        if self._unplaced:
            unplaced, self._unplaced = self._unplaced, []
            for interval in unplaced:
                self._place(interval)
        if self._settling:
            self._settle()
        for lasting in (self._spoilt, self._overflowed):
            for batch in trades if lasting else ():
                gap = lasting.pop(batch.contract_id, None)
                if gap is not None:
                    to_ns = max(*batch.ts_event, gap.from_ns or 0) + 1
                    self._feed.know([msgspec.structs.replace(gap, to_ns=to_ns)])

    # -- inside ------------------------------------------------------------------------------------

    def _note_spoilt(self, spoilt: Sequence[Rejected]) -> None:
        """What could not be read or believed may have been prints of its contract, or of any."""
        of_each: dict[str, list[Rejected]] = {}
        for item in spoilt:
            for contract_id in [item.contract_id] if item.contract_id else sorted(self._followed):
                of_each.setdefault(contract_id, []).append(item)
        for contract_id, items in of_each.items():
            from_ns = self._traded_ns.get(contract_id)
            known = self._spoilt.get(contract_id)
            if known is not None:
                self._suspects.note(known.gap_id, items, is_new=False)
            if known is not None or contract_id not in self._followed:
                continue  # it goes on, or lies in the start, of which nothing is known anyway
            item = items[0]
            evidence = f"quarantined as {item.reason}: {item.detail}"
            # Prints whose stamps are ahead are good but for a clock that somebody has set.
            is_clock = item.reason is Reason.FUTURE
            cause = GapCause.CLOCK if is_clock else GapCause.QUARANTINE
            gap = self._new(contract_id, cause, evidence)
            gap = self._spoilt[contract_id] = msgspec.structs.replace(gap, from_ns=from_ns)
            self._suspects.note(gap.gap_id, items, is_new=True)
            # Before the first print the start may be over for long, so it is no part of that.
            self._place(_Interval(gap, min(each.ts_recv for each in items), None))

    def _note_overflow(self, mark: Overflowed) -> None:
        """Frames were given up behind the last print, and prints of these contracts with them."""
        contracts = self._followed if ANY in mark.contracts else mark.contracts
        for contract_id in sorted(contracts & self._followed):
            if contract_id in self._overflowed:
                continue  # it goes on
            evidence = f"{mark.frames:,} frames were given up: {mark.waited}"
            gap = self._new(contract_id, GapCause.OVERFLOW, evidence)
            from_ns = self._traded_ns.get(contract_id)
            if from_ns is None:
                # It may be followed for long already, so it is no part of the start.
                self._place(_Interval(gap, mark.recv_ns, self._clock.now_ns()))
                continue
            gap = self._overflowed[contract_id] = msgspec.structs.replace(gap, from_ns=from_ns)
            self._feed.know([gap])

    def _note_late(self, prints: Sequence[Trade]) -> None:
        """Prints came too late for their bars: these lack them, and the larger ones above as well.

        Where an entry touches their time already, that is said. What comes together is one entry.
        """
        for contract_id, times in late_runs(prints):
            self._note_late_run(contract_id, times)

    def _note_late_run(self, contract_id: str, times: Sequence[int]) -> None:
        """The same of event times that rise, in ns UTC."""
        near = self.ledger.find(
            contract_id=contract_id, from_ns=times[0] - LATE_NS, to_ns=times[-1] + LATE_NS
        )
        near = [gap for gap in near if not gap.timeframes]
        untold = [ts_ns for ts_ns in times if not any(holds(gap, ts_ns) for gap in near)]
        if not untold:
            return
        from_ns, to_ns = untold[0], untold[-1] + 1
        for gap in near:
            if gap.evidence == TOO_LATE and gap.from_ns and gap.to_ns and not gap.restored:
                from_ns, to_ns = min(gap.from_ns, from_ns), max(gap.to_ns, to_ns)
                break
        else:
            gap = self._new(contract_id, GapCause.QUARANTINE, TOO_LATE)
        self._feed.know([msgspec.structs.replace(gap, from_ns=from_ns, to_ns=to_ns)])

    def _note_let_in(self, trade: Trade) -> None:
        """A print is in its bars after all: a gap that was opened for nothing else is taken back.

        Unless history stands for it already, which held that print as well.
        """
        gap_id = self._suspects.let_in(trade)
        if gap_id is None:
            return
        self._unplaced = [one for one in self._unplaced if one.gap.gap_id != gap_id]
        gap = self.ledger.get(gap_id)
        if gap is not None and gap.restored:
            return
        spoilt = self._spoilt.get(trade.contract_id)
        if spoilt is not None and spoilt.gap_id == gap_id:
            del self._spoilt[trade.contract_id]
        if gap is None:
            return  # nobody was told of it
        note = "what had been quarantined was let in after all"
        self._feed.know([msgspec.structs.replace(gap, to_ns=gap.from_ns, note=note)])

    def _note_missing(self, finding: AuditFinding) -> None:
        """The quoted volume grew by more than the prints: a gap, unless all of it is known."""
        known = self.ledger.find(
            contract_id=finding.contract_id,
            causes=frozenset(GapCause) - {GapCause.MISSING_PRINTS},
            from_ns=finding.from_ns,
            to_ns=finding.to_ns + 1,
        )
        known = [gap for gap in known if not gap.timeframes]
        evidence = f"{finding.volume:,} contracts were quoted as traded, and never came"
        untold = self._noticed.untold(finding, known)
        if untold is not None:
            gap = self._new(finding.contract_id, GapCause.MISSING_PRINTS, evidence)
            gap = msgspec.structs.replace(gap, from_ns=untold.from_ns, to_ns=untold.to_ns)
            self._feed.know([msgspec.structs.replace(gap, missing_volume=finding.volume)])
        elif known[-1].cause is not GapCause.START:  # of a start nothing was to come
            # An outage's volume shows in an interval that is somewhat larger than the outage.
            volume = (known[-1].missing_volume or 0) + finding.volume
            self._feed.know([msgspec.structs.replace(known[-1], missing_volume=volume)])

    def _note_returned(self, finding: AuditFinding) -> None:
        """What had been found missing came after all: a gap that was opened for it is taken back.

        An empty interval touches no bar; the entry stays, and says why.
        """
        left = finding.volume
        for gap in self.ledger.find(
            contract_id=finding.contract_id,
            causes=[GapCause.MISSING_PRINTS],
            from_ns=finding.from_ns,
            to_ns=finding.to_ns,
        ):
            missing = gap.missing_volume or 0
            if not 0 < missing <= left:
                continue
            left -= missing
            note = "its prints came late, or were not missing"
            self._feed.know(
                [msgspec.structs.replace(gap, to_ns=gap.from_ns, missing_volume=0, note=note)]
            )

    def _note_verdict(self, verdict: AuditVerdict) -> None:
        """While a steady share of a contract is never printed, no bar of it is complete.

        One entry says so until it is printed again: one for every loss would be without an end, and
        what history would be asked for as well. It lasts, so nothing asks for it meanwhile.
        """
        contract_id = verdict.contract_id
        if verdict.state is not AuditState.INCOMPLETE:
            gap = self._incomplete.pop(contract_id, None)
            if gap is not None:
                to_ns = max(verdict.ts_ns, gap.from_ns or 0) + 1
                self._feed.know([msgspec.structs.replace(gap, to_ns=to_ns)])
        elif contract_id in self._followed and contract_id not in self._incomplete:
            evidence = (
                f"a steady share of the quoted volume never came, {verdict.share:.1%} at first"
            )
            gap = self._new(contract_id, GapCause.MISSING_PRINTS, evidence)
            gap = msgspec.structs.replace(gap, from_ns=verdict.from_ns)
            self._incomplete[contract_id] = gap
            self._feed.know([gap])

    def _credit(self, start: Gap) -> None:
        """The bars that a start was warmed up with stand for what was missing before, too."""
        for gap in healed_by(start, self.ledger, self._own_id, self._resumed):
            if gap.gap_id in self._resumed:
                self._feed.know([gap])  # it touches bars of this process
            else:
                self._keep(gap)

    def _recaused(self, known: _Interval, now: Uncovered) -> _Interval:
        """An interval as it is now; it may last for another reason than it began for."""
        gap = known.gap
        if gap.cause is not now.cause:
            gap = msgspec.structs.replace(gap, cause=now.cause, evidence=now.why)
        return _Interval(gap, known.from_ns, now.to_ns)

    def _new(self, contract_id: str, cause: GapCause, evidence: str) -> Gap:
        gap = Gap(self._next_id, contract_id, cause, None, None, evidence, self._clock.now_ns())
        self._next_id += 1
        return gap

    def _place(self, interval: _Interval) -> None:
        """Put an interval on the exchange's clock, and tell of it."""
        exchange, gap = self._feed.exchange, interval.gap
        if exchange.latest_ns(self._clock.now_ns()) is None:
            self._wait(interval)
            return
        from_ns, to_ns = gap.from_ns, None
        if from_ns is None and interval.from_ns is not None:
            from_ns = (exchange.earliest_ns(interval.from_ns) or 0) - MARGIN_NS
        if interval.to_ns is not None:
            # Not empty, although the host's clock may have been set back meanwhile.
            to_ns = max(exchange.latest_ns(interval.to_ns) or 0, (from_ns or 0) + 1)
            if gap.cause is GapCause.START or gap.cause in ABSENCES:
                to_ns = self._beginning_ns(gap.contract_id, to_ns)
            settling = _Settling(gap.gap_id, interval.to_ns, to_ns, to_ns + SETTLE_NS)
            self._settling.append(settling)
        gap = msgspec.structs.replace(gap, from_ns=from_ns, to_ns=to_ns)
        spoilt = self._spoilt.get(gap.contract_id)
        if spoilt is not None and spoilt.gap_id == gap.gap_id:
            self._spoilt[gap.contract_id] = gap
        self._feed.know([gap])

    def _wait(self, interval: _Interval) -> None:
        """Keep an interval until there is a first trade; of too many none is left out."""
        gap = interval.gap
        unplaced = [one for one in self._unplaced if one.gap.gap_id != gap.gap_id]
        self._unplaced = unplaced
        # What lasts waits in any case: there is one of each kind and contract.
        if len(unplaced) >= UNPLACED_MAX and interval.to_ns is not None:
            kind = _kind(gap)
            for place in range(len(unplaced) - 1, -1, -1):
                one = unplaced[place]
                if one.to_ns is not None and _kind(one.gap) == kind:
                    unplaced[place] = _both(one, interval)
                    self._log(
                        "gaps_joined",
                        level="warning",
                        contract=gap.contract_id,
                        gap=one.gap.gap_id,
                        joined=gap.gap_id,
                        reason=f"{UNPLACED_MAX:,} intervals wait for a first trade",
                    )
                    return
        unplaced.append(interval)

    def _beginning_ns(self, contract_id: str, to_ns: int) -> int:
        """Where a contract's data begin that was confirmed at `to_ns`, by the fastest print so far.

        The confirmation may have been faster, so that prints are lost which were made shortly
        behind `to_ns`. But nothing is missing behind a print that came.
        """
        came = (self._begun_ns.get(contract_id), self._traded_ns.get(contract_id))
        # What is older was under way when nobody wanted it.
        near = [ts_ns for ts_ns in came if ts_ns is not None and ts_ns >= to_ns - MARGIN_NS]
        return max(to_ns, min([*near, to_ns + MARGIN_NS]))

    def _settle(self) -> None:
        """Put ends anew where a delivery has shown since that all before it were late.

        As after a stall: an end would lie before the moment that it stands for, and prints that
        were lost behind it would be missing from bars that call themselves complete. While a
        backlog is worked off every delivery shows that, so from the second time on an end moves by
        twice what is known: a few entries tell of it, and not one for every delivery.
        """
        now_ns = self._clock.now_ns()
        while self._settling and now_ns - self._settling[0].host_ns > SETTLE_NS:
            self._settling.popleft()
        for place, one in enumerate(self._settling):
            late_ns = self._feed.exchange.latest_ns(one.host_ns) or 0
            gap = self.ledger.get(one.gap_id)
            if late_ns <= one.to_ns + MARGIN_NS or gap is None or gap.to_ns != one.to_ns:
                continue
            first_ns = one.most_ns - SETTLE_NS
            more_ns = late_ns - first_ns if one.to_ns > first_ns else 0
            to_ns = min(late_ns + more_ns, one.most_ns)
            if gap.cause is GapCause.START or gap.cause in ABSENCES:
                # Nothing is missing behind the first print, whatever those after it show.
                to_ns = min(to_ns, self._begun_ns.get(gap.contract_id, to_ns))
            if to_ns <= one.to_ns:
                continue
            self._settling[place] = msgspec.structs.replace(one, to_ns=to_ns)
            # Nothing is restored: what was had of the gateway's history may be part of a bar.
            self._feed.know([msgspec.structs.replace(gap, to_ns=to_ns, restored=())])

    def _keep(self, gap: Gap) -> None:
        """Write the last word on a gap into the ledger."""
        known = self.ledger.get(gap.gap_id)
        if known == gap:
            return
        self.ledger.put(gap)
        self._written.write(gap)
        is_good = gap.cause in _ORDERLY or gap.state is GapState.REPAIRED
        self._log(
            "gap",
            level="info" if is_good else "warning",
            gap=gap.gap_id,
            contract=gap.contract_id,
            cause=gap.cause.value,
            state=gap.state.value,
            reason=gap.note or gap.evidence,
            from_ns=gap.from_ns,
            to_ns=gap.to_ns,
        )

    def close(self) -> None:
        """Close the file; nothing is told afterwards. Safe to call twice."""
        self._written.close()


def _can_be_repaired(gap: Gap) -> bool:
    """Whether history may still stand for a part that has bounds, or for all of it."""
    bounded = any(from_ns is not None for from_ns, _ in gap.unrestored)
    return bounded or (gap.state is GapState.ENDED and not gap.note)


def _kind(gap: Gap) -> tuple[object, ...]:
    """Intervals of the same kind may be told as one: they touch the same bars in the same way."""
    if gap.cause in ABSENCES:
        return (gap.gap_id,)
    return (gap.contract_id, gap.cause is GapCause.START, gap.timeframes)


def _both(one: _Interval, other: _Interval) -> _Interval:
    """One interval that holds two of the same kind, both of which are over."""
    gap, begins, ends = one.gap, (one.from_ns, other.from_ns), (one.to_ns, other.to_ns)
    if not gap.evidence.endswith(_JOINED):
        gap = msgspec.structs.replace(gap, evidence=gap.evidence + _JOINED)
    known = [begin_ns for begin_ns in begins if begin_ns is not None]
    from_ns = min(known) if len(known) == len(begins) else None
    return _Interval(gap, from_ns, max(end_ns for end_ns in ends if end_ns is not None))


def _trades_of(interval: Uncovered) -> list[str]:
    """The contracts whose trades were not covered."""
    return [str(call.arguments[0]) for call in interval.calls if call.target == TRADES]
