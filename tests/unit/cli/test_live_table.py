"""Live bars for the eye: what a row shows, with and without a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from msgspec import structs
from rich.console import Console

from tapekeeper.app.demo import DemoRow
from tapekeeper.cli.live_table import HEADINGS, live_table, plain_line
from tapekeeper.model.bar import Bar, BarState

FORMING = Bar(
    contract_id="CON.F.US.MES.Z26",
    timeframe="1m",
    ts_open=0,
    ts_end=60_000_000_000,
    open=6000.25,
    high=6001.0,
    low=5999.5,
    close=6000.75,
    volume=1_234,
    n=100,
    buy_vol=600,
    sell_vol=634,
    ts_first=1,
    ts_last=2,
    state=BarState.FORMING,
)


EMPTY = DemoRow("MESZ6", last=None, bid=None, ask=None, forming=None, closed=0, lag_ms=None)
FULL = replace(EMPTY, last=6000.75, bid=6000.5, ask=6000.75, forming=FORMING, closed=3, lag_ms=1.25)


def _shown(*rows: DemoRow) -> list[list[str]]:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(live_table(rows, "12 s left"))
    assert isinstance(screen.file, io.StringIO)
    return [line.split() for line in screen.file.getvalue().splitlines()]


def test_a_row_shows_the_forming_bar() -> None:
    """Last price, spread, OHLCV of the forming bar, closed bars and lag, in this order."""
    assert [
        "MESZ6", "6000.75", "0.25", "6000.25", "6001", "5999.5", "6000.75", "1234", "3", "1.2",
    ] in _shown(FULL)  # fmt: skip


def test_long_prices_fit_a_small_terminal() -> None:
    """Eight characters of price in every column are shown whole in 80 columns."""
    bar = structs.replace(
        FORMING, open=21000.25, high=21001.75, low=20999.25, close=21000.75, volume=99_999
    )
    row = replace(FULL, last=21000.75, forming=bar, closed=9_999, lag_ms=1234.5)
    assert [
        "MESZ6", "21000.75", "0.25", "21000.25", "21001.75", "20999.25", "21000.75", "99999",
        "9999", "1234.5",
    ] in _shown(row)  # fmt: skip


def test_before_the_first_tick_a_row_is_there() -> None:
    """A contract that is quiet is shown as quiet, not left out."""
    assert ["MESZ6", "0"] in _shown(EMPTY)


def test_rows_keep_their_order_and_title() -> None:
    """The table is what it is given, under its title."""
    lines = _shown(replace(EMPTY, symbol="B"), replace(EMPTY, symbol="A"))
    assert lines[0] == ["12", "s", "left"]
    assert [line[0] for line in lines if line[1:] == ["0"]] == ["B", "A"]


def test_a_plain_line_names_every_value() -> None:
    """Without a terminal a row is one line of name=value; what has not come is a dash."""
    words = plain_line(FULL).split()
    assert words[0] == "MESZ6"
    assert [word.partition("=")[0] for word in words[1:]] == [
        heading.replace(" ", "_") for heading in HEADINGS
    ]
    assert "spread=0.25" in words
    assert "closed=3" in words
    assert "last=-" in plain_line(EMPTY).split()


def test_a_spread_has_no_noise_of_arithmetic() -> None:
    """The difference of two binary fractions is shown as people would write it."""
    assert "spread=0.1" in plain_line(replace(EMPTY, bid=2000.1, ask=2000.2)).split()
