"""What a run writes into its journal, and how a journal becomes a run again.

Everything that can change a bar is an entry: frames, connections that begin, go on by another
transport and end, subscriptions, prints let back in by command, and the moments at which a timer
closed bars. `Rerun` feeds
entries to a pipeline in their order through the same session and stages as live, which is why its
bars are equal byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

from tapekeeper.core.bars import BarPolicy
from tapekeeper.core.calendar import Calendar, CalendarSpec
from tapekeeper.core.journal import Entry, EntryKind, Position
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.signalr.protocol import JSON, HubProtocol, protocol_by_name
from tapekeeper.core.signalr.resume import ReceivePoint, Resume
from tapekeeper.core.signalr.session import Called, Garbled, Session
from tapekeeper.core.validate import LENIENT, RulePolicy
from tapekeeper.errors import UnreadableSourceError, UsageError
from tapekeeper.model.gap import ABSENCES, Gap, HistoryRows, Repair
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import BarSize, parse_size
from tapekeeper.model.tick import Trade

USER_HUB = "user"
MARKET_HUB = "market"

HANDSHAKE_ANSWER = b"{}\x1e"

CONNECTIONS_MAX = 64
"""Connections of the past that are read side by side; beyond it the one unused for longest goes.
More were never open at once, and what an ended one left unfinished is of no use."""

_LIMIT = struct.Struct("<q")
_READMIT = b'"readmit"'
_GAP = b'"kind":"gap"'
_CONTINUES = b'"kind":"continues"'
_NUMBERS = b'"kind":"numbers"'


class RecordedRules(RulePolicy, frozen=True):
    """Rules as they are recorded; those that were not there yet when they were are off."""

    quotes: bool = False


_LENIENT = RecordedRules(**msgspec.structs.asdict(LENIENT))


class SubscribeMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="subscribe"):
    """A subscription, with all it takes to make the same bars again.

    Journals of old name no rules, because there was no choice.
    """

    instrument: Instrument
    timeframes: tuple[str, ...]
    calendar: CalendarSpec
    depth: bool = False
    policy: BarPolicy = BarPolicy()
    rules: RecordedRules = _LENIENT


class UnsubscribeMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="unsubscribe"):
    """The end of a subscription."""

    contract_id: str


class ConnectedMeta(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="connected"
):
    """A connection that is open already, repeated for whoever has not seen it open.

    Unlike a CONNECT entry it changes nothing for a reader that knows the connection, whose
    unfinished record it would otherwise void.
    """

    line: int
    hub: str
    protocol: str = JSON.name


class DisconnectedMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="disconnected"):
    """A connection that has ended: nothing more comes by it.

    Journals of old have none, and a process that is killed writes none; whoever reads them goes
    on as if the connection were there, which costs a wait and no bar, and order books that
    seem to be whole still.
    """

    line: int


class CountedMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="counted"):
    """A connection counts its records, so that it can be resumed, and the count stands there.

    It follows the entry that says that the connection is open. For a reader that has counted
    itself it changes nothing.
    """

    line: int
    point: ReceivePoint


class ReattachedMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="reattached"):
    """A connection goes on by another transport: what the old one left unfinished is void."""

    line: int


class GapMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="gap"):
    """A gap, or the last word on one."""

    gap: Gap


class RepairMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="repair"):
    """What the gateway's history put in the place of a gap.

    Attributes:
        gap: as it is afterwards.
        until_ns: event time, ns UTC, that had certainly passed.
        history: by timeframe; open and end (ns UTC), open, high, low and close, volume.
    """

    gap: Gap
    until_ns: int
    history: tuple[HistoryRows, ...]


class ReadmitMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="readmit"):
    """A quarantined print is let in after all.

    Attributes:
        trade: the print. Its arrival number counts from the beginning of the journal of its
            run, of which a part may be gone: what else it holds says which print is meant.
        run: the run that the print is of, by the number of its first segment, where that is
            over; 0 means the run of this entry, at this place.
    """

    trade: Trade
    run: int = 0


class ContinuesMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="continues"):
    """The first entry of a run that goes on with the state in which the run before it ended.

    Whoever has that state goes on with it. Its connections are gone and its contracts are not
    followed until they are asked for again, but their bars, their gaps and the numbers of ticks
    go on. A run that begins without this entry begins with nothing.

    Attributes:
        since: number of the first segment that the state comes of.
        through: where the entries end that it comes of.
    """

    since: int
    through: Position


class NumbersMeta(msgspec.Struct, frozen=True, tag_field="kind", tag="numbers"):
    """The arrival number of the next tick.

    For a reader that has counted them itself it changes nothing. Others, and runs that begin with
    nothing, go on from it, so that no number is given twice.
    """

    next_seq: int


Meta = (
    SubscribeMeta
    | UnsubscribeMeta
    | ConnectedMeta
    | DisconnectedMeta
    | CountedMeta
    | ReattachedMeta
    | GapMeta
    | RepairMeta
    | ReadmitMeta
    | ContinuesMeta
    | NumbersMeta
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Meta).decode


def subscribe_entry(subscription: Subscription, now_ns: int) -> Entry:
    """The entry of a subscription made at host time `now_ns`."""
    meta = SubscribeMeta(
        subscription.instrument,
        tuple(str(timeframe) for timeframe in subscription.timeframes),
        subscription.calendar.spec,
        subscription.depth,
        subscription.policy,
        RecordedRules(**msgspec.structs.asdict(subscription.rules)),
    )
    return Entry(EntryKind.META, 0, now_ns, _encode(meta))


def unsubscribe_entry(contract_id: str, now_ns: int) -> Entry:
    """The entry of the end of a subscription at host time `now_ns`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(UnsubscribeMeta(contract_id)))


