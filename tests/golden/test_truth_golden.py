"""Every recorded print through the whole way of a tick, in five ways; the bars are the oracle's.

What comes in is bytes of connections: frames of records, read by one session per line, merged by
the arbiter, judged by the rules as they are shipped, folded into nine timeframes. Every column of
every bar is compared, the forming ones included. After each step the count identity and the numbers
of revisions are looked at, and nothing of the real data may be set aside, not even for a while.

Every set is taken whole in every way, but for the two that place a session of the gold set on
either side of a clock change: in order they are whole, and in the other ways they are the last four
hours before the weekend and the first four behind it, without the daily bars.

Three properties of the recordings are part of the rules. Order within a bar is (event time,
arrival), so whatever delays prints here keeps those of one stamp in their order. Real prints
repeat, so a line that begins within a stamp lacks prints that nobody could name: the line before
it lives until the stamp is over. And a line that brings a part of the prints only, as one that
repeats some does, is behind the other one.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl
import pytest

from tapekeeper.app.config_validation import ValidationConfig
from tapekeeper.core.bars import BarPolicy
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.core.pipeline import Outputs, Pipeline, Subscription
from tapekeeper.core.signalr.protocol import JSON
from tapekeeper.core.signalr.session import Called, Ended, Garbled, Session
from tapekeeper.model.bar import Bar, BarState
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.timeframe import Timeframe

pytestmark = pytest.mark.data

SETS = (
    "btcusdt_perp_2024-08-08",
    "esh2_2022-01-24_0830et",
    "esm4_2024-05-08_2s",
    "esu4_2024-07-01_utc_midnight",
    "gc_2013-10-07_08",
    "transplant_dst_2024-03_gc",
    "transplant_dst_2024-11_gc",
)
FILES = {
    **{name: name for name in ("1s", "5s", "15s", "1m", "5m", "15m", "1h")},
    "4h": "4h_session",
    "1d": "1d_session",
}
TIMEFRAMES = tuple(map(Timeframe.parse, FILES))
COLUMNS = (
    *("ts_open", "open", "high", "low", "close", "volume", "n"),
    *("buy_vol", "sell_vol", "ts_first", "ts_last"),
)
MS = 1_000_000
SECOND = 1_000_000_000
LATENESS_NS = 2 * SECOND
LATEST_NS = 50 * 60 * SECOND
"""How late a print is at most that comes after its bars were told: an hour would be too late."""
DELAY_MS_MAX = 500
"""By how much lines are apart; half of what the arbiter bears with a line that joins."""
DEATHS = 25


class Row(NamedTuple):
    """One recorded print, and the record that brings it."""

    ts_event: int
    ts_recv: int
    contract_id: str
    size: int
    record: bytes


class Quoted(NamedTuple):
    """One recorded quote, and the record that brings it."""

    ts_recv: int
    record: bytes


Kind = Literal["connect", "frame", "cut", "die"]


class Arrival(NamedTuple):
    """What happens at a line; sorted by time and then by the order in which it was made."""

    recv_ns: int
    number: int
    kind: Kind
    line: int
    row: int = -1


@dataclass(frozen=True)
class Recording:
    """One set: what is sent, in order of arrival, and what has to come of it."""

    name: str
    tick_size: float
    rows: list[Row]
    quotes: list[Quoted]
    oracle: dict[str, list[tuple[object, ...]]]

    def shortened(self) -> Recording:
        """The part that is taken in the ways that cost more; all of it, mostly."""
        if not self.name.startswith("transplant"):
            return self
        opens_ns = [int(str(row[1])) for row in self.oracle["4h"]]
        behind = max(range(1, len(opens_ns)), key=lambda at: opens_ns[at] - opens_ns[at - 1])
        begin_ns, end_ns = opens_ns[behind - 1], opens_ns[behind + 1]
        oracle = {
            name: [row for row in rows if begin_ns <= int(str(row[1])) < end_ns]
            for name, rows in self.oracle.items()
            if name != "1d"
        }
        rows = [row for row in self.rows if begin_ns <= row.ts_event < end_ns]
        return Recording(self.name, self.tick_size, rows, [], oracle)

    def random(self, way: str) -> random.Random:
        """The same in every run, and another one for each set and way."""
        return random.Random(f"{self.name} {way}")


def stamp(ts_ns: int, seconds: dict[int, str]) -> str:
    """ISO text with all nine digits."""
    whole, rest = divmod(ts_ns, SECOND)
    text = seconds.get(whole)
    if text is None:
        moment = pl.from_epoch(pl.Series([whole]), time_unit="s")[0]
        text = seconds[whole] = moment.isoformat()
    return f"{text}.{rest:09d}+00:00"


def contract_of(symbol: str) -> str:
    """A contract id for a recorded symbol."""
    return f"CON.F.US.{symbol}.Z99"


@pytest.fixture(scope="module", params=SETS)
def recording(request: pytest.FixtureRequest, shared_data: Path) -> Recording:
    """A set as records of the gateway, with its oracle."""
    folder = shared_data / str(request.param)
    trades = pl.read_parquet(folder / "trades.parquet").sort("seq", maintain_order=True)
    seconds: dict[int, str] = {}
    rows = [
        Row(
            ts_event,
            ts_recv,
            contract_of(symbol),
            size,
            (
                f'{{"type":1,"target":"GatewayTrade","arguments":["{contract_of(symbol)}",'
                f'[{{"symbolId":"F.US.{symbol}","price":{price!r},"timestamp":'
                f'"{stamp(ts_event, seconds)}","type":{side},"volume":{size}}}]]}}\x1e'
            ).encode(),
        )
        for ts_event, ts_recv, symbol, size, price, side in trades.select(
            "ts_event", "ts_recv", "symbol", "size", "price", "side"
        ).iter_rows()
    ]
    quotes = []
    if (folder / "quotes.parquet").exists():
        table = pl.read_parquet(folder / "quotes.parquet").sort("seq", maintain_order=True)
        quotes = [
            Quoted(
                ts_recv,
                (
                    f'{{"type":1,"target":"GatewayQuote","arguments":["{contract_of(symbol)}",'
                    f'{{"symbol":"F.US.{symbol}","bestBid":{bid!r},"bestAsk":{ask!r},'
                    f'"lastUpdated":"{stamp(ts_event, seconds)}"}}]}}\x1e'
                ).encode(),
            )
            for ts_event, ts_recv, symbol, bid, ask in table.select(
                "ts_event", "ts_recv", "symbol", "bid", "ask"
            ).iter_rows()
        ]
    oracle = {
        name: sorted(
            (contract_of(symbol), *columns)
            for symbol, *columns in pl.read_parquet(folder / f"bars_{file}.parquet")
            .select("symbol", *COLUMNS)
            .iter_rows()
        )
        for name, file in FILES.items()
    }
    tick_size = json.loads((folder / "meta.json").read_text())["tick_size"]
    return Recording(str(request.param), tick_size, rows, quotes, oracle)


@pytest.fixture(scope="module")
def part(recording: Recording) -> Recording:
    """What of a set is taken in the ways that cost more."""
    return recording.shortened()


@dataclass
class Run:
    """The pipeline behind its lines, and the last word on every bar."""

    recording: Recording
    lateness_ns: int = 0
    latest: dict[str, dict[tuple[str, int], Bar]] = field(
        default_factory=lambda: {name: {} for name in FILES}
    )
    revised: int = 0

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(grace_ns=0)
        self.calendar = calendar_by_name("cme")
        self.sessions: dict[int, Session] = {}
        self.contracts = list(dict.fromkeys(row.contract_id for row in self.recording.rows))
        for contract_id in self.contracts:
            name = contract_id.split(".")[3]
            instrument = Instrument(
                contract_id, name, f"F.US.{name}", tick_size=self.recording.tick_size
            )
            self.pipeline.subscribe(
                Subscription(
                    instrument,
                    TIMEFRAMES,
                    self.calendar,
                    policy=BarPolicy(lateness_ns=self.lateness_ns),
                    rules=ValidationConfig().policy(instrument),
                )
            )

    def connect(self, line: int, recv_ns: int) -> None:
        """A line's connection is made."""
        session = self.sessions[line] = Session(protocol=JSON)
        session.start(0)
        session.receive(b"{}\x1e", 0)
        self.pipeline.connected(line, recv_ns)

    def frame(self, line: int, data: bytes, recv_ns: int) -> None:
        """A line brings a frame."""
        calls = []
        for event in self.sessions[line].receive(data, 0):
            assert not isinstance(event, Garbled | Ended)
            if isinstance(event, Called):
                calls.append(event.invocation)
        self.pipeline.take(calls, recv_ns, line)

    def step(self) -> list[Bar]:
        """Process what came; the bars that were revised."""
        return self.note(self.pipeline.step())

    def die(self, line: int) -> None:
        """A line's connection has ended."""
        del self.sessions[line]
        self.step()
        self.note(self.pipeline.disconnected(line))

    def note(self, outputs: Outputs) -> list[Bar]:
        """Look at what came of a step."""
        assert outputs.rejected == []
        assert outputs.readmitted == []
        assert self.pipeline.trade_counts().holds
        assert self.pipeline.quote_counts().holds
        revised = []
        for bar in outputs.closed:
            bars = self.latest[bar.timeframe]
            key = bar.contract_id, bar.ts_open
            before = bars.get(key)
            if before is not None:
                assert bar.revision == before.revision + 1
            if bar.revision:
                assert bar.state is BarState.REVISED
                assert before is not None or bar.revision == 1
                revised.append(bar)
            bars[key] = bar
        self.revised += len(revised)
        return revised

    def finish(self, *, duplicates: int = 0) -> None:
        """Compare everything with the oracle, and look at the identities."""
        self.step()
        self.note(self.pipeline.release())
        rows = self.recording.rows
        counts = self.pipeline.trade_counts()
        assert counts.holds
        assert counts.received == len(rows) + duplicates
        assert (counts.accepted, counts.duplicate) == (len(rows), duplicates)
        assert self.pipeline.reasons() == {}
        sent: Counter[str] = Counter()
        for row in rows:
            sent[row.contract_id] += row.size
        for check in self.pipeline.checks():
            assert check.holds
            assert check.accepted_volume == sent[check.contract_id]
        forming = self.pipeline.forming_all()
        for name in FILES:
            bars = {**self.latest[name]}
            bars.update({(b.contract_id, b.ts_open): b for b in forming if b.timeframe == name})
            found = [
                (bar.contract_id, *(getattr(bar, column) for column in COLUMNS))
                for bar in bars.values()
            ]
            if name in self.recording.oracle:
                assert sorted(found) == self.recording.oracle[name], name
            volumes: Counter[str] = Counter()
            for bar in bars.values():
                volumes[bar.contract_id] += bar.volume
            assert volumes == sent

    def require_roll_up(self, revised: list[Bar]) -> None:
        """Every bar above a revised one is what the smaller bars within it make."""
        for contract_id, ts_open in {
            (bar.contract_id, bar.ts_open) for bar in revised if bar.timeframe == "1s"
        }:
            for small, large in pairwise(TIMEFRAMES):
                self._require_roll_up(contract_id, small, large, ts_open)

    def _require_roll_up(
        self, contract_id: str, small: Timeframe, large: Timeframe, ts_ns: int
    ) -> None:
        interval = self.calendar.interval(large, ts_ns)
        begin_ns, end_ns = interval.start_ns, interval.end_ns
        parts: list[Bar] = []
        forming = self.pipeline.forming(contract_id, small)
        whole = self.latest[str(large)].get((contract_id, begin_ns))
        is_over = whole is not None
        if whole is None:
            whole = self.pipeline.forming(contract_id, large)
        bars = self.latest[str(small)]
        for start_ns in range(begin_ns, end_ns, small.length_ns):
            part = bars.get((contract_id, start_ns))
            if part is None and forming is not None and not is_over:
                part = forming if forming.ts_open == start_ns else None
            if part is not None:
                parts.append(part)
        assert whole is not None
        assert (whole.ts_open, parts[0].open, parts[-1].close) == (
            begin_ns,
            whole.open,
            whole.close,
        )
        assert max(part.high for part in parts) == whole.high
        assert min(part.low for part in parts) == whole.low
        assert (parts[0].ts_first, parts[-1].ts_last) == (whole.ts_first, whole.ts_last)
        for name in ("volume", "n", "buy_vol", "sell_vol", "turnover_e9"):
            assert sum(getattr(part, name) for part in parts) == getattr(whole, name), name


