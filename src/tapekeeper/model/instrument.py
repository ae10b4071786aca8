"""Instruments: what the gateway calls a contract."""

from __future__ import annotations

import re

import msgspec

_DATED = re.compile(r"(?P<root>.+)[FGHJKMNQUVXZ][0-9]{1,2}")
"""A dated name: root, month letter (January to December), one or two digits of the year."""


class Instrument(msgspec.Struct, frozen=True):
    """One tradable contract.

    Attributes:
        contract_id: the gateway's id, `CON.F.US.<product>.<month letter><yy>`; the only key.
        name: the short name, such as `MESZ6`.
        symbol_id: the product root, such as `F.US.MES`; expiries share it, so it is no key.
        description: for people.
        tick_size: smallest price step in the contract's quotation; 0 means unknown.
        tick_value: money per tick and contract; 0 means unknown.
        active: whether it is the product's front contract.
        calendar: name of the session calendar, such as `cme` or `24x7`.
    """

    contract_id: str
    name: str
    symbol_id: str = ""
    description: str = ""
    tick_size: float = 0.0
    tick_value: float = 0.0
    active: bool = True
    calendar: str = "cme"

    @property
    def root(self) -> str:
        """The exchange's symbol: the name without its expiry (`ES` of `ESZ6`).

        It often differs from the gateway's product code (`EP`). It helps a person to name a
        contract and is never used to decide what data belongs to.
        """
        match = _DATED.fullmatch(self.name)
        return match["root"] if match else self.name

    @property
    def product(self) -> str:
        """The product segment of the id (`MES`), or the name where the id has no segments."""
        parts = self.contract_id.split(".")
        return parts[3] if len(parts) > 4 else self.name  # noqa: PLR2004 - CON.F.US.X.Z26
