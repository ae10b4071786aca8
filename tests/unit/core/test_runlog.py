"""What a run writes into its journal, and what a journal repeats."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable

import msgspec
import pytest
from msgspec.msgpack import Ext

from tapekeeper.core.calendar import Calendar, CalendarSpec, calendar_by_name
from tapekeeper.core.journal import Entry, EntryKind, Position
from tapekeeper.core.pipeline import Pipeline, Subscription
from tapekeeper.core.runlog import (
    CONNECTIONS_MAX,
    MARKET_HUB,
    USER_HUB,
    Rerun,
    clock_entry,
    connect_entry,
    connected_entry,
    continuation_told,
    continues_entry,
    disconnected_entry,
    number_told,
    numbers_entry,
    subscribe_entry,
    unsubscribe_entry,
)
from tapekeeper.core.signalr.protocol import MESSAGEPACK
from tapekeeper.core.signalr.records import encode_invocation
from tapekeeper.errors import UnreadableSourceError
from tapekeeper.model.bar import Bar
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.snapshot import TickCounts
from tapekeeper.model.timeframe import Timeframe

SECOND = 1_000_000_000
START = 1_767_625_200 * SECOND
MES = "CON.F.US.MES.H26"
SUBSCRIPTION = Subscription(
    Instrument(MES, "MESH6", tick_size=0.25, calendar="cme"),
    (Timeframe.parse("1s"), Timeframe.parse("1m")),
    calendar_by_name("cme"),
)


def trade(second: int) -> bytes:
    """A GatewayTrade record with one print."""
    stamp = f"2026-01-05T15:00:{second:02}Z"
    return encode_invocation(
        "GatewayTrade", [MES, [{"timestamp": stamp, "price": 6000.25, "volume": 1, "type": 0}]]
    )


def frame(data: bytes, line: int = 7, ts_ns: int = START) -> Entry:
    """One whole message."""
    return Entry(EntryKind.FRAME, line, ts_ns, data)


def rerun(*entries: Entry, timeframes: tuple[Timeframe, ...] = ()) -> Pipeline:
    """A pipeline after these entries."""
    pipeline = Pipeline(grace_ns=0)
    repeat = Rerun(pipeline, timeframes=timeframes)
    for entry in entries:
        list(repeat.take(entry))
    return pipeline


def test_a_recorded_subscription_is_the_same_subscription() -> None:
    """Instrument, timeframes and the whole calendar come back, exceptions included."""
    pipeline = rerun(subscribe_entry(SUBSCRIPTION, START))
    assert pipeline.instruments() == [SUBSCRIPTION.instrument]
    assert pipeline.timeframes(MES) == SUBSCRIPTION.timeframes
    kept = json.loads(subscribe_entry(SUBSCRIPTION, START).payload)["calendar"]
    assert kept["exceptions"][0]["date"] == "2025-01-09"


# As it was written before calendars had breaks, earlier hours, versions and sources.
OLD_CALENDAR = """{"name":"cme","zone":"America/Chicago","open":"17:00","close":"16:00",
"weekdays":[0,1,2,3,4],"holidays":[{"name":"Independence Day","day":{"type":"fixed","month":7,
"day":4,"observed":"nearest","weekdays":[0,1,2,3,4,5,6]},"kind":null,"close":"","since":1,
"until":9999}],"exceptions":[{"date":"2025-01-09","kind":null,"close":"","open":"",
"trade_date":null,"reason":"mourning"}]}"""


def test_a_subscription_of_an_old_journal_is_read() -> None:
    """What calendars can say since has a default, and the old calendar stays what it was."""
    subscribed = json.loads(subscribe_entry(SUBSCRIPTION, START).payload)
    subscribed["calendar"] = json.loads(OLD_CALENDAR)
    old = Entry(EntryKind.META, 0, START, json.dumps(subscribed).encode())
    pipeline = rerun(
        old,
        connect_entry(7, MARKET_HUB, START),
        frame(trade(1)),
        clock_entry(MES, START + 3_600 * SECOND, START),
    )
    assert pipeline.timeframes(MES) == SUBSCRIPTION.timeframes
    spec = msgspec.json.decode(OLD_CALENDAR, type=CalendarSpec)
    assert (spec.breaks, spec.earlier, spec.version) == ((), (), "")
    assert Calendar(spec).session_on(dt.date(2025, 1, 9)) is None


def test_a_calendar_with_breaks_is_read_back() -> None:
    """A journal holds the whole calendar, whatever it is."""
    subscription = Subscription(
        SUBSCRIPTION.instrument, SUBSCRIPTION.timeframes, calendar_by_name("ose")
    )
    kept = json.loads(subscribe_entry(subscription, START).payload)["calendar"]
    assert msgspec.convert(kept, CalendarSpec, strict=False) == subscription.calendar.spec
    assert rerun(subscribe_entry(subscription, START)).timeframes(MES) == SUBSCRIPTION.timeframes


def test_other_timeframes_can_be_asked_of_an_old_run() -> None:
    """The frames are all there, so any timeframe can be made from them."""
    wanted = (Timeframe.parse("3s"),)
    pipeline = rerun(subscribe_entry(SUBSCRIPTION, START), timeframes=wanted)
    assert pipeline.timeframes(MES) == tuple(sorted({*wanted, *SUBSCRIPTION.timeframes}))


def test_a_process_that_goes_on_follows_nothing_by_itself() -> None:
    """Its bars and numbers go on; its connections, contracts and what was unfinished are gone."""
    begun = [subscribe_entry(SUBSCRIPTION, START), connect_entry(7, MARKET_HUB, START)]
    goes_on = [continues_entry(1, Position(1, 3), START), connect_entry(8, MARKET_HUB, START)]
    pipeline = rerun(*begun, frame(trade(0) + trade(1)[:30]), *goes_on, frame(trade(2), line=8))
    assert pipeline.followed() == []
    assert pipeline.reasons() == {"not_subscribed": 1}
    assert pipeline.next_seq == 2
    assert [bar.n for bar in pipeline.forming_all()] == [1, 1]
    again = rerun(
        *begun,
        frame(trade(0) + trade(1)[:30]),
        *goes_on,
        subscribe_entry(SUBSCRIPTION, START),
        frame(trade(2), line=8),
    )
    assert again.trade_counts() == TickCounts(received=2, accepted=2)
    assert [bar.n for bar in again.forming_all()] == [1, 2]


def test_the_number_of_the_next_tick_is_never_set_back() -> None:
    """Who has counted goes on; who has not begins with it."""
    assert rerun(numbers_entry(9, START)).next_seq == 9
    begun = [subscribe_entry(SUBSCRIPTION, START), connect_entry(7, MARKET_HUB, START)]
    assert rerun(*begun, frame(trade(0)), numbers_entry(0, START)).next_seq == 1
    assert number_told(numbers_entry(9, START)) == 9
    assert number_told(begun[0]) is None
    spoilt = Entry(EntryKind.META, 0, START, b'{"kind":"numbers","next_seq":')
    assert number_told(spoilt) is None
    assert continuation_told(Entry(EntryKind.META, 0, START, b'{"kind":"continues"')) is None


def test_a_new_connection_drops_what_the_old_one_left_unfinished() -> None:
    """A record that is cut off by a lost connection does not join the next one's first."""
    whole = trade(1)
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        frame(trade(0) + whole[:30]),
        connect_entry(8, MARKET_HUB, START),
        frame(whole, line=8, ts_ns=START + 2 * SECOND),
    )
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=2)