def readmit_entry(trade: Trade, now_ns: int, *, run: int = 0) -> Entry:
    """The entry of a quarantined print that is let in at host time `now_ns`; see `ReadmitMeta`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(ReadmitMeta(trade, run)))


def readmitted_later(entry: Entry) -> ReadmitMeta | None:
    """What an entry says of a run that was over when it was written."""
    if entry.kind is not EntryKind.META or _READMIT not in entry.payload:
        return None
    try:
        meta = _decode(entry.payload)
    except msgspec.DecodeError:
        return None
    return meta if isinstance(meta, ReadmitMeta) and meta.run else None


def continues_entry(since: int, through: Position, now_ns: int) -> Entry:
    """The entry of a run that goes on with the state of the one before; see `ContinuesMeta`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(ContinuesMeta(since, through)))


def continuation_told(entry: Entry) -> ContinuesMeta | None:
    """What an entry says of the state that its run began with."""
    if entry.kind is not EntryKind.META or _CONTINUES not in entry.payload:
        return None
    try:
        meta = _decode(entry.payload)
    except msgspec.DecodeError:
        return None
    return meta if isinstance(meta, ContinuesMeta) else None


def numbers_entry(next_seq: int, now_ns: int) -> Entry:
    """The entry of the arrival number of the next tick at host time `now_ns`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(NumbersMeta(next_seq)))


def number_told(entry: Entry) -> int | None:
    """The arrival number of the next tick, where an entry says it."""
    if entry.kind is not EntryKind.META or _NUMBERS not in entry.payload:
        return None
    try:
        meta = _decode(entry.payload)
    except msgspec.DecodeError:
        return None
    return meta.next_seq if isinstance(meta, NumbersMeta) else None


def absence_told(entry: Entry) -> Gap | None:
    """The time without a process that an entry tells of, or the last word on it."""
    if entry.kind is not EntryKind.META or _GAP not in entry.payload:
        return None
    try:
        meta = _decode(entry.payload)
    except msgspec.DecodeError:
        return None
    return meta.gap if isinstance(meta, GapMeta) and meta.gap.cause in ABSENCES else None


def ended_by(pipeline: Pipeline, absences: Iterable[Gap]) -> Iterator[Outputs]:
    """Tell a run that is over of the time behind it, as later runs told of it.

    What was forming when it ended lacks what came then, and it could not say so itself. History
    stands for nothing in it: what was filled in are bars of the later runs.
    """
    for gap in absences:
        last = pipeline.last_trade(gap.contract_id)
        if last is None or gap.from_ns is None or gap.from_ns > last.ts_event:
            continue
        if gap.to_ns is None or gap.to_ns > last.ts_event:
            yield pipeline.know_gap(msgspec.structs.replace(gap, restored=(), note=""))


def connected_entry(line: int, hub: str, now_ns: int, protocol: str = JSON.name) -> Entry:
    """The entry that repeats that connection `line` to `hub` is open."""
    return Entry(EntryKind.META, 0, now_ns, _encode(ConnectedMeta(line, hub, protocol)))


def connect_entry(line: int, hub: str, now_ns: int, protocol: str = JSON.name) -> Entry:
    """The entry of a new connection, numbered `line`, to `hub`.

    A protocol other than JSON, which alone there was once, stands behind the hub and a space.
    """
    text = hub if protocol == JSON.name else f"{hub} {protocol}"
    return Entry(EntryKind.CONNECT, line, now_ns, text.encode())


def disconnected_entry(line: int, now_ns: int) -> Entry:
    """The entry of the end of connection `line`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(DisconnectedMeta(line)))


