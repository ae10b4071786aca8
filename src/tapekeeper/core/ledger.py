"""The list of all gaps: one entry per contract and interval, each with its last word.

A change of an entry is told as the whole entry again, so a file of the ledger is what was told in
its order, and reading it back is putting every line in. It is no part of the pipeline: what a gap
means for bars is in the journal as well, because a replay must not depend on a second file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tapekeeper.model.gap import Gap, GapCause, GapState

GAPS_MAX = 100_000
"""Gaps that are read back: a year with one every five minutes."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Gap).decode


class Ledger:
    """See the module's text.

    Args:
        gaps: what is known, in the order in which it was told.
        gaps_max: see `GAPS_MAX`.
    """

    def __init__(self, gaps: Iterable[Gap] = (), *, gaps_max: int = GAPS_MAX) -> None:
        self._gaps: dict[int, Gap] = {}
        self._gaps_max = gaps_max
        self._next_id = 1
        for gap in gaps:
            self.put(gap)

    @property
    def next_id(self) -> int:
        """The number of the next new gap."""
        return self._next_id

    def __len__(self) -> int:
        return len(self._gaps)

    def put(self, gap: Gap) -> None:
        """Take a gap, or the last word on one."""
        self._gaps[gap.gap_id] = gap
        self._next_id = max(self._next_id, gap.gap_id + 1)
        if len(self._gaps) > self._gaps_max:
            del self._gaps[next(iter(self._gaps))]

    def get(self, gap_id: int) -> Gap | None:
        """The last word on a gap."""
        return self._gaps.get(gap_id)

    def find(
        self,
        *,
        contract_id: str | None = None,
        causes: Iterable[GapCause] = (),
        states: Iterable[GapState] = (),
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> list[Gap]:
        """The gaps that meet every condition that is given, by number.

        Args:
            contract_id: of this contract.
            causes: one of these.
            states: one of these.
            from_ns: ending after this event time, ns UTC.
            to_ns: beginning before this event time, ns UTC.
        """
        wanted_causes, wanted_states = frozenset(causes), frozenset(states)
        return [
            gap
            for gap in sorted(self._gaps.values(), key=lambda gap: gap.gap_id)
            if (contract_id is None or gap.contract_id == contract_id)
            and (not wanted_causes or gap.cause in wanted_causes)
            and (not wanted_states or gap.state in wanted_states)
            and (from_ns is None or gap.to_ns is None or gap.to_ns > from_ns)
            and (to_ns is None or gap.from_ns is None or gap.from_ns < to_ns)
        ]


def line_of(gap: Gap) -> bytes:
    """A gap as a line of the ledger's file."""
    return _encode(gap) + b"\n"


def gaps_in(data: bytes) -> Iterator[Gap | str]:
    """The gaps of a file in order; a line that cannot be read is a sentence instead.

    What follows the last line feed is what a crash left of a line, and is left out.
    """
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            yield _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield f"line {number} is no gap: {error}"