def test_records_split_over_frames_are_joined() -> None:
    """Where a message ends says nothing about where a record ends."""
    whole = trade(0)
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        frame(whole[:30]),
        frame(whole[30:]),
    )
    assert pipeline.trade_counts() == TickCounts(received=1, accepted=1)


def test_a_connection_says_what_it_speaks() -> None:
    """Frames of MessagePack are read as such, wherever a message ends, and beside JSON."""
    stamp = Ext(-1, (START // SECOND).to_bytes(4))
    prints = [{"Timestamp": stamp, "Price": "6000.25", "Volume": 1, "Type": 0}]
    packed = MESSAGEPACK.encode_invocation("GatewayTrade", [MES, prints])
    entries = [
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START, "messagepack"),
        connected_entry(7, MARKET_HUB, START, "messagepack"),
        frame(packed + packed[:9]),
        frame(packed[9:]),
    ]
    assert rerun(*entries).trade_counts() == TickCounts(received=2, accepted=2)
    # A later connection says for itself what it speaks.
    entries += [connect_entry(8, MARKET_HUB, START), frame(trade(1), line=8)]
    pipeline = rerun(*entries)
    pipeline.release()
    assert pipeline.trade_counts() == TickCounts(received=3, accepted=3)
    later = [entries[0], connected_entry(7, MARKET_HUB, START, "messagepack"), frame(packed)]
    assert rerun(*later).trade_counts() == TickCounts(received=1, accepted=1)


def test_entries_of_a_json_connection_are_what_they_always_were() -> None:
    """Journals of before there was another protocol are read, and are written alike."""
    assert connect_entry(7, MARKET_HUB, START).payload == b"market"
    assert json.loads(connected_entry(7, MARKET_HUB, START).payload) == {
        "kind": "connected",
        "line": 7,
        "hub": "market",
    }
    assert connect_entry(7, MARKET_HUB, START, "messagepack").payload == b"market messagepack"


@pytest.mark.parametrize("entry", [connect_entry, connected_entry])
def test_a_protocol_that_is_not_known_is_an_error(entry: Callable[..., Entry]) -> None:
    """A journal of a later version is not read wrongly."""
    with pytest.raises(UnreadableSourceError, match="no hub protocol 'bson'"):
        rerun(entry(7, MARKET_HUB, START, "bson"))


def test_a_bare_capture_begins_with_the_answer_to_the_handshake() -> None:
    """Frames without a recorded connection are a market capture from its first byte."""
    pipeline = rerun(subscribe_entry(SUBSCRIPTION, START), frame(b"{}\x1e" + trade(0), line=0))
    assert pipeline.trade_counts() == TickCounts(received=1, accepted=1)


def test_a_timer_closes_in_the_past_what_it_closed_then() -> None:
    """The recorded limit decides, not a clock."""
    pipeline = Pipeline(grace_ns=0)
    repeat = Rerun(pipeline)
    closed: list[Bar] = []
    for entry in (
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        frame(trade(0)),
        clock_entry(MES, START + SECOND, START),
    ):
        for outputs in repeat.take(entry):
            closed.extend(outputs.closed)
    assert [(bar.timeframe, bar.ts_open) for bar in closed] == [("1s", START)]


def test_user_frames_reach_no_bar() -> None:
    """A trade record on the user hub is not market data."""
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START), connect_entry(7, USER_HUB, START), frame(trade(0))
    )
    assert pipeline.trade_counts() == TickCounts()


