"""Which contract a person means, as the gateway and the configuration know it."""

from __future__ import annotations

import msgspec

from tapekeeper.app.config_calendar import CalendarConfig
from tapekeeper.core.gateway.rest_payloads import match_contract
from tapekeeper.model.instrument import Instrument
from tapekeeper.ports import ContractDirectory


async def find_contract(
    directory: ContractDirectory, calendars: CalendarConfig, text: str
) -> Instrument:
    """The contract that `text` names, with its calendar.

    Raises:
        UnknownContractError: none, or more than one, matches.
        OutsideError: the gateway could not be asked.
    """
    found: list[Instrument] = []
    if text.count(".") > 1:
        by_id = await directory.by_id(text)
        found = [] if by_id is None else [by_id]
    if not found:
        found = await directory.search(text)
    instrument = match_contract(text, found)
    return msgspec.structs.replace(instrument, calendar=calendars.name_for(instrument.product))


def guessed(instrument: Instrument) -> str:
    """Why the calendar of a contract may be wrong, one clause for a person."""
    product = instrument.product
    return (
        f"the sessions of {product} are not known and taken to be those of {instrument.calendar}: "
        "name them under [calendar.by_product]"
    )
