"""What is wanted of one contract, and the state that the pipeline keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tapekeeper.core.bars import AllBars, BarPolicy, ContractBars, MeasuredBars
from tapekeeper.core.calendar import Calendar
from tapekeeper.core.validate import RulePolicy, StampRules, TradeRules
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, measures_of, require_measurable, timeframes_of
from tapekeeper.model.tick import Trade


class Subscription(msgspec.Struct, frozen=True):
    """What is wanted of one contract; `depth` says whether its order book is, too."""

    instrument: Instrument
    timeframes: tuple[BarSize, ...]
    calendar: Calendar
    depth: bool = False
    policy: BarPolicy = BarPolicy()
    rules: RulePolicy = RulePolicy()


@dataclass(slots=True)
class Contract:
    """The state of one contract; owned by the pipeline alone."""

    instrument: Instrument
    bars: ContractBars | AllBars
    calendar: Calendar
    bar_policy: BarPolicy
    policy: RulePolicy
    stamps: StampRules
    rules: TradeRules
    depth: bool = False
    subscribed: bool = True
    accepted_volume: int = 0
    last: Trade | None = None
    traded_ns: int = 0  # when `last` was processed, monotonic
    held_ns: int | None = None  # since when the arbiter holds prints back, monotonic
    is_of_before: bool = False  # whether no process has asked for it but one that is gone

    @classmethod
    def of(cls, subscription: Subscription) -> Contract:
        """A contract of which nothing has come.

        Raises:
            UsageError: one of its measures cannot be had of it.
        """
        instrument, calendar = subscription.instrument, subscription.calendar
        policy = subscription.policy
        contract = cls(
            instrument,
            ContractBars(instrument.contract_id, (), calendar, policy=policy),
            calendar,
            policy,
            subscription.rules,
            StampRules(subscription.rules),
            TradeRules(instrument.tick_size, subscription.rules),
            subscription.depth,
        )
        contract.add(subscription.timeframes)
        return contract

    def is_outdated_by(self, subscription: Subscription) -> bool:
        """Whether a process wants it otherwise than the one before did, so that it begins anew.

        Within a process the first who asks decides.
        """
        return self.is_of_before and (
            _measures(self.instrument),
            self.calendar.spec,
            self.bar_policy,
            self.policy,
        ) != (
            _measures(subscription.instrument),
            subscription.calendar.spec,
            subscription.policy,
            subscription.rules,
        )

    def add(self, sizes: tuple[BarSize, ...]) -> None:
        """Add bar sizes; those that are there already are left as they are.

        Raises:
            UsageError: one of them cannot be measured of this contract; none is added.
        """
        require_measurable(sizes, self.instrument)
        if isinstance(self.bars, ContractBars):
            if not measures_of(sizes):
                self.bars.add(timeframes_of(sizes), self.accepted_volume)
                return
            measured = MeasuredBars(
                self.instrument,
                self.calendar,
                self.bar_policy,
                self.bars.marks,
                self.bars.high_ns,
            )
            self.bars = AllBars(self.bars, measured)
        self.bars.add(sizes, self.accepted_volume)


def _measures(instrument: Instrument) -> tuple[str, float, float]:
    """What of an instrument bars depend on."""
    return instrument.symbol_id, instrument.tick_size, instrument.tick_value
