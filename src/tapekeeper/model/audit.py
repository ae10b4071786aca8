"""What the audit says of a feed: volume that was quoted and never printed, or the reverse."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class AuditKind(StrEnum):
    """What was found in an interval. The set is closed, so it may label a metric."""

    MISSING = "missing"  # the quotes counted volume of which no print came
    QUARANTINED = "quarantined"  # the same, of prints that came and were put into quarantine
    SURPLUS = "surplus"  # prints came that the quotes did not count
    RETURNED = "returned"  # what had been found missing came late, or was not missing after all


class AuditState(StrEnum):
    """What can be said of a contract's feed as a whole."""

    UNKNOWN = "unknown"  # no volume was quoted lately, or too little of it to start from
    COMPLETE = "complete"  # prints account for the volume, but for what findings tell
    INCOMPLETE = "incomplete"  # a steady share of the volume is never printed


class AuditFinding(msgspec.Struct, frozen=True, gc=False):
    """A difference between the quoted volume and the prints, and when it arose.

    Attributes:
        contract_id: of both.
        kind: see `AuditKind`.
        from_ns, to_ns: event time, ns UTC. It arose within: quotes at both ends prove it.
        volume: contracts, > 0; proven, so that it may be a little less than the truth.
        quoted: by how much the quoted volume grew in the interval, contracts.
    """

    contract_id: str
    kind: AuditKind
    from_ns: int
    to_ns: int
    volume: int
    quoted: int


class AuditVerdict(msgspec.Struct, frozen=True, gc=False):
    """A contract's feed is of another state from now on.

    Attributes:
        contract_id: which feed.
        ts_ns: event time, ns UTC.
        state: the new one.
        share: of `INCOMPLETE` the part of the volume that is missing, 0 to 1; else 0.
        from_ns: of `INCOMPLETE`: from this event time on (ns UTC) what is missing is part of that
            share, of which no finding tells; else 0.
    """

    contract_id: str
    ts_ns: int
    state: AuditState
    share: float = 0.0
    from_ns: int = 0


class AuditTally(msgspec.Struct, frozen=True):
    """What the audit of one contract has come to; volumes in contracts.

    Attributes:
        contract_id: which.
        state: see `AuditState`.
        share: as in `AuditVerdict`.
        quoted: growth of the quoted volume that was compared with prints.
        missing: of it, what was found to lack its prints, whether it was reported or is part of
            a steady share; what came late is not in it any more.
        quarantined: as in `AuditKind`.
        surplus, returned: as in `AuditKind`.
        findings: how many there were.
        checks: quotes that were compared.
        checked_ns: event time of the latest of them, ns UTC; 0 before the first.
        slack_ms: by how much quotes and prints may differ in time, as far as is known.
    """

    contract_id: str
    state: AuditState = AuditState.UNKNOWN
    share: float = 0.0
    quoted: int = 0
    missing: int = 0
    quarantined: int = 0
    surplus: int = 0
    returned: int = 0
    findings: int = 0
    checks: int = 0
    checked_ns: int = 0
    slack_ms: int = 0
