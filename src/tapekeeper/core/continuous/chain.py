"""Which contracts a product has, in the order in which they expire."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence

from tapekeeper.errors import UnknownContractError
from tapekeeper.model.continuous import MONTH_LETTERS, Expiring
from tapekeeper.model.instrument import Instrument

_CODE = re.compile(rf".*?(?P<letter>[{MONTH_LETTERS}])(?P<year>[0-9]{{1,2}})")
_CENTURY = 2000  # no tape is older; ids have two digits of the year
_TWO_DIGITS = 2


def expiring(instrument: Instrument, seen: dt.date) -> Expiring | None:
    """The contract with its delivery month, or None where neither id nor name has one.

    Args:
        instrument: which; the last part of an id (`H26`) goes before the name (`MESH6`).
        seen: when it was first traded, as far as is known. A one-digit year is the first one
            from then on that ends with it.
    """
    *parts, code = instrument.contract_id.split(".")
    texts = ([code] if parts else []) + [instrument.name]
    for text in texts:
        match = _CODE.fullmatch(text.upper())
        if match is None:
            continue
        month = MONTH_LETTERS.index(match["letter"]) + 1
        year = _CENTURY + int(match["year"])
        if len(match["year"]) < _TWO_DIGITS:
            first = seen.year + (month < seen.month)
            year = first + (int(match["year"]) - first) % 10
        return Expiring(instrument.contract_id, instrument.name, year, month)
    return None


def contracts_of(product: str, instruments: Iterable[Instrument]) -> list[Instrument]:
    """The contracts of a product.

    Args:
        product: the exchange's symbol (`ES`), the gateway's code (`EP`) or the symbol id
            (`F.US.EP`), whatever the case.
        instruments: those to choose from.

    Raises:
        UnknownContractError: it names no product of these, or several.
    """
    known = list(instruments)
    wanted = product.strip().casefold()
    found = [
        item
        for item in known
        if wanted in {each.casefold() for each in (item.product, item.root, item.symbol_id)}
    ]
    if not wanted or not found:
        there = ", ".join(sorted({_said(item) for item in known})) or "none"
        raise UnknownContractError(
            f"no product is named {product!r}: name one without its expiry; there are {there}"
        )
    several = sorted({_said(item) for item in found})
    if len(several) > 1:
        raise UnknownContractError(f"{product!r} names several products: {', '.join(several)}")
    return found


def chain_of(
    product: str, instruments: Iterable[Instrument], seen: Mapping[str, dt.date]
) -> list[Expiring]:
    """The contracts of a product that have traded, by delivery month.

    Args:
        product: as for `contracts_of`.
        instruments: those to choose from.
        seen: the date of the first trade by contract id; one without has not traded.

    Raises:
        UnknownContractError: as `contracts_of`, or the product's contracts do not expire.
    """
    traded = [item for item in contracts_of(product, instruments) if item.contract_id in seen]
    dated = [expiring(item, seen[item.contract_id]) for item in traded]
    chain = [each for each in dated if each is not None]
    if traded and not chain:
        raise UnknownContractError(
            f"the contracts of {product!r} do not expire: a continuous series is made of "
            "contracts with a delivery month, such as CON.F.US.MES.H26"
        )
    return sorted(chain, key=lambda each: (each.year, each.month, each.contract_id))


def named(text: str, chain: Sequence[Expiring]) -> Expiring | None:
    """The contract that `text` names: by id, by name, or by its month (`H26` or `H6`)."""
    wanted = text.strip().casefold()
    for each in chain:
        code = each.code.casefold()
        short = f"{code[0]}{code[-1]}"
        if wanted in {each.contract_id.casefold(), each.name.casefold(), code, short}:
            return each
    return None


def names_a_month(text: str) -> bool:
    """Whether `text` can name a contract that expires, known or not."""
    return _CODE.fullmatch(text.strip().upper()) is not None


def _said(item: Instrument) -> str:
    """How a person names the product of a contract."""
    return item.product if len(item.contract_id.split(".")) > 1 else item.root
