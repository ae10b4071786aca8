"""Bars beyond time against plain integer arithmetic over a sorted list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tapekeeper.core.bars import AllBars, BarPolicy, ContractBars, Mark, MeasuredBars
from tapekeeper.core.calendar import calendar_by_name
from tapekeeper.model.bar import Bar, BarState, Completeness
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import Measure, parse_size
from tapekeeper.model.timeframe import SECOND_NS, Timeframe
from tapekeeper.verify.measured_oracle import Print, Shape, naive_measured, shape_of
from tests.property import folding

ES = Instrument("CON.F.US.EP.U24", "ESU4", tick_size=0.25, tick_value=12.5)
CALENDAR = calendar_by_name("cme")
YEAR_NS = 366 * 86_400 * SECOND_NS
FOREVER = BarPolicy(horizon_ns=YEAR_NS)
KINDS = (
    *("1tick", "2tick", "7tick", "1vol", "5vol", "30vol", "1range", "3range", "6range"),
    *("1renko", "2renko", "3renko", "1000000dollar", "2500050dollar"),
)
# Just before a session's end on a Friday, before a holiday's halt, and in the midst of a day.
STARTS_NS = [
    int(dt.datetime.fromisoformat(text).timestamp()) * SECOND_NS
    for text in ("2024-03-08T21:59:50+00:00", "2024-07-03T17:14:50+00:00", "2024-05-08T14:00+00:00")
]
STEPS_NS = st.one_of(
    st.just(0),
    st.integers(0, 900_000_000),
    st.integers(0, 90).map(lambda seconds: seconds * SECOND_NS),
    st.integers(0, 3 * 86_400).map(lambda seconds: seconds * SECOND_NS),
)


@st.composite
def prints(draw: st.DrawFn, *, disordered: bool = False) -> list[Print]:
    """A tape with equal times, sizes of 0, every side, small steps of price and large ones."""
    ts_ns, price = draw(st.sampled_from(STARTS_NS)), 20_000
    tape: list[Print] = []
    for _ in range(draw(st.integers(0, 60))):
        ts_ns += draw(STEPS_NS)
        price += draw(st.one_of(st.integers(-2, 2), st.integers(-2, 2), st.integers(-15, 15)))
        behind = draw(st.one_of(st.just(0), STEPS_NS)) if disordered else 0
        tape.append((ts_ns - behind, price, draw(st.integers(0, 9)), draw(st.integers(-1, 1))))
    return tape


measures = st.sampled_from(KINDS).map(Measure.parse)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=4)
latenesses = st.sampled_from([0, 1, SECOND_NS // 2, 3 * SECOND_NS, 7_200 * SECOND_NS])


def plain(tape: list[Print], measure: Measure, bounds: list[int] | None = None) -> list[Shape]:
    """The bars of prints in order of time, of equal times in order of arrival."""
    return naive_measured(
        tape,
        measure,
        session_of=lambda ts_ns: CALENDAR.session_of(ts_ns).open_ns,
        tick_value=Fraction(25, 2),
        bounds=bounds or (),
    )


def shape_in_ticks(bar: Bar) -> Shape:
    """The same of a bar that the engine made: every digit of its prices is right."""
    assert all(float(price * 4).is_integer() for price in (bar.open, bar.high, bar.low, bar.close))
    assert bar.turnover_e9 % 250_000_000 == 0
    return shape_of(bar, ES.tick_size)


# -- the engine ------------------------------------------------------------------------------------


batch_of = partial(folding.batch_of, contract_id=ES.contract_id, tick=ES.tick_size)
fold_in = partial(folding.fold_in, contract_id=ES.contract_id, tick=ES.tick_size)


def engine(*names: str, policy: BarPolicy = FOREVER) -> AllBars:
    """Bars of a contract of all these sizes."""
    sizes = [parse_size(name) for name in names]
    bars = AllBars(
        ContractBars(ES.contract_id, [], CALENDAR, policy=policy),
        MeasuredBars(ES, CALENDAR, policy),
    )
    bars.add(sizes)
    return bars


def last_words(bars: Iterable[Bar]) -> list[Bar]:
    """The last word on each bar, in the order in which readers have them."""
    found = {(bar.timeframe, bar.ts_open, bar.ordinal): bar for bar in bars}
    return [found[key] for key in sorted(found)]


@given(prints(), measures, cuts, latenesses)
def test_bars_are_those_of_a_sorted_list(
    tape: list[Print], measure: Measure, sizes: list[int], lateness_ns: int
) -> None:
    """Every number of every bar of every kind, whatever the batches and the lateness."""
    bars = engine(str(measure), policy=BarPolicy(lateness_ns, YEAR_NS))
    told, late = fold_in(bars, tape, sizes)
    assert late == []
    everything = told + bars.forming_all()
    assert [shape_in_ticks(bar) for bar in everything] == plain(tape, measure)
    assert {bar.revision for bar in everything} <= {0}
    assert {bar.completeness for bar in everything} <= {Completeness.COMPLETE}
    high_ns = max((row[0] for row in tape), default=0)
    assert all(bar.ts_last <= high_ns - lateness_ns for bar in told)


@given(prints(), st.data())
def test_disorder_within_the_lateness_changes_nothing(
    tape: list[Print], data: st.DataObject
) -> None:
    """Prints that change places by no more than the lateness make the bars of prints in order."""
    lateness_ns = 3 * SECOND_NS
    policy = BarPolicy(lateness_ns, 0)
    delays = [data.draw(st.integers(0, lateness_ns)) for _ in tape]
    # Equal times keep their order, because among them it is the order of arrival that counts.
    due: dict[int, int] = {}
    for row, delay_ns in zip(tape, delays, strict=True):
        due.setdefault(row[0], row[0] + delay_ns)
    disordered = sorted(tape, key=lambda row: due[row[0]])

    one, other = engine(*KINDS, policy=policy), engine(*KINDS, policy=policy)
    told, late = fold_in(one, tape, [5])
    told_too, late_too = fold_in(other, disordered, [5])
    assert late == late_too == []
    assert told_too == told
    assert other.forming_all() == one.forming_all()


@given(prints(disordered=True), cuts, latenesses, st.integers(0, 7_200))
def test_what_is_told_does_not_depend_on_how_batches_are_cut(
    tape: list[Print], sizes: list[int], lateness_ns: int, horizon_s: int
) -> None:
    """The same bars, revisions, order and lates, whatever came together."""
    policy = BarPolicy(lateness_ns, horizon_s * SECOND_NS)
    sizes_of_time = ("1s", "1m", "7m", "1d")
    one, other = (engine(*KINDS, *sizes_of_time, policy=policy) for _ in range(2))
    assert fold_in(one, tape, sizes) == fold_in(other, tape, [len(tape) or 1])
    assert one.forming_all() == other.forming_all()


def assert_one_story(told: list[Bar], untold: list[Bar], *, name: str) -> list[Bar]:
    """Revisions rise by one, and the last words are apart; they are returned."""
    seen: dict[tuple[int, int], int] = {}
    for bar in told:
        key = bar.ts_open, bar.ordinal
        if key in seen or bar.ordinal < 0:
            assert (bar.state, bar.revision) == (BarState.REVISED, seen.get(key, 0) + 1)
        else:
            assert (bar.state, bar.revision) == (BarState.CLOSED, 0)
        seen[key] = bar.revision
    assert not {(bar.ts_open, bar.ordinal) for bar in untold} & seen.keys()
    bars = last_words([*told, *untold])
    for bar in bars:
        assert bar.ts_open == bar.ts_first <= bar.ts_last == bar.ts_end - 1, name
        assert CALENDAR.session_of(bar.ts_first) == CALENDAR.session_of(bar.ts_last), name
    for before, after in pairwise(bars):
        assert before.ts_end <= after.ts_open or before.ts_last == after.ts_open, name
    return bars


@given(
    prints(disordered=True),
    measures,
    latenesses,
    st.integers(0, 100_000),
    st.lists(st.integers(-5, 4 * 86_400), min_size=1, max_size=6),
)
def test_no_contract_is_lost_or_made(
    tape: list[Print], measure: Measure, lateness_ns: int, horizon_s: int, waits_s: list[int]
) -> None:
    """However late prints come, and whatever a timer closes, each print is in one bar."""
    policy = BarPolicy(lateness_ns, horizon_s * SECOND_NS)
    bars = engine(str(measure), "1m", "1d", policy=policy)
    told: list[Bar] = []
    accepted: list[Print] = []
    for turn, row in enumerate(tape):
        result = bars.fold(batch_of([row]))
        accepted += [] if result.late else [row]
        told += result.closed
        if turn % 3 == 0:
            now_ns = row[0] + waits_s[turn % len(waits_s)] * SECOND_NS
            told += bars.close_due(now_ns)
            left_ns = bars.due_ns()
            assert left_ns is None or left_ns > now_ns
        assert all(check.holds for check in bars.checks(sum(row[2] for row in accepted)))
    mine = [bar for bar in told if bar.timeframe == str(measure)]
    untold = [bar for bar in bars.forming_all() if bar.timeframe == str(measure)]
    everything = assert_one_story(mine, untold, name=str(measure))
    assert sum(bar.volume for bar in everything) == sum(row[2] for row in accepted)
    assert sum(bar.n for bar in everything) == len(accepted)
    assert sum(bar.turnover_e9 for bar in everything) == 250_000_000 * sum(
        row[1] * row[2] for row in accepted
    )
    checks = bars.checks(sum(row[2] for row in accepted))
    (check,) = (each for each in checks if each.timeframe == str(measure))
    assert check.bars == sum(bar.n > 0 for bar in everything)


@given(prints(), measures, st.integers(0, 60))
def test_a_day_alone_makes_the_bars_that_it_makes_among_others(
    tape: list[Print], measure: Measure, at: int
) -> None:
    """Nothing of a session is carried into the next one."""
    whole = plain(tape, measure)
    opens_ns = sorted({CALENDAR.session_of(row[0]).open_ns for row in tape})
    if not opens_ns:
        return
    open_ns = opens_ns[at % len(opens_ns)]
    day = [row for row in tape if CALENDAR.session_of(row[0]).open_ns == open_ns]
    bars = engine(str(measure))
    told, _ = fold_in(bars, day, [4])
    alone = [shape_in_ticks(bar) for bar in told + bars.forming_all()]
    assert alone == [each for each in whole if CALENDAR.session_of(each[0]).open_ns == open_ns]


# -- gaps ------------------------------------------------------------------------------------------


def gaps_in(data: st.DataObject, tape: list[Print]) -> list[Mark]:
    """Gaps apart from each other whose ends lie in, between and around the prints of a tape."""
    times = sorted({row[0] for row in tape} | set(STARTS_NS))
    near = st.builds(int.__add__, st.sampled_from(times), st.integers(-1, 1) | STEPS_NS)
    bounds = sorted(data.draw(st.lists(near, min_size=2, max_size=8, unique=True)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return [Mark(from_ns, to_ns, number) for number, (from_ns, to_ns) in enumerate(pairs, start=1)]


@given(prints(), measures, st.data(), latenesses)
def test_a_gap_known_in_time_divides_bars_exactly(
    tape: list[Print], measure: Measure, data: st.DataObject, lateness_ns: int
) -> None:
    """Bars end at both ends of a gap, those that touch it say so, and those behind are exact."""
    marks = gaps_in(data, tape)
    bars = engine(str(measure), policy=BarPolicy(lateness_ns, YEAR_NS))
    for mark in marks:
        bars.mark(mark.gap_id, [mark])
    told, _ = fold_in(bars, tape, [4])
    untold = bars.forming_all()
    bounds = [bound for mark in marks for bound in (mark.from_ns, mark.to_ns)]
    assert [shape_in_ticks(bar) for bar in told + untold] == plain(tape, measure, bounds)
    for bar in told:
        touching = {
            mark.gap_id for mark in marks if mark.from_ns < bar.ts_end and mark.to_ns > bar.ts_open
        }
        assert touching <= set(bar.gap_ids)
        assert (bar.completeness is Completeness.GAP) == bool(bar.gap_ids)
        for gap_id in set(bar.gap_ids) - touching:  # it ended at that gap
            mark = marks[gap_id - 1]
            assert mark.from_ns >= bar.ts_end


@given(prints(disordered=True), measures, st.data(), latenesses)
def test_no_bar_lies_over_the_end_of_a_gap_however_late_prints_come(
    tape: list[Print], measure: Measure, data: st.DataObject, lateness_ns: int
) -> None:
    """A late print behind a gap, and one before it, are in bars of their own sides."""
    marks = gaps_in(data, tape)
    bars = engine(str(measure), policy=BarPolicy(lateness_ns, YEAR_NS))
    for mark in marks:
        bars.mark(mark.gap_id, [mark])
    told, _ = fold_in(bars, tape, [4])
    bounds = [bound for mark in marks for bound in (mark.from_ns, mark.to_ns)]
    for bar in assert_one_story(told, bars.forming_all(), name=str(measure)):
        assert not any(bar.ts_open < bound <= bar.ts_last for bound in bounds)


@given(prints(disordered=True), measures, st.data(), latenesses, st.integers(0, 59))
def test_a_gap_found_afterwards_is_told_of_every_bar_that_it_touches(
    tape: list[Print], measure: Measure, data: st.DataObject, lateness_ns: int, at: int
) -> None:
    """The forming bar ends, closed ones are revised, no print is lost; taken back, none is left."""
    marks = gaps_in(data, tape)
    bars = engine(str(measure), policy=BarPolicy(lateness_ns, YEAR_NS))
    told, _ = fold_in(bars, tape[:at], [4])
    for mark in marks:
        told += bars.mark(mark.gap_id, [mark])
    told += fold_in(bars, tape[at:], [4])[0]
    volume = sum(row[2] for row in tape)
    assert all(check.holds for check in bars.checks(volume))
    everything = assert_one_story(told, bars.forming_all(), name=str(measure))
    assert sum(bar.volume for bar in everything) == volume
    for bar in everything:
        touching = {
            mark.gap_id for mark in marks if mark.from_ns < bar.ts_end and mark.to_ns > bar.ts_open
        }
        assert touching <= set(bar.gap_ids)
        assert (bar.completeness is Completeness.GAP) == bool(bar.gap_ids)
    for mark in marks:
        told += bars.mark(mark.gap_id, [])
    for bar in assert_one_story(told, bars.forming_all(), name=str(measure)):
        assert (bar.completeness, bar.gap_ids) == (Completeness.COMPLETE, ())


@given(prints(), measures, st.data())
def test_history_repairs_none_of_them(
    tape: list[Print], measure: Measure, data: st.DataObject
) -> None:
    """What the gateway's bars stand for in time stays a gap where prints make the bars."""
    marks = gaps_in(data, tape)
    one, other = engine(str(measure)), engine(str(measure))
    for mark in marks:
        one.mark(mark.gap_id, [mark])
        middle_ns = (mark.from_ns + mark.to_ns) // 2
        other.mark(
            mark.gap_id,
            [
                Mark(mark.from_ns, middle_ns, mark.gap_id),
                Mark(middle_ns, mark.to_ns, mark.gap_id, repaired=True),
            ],
        )
    assert fold_in(one, tape, [4]) == fold_in(other, tape, [4])
    assert one.forming_all() == other.forming_all()


