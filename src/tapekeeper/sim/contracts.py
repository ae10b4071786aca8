"""The contracts of the simulated gateway: products, front months, search.

Product codes, month letters and the fuzzy search follow the gateway's reference: the code in
an id is not always the exchange's root (`ES` is `EP`), so it is looked up, never derived.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from decimal import Decimal

from tapekeeper.model.instrument import Instrument

MONTH_LETTERS = "FGHJKMNQUVXZ"
SEARCH_MAX = 20
"""Most contracts a search answers with."""

_QUARTERS = "HMUZ"
_ROLL_DAYS_BEFORE = 8
"""Index futures roll on the Thursday of the week before the third Friday."""


@dataclass(frozen=True, slots=True)
class Product:
    """One product.

    Attributes:
        root: the exchange's root, such as `ES`.
        code: the gateway's product code, such as `EP`.
        tick: tick size as decimal text, which gives prices their number of digits.
        tick_value: money per tick.
        start_ticks: price at which a synthetic market starts, in ticks.
        months: letters of the listed months.
    """

    root: str
    code: str
    description: str
    tick: str
    tick_value: float
    start_ticks: int
    months: str = _QUARTERS

    def price_text(self, ticks: int) -> str:
        """The price at `ticks` steps, exact, with the tick's number of decimals."""
        return str(Decimal(self.tick) * ticks)


PRODUCTS = {
    product.root: product
    for product in (
        Product("ES", "EP", "E-mini S&P 500", "0.25", 12.50, 24_000),
        Product("NQ", "ENQ", "E-mini NASDAQ-100", "0.25", 5.00, 84_000),
        Product("RTY", "RTY", "E-mini Russell 2000", "0.10", 5.00, 22_000),
        Product("YM", "YM", "E-mini Dow", "1", 5.00, 43_000),
        Product("MES", "MES", "Micro E-mini S&P 500", "0.25", 1.25, 24_000),
        Product("MNQ", "MNQ", "Micro E-mini NASDAQ-100", "0.25", 0.50, 84_000),
        Product("M2K", "M2K", "Micro E-mini Russell 2000", "0.10", 0.50, 22_000),
        Product("MYM", "MYM", "Micro E-mini Dow", "1", 0.50, 43_000),
        Product("GC", "GCE", "Gold", "0.10", 10.00, 26_500, "GJMQVZ"),
        Product("MGC", "MGC", "Micro Gold", "0.10", 1.00, 26_500, "GJMQVZ"),
        Product("SI", "SIE", "Silver", "0.005", 25.00, 6_200, "HKNUZ"),
        Product("CL", "CLE", "Crude Oil", "0.01", 10.00, 7_000, MONTH_LETTERS),
        Product("MCL", "MCLE", "Micro Crude Oil", "0.01", 1.00, 7_000, MONTH_LETTERS),
        Product("ZN", "TYA", "10-Year Note", "0.015625", 15.625, 7_040),
        Product("ZB", "USA", "30-Year Bond", "0.03125", 31.25, 3_800),
    )
}
"""By exchange root. Rates tick in binary fractions of a point, which decimals hold exactly."""

_DATED = re.compile(r"(?P<root>[A-Z0-9]{1,4}?)(?P<month>[FGHJKMNQUVXZ])(?P<year>[0-9]{1,2})")


def contract_id(code: str, month: str, year: int) -> str:
    """The gateway's id: `CON.F.US.<code>.<month letter><two-digit year>`."""
    return f"CON.F.US.{code}.{month}{year % 100:02d}"


def _last_day(year: int, month: int) -> dt.date:
    """The day after which a month's contract no longer leads: see `_ROLL_DAYS_BEFORE`."""
    first = dt.date(year, month, 1)
    third_friday = first + dt.timedelta(days=(4 - first.weekday()) % 7 + 14)
    return third_friday - dt.timedelta(days=_ROLL_DAYS_BEFORE)


def expiries(product: Product, day: dt.date, count: int) -> list[tuple[str, int]]:
    """The next `count` (month letter, year) of a product on a day, the front month first."""
    found: list[tuple[str, int]] = []
    year, month = day.year, day.month
    while len(found) < count:
        letter = MONTH_LETTERS[month - 1]
        if letter in product.months and day < _last_day(year, month):
            found.append((letter, year))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)  # noqa: PLR2004 - months
    return found


def listed(product: Product, day: dt.date) -> list[Instrument]:
    """The front contract of a product on a day and the one after it."""
    front, following = expiries(product, day, 2)
    return [
        _instrument(product, *front, active=True),
        _instrument(product, *following, active=False),
    ]


def _instrument(product: Product, letter: str, year: int, *, active: bool) -> Instrument:
    return Instrument(
        contract_id=contract_id(product.code, letter, year),
        name=f"{product.root}{letter}{year % 10}",
        symbol_id=f"F.US.{product.code}",
        description=f"{product.description}: {letter}{year}",
        tick_size=float(product.tick),
        tick_value=product.tick_value,
        active=active,
    )


def instrument_of_symbol(symbol: str, year: int, tick_size: float) -> Instrument:
    """The contract that a recorded symbol stands for.

    Args:
        symbol: such as `ESU4`; a symbol without a month and year keeps its text as the root.
        year: when it traded; a one-digit year means the first such year from then on.
        tick_size: used where the product is not in the table.
    """
    match = _DATED.fullmatch(symbol)
    if match is None or not match["root"]:
        return Instrument(f"CON.F.US.{symbol}", symbol, f"F.US.{symbol}", symbol, tick_size)
    digits = match["year"]
    span = 10 ** len(digits)
    full = year + (int(digits) - year) % span
    product = PRODUCTS.get(match["root"])
    if product is None:
        code = match["root"]
        product = Product(code, code, code, repr(tick_size), 0.0, 0)
    return _instrument(product, match["month"], full, active=True)


class ContractBook:
    """The contracts this gateway knows, by id."""

    def __init__(self) -> None:
        # bound: filled once at the start, from the configuration
        self._contracts: dict[str, Instrument] = {}

    def add(self, instrument: Instrument) -> None:
        """Add or replace a contract."""
        self._contracts[instrument.contract_id] = instrument

    def by_id(self, contract_id: str) -> Instrument | None:
        """The contract of this id."""
        return self._contracts.get(contract_id)

    def active(self) -> list[Instrument]:
        """The front contracts."""
        return [one for one in self._contracts.values() if one.active]

    def search(self, text: str) -> list[Instrument]:
        """At most `SEARCH_MAX` front contracts that contain `text` anywhere: fuzzy on purpose.

        `ES` finds MES as well as ES, because the real search does so, too.
        """
        needle = text.strip().lower()
        found = [
            one
            for one in self.active()
            if needle in one.name.lower()
            or needle in one.description.lower()
            or needle in one.contract_id.lower()
        ]
        return found[:SEARCH_MAX]
