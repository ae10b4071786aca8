"""The audits of all contracts, beside the bars.

Within a step prints and quotes come apart from each other; they are put in the order of their
arrival numbers again before they are judged, so that what is found does not depend on how the
arrivals were cut into steps. (Prints that the arbiter held back go on when it lets them: at most
some hundred ms of event time later, which is within the patience.)
"""

from __future__ import annotations

from bisect import bisect_left

from tapekeeper.core.audit.contract import ContractAudit, Sessions
from tapekeeper.model.audit import AuditFinding, AuditTally, AuditVerdict
from tapekeeper.model.tick import Quote, TradeBatch


class AuditStage:
    """Feeds each contract's audit, and gathers what they say."""

    def __init__(self) -> None:
        self._audits: dict[str, ContractAudit] = {}
        self._batches: dict[str, list[TradeBatch]] = {}
        self._quotes: dict[str, list[Quote]] = {}
        self._touched: set[str] = set()  # contracts about which a timer or an end said something

    # -- what comes in -----------------------------------------------------------------------

    def follow(self, contract_id: str, sessions: Sessions) -> None:
        """Audit a contract from now on; one that is audited already goes on as it is."""
        if contract_id not in self._audits:
            self._audits[contract_id] = ContractAudit(contract_id, sessions)

    def forget(self, contract_id: str) -> None:
        """Drop a contract, and what was not judged of it."""
        for known in (self._audits, self._batches, self._quotes):
            known.pop(contract_id, None)

    def take_trades(self, batch: TradeBatch) -> None:
        """Prints that were accepted; sequence numbers rise within the batch."""
        self._batches.setdefault(batch.contract_id, []).append(batch)

    def take_quote(self, quote: Quote) -> None:
        """A quote that was accepted, of whatever line."""
        self._quotes.setdefault(quote.contract_id, []).append(quote)

    def set_aside(self, contract_id: str, ts_ns: int | None, size: int | None) -> None:
        """A print was quarantined: see `ContractAudit.set_aside`.

        Args:
            contract_id: of which contract; "" if nobody can say, then it may be any.
            ts_ns: None where it is not known.
            size: the same.
        """
        audit = self._audits.get(contract_id)
        for each in self._audits.values() if not contract_id else [audit] if audit else []:
            each.set_aside(ts_ns, size)

    def passed(self, contract_id: str, ts_ns: int) -> None:
        """A timer says that a contract's event time has come to `ts_ns` (ns UTC)."""
        audit = self._audits.get(contract_id)
        if audit is not None:
            audit.passed(ts_ns)
            self._touched.add(contract_id)

    def end(self, contract_id: str | None = None) -> None:
        """Nothing more comes of a contract, or for None of any: say what is known by now."""
        for each in list(self._audits) if contract_id is None else [contract_id]:
            if each in self._audits:
                self._audits[each].end()
                self._touched.add(each)

    # -- what comes of it --------------------------------------------------------------------

    def collect(self) -> tuple[list[AuditFinding], list[AuditVerdict]]:
        """Judge what was taken since the last call: what was found, and which states changed."""
        batches, self._batches = self._batches, {}
        quotes, self._quotes = self._quotes, {}
        touched, self._touched = self._touched, set()
        findings: list[AuditFinding] = []
        verdicts: list[AuditVerdict] = []
        for contract_id in sorted(touched | batches.keys() | quotes.keys()):
            audit = self._audits.get(contract_id)
            if audit is None:
                continue
            _judge(audit, batches.get(contract_id, []), quotes.get(contract_id, []))
            findings += audit.findings
            verdicts += audit.verdicts
            audit.findings, audit.verdicts = [], []
        return findings, verdicts

    def tallies(self) -> tuple[AuditTally, ...]:
        """What the audit of every contract has come to, in order of subscription."""
        return tuple(audit.tally() for audit in self._audits.values())


def _judge(audit: ContractAudit, batches: list[TradeBatch], quotes: list[Quote]) -> None:
    """Hand prints and quotes of one contract over in the order of their arrival numbers."""
    at = 0
    quotes = sorted(quotes, key=lambda quote: quote.seq)
    for batch in batches:
        first, stop = 0, len(batch)
        while first < stop:
            upto = stop
            if at < len(quotes):
                upto = bisect_left(batch.seq, quotes[at].seq, first)
            if upto > first:
                audit.take_prints(batch.ts_event, batch.size, first, upto)
                first = upto
            if first < stop:
                audit.take_quote(quotes[at].ts_event, quotes[at].volume)
                at += 1
    for quote in quotes[at:]:
        audit.take_quote(quote.ts_event, quote.volume)
