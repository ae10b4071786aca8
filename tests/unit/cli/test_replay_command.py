"""`replay`: what is shown, what is written, and what is said about input that is not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tapekeeper.app.replay import ReplayResult
from tapekeeper.cli.main import main
from tapekeeper.cli.replay import name_faults
from tapekeeper.model.snapshot import TickCounts

HALF_PAST_ONE_NS = 1_700_000_000_000_000_000


def _trades(path: Path, **columns: pl.Series) -> Path:
    """Four trades of one contract, 1 s apart, 10 contracts in all; columns can be replaced."""
    frame = pl.DataFrame(
        {
            "ts_event": [HALF_PAST_ONE_NS + second * 10**9 for second in range(4)],
            "price": [100.0, 101.0, 99.5, 100.25],
            "size": [1, 2, 3, 4],
            "side": [0, 1, -1, 0],
            "symbol": ["ESZ3"] * 4,
        }
    )
    frame.with_columns(**columns).write_parquet(path)
    return path


def test_shows_both_identities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clean source is summed up by its identities, and the exit code is 0."""
    source = _trades(tmp_path / "trades.parquet")
    assert main(["replay", str(source), "--timeframes", "1s,1m"]) == 0
    captured = capsys.readouterr()
    rows = [line.split() for line in captured.out.splitlines()]
    assert ["ESZ3", "1s", "4", "10", "10", "holds"] in rows
    assert ["ESZ3", "1m", "1", "10", "10", "holds"] in rows
    assert "trades: 4 received = 4 accepted" in captured.out
    assert captured.err == ""