@given(prints(disordered=True), measures, st.integers(0, 60), latenesses)
def test_a_measure_added_later_changes_no_other(
    tape: list[Print], measure: Measure, at: int, lateness_ns: int
) -> None:
    """Bars of time and of other measures are what they would be, and the new ones hold the rest."""
    policy = BarPolicy(lateness_ns, YEAR_NS)
    alone, bars = (engine("1s", "1h", "3tick", policy=policy) for _ in range(2))
    told, _ = fold_in(bars, tape[:at], [4])
    before = sum(row[2] for row in tape[:at])
    bars.add([measure], before)
    told += fold_in(bars, tape[at:], [4])[0]
    everything = told + bars.forming_all()
    expected = fold_in(alone, tape, [1])[0] + alone.forming_all()
    for name in ("1s", "1h", "3tick"):
        mine = [bar for bar in everything if bar.timeframe == name]
        assert mine == [bar for bar in expected if bar.timeframe == name]
    assert all(check.holds for check in bars.checks(sum(row[2] for row in tape)))


def test_bars_of_time_are_the_same_beside_them() -> None:
    """A second face changes nothing of what was there."""
    tape = [(STARTS_NS[2] + n * SECOND_NS // 3, 20_000 + n % 7, 1, n % 2) for n in range(200)]
    plain_bars = ContractBars(
        ES.contract_id, [Timeframe.parse("1s"), Timeframe.parse("1m")], CALENDAR
    )
    both = engine("1s", "1m", "5tick", policy=BarPolicy())
    told = plain_bars.fold(batch_of(tape)).closed
    told_too = [bar for bar in both.fold(batch_of(tape)).closed if bar.timeframe != "5tick"]
    assert msgspec.json.encode(told) == msgspec.json.encode(told_too)


# -- what is added while prints come ---------------------------------------------------------------


@given(prints(), measures, st.integers(0, 60), cuts, st.sampled_from([(), ("1m", "3tick")]))
def test_a_measure_that_is_added_says_of_what_it_has_not_seen_the_beginning(
    tape: list[Print], measure: Measure, at: int, sizes: list[int], beside: tuple[str, ...]
) -> None:
    """Its bars are those of the prints since; the first is a partial start, bricks of a day all."""
    if beside:
        bars = engine(*beside)
        fold_in(bars, tape[:at], [4])
    else:
        time = ContractBars(ES.contract_id, [Timeframe.parse("1m")], CALENDAR, policy=FOREVER)
        for row in tape[:at]:
            time.fold(batch_of([row]))
        bars = AllBars(time, MeasuredBars(ES, CALENDAR, FOREVER, (), time.high_ns))
    name, rest = str(measure), tape[at:]
    bars.add([measure], sum(row[2] for row in tape[:at]))
    whole_ns = bars.whole_ns(name)
    if not tape[:at]:
        assert whole_ns is None
        return
    assert whole_ns == tape[:at][-1][0] + 1
    assert bars.mark(1, [Mark(-YEAR_NS, whole_ns, 1, is_start=True, timeframes=(name,))]) == []
    told, _ = fold_in(bars, rest, sizes)
    mine = [bar for bar in told + bars.forming_all() if bar.timeframe == name]
    assert [shape_in_ticks(bar) for bar in mine] == plain(rest, measure)
    session = CALENDAR.session_of(whole_ns - 1)
    of_day = [bar for bar in mine if CALENDAR.session_of(bar.ts_open) == session]
    began = of_day if "renko" in name else of_day[:1]
    assert {bar.completeness for bar in began} <= {Completeness.PARTIAL_START}
    # Prints of the very nanosecond behind which it begins may make several bars.
    others = [bar for bar in mine if bar not in began and bar.ts_open >= whole_ns]
    assert {bar.completeness for bar in others} <= {Completeness.COMPLETE}
    beside_it = {bar.completeness for bar in told if bar.timeframe != name}
    assert beside_it <= {Completeness.COMPLETE}
    assert all(check.holds for check in bars.checks(sum(row[2] for row in tape)))
    # Another word on the same gap changes nothing, as when history has dealt with it.
    assert bars.mark(1, [Mark(-YEAR_NS, whole_ns, 1, is_start=True, timeframes=(name,))]) == []
    again = [bar for bar in told + bars.forming_all() if bar.timeframe == name]
    assert again == mine