def counted_entry(line: int, point: ReceivePoint, now_ns: int) -> Entry:
    """The entry that connection `line` counts its records, and where it stands."""
    return Entry(EntryKind.META, 0, now_ns, _encode(CountedMeta(line, point)))


def reattached_entry(line: int, now_ns: int) -> Entry:
    """The entry of another transport of connection `line`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(ReattachedMeta(line)))


def gap_entry(gap: Gap, now_ns: int) -> Entry:
    """The entry of a gap, written at host time `now_ns`."""
    return Entry(EntryKind.META, 0, now_ns, _encode(GapMeta(gap)))


def repair_entry(repair: Repair, now_ns: int) -> Entry:
    """The entry of a repair, made at host time `now_ns`."""
    meta = RepairMeta(repair.gap, repair.until_ns, repair.history)
    return Entry(EntryKind.META, 0, now_ns, _encode(meta))


def clock_entry(contract_id: str, limit_ns: int, now_ns: int) -> Entry:
    """The entry of a contract's bars closed up to exchange time `limit_ns` at host `now_ns`."""
    return Entry(EntryKind.CLOCK, 0, now_ns, _LIMIT.pack(limit_ns) + contract_id.encode())


class _Wire:
    """One connection of the past: its hub, and the session that reads its frames."""

    __slots__ = ("hub", "session")

    def __init__(
        self,
        hub: str,
        protocol: HubProtocol = JSON,
        *,
        answered: bool,
        point: ReceivePoint | None = None,
    ) -> None:
        self.hub = hub
        self.session = Session(
            protocol=protocol, resume=None if point is None else Resume(point=point)
        )
        self.session.start(0)
        if answered:
            self.session.receive(HANDSHAKE_ANSWER, 0)
        if point is not None and point.awaits:
            self.reattach()

    def reattach(self) -> None:
        """The frames from here on came by another transport."""
        self.session.interrupted("", 0)
        if not self.session.is_attached:
            self.session.reattached(0)


