"""Which contract is the front one in which session."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from tapekeeper.core.calendar import Calendar
from tapekeeper.core.continuous.rules import Choice, Market, RollRule, SessionVolume, Situation
from tapekeeper.model.bar import Bar, Completeness
from tapekeeper.model.continuous import Expiring, Segment
from tapekeeper.model.measure import BarSize, Measure
from tapekeeper.model.session import Session


def traded(bar: Bar) -> bool:
    """Whether there was trading in a bar; a bar that repeats the last close has none."""
    return bar.completeness is not Completeness.QUIET and (bar.n > 0 or bar.volume > 0)


def session_volumes(
    daily: Iterable[Bar], calendar: Calendar
) -> dict[dt.date, dict[str, SessionVolume]]:
    """What each contract traded in each session, by session date and contract id.

    Args:
        daily: bars of `1d` of any contracts, those of a contract in order of time. Where two
            runs of a journal have one of a session each, both count; but the later one alone
            where it begins no later, because history has filled it in.
        calendar: of the product.
    """
    found: dict[dt.date, dict[str, SessionVolume]] = {}
    begun: dict[tuple[dt.date, str], int] = {}
    for bar in daily:
        if not traded(bar):
            continue
        date = calendar.session_of(bar.ts_open).date
        day = found.setdefault(date, {})
        key = date, bar.contract_id
        volume, first_ns = bar.volume, begun.get(key)
        if first_ns is not None and first_ns < bar.ts_first:
            volume += day[bar.contract_id].volume
        else:
            begun[key] = bar.ts_first
        day[bar.contract_id] = SessionVolume(volume, bar.completeness)
    return found


def segments_of(
    chain: Sequence[Expiring],
    days: Mapping[dt.date, Mapping[str, SessionVolume]],
    calendar: Calendar,
    rule: RollRule,
) -> list[Segment]:
    """The front contract of every session from the first with a print to the last one.

    What a segment is depends on sessions alone that were over when it began; and the first one on
    which contracts traded in the first session.

    Args:
        chain: the contracts by delivery month.
        days: as `session_volumes` gives them; contracts that are not in `chain` count for nothing.
        calendar: of the product.
        rule: decides.

    Raises:
        UsageError: the rule cannot be followed.
    """
    ids = {each.contract_id for each in chain}
    dates = sorted(date for date, day in days.items() if not ids.isdisjoint(day))
    if not dates:
        return []
    sessions = calendar.sessions(dates[0], dates[-1])
    market = Market(chain, calendar)
    begun: list[tuple[Session, Choice]] = []
    known: set[str] = set()  # those that traded in a session that is over
    for before, session in zip([None, *sessions], sessions, strict=False):
        today = days.get(session.date, {})
        if before is None:
            seen = [each for each in chain if each.contract_id in today]
            begun.append((session, rule.first(session, seen, market)))
        else:
            current = begun[-1][1].contract
            after = chain[chain.index(current) + 1 :]
            later = [each for each in after if each.contract_id in known]
            at = Situation(session, current, later, before, days.get(before.date, {}))
            choice = rule.later(at, market)
            if choice is not None:
                begun.append((session, choice))
        known |= today.keys()
    ends = [session.open_ns for session, _ in begun[1:]]
    return [
        Segment(choice.contract.contract_id, session.date, session.open_ns, end_ns, choice.reason)
        for (session, choice), end_ns in zip(begun, [*ends, None], strict=True)
    ]


def cut_ns(calendar: Calendar, timeframe: BarSize, roll_ns: int) -> int:
    """Where bars of a timeframe change hands at a roll, both ns UTC: the open of a bar.

    A bar that opened before the roll stays with the contract that was the front one then, and is
    made of its prints alone, to its end. Where all trading in it is after the roll it is the next
    contract's. Measured bars never lie over a session's open.
    """
    if isinstance(timeframe, Measure):
        return roll_ns
    interval = calendar.interval(timeframe, roll_ns)
    if calendar.open_time_ns(interval.start_ns, roll_ns) == 0:
        return interval.start_ns
    return interval.end_ns


def front_bars(
    segments: Sequence[Segment],
    bars: Mapping[str, Sequence[Bar]],
    timeframe: BarSize,
    calendar: Calendar,
) -> list[Bar]:
    """The bars of each segment's contract, in order of time; each interval has one contract's.

    Args:
        segments: in order of time.
        bars: by contract id, of one timeframe and in order of time.
        timeframe: theirs.
        calendar: of the product.
    """
    found: list[Bar] = []
    begin_ns: int | None = None
    for segment in segments:
        end_ns = None if segment.to_ns is None else cut_ns(calendar, timeframe, segment.to_ns)
        found += [
            bar
            for bar in bars.get(segment.contract_id, ())
            if (begin_ns is None or bar.ts_open >= begin_ns)
            and (end_ns is None or bar.ts_open < end_ns)
        ]
        begin_ns = end_ns
    return found
