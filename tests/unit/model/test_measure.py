"""Bar sizes that are not time: their texts, their order, and what they need to know."""

from __future__ import annotations

import pickle

import pytest

from tapekeeper.errors import UsageError
from tapekeeper.model.instrument import Instrument
from tapekeeper.model.measure import (
    Measure,
    MeasureKind,
    measures_of,
    parse_size,
    require_measurable,
    size_order,
    timeframes_of,
)
from tapekeeper.model.timeframe import Timeframe

MES = Instrument("CON.F.US.MES.Z26", "MESZ6", tick_size=0.25, tick_value=1.25)


@pytest.mark.parametrize(
    ("text", "count", "kind"),
    [
        ("500tick", 500, MeasureKind.TICK),
        ("2000vol", 2_000, MeasureKind.VOLUME),
        ("1000000dollar", 1_000_000, MeasureKind.DOLLAR),
        ("20range", 20, MeasureKind.RANGE),
        ("8renko", 8, MeasureKind.RENKO),
    ],
)
def test_a_text_says_how_many_of_what(text: str, count: int, kind: MeasureKind) -> None:
    """The text is read, and written back as it was."""
    measure = parse_size(f" {text} ")
    assert measure == Measure(count, kind) == Measure.parse(text)
    assert str(measure) == text
    assert pickle.loads(pickle.dumps(measure)) == measure  # noqa: S301 - just made


@pytest.mark.parametrize("text", ["1s", "5m", "4h", "1d", "1w", "1mo"])
def test_a_length_of_time_is_a_timeframe(text: str) -> None:
    """One function reads both sorts."""
    assert parse_size(text) == Timeframe.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "tick", "0tick", "01tick", "-5vol", "1.5range", "5ticks", "5 tick", "1" * 13 + "vol"],
)
def test_any_other_text_is_refused_with_what_is_allowed(text: str) -> None:
    """One sentence names every unit there is."""
    with pytest.raises(UsageError, match=r"s, m, h, d, w, mo, .* tick, vol, dollar, range, renko"):
        parse_size(text)
    with pytest.raises(UsageError, match="such as 500tick"):
        Measure.parse(text)


def test_a_day_in_hours_is_refused_as_a_timeframe() -> None:
    """What is a length of time, and written in the wrong unit, gets the sentence of its own."""
    with pytest.raises(UsageError, match="write it in d, w or mo"):
        parse_size("24h")


def test_sizes_sort_time_first_then_by_kind_and_number() -> None:
    """The number counts as one, so 5 is before 20."""
    texts = ["8renko", "1d", "20range", "500tick", "1s", "5range", "2000vol", "9dollar", "1mo"]
    ordered = sorted(map(parse_size, texts), key=size_order)
    assert list(map(str, ordered)) == [
        "1s", "1d", "1mo", "500tick", "2000vol", "9dollar", "5range", "20range", "8renko",
    ]  # fmt: skip
    assert list(map(str, timeframes_of(ordered))) == ["1s", "1d", "1mo"]
    assert sorted(measures_of(reversed(ordered))) == list(measures_of(ordered))


def test_steps_of_price_and_dollars_need_to_know_their_worth() -> None:
    """Nothing is guessed: without a tick size, or the value of a tick, they are refused."""
    everything = [
        parse_size(text) for text in ("1s", "9tick", "9vol", "9dollar", "9range", "9renko")
    ]
    require_measurable(everything, MES)
    unknown = Instrument("X", "X")
    require_measurable(everything[:3], unknown)
    for size in everything[3:]:
        with pytest.raises(UsageError, match=f"{size} bars of X need its tick size"):
            require_measurable([size], unknown)
    with pytest.raises(UsageError, match="9dollar bars of X need the value of a tick"):
        require_measurable(everything, Instrument("X", "X", tick_size=0.25))