def test_the_end_of_a_subscription_is_repeated_too() -> None:
    """After it the contract's ticks are quarantined as they were."""
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        unsubscribe_entry(MES, START),
        frame(trade(0)),
    )
    assert pipeline.reasons() == {"not_subscribed": 1}


def test_garbled_records_are_counted_again() -> None:
    """What was quarantined live is quarantined in the replay."""
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        frame(b"not json\x1e" + trade(0)),
    )
    assert pipeline.trade_counts() == TickCounts(received=2, accepted=1, quarantined=1)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(EntryKind.META, 0, START, b"{"),
        Entry(EntryKind.META, 0, START, b'{"kind":"other"}'),
        Entry(EntryKind.CLOCK, 0, START, b"123"),
    ],
)
def test_entries_that_cannot_be_read_are_named(entry: Entry) -> None:
    """A sentence, not a traceback of the decoder."""
    with pytest.raises(UnreadableSourceError, match="the journal holds a"):
        rerun(entry)


def test_two_connections_of_one_hub_are_read_side_by_side() -> None:
    """A record cut by a frame's end is finished by the same connection, whatever the other says."""
    whole = trade(1)
    pipeline = rerun(
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        connect_entry(8, MARKET_HUB, START),
        frame(trade(0) + whole[:30]),
        frame(whole, line=8, ts_ns=START + 2 * SECOND),
        frame(whole[30:], ts_ns=START + 2 * SECOND),
    )
    assert pipeline.trade_counts() == TickCounts(received=3, accepted=2, duplicate=1)
    assert [tally.line for tally in pipeline.line_tallies()] == [7, 8]


def test_nobody_waits_for_a_connection_whose_end_is_recorded() -> None:
    """A journal without that entry, of old or of a killed process, holds the print as it did."""
    entries = [
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        frame(trade(0)),
        connect_entry(8, MARKET_HUB, START + SECOND),
        frame(trade(1), line=8, ts_ns=START + SECOND),
    ]
    assert rerun(*entries).trade_counts() == TickCounts(received=1, accepted=1)
    entries.insert(3, disconnected_entry(7, START))
    assert rerun(*entries).trade_counts() == TickCounts(received=2, accepted=2)


def test_the_end_of_a_connection_of_the_user_hub_changes_no_tape() -> None:
    """Its number may be that of no line of the market."""
    entries = [
        subscribe_entry(SUBSCRIPTION, START),
        connect_entry(7, MARKET_HUB, START),
        connect_entry(8, USER_HUB, START),
        frame(trade(0)),
        disconnected_entry(8, START),
        frame(trade(1)),
    ]
    assert rerun(*entries).trade_counts() == TickCounts(received=2, accepted=2)


def test_connections_of_the_past_are_bounded() -> None:
    """The one unused for longest is forgotten, and what it left unfinished with it."""
    entries = [subscribe_entry(SUBSCRIPTION, START)]
    for line in range(CONNECTIONS_MAX + 1):
        entries += [connect_entry(line, MARKET_HUB, START), frame(trade(0)[:30], line=line)]
    entries.append(frame(trade(0)[30:], line=CONNECTIONS_MAX))
    assert rerun(*entries).trade_counts() == TickCounts(received=1, accepted=1)
    assert rerun(*entries, frame(trade(0)[30:], line=0)).trade_counts().accepted == 1


def test_a_subscription_to_depth_is_recorded_and_one_of_old_has_none() -> None:
    """Journals that were written before there was depth are read as ever."""
    wanted = subscribe_entry(
        Subscription(
            SUBSCRIPTION.instrument, SUBSCRIPTION.timeframes, SUBSCRIPTION.calendar, depth=True
        ),
        START,
    )
    contract_id = SUBSCRIPTION.instrument.contract_id
    assert rerun(wanted).follows_depth(contract_id)
    meta = json.loads(wanted.payload)
    del meta["depth"]
    of_old = rerun(Entry(EntryKind.META, 0, START, json.dumps(meta).encode()))
    assert not of_old.follows_depth(contract_id)
    assert of_old.timeframes(contract_id) == SUBSCRIPTION.timeframes