def test_in_order(recording: Recording) -> None:
    """Record by record as they were received, quotes among them: nothing is ever revised."""
    run = Run(recording)
    run.connect(1, recording.rows[0].ts_recv)
    arrivals: list[tuple[int, bytes]] = [(row.ts_recv, row.record) for row in recording.rows]
    arrivals += [(quote.ts_recv, quote.record) for quote in recording.quotes]
    arrivals.sort(key=lambda each: each[0])
    for recv_ns, record in arrivals:
        run.frame(1, record, recv_ns)
        run.step()
    run.finish()
    assert run.revised == 0
    counts = run.pipeline.quote_counts()
    assert counts.received == counts.accepted == len(recording.quotes)


def delays(rows: list[Row], rng: random.Random, share: float, most_ns: int) -> list[int]:
    """When each row comes, where a share of the stamps is late by less than `most_ns`.

    Prints of one contract and stamp come together.
    """
    late: dict[tuple[str, int], int] = {}
    for row in rows:
        key = row.contract_id, row.ts_event
        if key not in late:
            late[key] = rng.randrange(most_ns) if rng.random() < share else 0
    return [row.ts_event + late[row.contract_id, row.ts_event] for row in rows]


def frames(places: list[int], rng: random.Random, most: int) -> Iterator[list[int]]:
    """Rows cut into frames of any number of records."""
    start = 0
    while start < len(places):
        stop = start + rng.randrange(1, most + 1)
        yield places[start:stop]
        start = stop


