"""The section of the configuration that says what a tick may be."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import Field

from tapekeeper.app.config_types import Count, Milliseconds, Seconds, Section
from tapekeeper.core.validate import SIZE_MAX, RulePolicy
from tapekeeper.model.instrument import Instrument

_T = TypeVar("_T")
ZeroSizes = Literal["accept", "quarantine"]

NEGATIVE_PRODUCTS = ("CL", "CLE", "MCL", "MCLE", "QM", "NQM")
"""Crude oil, by the exchange's symbols and the gateway's: it traded at -37.63 USD on 2020-04-20."""


class ProductRules(Section):
    """What differs for one product."""

    negative_prices: bool | None = Field(
        default=None, description="Whether its prices may be zero or negative.", examples=[True]
    )
    price_band: bool | None = Field(
        default=None, description="Whether it has a price band.", examples=[False]
    )
    band_ticks: float | None = Field(
        default=None, gt=0, le=1e9, description="As in [validation].", examples=[100.0]
    )
    band_percent: float | None = Field(
        default=None, ge=0, le=100, description="As in [validation].", examples=[1.0]
    )
    band_factor: float | None = Field(
        default=None, ge=1, le=1_000, description="As in [validation].", examples=[20.0]
    )
    max_size: Count | None = Field(
        default=None, ge=1, le=SIZE_MAX, description="As in [validation].", examples=[5_000]
    )
    zero_sizes: ZeroSizes | None = Field(
        default=None, description="As in [validation].", examples=["quarantine"]
    )


class ValidationConfig(Section):
    """Which ticks are set aside instead of being made into bars.

    Whatever is set aside is kept whole, counted by its reason, and can be let back in.
    """

    negative_products: tuple[str, ...] = Field(
        default=NEGATIVE_PRODUCTS,
        description="Products whose prices may be zero or negative, by the product segment of the "
        "contract id or the exchange's symbol.",
    )
    price_band: bool = Field(
        default=True,
        description="Set prints aside that are far from recent prices. They are let back in as "
        "soon as confirm_prints agree with each other. There is no band before prices are known, "
        "and after quiet_s without a print: at opens and after halts and gaps.",
    )
    band_ticks: float = Field(
        default=40.0, gt=0, le=1e9, description="Ticks that a print may always be away."
    )
    band_percent: float = Field(
        default=0.5, ge=0, le=100, description="Per cent of the price that it may always be away."
    )
    band_factor: float = Field(
        default=12.0,
        ge=1,
        le=1_000,
        description="So many times the range of recent prices it may be away, if that is more.",
    )
    quiet_s: Seconds = Field(
        default=60.0,
        description="Seconds of exchange time without a print after which the band is off until "
        "prices are known again.",
    )
    ahead_ms: Milliseconds = Field(
        default=10_000,
        description="Milliseconds by which a print may be stamped ahead of the exchange's clock, "
        "as it is known from the fastest deliveries of the last hours, whatever the clock here "
        "says. 0 switches the rule off.",
    )
    confirm_prints: Count = Field(
        default=3,
        ge=2,
        le=100,
        description="So many prints of more than one moment that agree make a jump of prices or "
        "of clocks real.",
    )
    max_size: Count = Field(
        default=SIZE_MAX, ge=1, le=SIZE_MAX, description="Largest size of a print, in contracts."
    )
    zero_sizes: ZeroSizes = Field(
        default="accept",
        description="What becomes of prints of size 0, which real feeds have: accept (they set "
        "prices and no volume) or quarantine.",
    )
    quotes: bool = Field(
        default=True,
        description="Judge quotes by the price band and by ahead_ms as well, compared with other "
        "quotes. A quote is set aside for as long as its state holds what is not believed, but for "
        "no more than quiet_s.",
    )
    by_product: dict[str, ProductRules] = Field(
        default_factory=dict,
        description="What differs for a product, by the product segment of the contract id or the "
        "exchange's symbol.",
    )

    def policy(self, instrument: Instrument) -> RulePolicy:
        """The rules of a contract."""
        names = {instrument.product.casefold(), instrument.root.casefold()}
        own = next(
            (rules for key, rules in self.by_product.items() if key.casefold() in names),
            ProductRules(),
        )
        negative = any(name.casefold() in names for name in self.negative_products)
        zero_sizes = own.zero_sizes or self.zero_sizes
        return RulePolicy(
            negative_prices=_first(own.negative_prices, negative),
            size_max=_first(own.max_size, self.max_size),
            zero_sizes=zero_sizes == "accept",
            band=_first(own.price_band, self.price_band),
            band_ticks=_first(own.band_ticks, self.band_ticks),
            band_percent=_first(own.band_percent, self.band_percent),
            band_factor=_first(own.band_factor, self.band_factor),
            quiet_ns=round(self.quiet_s * 1e9),
            ahead_ns=self.ahead_ms * 1_000_000,
            confirm=self.confirm_prints,
            quotes=self.quotes,
        )


def _first(own: _T | None, general: _T) -> _T:
    return general if own is None else own
