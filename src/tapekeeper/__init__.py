"""Tapekeeper holds a realtime futures feed and turns every print into bars that are true."""

import importlib
import typing

if typing.TYPE_CHECKING:
    from tapekeeper.app.archive.history import read_history
    from tapekeeper.app.config import Config, load_config
    from tapekeeper.app.continuous import Continuous, read_continuous
    from tapekeeper.app.tape import Tape
    from tapekeeper.app.tape_status import TapeStatus
    from tapekeeper.core.limits import LimitsChange
    from tapekeeper.errors import FellBehindError, TapekeeperError
    from tapekeeper.model.bar import Bar, BarState, Completeness
    from tapekeeper.model.continuous import Roll
    from tapekeeper.model.depth import BookSnapshot, DepthKind, DepthRow, DepthUpdate
    from tapekeeper.model.gap import Gap, GapCause, GapState, Span
    from tapekeeper.model.instrument import Instrument
    from tapekeeper.model.measure import Measure
    from tapekeeper.model.queue import Conflated, OnFull, QueueChange, QueuePolicy, Shed
    from tapekeeper.model.tick import Quote, Trade
    from tapekeeper.model.timeframe import Timeframe
    from tapekeeper.runtime.history import WarmUp
    from tapekeeper.runtime.line_values import Transition
    from tapekeeper.runtime.pool_values import HealthChange
    from tapekeeper.runtime.watch_values import StreamChange
else:
    # Each comes when it is asked for: importing everything takes most of a second, in which the
    # program could not yet answer Ctrl-C. Hidden from type checkers, to which any name would do.
    _HOMES = {
        "Bar": "tapekeeper.model.bar",
        "BarState": "tapekeeper.model.bar",
        "BookSnapshot": "tapekeeper.model.depth",
        "Completeness": "tapekeeper.model.bar",
        "Config": "tapekeeper.app.config",
        "Conflated": "tapekeeper.model.queue",
        "Continuous": "tapekeeper.app.continuous",
        "DepthKind": "tapekeeper.model.depth",
        "DepthRow": "tapekeeper.model.depth",
        "DepthUpdate": "tapekeeper.model.depth",
        "FellBehindError": "tapekeeper.errors",
        "Gap": "tapekeeper.model.gap",
        "GapCause": "tapekeeper.model.gap",
        "GapState": "tapekeeper.model.gap",
        "HealthChange": "tapekeeper.runtime.pool_values",
        "Instrument": "tapekeeper.model.instrument",
        "LimitsChange": "tapekeeper.core.limits",
        "Measure": "tapekeeper.model.measure",
        "OnFull": "tapekeeper.model.queue",
        "QueueChange": "tapekeeper.model.queue",
        "QueuePolicy": "tapekeeper.model.queue",
        "Quote": "tapekeeper.model.tick",
        "Roll": "tapekeeper.model.continuous",
        "Shed": "tapekeeper.model.queue",
        "Span": "tapekeeper.model.gap",
        "StreamChange": "tapekeeper.runtime.watch_values",
        "Tape": "tapekeeper.app.tape",
        "TapeStatus": "tapekeeper.app.tape_status",
        "TapekeeperError": "tapekeeper.errors",
        "Timeframe": "tapekeeper.model.timeframe",
        "Trade": "tapekeeper.model.tick",
        "Transition": "tapekeeper.runtime.line_values",
        "WarmUp": "tapekeeper.runtime.history",
        "load_config": "tapekeeper.app.config",
        "read_continuous": "tapekeeper.app.continuous",
        "read_history": "tapekeeper.app.archive.history",
    }

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(home), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Bar",
    "BarState",
    "BookSnapshot",
    "Completeness",
    "Config",
    "Conflated",
    "Continuous",
    "DepthKind",
    "DepthRow",
    "DepthUpdate",
    "FellBehindError",
    "Gap",
    "GapCause",
    "GapState",
    "HealthChange",
    "Instrument",
    "LimitsChange",
    "Measure",
    "OnFull",
    "QueueChange",
    "QueuePolicy",
    "Quote",
    "Roll",
    "Shed",
    "Span",
    "StreamChange",
    "Tape",
    "TapeStatus",
    "TapekeeperError",
    "Timeframe",
    "Trade",
    "Transition",
    "WarmUp",
    "load_config",
    "read_continuous",
    "read_history",
]
