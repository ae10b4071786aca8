"""The codes of sides that nobody knows, kept as evidence of the prints that they came with."""

from __future__ import annotations

from tapekeeper.model.tick import Trade

KEPT_EACH = 64
"""Prints of one contract of which the code is kept; of those that are flagged fewer are shown."""

TEXT_MAX = 40
"""Characters of a code: what is no number may be anything."""


class OddSides:
    """The latest codes by what names a print on every line that brings it; see `KEPT_EACH`."""

    __slots__ = ("_codes",)

    def __init__(self) -> None:
        # bound: contracts of which prints were decoded, each `KEPT_EACH`
        self._codes: dict[str, dict[tuple[int, float, int], int | str]] = {}

    def note(
        self, contract_id: str, ts_event: int, price: float, size: int, code: int | str | None
    ) -> None:
        """Keep the code of a print; none is nothing to keep."""
        if code is None:
            return
        codes = self._codes.setdefault(contract_id, {})
        codes.pop((ts_event, price, size), None)
        codes[ts_event, price, size] = code[:TEXT_MAX] if isinstance(code, str) else code
        if len(codes) > KEPT_EACH:
            del codes[next(iter(codes))]

    def of(self, trade: Trade) -> int | str | None:
        """The code of the latest print that equals `trade` in time, price and size."""
        codes = self._codes.get(trade.contract_id, {})
        return codes.get((trade.ts_event, trade.price, trade.size))