def test_shuffled_within_the_allowed_lateness(part: Recording) -> None:
    """Disorder by less than `bars.lateness_ms` makes the bars of a feed in order, all at once."""
    rng = part.random("shuffled")
    rows = part.rows
    run = Run(part, lateness_ns=LATENESS_NS)
    run.connect(1, rows[0].ts_event)
    came_ns = delays(rows, rng, 0.5, LATENESS_NS)
    places = sorted(range(len(rows)), key=came_ns.__getitem__)
    assert places != sorted(places) or len(rows) < 10
    for frame in frames(places, rng, 4):
        run.frame(1, b"".join(rows[place].record for place in frame), came_ns[frame[-1]])
        if rng.random() < 0.7:
            run.step()
    run.finish()
    assert run.revised == 0


def test_with_a_tenth_repeated_by_a_second_line(part: Recording) -> None:
    """What a second line says again makes no bar; what really was traded twice is there twice."""
    rng = part.random("repeated")
    rows = part.rows
    run = Run(part)
    arrivals = [Arrival(row.ts_event, place, "frame", 1, place) for place, row in enumerate(rows)]
    again = sorted(rng.sample(range(len(rows)), max(1, len(rows) // 10)))
    at_ns = 0
    for place in again:
        at_ns = max(at_ns, rows[place].ts_event + rng.randrange(DELAY_MS_MAX) * MS)
        arrivals.append(Arrival(at_ns, len(arrivals), "frame", 2, place))
    run.connect(1, rows[0].ts_event)
    run.connect(2, rows[0].ts_event)
    for arrival in sorted(arrivals):
        run.frame(arrival.line, rows[arrival.row].record, arrival.recv_ns)
        if rng.random() < 0.8:
            run.step()
    run.finish(duplicates=len(again))
    assert run.revised == 0


def lives(rows: list[Row], rng: random.Random) -> list[tuple[int, int]]:
    """First and last row of each line; each begins before the one before it dies.

    The stamp within which a line begins is over before the line before it dies. Where they die
    soon after each other many overlap.
    """
    ends = sorted(rng.sample(range(1, len(rows) - 1), min(DEATHS, len(rows) // 3)))
    spans = [(0, ends[0])]
    for last in [*ends[1:], len(rows) - 1]:
        before, died = spans[-1]
        first = max(before + 1, died - rng.choice((2, 10, 100, 1_000)))
        while first > before and rows[first].ts_event >= rows[died].ts_event:
            first -= 1
        if first > before:
            spans.append((first, last))
        else:
            spans[-1] = (before, last)  # one stamp is all that it has lived for: it goes on
    return spans


def of_lines(rows: list[Row], rng: random.Random) -> tuple[list[Arrival], int]:
    """All that happens at lines that die and are replaced, and how many prints come twice."""
    happens: list[Arrival] = []
    brought = 0
    for line, (first, last) in enumerate(lives(rows, rng)):
        at_ns = rows[first].ts_event
        happens.append(Arrival(at_ns, len(happens), "connect", line))
        delay_ns = rng.randrange(DELAY_MS_MAX) * MS
        for place in range(first, last + 1):
            if rng.random() < 0.02:
                delay_ns = rng.randrange(DELAY_MS_MAX) * MS
            at_ns = max(at_ns, rows[place].ts_event + delay_ns)
            happens.append(Arrival(at_ns, len(happens), "frame", line, place))
        brought += last + 1 - first
        if last + 1 < len(rows):
            happens.append(Arrival(at_ns, len(happens), "cut", line, last + 1))
            happens.append(Arrival(at_ns, len(happens), "die", line))
    return sorted(happens), brought - len(rows)


def test_with_lines_that_die_and_are_replaced(part: Recording) -> None:
    """Lines die in the middle of a record; the next one overlaps, ahead of it or behind it."""
    rng = part.random("replaced")
    rows = part.rows
    run = Run(part)
    happens, duplicates = of_lines(rows, rng)
    for recv_ns, _, kind, line, place in happens:
        if kind == "connect":
            run.step()
            run.connect(line, recv_ns)
        elif kind == "die":
            run.die(line)
        else:
            record = rows[place].record
            whole = kind == "frame"
            run.frame(line, record if whole else record[: rng.randrange(len(record))], recv_ns)
            if rng.random() < 0.5:
                run.step()
    run.finish(duplicates=duplicates)
    assert run.revised == 0


def test_with_late_prints(part: Recording) -> None:
    """A print that comes up to 50 minutes after its bars were told revises every one of them.

    After each revision every bar is what the smaller ones within it make, and in the end all
    are the oracle's. A timer closes bars in between.
    """
    rng = part.random("late")
    rows = part.rows
    run = Run(part)
    run.connect(1, rows[0].ts_event)
    came_ns = delays(rows, rng, 0.02 if len(rows) > 1_000 else 0.2, LATEST_NS)
    places = sorted(range(len(rows)), key=came_ns.__getitem__)
    seen: defaultdict[str, int] = defaultdict(int)
    late = 0
    for place in places:
        row = rows[place]
        late += row.ts_event // SECOND < seen[row.contract_id] // SECOND
        seen[row.contract_id] = max(seen[row.contract_id], row.ts_event)
        run.frame(1, row.record, came_ns[place])
        run.require_roll_up(run.step())
        if rng.random() < 0.01:
            revised = run.note(run.pipeline.close_due(row.contract_id, came_ns[place]))
            run.require_roll_up(revised)
    run.finish()
    assert run.revised >= late > 0 or len(rows) < 10
