"""Tapekeeper holds a realtime futures feed and turns every print into bars that are true."""

from tapekeeper.app.config import Config, load_config
from tapekeeper.app.tape import Tape, TapeStatus
from tapekeeper.errors import TapekeeperError
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.tick import Quote, Trade
from tapekeeper.model.timeframe import Timeframe

__all__ = [
    "Bar",
    "BarState",
    "Config",
    "Instrument",
    "Quote",
    "Tape",
    "TapeStatus",
    "TapekeeperError",
    "Timeframe",
    "Trade",
    "load_config",
]