class Rerun:
    """Repeats a run from its entries.

    Args:
        pipeline: fresh; fed by nobody else.
        timeframes: made beside those the run was subscribed with, which stay: what was repaired
            of theirs is rolled up into these.
        pardons: prints that were let in when the run was over (`ReadmitMeta`). Each is let in as
            soon as it is quarantined, while its bars can be revised.

    Attributes:
        calendars: the session calendar of each contract that was subscribed, by its id.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        timeframes: tuple[BarSize, ...] = (),
        pardons: Iterable[Trade] = (),
    ) -> None:
        self._pipeline = pipeline
        self._timeframes = timeframes
        self._pardons = list(pardons)
        self._wires: dict[int, _Wire] = {}
        self.calendars: dict[str, Calendar] = {}

    def pardon(self, pardons: Iterable[Trade]) -> None:
        """Let these be let in, too, as soon as they are quarantined."""
        self._pardons.extend(pardons)

    def take(self, entry: Entry) -> Iterator[Outputs]:
        """Carry one entry through the pipeline; yields what came of it, in order.

        Raises:
            UnreadableSourceError: the entry's content is not what its kind says.
        """
        for outputs in self._take(entry):
            yield outputs
            if self._pardons and outputs.rejected:
                yield from self._let_in()

    def _let_in(self) -> Iterator[Outputs]:
        for trade in list(self._pardons):
            outputs = self._pipeline.readmit(trade)
            if outputs.readmitted:
                self._pardons.remove(trade)
            yield outputs

    def _take(self, entry: Entry) -> Iterator[Outputs]:
        if entry.kind is EntryKind.FRAME:
            yield from self._frame(entry)
        elif entry.kind is EntryKind.CLOCK:
            yield self._pipeline.close_due(*_limit_of(entry))
        elif entry.kind is EntryKind.CONNECT:
            hub, _, protocol = entry.payload.decode("utf-8", "replace").partition(" ")
            self._connected(entry.line, hub, protocol or JSON.name, entry.ts_ns)
        else:
            yield from self._meta(entry)

    def _connected(self, line: int, hub: str, protocol: str, ts_ns: int) -> None:
        self._wires.pop(line, None)
        try:
            spoken = protocol_by_name(protocol)
        except UsageError as error:
            raise UnreadableSourceError(
                f"the journal holds a connection that cannot be read: {error}"
            ) from error
        # A connection is recorded when its handshake has been answered.
        self._wires[line] = _Wire(hub, spoken, answered=True)
        if len(self._wires) > CONNECTIONS_MAX:
            del self._wires[next(iter(self._wires))]
        if hub != USER_HUB:
            self._pipeline.connected(line, ts_ns)

    def _resumable(self, meta: CountedMeta | ReattachedMeta) -> None:
        wire = self._wires.get(meta.line)
        if wire is None:
            return
        if isinstance(meta, ReattachedMeta):
            wire.reattach()
        elif wire.session.resume is None:
            self._wires[meta.line] = _Wire(
                wire.hub, wire.session.protocol, answered=True, point=meta.point
            )

    def _frame(self, entry: Entry) -> Iterator[Outputs]:
        wire = self._wires.pop(entry.line, None)
        if wire is None:
            # A bare capture of frames: its first record is the answer to the handshake.
            wire = _Wire(MARKET_HUB, answered=False)
        # Put in again, so that the first is the one unused for longest.
        self._wires[entry.line] = wire
        calls = []
        for event in wire.session.receive(entry.payload, 0):
            if isinstance(event, Called):
                calls.append(event.invocation)
            elif isinstance(event, Garbled):
                self._pipeline.take_garbled(event.raw, event.detail, entry.ts_ns)
        wire.session.outgoing()
        if wire.hub == USER_HUB:
            yield self._pipeline.take_user(calls, entry.ts_ns, entry.line)
        else:
            self._pipeline.take(calls, entry.ts_ns, entry.line)
        yield self._pipeline.step()

    def _disconnected(self, line: int) -> Iterator[Outputs]:
        wire = self._wires.pop(line, None)
        if wire is None or wire.hub != USER_HUB:
            yield self._pipeline.disconnected(line)

    def end_run(self) -> Iterator[Outputs]:
        """The process that wrote the entries so far is gone, and another one goes on."""
        # As where a process stops in order, and as at the end of a replay.
        yield self._pipeline.release()
        for line in list(self._wires):
            yield from self._disconnected(line)
        for contract_id in self._pipeline.followed():
            yield self._pipeline.unsubscribe(contract_id)
        self._pipeline.begin_process()

    def _of_contract(self, meta: UnsubscribeMeta | ReadmitMeta | GapMeta | RepairMeta) -> Outputs:
        if isinstance(meta, UnsubscribeMeta):
            return self._pipeline.unsubscribe(meta.contract_id)
        if isinstance(meta, ReadmitMeta):
            return Outputs() if meta.run else self._pipeline.readmit(meta.trade)
        if isinstance(meta, GapMeta):
            return self._pipeline.know_gap(meta.gap)
        repair = Repair(meta.gap, meta.until_ns, meta.history)
        return self._pipeline.repair(meta.gap, repair.bars(), meta.until_ns)

    def _meta(self, entry: Entry) -> Iterator[Outputs]:
        try:
            meta = _decode(entry.payload)
            if isinstance(meta, UnsubscribeMeta | ReadmitMeta | GapMeta | RepairMeta):
                yield self._of_contract(meta)
                return
            if isinstance(meta, ConnectedMeta):
                if meta.line not in self._wires:
                    self._connected(meta.line, meta.hub, meta.protocol, entry.ts_ns)
                return
            if isinstance(meta, DisconnectedMeta):
                yield from self._disconnected(meta.line)
                return
            if isinstance(meta, NumbersMeta):
                self._pipeline.number_from(meta.next_seq)
                return
            if isinstance(meta, ContinuesMeta):
                yield from self.end_run()
                return
            if isinstance(meta, CountedMeta | ReattachedMeta):
                self._resumable(meta)
                return
            recorded = map(parse_size, meta.timeframes)
            timeframes = tuple(dict.fromkeys([*recorded, *self._timeframes]))
            calendar = Calendar(meta.calendar)
            rules = RulePolicy(**msgspec.structs.asdict(meta.rules))
        except (msgspec.DecodeError, UsageError) as error:
            raise UnreadableSourceError(
                f"the journal holds an entry that cannot be read: {error}"
            ) from error
        self.calendars[meta.instrument.contract_id] = calendar
        self._pipeline.subscribe(
            Subscription(meta.instrument, timeframes, calendar, meta.depth, meta.policy, rules)
        )


def _limit_of(entry: Entry) -> tuple[str, int]:
    try:
        limit_ns: int = _LIMIT.unpack_from(entry.payload)[0]
        return entry.payload[_LIMIT.size :].decode(), limit_ns
    except (struct.error, UnicodeDecodeError) as error:
        raise UnreadableSourceError(
            "the journal holds a timer entry that cannot be read"
        ) from error
