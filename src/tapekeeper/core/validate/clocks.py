"""How far ahead of the exchange's clock a stamp is, although no two clocks agree.

Stamps are judged as prints arrive, before lines are merged: one that is years ahead would close
every bar, and would move the window within which the arbiter tells duplicates, so that good
prints of the next line would seem to be old.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from operator import sub

from tapekeeper.core.validate.policy import RulePolicy
from tapekeeper.core.validate.ticks import EARLIEST_NS, LATEST_NS
from tapekeeper.model.tick import Reason, Trade, TradeBatch

SKEW_WINDOW_NS = 3_600_000_000_000
"""The fastest delivery of the last one to two windows says by how much this clock is behind."""
FIRST_PRINTS = 32
"""Prints that show the difference before it is relied on."""

PENDING_MAX = 256
"""Pending prints; the oldest go first, and stay in quarantine."""

SPLIT_ABOVE = 512
"""Rows of a batch from which on it is judged in parts where it is doubtful as a whole."""

NEVER_NS = 1 << 80


class ClockTrack:
    """The least delay (receive minus event time) seen in the last windows; constant memory.

    Receive times before the year 2000 come from sources that know none; they teach nothing.
    No clock is read here: a replay has the receive times of the journal.

    Args:
        ahead_ns: by how much a stamp may be ahead; 0 switches the rule off.

    Attributes:
        start_ns, end_ns: receive times of the present window, the end excluded.
        fastest_ns: the least delay within it.
        ahead_ns: event minus receive time up to which a stamp is accepted now.
        waits: prints that have to be seen before that is relied on.
    """

    __slots__ = ("_allowed_ns", "_previous_ns", "ahead_ns", "end_ns", "fastest_ns", "start_ns",
                 "waits")  # fmt: skip

    def __init__(self, ahead_ns: int) -> None:
        self._allowed_ns = ahead_ns
        self._previous_ns = NEVER_NS
        # Before the first receive time that is known nothing is learned, and all is accepted.
        self.start_ns = -NEVER_NS
        self.end_ns = EARLIEST_NS if ahead_ns else NEVER_NS
        self.fastest_ns = -NEVER_NS
        self.ahead_ns = NEVER_NS
        self.waits = 0

    @property
    def is_known(self) -> bool:
        """Whether receive times are known, and the rule is on."""
        return self.fastest_ns != -NEVER_NS

    def turn_to(self, recv_ns: int) -> None:
        """Begin a new window, if this receive time (ns UTC) is beyond the present one."""
        if recv_ns < self.end_ns:
            return
        fresh = self.is_known and recv_ns - self.start_ns < 2 * SKEW_WINDOW_NS
        self._begin(recv_ns, self.fastest_ns if fresh else NEVER_NS, NEVER_NS)
        # After a long silence nothing is known of the clocks any more.
        self.waits = self.waits if fresh else FIRST_PRINTS
        self._allow()

    def restart(self, recv_ns: int, delay_ns: int) -> None:
        """Forget all, because one of the clocks was set."""
        self._begin(recv_ns, NEVER_NS, delay_ns)
        self.waits = 0
        self._allow()

    def _begin(self, recv_ns: int, previous_ns: int, fastest_ns: int) -> None:
        self.start_ns, self.end_ns = recv_ns, recv_ns + SKEW_WINDOW_NS
        self._previous_ns, self.fastest_ns = previous_ns, fastest_ns

    def learn(self, delay_ns: int) -> None:
        """A delivery was faster than any of this window."""
        self.fastest_ns = delay_ns
        self._allow()

    def count(self, prints: int) -> None:
        """So many prints were accepted of those that are waited for."""
        self.waits -= prints
        self._allow()

    def _allow(self) -> None:
        fastest_ns = min(self.fastest_ns, self._previous_ns)
        known = not self.waits and fastest_ns != NEVER_NS
        # A clock here that is ahead, and a backlog that is read, look the same: both make delays
        # long, and neither makes a stamp that is ahead of this clock as well a good one.
        self.ahead_ns = self._allowed_ns - min(fastest_ns, 0) if known else NEVER_NS


@dataclass(slots=True)
class Sifted:
    """What became of a batch of which not all rows passed as they are.

    Attributes:
        runs: what goes on, in order, each with the line that brought it.
        rejected: what was set aside, in order, each with its reason and a clause for a person.
        readmitted: prints that are in `runs` after all. Each was named as rejected before, be it
            in this batch.
    """

    runs: list[tuple[int, TradeBatch]] = field(default_factory=list)
    rejected: list[tuple[Trade, Reason, str]] = field(default_factory=list)
    readmitted: list[Trade] = field(default_factory=list)

    def go_on(self, line: int, trade: Trade) -> None:
        """Let a print go on."""
        if not self.runs or self.runs[-1][0] != line or self.runs[-1][1].seq[-1] > trade.seq:
            self.runs.append((line, TradeBatch(trade.contract_id)))
        self.runs[-1][1].append(
            trade.ts_event, trade.price, trade.size, trade.side, trade.ts_recv, trade.seq
        )


class StampRules:
    """Sets prints of one contract aside that are stamped too far ahead; constant memory.

    Such a print is *pending*: once enough prints, of more than one moment, are ahead by as much,
    a clock was set, and they are let in just in front of the one that confirmed them. As many
    ordinary prints in a row refute it.

    Args:
        policy: the thresholds.
    """

    __slots__ = ("_calm", "_clock", "_pending", "_policy")

    def __init__(self, policy: RulePolicy) -> None:
        self._policy = policy
        self._clock = ClockTrack(policy.ahead_ns)
        self._pending: deque[tuple[int, Trade]] = deque(maxlen=PENDING_MAX)  # with their lines
        self._calm = 0  # ordinary prints in a row since the last pending one

    def forgive(self, seq: int) -> None:
        """A print was let in by somebody else, so it is not pending any more."""
        self._keep([item for item in self._pending if item[1].seq != seq])

    def ended(self, line: int) -> None:
        """A line's connection has ended: what it brought cannot go its way any more."""
        self._keep([item for item in self._pending if item[0] != line])

    def _keep(self, items: list[tuple[int, Trade]]) -> None:
        self._pending.clear()
        self._pending.extend(items)

    def sift(self, line: int, batch: TradeBatch) -> Sifted | None:
        """Judge prints in the order of their arrival; None where all of them go on as they are.

        Args:
            line: which brought them.
            batch: of this contract, at least one row.
        """
        times, recvs, clock = batch.ts_event, batch.ts_recv, self._clock
        count, high_ns, recv_ns = len(times), times[0], recvs[0]
        last_recv_ns = recv_ns
        if count > 1:
            high_ns = max(times)
        if count == 1 or recvs.count(recv_ns) == count:  # prints of one frame
            fastest_ns = recv_ns - high_ns
        else:
            fastest_ns = min(map(sub, recvs, times))
            recv_ns, last_recv_ns = min(recvs), max(recvs)
        if (
            self._pending
            or high_ns >= LATEST_NS
            or -fastest_ns > clock.ahead_ns
            or recv_ns < clock.start_ns
            or last_recv_ns >= clock.end_ns
            or (clock.waits and count > clock.waits)
        ):
            if count > SPLIT_ABOVE:
                return self._halved(line, batch)
            return self._one_by_one(line, batch)
        if fastest_ns < clock.fastest_ns:
            clock.learn(fastest_ns)
        if clock.waits:
            clock.count(count)
        return None

    def _halved(self, line: int, batch: TradeBatch) -> Sifted | None:
        """Judge what is doubtful as a whole in two parts: a file's batch has a day of prints."""
        half = len(batch) // 2
        parts = [
            batch.without(set(range(half, len(batch)))),
            batch.without(set(range(half))),
        ]
        judged = [self.sift(line, part) for part in parts]
        if judged == [None, None]:
            return None
        whole = Sifted()
        for part, sifted in zip(parts, judged, strict=True):
            if sifted is None:
                whole.runs.append((line, part))
            else:
                whole.runs += sifted.runs
                whole.rejected += sifted.rejected
                whole.readmitted += sifted.readmitted
        return whole

    def _one_by_one(self, line: int, batch: TradeBatch) -> Sifted | None:
        sifted = Sifted()
        for row in range(len(batch)):
            self._sift_one(line, batch.row(row), sifted)
        return sifted if sifted.rejected or sifted.readmitted else None

    def _sift_one(self, line: int, trade: Trade, sifted: Sifted) -> None:
        clock = self._clock
        if trade.ts_event >= LATEST_NS or trade.ts_recv < EARLIEST_NS:
            # Refused by itself, or without a time of receipt: neither says anything of clocks.
            sifted.go_on(line, trade)
            return
        clock.turn_to(trade.ts_recv)
        over_ns = trade.ts_event - trade.ts_recv - clock.ahead_ns
        if over_ns <= 0:
            self._learn(trade)
            sifted.go_on(line, trade)
            if self._pending:
                self._calm += 1
                if self._calm >= self._policy.confirm:
                    self._pending.clear()
            return
        agreeing = [item for item in self._pending if self._agree(item[1], trade)]
        moments = {each.ts_event for _, each in agreeing} | {trade.ts_event}
        if len(agreeing) + 1 < self._policy.confirm or len(moments) < 2:  # noqa: PLR2004 - a word
            self._calm = 0
            self._pending.append((line, trade))
            detail = f"its stamp is {over_ns} ns further ahead than is allowed"
            sifted.rejected.append((trade, Reason.FUTURE, detail))
            return
        self._pending.clear()
        together = [*agreeing, (line, trade)]
        clock.restart(trade.ts_recv, min(_delay_ns(each) for _, each in together))
        sifted.readmitted += [each for _, each in agreeing]
        for of_line, each in together:
            sifted.go_on(of_line, each)

    def _learn(self, trade: Trade) -> None:
        delay_ns = _delay_ns(trade)
        if delay_ns < self._clock.fastest_ns:
            self._clock.learn(delay_ns)
        if self._clock.waits:
            self._clock.count(1)

    def _agree(self, one: Trade, other: Trade) -> bool:
        return abs(_delay_ns(one) - _delay_ns(other)) <= self._policy.ahead_ns


def _delay_ns(trade: Trade) -> int:
    return trade.ts_recv - trade.ts_event
