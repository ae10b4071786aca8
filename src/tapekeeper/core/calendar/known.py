"""The calendars that are shipped, and which product has which."""

from __future__ import annotations

from types import MappingProxyType

from tapekeeper.core.calendar.cme import CME, CME_FX, COMEX, NYMEX
from tapekeeper.core.calendar.eurex import EUREX
from tapekeeper.core.calendar.osaka import OSE
from tapekeeper.core.calendar.spec import CalendarSpec

ALWAYS = CalendarSpec(
    name="24x7",
    version="2026.1",
    sources=("days of UTC, or with `24x7@ZONE` of that zone: 23 or 25 hours at a clock change",),
)
"""UTC days without a break."""

KNOWN = MappingProxyType(
    {spec.name: spec for spec in (CME, CME_FX, COMEX, NYMEX, EUREX, OSE, ALWAYS)}
)
"""By name; `24x7@ZONE` is one, too, for every IANA zone."""

DEFAULT_NAME = CME.name
"""The calendar of a product that is not in `BY_PRODUCT`."""

# Symbols of the exchanges, and behind them the gateway's product codes where they differ.
_PRODUCTS = {
    CME: "ES MES NQ MNQ RTY M2K YM MYM EMD NKD EP ENQ",
    CME_FX: (
        "6A 6B 6C 6E 6J 6M 6N 6S E7 J7 M6A M6B M6C M6E M6S MJY MCD MSF "
        "DA6 BP6 CA6 EU6 JY6 MX6 NE6 SF6 EEU"
    ),
    COMEX: "GC MGC QO SI SIL QI HG MHG QC PL PA GCE SIE CPE PLE PAE",
    NYMEX: "CL MCL QM NG MNG QG RB HO CLE MCLE NQM NGE NQG RBE HOE",
    EUREX: "FDAX FDXM FDXS FESX FSXE",
    OSE: "NK225 NK225M TOPIX",
}

BY_PRODUCT = MappingProxyType(
    {product: spec.name for spec, products in _PRODUCTS.items() for product in products.split()}
)
"""The name of the calendar by the product's code, in capitals."""


def known_spec(name: str) -> CalendarSpec | None:
    """The shipped calendar of this name, or None.

    Raises:
        ConfigError: it is `24x7@ZONE`, and there is no such zone.
    """
    base, at, zone = name.partition("@")
    if at and base == ALWAYS.name:
        return CalendarSpec(name=name, zone=zone, version=ALWAYS.version, sources=ALWAYS.sources)
    return KNOWN.get(name)


def calendar_of_product(product: str) -> str:
    """The name of the calendar of a product, which is read without regard to case."""
    return BY_PRODUCT.get(product.upper(), DEFAULT_NAME)