def test_writes_a_file_for_each_timeframe(tmp_path: Path) -> None:
    """`--out` makes the folder, and names its files by timeframe."""
    out = tmp_path / "made" / "here"
    source = _trades(tmp_path / "trades.parquet")
    assert main(["replay", str(source), "--timeframes", "1s,1m", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["bars_1m.parquet", "bars_1s.parquet"]
    assert pl.read_parquet(out / "bars_1m.parquet")["volume"].to_list() == [10]


def test_quotes_are_written_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--quotes` writes every one beside the bars, and needs somewhere to write to."""
    stamp = "2023-11-14T22:13:20.5+00:00"
    target = '{"type":1,"target":"%s","arguments":["ESZ3",%s]}'
    row = f'{{"timestamp":"{stamp}","type":2,"price":100.0,"volume":1,"currentVolume":5}}'
    quotes = [f'{{"bestBid":{bid},"timestamp":"{stamp}"}}' for bid in (100.0, 100.25)]
    calls = [target % ("GatewayQuote", quote) for quote in quotes]
    records = ["{}", *calls, target % ("GatewayDepth", row)]
    source = tmp_path / "frames.jsonl"
    lines = [json.dumps({"t": HALF_PAST_ONE_NS, "ws": record + "\x1e"}) for record in records]
    source.write_text("\n".join(lines))
    out = tmp_path / "out"
    assert main(["replay", str(source), "--quotes", "--out", str(out)]) == 0
    assert pl.read_parquet(out / "quotes.parquet")["bid"].to_list() == [100.0, 100.25]
    assert "depth: 1 received = 1 accepted" in capsys.readouterr().out
    assert main(["replay", str(source), "--out", str(tmp_path / "bars")]) == 0
    assert not (tmp_path / "bars" / "quotes.parquet").exists()
    assert main(["replay", str(source), "--quotes"]) == 2
    assert "--out" in capsys.readouterr().err


def test_prices_off_the_grid_are_quarantined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--tick-size` gives the grid that a Parquet file does not name."""
    source = _trades(tmp_path / "trades.parquet")
    assert main(["replay", str(source), "--timeframes", "1m", "--tick-size", "0.5"]) == 0
    assert "quarantined: off_grid 1" in capsys.readouterr().out


def test_the_session_bounds_daily_bars(tmp_path: Path) -> None:
    """`--session` decides where a day begins."""
    source = _trades(tmp_path / "trades.parquet")
    opens = []
    for session in ("cme", "24x7"):
        out = tmp_path / session
        arguments = ["replay", str(source), "--timeframes", "1d", "--session", session]
        assert main([*arguments, "--out", str(out)]) == 0
        opens += pl.read_parquet(out / "bars_1d.parquet")["ts_open"].to_list()
    # 2023-11-14 is a Tuesday: its session opened on Monday at 17:00 in Chicago, 23:00 UTC.
    assert opens == [1_699_916_400_000_000_000, 1_699_920_000_000_000_000]


@pytest.mark.parametrize(
    ("arguments", "clause"),
    [
        (["--timeframes", "1m,7q"], "unknown timeframe '7q'"),
        (["--session", "cmee"], "unknown calendar 'cmee'; did you mean 'cme'?"),
        (["--tick-size", "0"], "a tick size is a number greater than 0"),
        (["--tick-size", "nan"], "a tick size is a number greater than 0"),
        (["--tick-value", "-1"], "a tick value is a number greater than 0"),
        (["--timeframes", "5tics"], "tick, vol, dollar, range, renko, such as 500tick"),
        (["--timeframes", "8renko"], "8renko bars of ESZ3 need its tick size"),
        (
            ["--timeframes", "9dollar", "--tick-size", "0.25"],
            "9dollar bars of ESZ3 need the value of a tick in money",
        ),
    ],
)
def test_a_wrong_option_is_one_sentence(
    arguments: list[str], clause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An option that cannot be is refused with exit code 2 before anything is read."""
    source = _trades(tmp_path / "trades.parquet")
    assert main(["replay", str(source), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert clause in error
    assert error.count("\n") == 1


def test_measured_bars_have_files_and_identities_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are written and checked as bars of time are, in one order: time first."""
    source = _trades(tmp_path / "trades.parquet")
    arguments = ["--timeframes", "1renko,2tick,1m,50dollar", "--tick-size", "0.25"]
    arguments += ["--tick-value", "1.25", "--out", str(tmp_path / "out")]
    assert main(["replay", str(source), *arguments]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(name) for name in (" 1m ", " 2tick ", " 50dollar ", " 1renko ")]
    assert places == sorted(places)
    frame = pl.read_parquet(tmp_path / "out" / "bars_2tick.parquet")
    assert frame["ordinal"].to_list() == list(range(frame.height))
    assert frame["volume"].sum() == pl.read_parquet(source)["size"].sum()


def test_a_folder_that_cannot_be_is_named_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for a long replay to learn that its bars have no place."""
    source = _trades(tmp_path / "trades.parquet")
    assert main(["replay", str(source), "--out", str(source)]) == 2
    shown = capsys.readouterr()
    assert "it is a file, and must be a folder" in shown.err
    assert shown.out == ""


def test_unreadable_sources_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Absent, cut short, without a column, of no known kind: each is named, with exit code 2."""
    whole = _trades(tmp_path / "trades.parquet")
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-20])
    bare = tmp_path / "bare.parquet"
    pl.read_parquet(whole).drop("price").write_parquet(bare)
    other = tmp_path / "notes.txt"
    other.write_text("hello", encoding="utf-8")
    for source in (tmp_path / "absent.parquet", cut, bare, other):
        assert main(["replay", str(source)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert source.name in error
        assert error.count("\n") == 1


def _result() -> ReplayResult:
    return ReplayResult({}, {}, TickCounts(), TickCounts(), [], {})


@pytest.mark.parametrize(
    ("result", "faulty", "error"),
    [
        (_result(), False, ""),
        (replace(_result(), harmless=["torn tail"]), False, "note: torn tail\n"),
        (replace(_result(), problems=["corrupt"]), True, "error: corrupt\n"),
        (
            replace(_result(), trades=TickCounts(received=1)),
            True,
            "error: an identity does not hold: these bars are not whole\n",
        ),
    ],
)
def test_what_is_not_whole_is_named(
    *,
    result: ReplayResult,
    faulty: bool,
    error: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Damage and broken identities fail a command; what a crash leaves is only a note."""
    assert name_faults(result) is faulty
    assert capsys.readouterr().err == error
