"""What a person calls a contract is found at the gateway, with the calendar it trades by."""

from __future__ import annotations

import msgspec
import pytest

from tapekeeper.app.config_calendar import CalendarConfig
from tapekeeper.app.contracts import find_contract, guessed
from tapekeeper.errors import UnknownContractError
from tapekeeper.model.instrument import Instrument

MES = Instrument("CON.F.US.MES.Z26", "MESZ6")
BTC = Instrument("CON.F.US.BTCUSDT.Z26", "BTCUSDTZ6")
CALENDARS = CalendarConfig(by_product={"btcusdt": "24x7"})


class _Directory:
    """Two contracts, one of which the look-up by id does not know."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def search(self, text: str) -> list[Instrument]:
        self.asked.append(f"search {text}")
        return [MES, BTC]

    async def by_id(self, contract_id: str) -> Instrument | None:
        self.asked.append(f"by_id {contract_id}")
        return MES if contract_id == MES.contract_id else None


@pytest.mark.asyncio
async def test_a_name_is_searched_for() -> None:
    """The search is fuzzy, so the answer is filtered; the calendar is the default one."""
    directory = _Directory()
    found = await find_contract(directory, CALENDARS, "MES")
    assert (found.contract_id, found.calendar) == (MES.contract_id, "cme")
    assert directory.asked == ["search MES"]


@pytest.mark.asyncio
async def test_an_id_is_looked_up_first() -> None:
    """Expired contracts are found in this way only; one that is unknown so is searched for."""
    directory = _Directory()
    assert (await find_contract(directory, CALENDARS, MES.contract_id)).name == "MESZ6"
    found = await find_contract(directory, CALENDARS, BTC.contract_id)
    assert (found.name, found.calendar) == ("BTCUSDTZ6", "24x7")
    assert directory.asked == [
        f"by_id {MES.contract_id}",
        f"by_id {BTC.contract_id}",
        f"search {BTC.contract_id}",
    ]


@pytest.mark.asyncio
async def test_what_nothing_matches_is_said() -> None:
    """The sentence is that of the matcher."""
    with pytest.raises(UnknownContractError, match="NOPE"):
        await find_contract(_Directory(), CALENDARS, "NOPE")


@pytest.mark.parametrize(
    ("calendars", "product", "guesses"),
    [
        (CalendarConfig(), "mes", False),
        (CalendarConfig(), "BTCUSDT", True),
        (CALENDARS, "BTCUSDT", False),
        (CalendarConfig(default="24x7"), "BTCUSDT", False),
    ],
)
def test_a_calendar_that_nobody_named_is_a_guess(
    calendars: CalendarConfig, product: str, *, guesses: bool
) -> None:
    """The shipped table or the user names it; else the usual one is taken."""
    assert calendars.guesses(product) is guesses


def test_a_guess_is_one_clause() -> None:
    """It says of which product, what was taken, and how to name it."""
    said = guessed(msgspec.structs.replace(BTC, calendar="cme"))
    assert "the sessions of BTCUSDT are not known and taken to be those of cme" in said
    assert "[calendar.by_product]" in said
