"""The audit of one contract: the growth of its quoted volume against the sizes of its prints.

A quote's `volume` counts the session. It is not known from where our prints count, so the
difference of the two, the *level*, is learned; in a feed that loses nothing it is constant. But
quotes and prints come by different ways, and a quote may be up to `slack` ahead of the prints
that it counts, or behind them. So each quote gives bounds and no number:

    lo = volume - printed up to (its time + slack)      the level is not lower
    hi = volume - printed up to (its time - slack)      the level is not higher

The known level is moved only as far as these bounds force it. Where it has to rise, volume was
quoted that nobody printed; where it has to fall, prints came that nobody quoted. Where nothing
was traded around a quote the bounds meet, so what is proven is soon exact; in a rush without a
pause of `slack` it stays a few prints short until there is one. In a feed that loses nothing no
bound is ever beyond the level, whatever is conflated, so there can be no false finding while the
slack is large enough. If it is not, a later quote takes the proof back; then nothing is reported
and the slack is doubled.

What teaches nothing: a quote whose volume is absent or has not changed (a sparse update does not
say that it still holds), one whose time is not behind what was compared, the first ones of a
session (volume starts anew) and of a subscription (what was printed before we listened), and a
volume that falls within a session, until the quotes after it agree.

A quote is compared when the contract's event time is so far beyond it that its prints have
arrived. A print that is later still lowers the level by its size: what had been found missing
has returned.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import msgspec

from tapekeeper.core.audit.prints import STEP_NS, PrintedVolume
from tapekeeper.core.audit.share import SteadyShare
from tapekeeper.model.audit import (
    AuditFinding,
    AuditKind,
    AuditState,
    AuditTally,
    AuditVerdict,
)
from tapekeeper.model.session import Session

SLACK_NS = 500_000_000
"""Quotes and trades of one gateway are seen some hundred ms apart, either way."""
SLACK_MAX_NS = 2_000_000_000
PATIENCE_NS = 1_500_000_000
"""How long prints may take, beyond the slack: the arbiter holds those of a joining line for 1 s."""
SETTLE_NS = 10_000_000_000
"""What is found within so long of each other is one finding."""
REPORT_NS = 40_000_000_000
"""And is reported this long after its first sign at the latest: within a minute of the loss."""
CALM_WITHIN_NS = 60_000_000_000
"""A proof that is better but older by more than this does not bound a finding."""
JUMP_NS = 600_000_000_000
"""A stamp that is further ahead than this moves time only when a second one agrees."""
SILENT_NS = 600_000_000_000
"""Without a comparison for so long nothing is known of a feed."""
SUPPORTS_MIN = 4
"""A first level is believed when so many quotes since it last rose have met it exactly, ..."""
CHECKS_MIN = 12
"""... among so many at least."""
FORCED_CHECKS, FORCED_NS = 100, 30_000_000_000
"""A feed that loses all the time never settles: after so many quotes and so long the largest
possible level is taken for the first one, so that whatever rises above it is proven."""
FALLS_MIN = 3
"""So many lower volumes in a row are a new count, fewer are out of order."""
EXCESS_SHARE, EXCESS_VOLUME = 0.25, 200
"""Of a systematically incomplete feed: so much more than the usual part of the volume is a
finding, where so many contracts were traded that chance does not make it."""
PENDING_MAX = 2_048
MARKS_MAX = 256


class Sessions(Protocol):
    """What is needed of a calendar."""

    def session_of(self, ts_ns: int, /) -> Session:
        """The session that opened last at or before `ts_ns` (ns UTC)."""
        ...


class _Spell(msgspec.Struct, frozen=True):
    """A difference that is being found out.

    Attributes:
        level: before it.
        quoted: volume at its beginning.
        from_ns, to_ns: where it lies so far.
        since_ns: time of the first quote that proved it.
        last_ns: of the latest one.
        confirmed: quotes that agreed with it.
    """

    level: int
    quoted: int
    from_ns: int
    to_ns: int
    since_ns: int
    last_ns: int
    confirmed: int = 0


class _Undo(msgspec.Struct, frozen=True):
    """What the latest quote changed, in case the next one shows it to have been nonsense."""

    level: int
    spell: _Spell | None
    volume: int
    met_ns: int
    calm_ns: int
    rise: int


class ContractAudit:
    """See the module's text.

    Args:
        contract_id: which.
        sessions: when volume starts anew.
    """

    def __init__(self, contract_id: str, sessions: Sessions) -> None:
        self._contract_id = contract_id
        self._sessions = sessions
        self._printed = PrintedVolume()
        self._share = SteadyShare()
        self._slack_ns = SLACK_NS
        self._now_ns = self._ahead_ns = 0
        self._since_ns = 0  # from here on all prints were listened to; 0 before the first
        self._seen: int | None = None  # the volume of the latest quote
        self._pending: deque[tuple[int, int]] = deque(maxlen=PENDING_MAX)  # time, volume
        self._session_ns = 0
        self._checked_ns = 0
        self._volume = 0
        self._falls = 0
        self._level: int | None = None
        self._established = False
        self._loose = False  # the level may be higher than the truth: it was taken by force
        self._supports = self._checks = 0
        self._based_ns = 0
        self._met_ns = self._calm_ns = 0  # latest quotes that met the level, see `_meet`
        self._credit = 0  # by how much the level may rise because it was lowered too far
        self._outstanding = 0  # reported as missing, and not returned
        self._spell: _Spell | None = None
        self._undo: _Undo | None = None
        # Prints of ours that were quarantined: time, and size where it is known.
        self._marks: deque[tuple[int, int | None]] = deque(maxlen=MARKS_MAX)
        self._tally = AuditTally(contract_id)
        self.findings: list[AuditFinding] = []
        """What was found since the caller last took it away."""
        self.verdicts: list[AuditVerdict] = []
        """The same of states."""

    # -- what comes in -----------------------------------------------------------------------

    def take_prints(self, times: list[int], sizes: list[int], first: int, stop: int) -> None:
        """Count accepted prints: rows [first, stop) of these columns, in order of arrival."""
        low_ns = high_ns = ts_ns = run = 0
        for row in range(first, stop):
            if low_ns <= times[row] < high_ns:
                run += sizes[row]
                continue
            if run:
                self._printed.add(ts_ns, run)
                run = 0
            ts_ns = times[row]
            if not self._reach(ts_ns):
                ts_ns = self._now_ns  # a wild stamp: it was printed about now
            if self._is_late(ts_ns):
                self._printed.add(ts_ns, sizes[row])
                self._late(ts_ns, sizes[row])
                low_ns = high_ns = 0
                continue
            low_ns = ts_ns // STEP_NS * STEP_NS
            high_ns = low_ns + STEP_NS
            run = sizes[row]
            if not self._since_ns:
                self._since_ns = ts_ns
        if run:
            self._printed.add(ts_ns, run)

    def take_quote(self, ts_ns: int, volume: int | None) -> None:
        """Note a quote with the merged volume that it leaves, or None."""
        if volume is None or volume == self._seen:
            return
        if not self._reach(ts_ns):
            return
        self._seen = volume
        pending = self._pending
        if ts_ns <= self._checked_ns or (pending and ts_ns < pending[-1][0]):
            return
        if pending and ts_ns < pending[-1][0] + STEP_NS:
            pending.pop()
        pending.append((ts_ns, volume))

    def set_aside(self, ts_ns: int | None, size: int | None) -> None:
        """A print was quarantined: what the quotes count of it is not the feed's loss.

        Args:
            ts_ns: its time (ns UTC), if that is to be trusted.
            size: contracts, if that is.
        """
        self._marks.append((self._now_ns if ts_ns is None else ts_ns, size))

    def passed(self, ts_ns: int) -> None:
        """A timer says that the contract's event time has come to `ts_ns`."""
        self._reach(ts_ns)

    def end(self) -> None:
        """Nothing more comes: report what has been proven and agreed with, early as it is.

        What was not compared yet stays so, because its prints need not have arrived.
        """
        if self._spell is not None and self._spell.confirmed:
            self._report()

    # -- what can be read --------------------------------------------------------------------

    def tally(self) -> AuditTally:
        """A frozen view."""
        return msgspec.structs.replace(
            self._tally,
            state=self._state(),
            share=self._share.share,
            checked_ns=self._checked_ns,
            slack_ms=self._slack_ns // 1_000_000,
        )

    def _state(self) -> AuditState:
        if not self._checked_ns or self._now_ns - self._checked_ns > SILENT_NS:
            return AuditState.UNKNOWN
        if self._share.share:
            return AuditState.INCOMPLETE
        return AuditState.COMPLETE if self._established else AuditState.UNKNOWN

    # -- time --------------------------------------------------------------------------------

    def _reach(self, ts_ns: int) -> bool:
        """Let event time go on to `ts_ns`; False if that stamp is not to be believed yet."""
        if ts_ns <= self._now_ns:
            return True
        is_far = self._now_ns and ts_ns > self._now_ns + JUMP_NS
        if is_far and abs(ts_ns - self._ahead_ns) > JUMP_NS:
            self._ahead_ns = ts_ns
            return False
        self._now_ns = ts_ns
        due_ns = ts_ns - PATIENCE_NS - self._slack_ns
        while self._pending and self._pending[0][0] <= due_ns:
            self._check(*self._pending.popleft())
        self._settle()
        return True

    def _settle(self) -> None:
        """Report what has been found out, when it is time."""
        spell = self._spell
        if spell is None:
            return
        settled = spell.confirmed and self._now_ns >= spell.last_ns + SETTLE_NS
        if settled or self._now_ns >= spell.since_ns + REPORT_NS:
            self._report()

    # -- comparing ---------------------------------------------------------------------------

    def _check(self, ts_ns: int, volume: int) -> None:
        session_ns = self._sessions.session_of(ts_ns).open_ns
        if session_ns != self._session_ns:
            self._session_ns = session_ns
            self._restart()
        elif volume < self._volume and not self._has_fallen(volume):
            return
        self._falls = 0
        growth = max(0, volume - self._volume) if self._level is not None else 0
        before, self._volume, self._checked_ns = self._volume, volume, ts_ns
        if not self._printed.reaches_back_to(ts_ns - self._slack_ns):
            return
        least, at, most = self._printed.up_to(ts_ns - self._slack_ns, ts_ns, ts_ns + self._slack_ns)
        lo, hi = volume - most, volume - least
        if not self._established:
            self._learn(ts_ns, lo, hi)
            return
        self._tally = msgspec.structs.replace(
            self._tally, quoted=self._tally.quoted + growth, checks=self._tally.checks + 1
        )
        self._compare(ts_ns, lo, hi, volume - at, before)
        if self._share.quoted(ts_ns, growth):
            self._tell(ts_ns)

    def _learn(self, ts_ns: int, lo: int, hi: int) -> None:
        """Find the first level: the largest lower bound, once it has been met again and again."""
        if not self._since_ns or ts_ns - self._slack_ns < self._since_ns:
            return
        if self._level is None:
            self._level, self._based_ns, self._checks = lo, ts_ns, 0
            self._supports = 0
        self._checks += 1
        if lo == self._level:
            self._supports += 1
        elif lo > self._level or hi < self._level:
            self._level = min(max(self._level, lo), hi)
            self._supports = int(self._level == lo)
        settled = self._supports >= SUPPORTS_MIN and self._checks >= CHECKS_MIN
        forced = self._checks >= FORCED_CHECKS and ts_ns >= self._based_ns + FORCED_NS
        if settled or forced:
            self._level = self._level if settled else hi
            self._established, self._loose = True, not settled
            self._met_ns = self._calm_ns = ts_ns
            self._supports = 0

    def _compare(self, ts_ns: int, lo: int, hi: int, at: int, before: int) -> None:
        """Move the level as far as the bounds force it; `before` is the volume quoted before."""
        level = self._level
        assert level is not None  # noqa: S101 - what is established has a level
        self._undo = None
        if lo > level:
            free = min(lo - level, self._credit)
            self._credit -= free
            if free and self._spell is not None:
                self._spell = msgspec.structs.replace(self._spell, level=self._spell.level + free)
            self._level = level + free
            if lo > self._level:
                self._shift(ts_ns, lo, before)
            self._supports = 0
            self._meet(ts_ns, lo, at)
            return
        if hi < level:
            self._take_back(ts_ns, lo, hi, before)
            return
        if lo == level:
            self._supports += 1
            if self._supports >= SUPPORTS_MIN:
                self._credit, self._loose = 0, False
        self._meet(ts_ns, lo, at)
        if self._spell is not None:
            self._spell = msgspec.structs.replace(self._spell, confirmed=self._spell.confirmed + 1)

    def _meet(self, ts_ns: int, lo: int, at: int) -> None:
        """Note that a quote is what the level says: so far nothing more is missing.

        Where prints went on after it, the same number may be a loss and prints of that size that
        it counts already, so that one without any after it is the better proof.
        """
        if at == self._level:
            self._met_ns = ts_ns
            if lo == at:
                self._calm_ns = ts_ns

    def _last_whole_ns(self) -> int:
        """Event time (ns UTC) up to which the level accounts for everything."""
        calm_ns, met_ns = self._calm_ns, self._met_ns
        return (calm_ns if met_ns - calm_ns <= CALM_WITHIN_NS else met_ns) - self._slack_ns

    def _shift(self, ts_ns: int, level: int, before: int) -> None:
        """The level has to be another one: a difference begins, or goes on."""
        old = self._level
        assert old is not None  # noqa: S101 - as in `_compare`
        self._undo = _Undo(old, self._spell, before, self._met_ns, self._calm_ns, level - old)
        spell = self._spell
        if spell is None:
            spell = _Spell(old, before, self._last_whole_ns(), ts_ns, since_ns=ts_ns, last_ns=ts_ns)
        else:
            spell = msgspec.structs.replace(spell, confirmed=spell.confirmed + 1)
        self._spell = msgspec.structs.replace(spell, to_ns=ts_ns + self._slack_ns, last_ns=ts_ns)
        self._level = level
        self._share.missed(level - old)

    def _take_back(self, ts_ns: int, lo: int, hi: int, before: int) -> None:
        """The level is lower than it was taken for."""
        self._supports = 0
        spell = self._spell
        if self._loose and spell is None:
            self._level = hi
            return
        base = None if spell is None else spell.level
        self._shift(ts_ns, hi if base is None else min(max(base, lo), hi), before)
        self._undo = None
        if base is not None and self._level == base:
            # Nothing was missing: a quote was further ahead of its prints than the slack.
            self._spell = None
            self._widen()

    def _has_fallen(self, volume: int) -> bool:
        """Whether a volume that is lower than the one before is to be compared."""
        undo = self._undo
        if undo is not None:
            # The one before was a jump that nobody confirmed, and is contradicted now.
            self._level, self._spell = undo.level, undo.spell
            self._volume, self._met_ns = undo.volume, undo.met_ns
            self._calm_ns = undo.calm_ns
            self._share.missed(-undo.rise)
            self._undo = None
            if volume >= self._volume:
                return True
        self._falls += 1
        if self._falls < FALLS_MIN:
            return False
        self._restart()
        return True

    def _restart(self) -> None:
        """The volume starts anew: report what is known, and learn the level again."""
        if self._spell is not None:
            self._report()
        self._level = self._undo = None
        self._established = False
        self._credit = self._outstanding = self._volume = self._falls = 0
        self._share.restart()

    # -- prints that are late ------------------------------------------------------------------

    def _is_late(self, ts_ns: int) -> bool:
        """Whether quotes have been compared that would have counted a print of this time."""
        return ts_ns <= self._checked_ns + self._slack_ns

    def _late(self, ts_ns: int, size: int) -> None:
        if self._level is None or not size:
            return
        self._level -= size
        if not self._established:
            return
        self._supports = 0
        self._undo = None
        spell = self._spell
        rest = size
        if spell is not None:
            found = max(0, self._level + size - spell.level)
            rest = size - min(size, found)
            self._share.missed(rest - size)
            self._spell = msgspec.structs.replace(spell, level=spell.level - rest)
            if 0 < found <= size:
                self._spell = None
        returned = min(rest, self._outstanding)
        if returned:
            self._outstanding -= returned
            self._share.missed(-returned)
            self._tally = msgspec.structs.replace(
                self._tally,
                missing=self._tally.missing - returned,
                returned=self._tally.returned + returned,
            )
            self._find(AuditKind.RETURNED, ts_ns, ts_ns, returned, 0)
        self._credit += rest - returned

    # -- what is said ------------------------------------------------------------------------

    def _report(self) -> None:
        """End the present spell, and say what it was."""
        spell, level = self._spell, self._level
        self._spell = self._undo = None
        if spell is None or level is None:
            return
        volume = level - spell.level
        quoted = max(0, self._volume - spell.quoted)
        if volume < 0:
            if not self._loose:
                self._report_surplus(spell, -volume, quoted)
            return
        ours = min(volume, self._set_aside_in(spell, volume))
        missing = volume - ours
        self._tally = msgspec.structs.replace(
            self._tally,
            missing=self._tally.missing + missing,
            quarantined=self._tally.quarantined + ours,
        )
        self._find(AuditKind.QUARANTINED, spell.from_ns, spell.to_ns, ours, quoted)
        self._outstanding += missing
        usual = self._share.share * quoted
        if self._share.share and (
            quoted < EXCESS_VOLUME or missing <= usual + EXCESS_SHARE * quoted
        ):
            return
        self._find(AuditKind.MISSING, spell.from_ns, spell.to_ns, missing - round(usual), quoted)

    def _report_surplus(self, spell: _Spell, volume: int, quoted: int) -> None:
        # After a loss was reported, a surplus shows rather that there had been none.
        returned = min(volume, self._outstanding)
        if returned:
            self._outstanding -= returned
            self._widen()
        self._tally = msgspec.structs.replace(
            self._tally,
            missing=self._tally.missing - returned,
            returned=self._tally.returned + returned,
            surplus=self._tally.surplus + volume - returned,
        )
        self._find(AuditKind.RETURNED, spell.from_ns, spell.to_ns, returned, quoted)
        self._find(AuditKind.SURPLUS, spell.from_ns, spell.to_ns, volume - returned, quoted)

    def _widen(self) -> None:
        self._slack_ns = min(2 * self._slack_ns, SLACK_MAX_NS)

    def _set_aside_in(self, spell: _Spell, volume: int) -> int:
        """How much of the volume of a spell our own quarantine explains."""
        inside = [each for each in self._marks if spell.from_ns <= each[0] <= spell.to_ns]
        for each in inside:
            self._marks.remove(each)
        return sum(volume if size is None else size for _, size in inside)

    def _find(self, kind: AuditKind, from_ns: int, to_ns: int, volume: int, quoted: int) -> None:
        if volume <= 0:
            return
        self._tally = msgspec.structs.replace(self._tally, findings=self._tally.findings + 1)
        self.findings.append(AuditFinding(self._contract_id, kind, from_ns, to_ns, volume, quoted))

    def _tell(self, ts_ns: int) -> None:
        share, from_ns = self._share.share, 0
        if share:
            from_ns = self._last_whole_ns() if self._spell is None else self._spell.from_ns
        self.verdicts.append(
            AuditVerdict(self._contract_id, ts_ns, self._state(), share, min(from_ns, ts_ns))
        )
